"""Answers written as annotations are read back equal, by our readers and others'."""

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rescaled import BOX, write_rescaled

from keras_localize import Localization
from keras_localize.datasets import (
    LocalizationDataset,
    read_coco,
    read_csv,
    read_yolo,
    write_coco,
    write_csv,
    write_yolo,
)

FORMS = ("csv", "coco", "yolo")
NAMES = ["cat", 'a "quoted", name', "\u732b \U0001f408", "no", "1", "back\\slash"]
SIZES = {"a.png": (40, 80), "below/b.c.png": (7, 5000), "below/sp ace.png": (3, 2)}


@pytest.fixture(scope="module")
def images_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for name, (height, width) in SIZES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (width, height)).save(path)
    return folder


def write_and_read(form, path, localizations, images, images_dir, **options):
    """The dataset that a reader makes of what a writer wrote."""
    read = {"without_box": "negative", "outside": "error"}
    if form == "csv":
        write_csv(path / "a.csv", localizations, images, **options)
        units = {"bounding_box_format": "xyxy"}
        return read_csv(images_dir, path / "a.csv", **units, **read)
    if form == "coco":
        write_coco(path / "a.json", localizations, images, **options)
        return read_coco(images_dir, path / "a.json", **read)
    write_yolo(path / "a", localizations, images, **options)
    return read_yolo(images_dir, path / "a/labels", path / "a/data.yaml", **read)


def inside(size):
    """Boxes inside an image of this size, at least a hundredth of a pixel wide."""
    height, width = size

    def along(side):
        numbers = st.floats(0, side, width=32)
        pairs = st.tuples(numbers, numbers).map(sorted)
        return pairs.filter(lambda pair: pair[1] - pair[0] >= 0.01)

    xs_and_ys = st.tuples(along(width), along(height))
    boxes = xs_and_ys.map(lambda xy: (xy[0][0], xy[1][0], xy[0][1], xy[1][1]))
    # What readers take for a box in fractions, or for none.
    return boxes.filter(lambda box: box[2] > 2 and box[3] > 0.01 * height)


def answers(size):
    found = st.builds(
        lambda label, score, box: Localization(label, NAMES[label], score, box, None),
        st.integers(0, len(NAMES) - 1),
        st.floats(0, 1),
        inside(size),
    )
    absent = st.just(Localization(0, NAMES[0], 0.5, None, None, presence=0.1))
    return st.none() | absent | found


@pytest.mark.parametrize("form", FORMS)
@given(given=st.tuples(inside(SIZES["a.png"]), *map(answers, SIZES.values())))
def test_reads_back_what_was_written(form, given, images_dir, tmp_path_factory):
    # One that is there, so that there is something to read.
    box, *localizations = given
    localizations[0] = Localization(1, NAMES[1], 0.25, box, None)
    written = dict(zip(SIZES, localizations))
    dataset = write_and_read(
        form, tmp_path_factory.mktemp("written"), localizations, images_dir, images_dir
    )
    # YOLO has no way to say that nothing is known of an image.
    skipped = {name for name, each in written.items() if each is None}
    assert skipped.isdisjoint(dataset.names) or form == "yolo"
    assert set(dataset.names) | skipped == set(SIZES)
    for record in dataset:
        answer = written[record.name]
        if answer is None or answer.box is None:
            assert record.presence == 0 and record.label == -1
            continue
        height, width = SIZES[record.name]
        sides = np.array([width, height, width, height])
        assert record.class_name == answer.class_name and record.presence == 1
        np.testing.assert_allclose(record.box, answer.box / sides, atol=2e-7)


@pytest.mark.parametrize("form", FORMS)
def test_a_dataset_reads_back_as_itself(form, images_dir, tmp_path):
    """With the ids of classes that no answer has, too."""
    boxes = np.array([[0.25, 0.25, 0.75, 1], [0.125, 0, 1, 0.5], [0, 0, 0, 0]])
    dataset = LocalizationDataset(
        [images_dir / name for name in SIZES],
        boxes,
        [2, 0, -1],
        NAMES,
        presence=[1, 1, 0],
    )
    pixels = boxes * dataset.image_sizes[:, [1, 0, 1, 0]]
    localizations = [
        Localization(2, NAMES[2], 0.5, tuple(pixels[0].tolist()), 0.5),
        Localization(0, NAMES[0], 1.0, tuple(pixels[1].tolist()), 0.5),
        Localization(1, NAMES[1], 1.0, None, 0.5, presence=0.01),
    ]
    again = write_and_read(
        form, tmp_path, localizations, dataset, images_dir, class_names=NAMES
    )
    np.testing.assert_allclose(again.boxes, dataset.boxes, atol=1e-7)
    np.testing.assert_array_equal(again.image_sizes, dataset.image_sizes)
    np.testing.assert_array_equal(again.presence, dataset.presence)
    found = [record.class_name for record in again]
    assert found == [NAMES[2], NAMES[0], None]
    if form != "csv":  # a table lists no classes
        assert list(again.class_names) == NAMES
        np.testing.assert_array_equal(again.labels, dataset.labels)


@pytest.mark.parametrize("form", FORMS)
def test_models_without_class_names_and_without_labels(form, images_dir, tmp_path):
    image = images_dir / "a.png"
    box = (20.0, 10.0, 60.0, 40.0)
    named = {}
    for label in (12, None):
        folder = tmp_path / str(label)
        answer = Localization(label, None, None if label is None else 0.5, box, None)
        dataset = write_and_read(form, folder, [answer], [image], images_dir)
        named[label] = dataset[0].class_name
        np.testing.assert_allclose(dataset[0].box, [0.25, 0.25, 0.75, 1])
    assert named == {12: "12", None: "object"}


def test_the_lines_of_a_table(images_dir, tmp_path):
    localizations = [
        Localization(1, "b", 0.75, (1.0, 2.0, 30.5, 4.0), 0.5, presence=0.9),
        None,
        Localization(0, "a", 0.5, None, 0.25, presence=0.1),
    ]
    paths = [images_dir / name for name in SIZES]
    write_csv(tmp_path / "x.csv", localizations, paths, images_dir=images_dir.parent)
    header, *rows = (tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()
    assert header.endswith("class,xmin,ymin,xmax,ymax,score,quality,presence")
    folder = images_dir.name
    assert rows == [
        f"{folder}/a.png,80,40,b,1.0,2.0,30.5,4.0,0.75,0.5,0.9",
        f"{folder}/below/sp ace.png,2,3,,,,,,0.5,0.25,0.1",
    ]


def test_the_upright_image_is_meant(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 40)).save(tmp_path / "turned.jpg", exif=exif)
    answer = Localization(0, "cat", 1.0, (0.0, 0.0, 40.0, 20.0), None)
    for form in FORMS:
        dataset = write_and_read(form, tmp_path / form, [answer], tmp_path, tmp_path)
        assert dataset.image_sizes.tolist() == [[80, 40]]
        np.testing.assert_allclose(dataset.boxes, [[0, 0, 1, 0.25]])


def test_confidence_in_yolo(images_dir, tmp_path):
    answer = Localization(0, "cat", 0.625, (20.0, 10.0, 60.0, 40.0), None)
    images = [images_dir / "a.png"]
    write_yolo(tmp_path / "a", [answer], images, confidence=True)
    text = (tmp_path / "a/labels/a.txt").read_text()
    assert text == "0 0.5 0.625 0.5 0.75 0.625\n"
    dataset = read_yolo(images_dir, tmp_path / "a/labels", tmp_path / "a/classes.txt")
    assert dataset.boxes.tolist() == [[0.25, 0.25, 0.75, 1]]
    with pytest.raises(ValueError, match=r"`confidence=True`.*a\.png"):
        unlabelled = answer._replace(label=None, class_name=None, score=None)
        write_yolo(tmp_path / "b", [unlabelled], images, confidence=True)


def test_pycocotools_reads_the_file_and_takes_it_as_results(images_dir, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    localizations = [
        Localization(0, "a", 0.5, (20.5, 10.25, 60.0, 40.0), None),
        Localization(1, "b", 0.75, (100.0, 1.0, 4000.0, 7.0), None),
        Localization(1, "b", 0.75, None, None, presence=0.2),
    ]
    path = tmp_path / "a.json"
    write_coco(path, localizations, images_dir)
    truth = coco.COCO(str(path))
    assert sorted(truth.imgs) == [1, 2, 3] and len(truth.anns) == 2
    assert truth.loadCats([2])[0]["name"] == "b"
    assert truth.loadImgs([2])[0]["file_name"] == "below/b.c.png"
    assert truth.anns[1]["bbox"] == [20.5, 10.25, 39.5, 29.75]
    results = truth.loadRes(json.loads(path.read_text("utf-8"))["annotations"])
    evaluation = cocoeval.COCOeval(truth, results, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


@pytest.mark.parametrize("write", [write_csv, write_coco, write_yolo])
def test_what_does_not_fit_is_named_and_nothing_is_written(write, images_dir, tmp_path):
    answer = Localization(0, "cat", 1.0, (0.0, 0.0, 4.0, 2.0), None)
    image = images_dir / "a.png"
    path = tmp_path / "file"
    for localizations, images, options, message in (
        ([answer], images_dir, {}, "1 answers for 3 images"),
        ([answer], [np.zeros((4, 4, 3), "uint8")], {}, "`images`.*ndarray"),
        ([answer], [image], {"images_dir": images_dir / "below"}, "`images_dir`.*a.p"),
        ([answer], [image], {"class_names": ["dog"]}, "'cat', the answer for a.png"),
        ([answer], [tmp_path / "none.png"], {}, "none.png"),
    ):
        with pytest.raises(ValueError, match=message):
            write(path, localizations, images, **options)
        assert not list(tmp_path.iterdir())


def test_yolo_replaces_nothing_and_confuses_nothing(tmp_path):
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (80, 40)).save(tmp_path / name)
    answer = Localization(0, "cat", 1.0, (0.0, 0.0, 4.0, 2.0), None)
    with pytest.raises(ValueError, match=r"2 images for a.txt"):
        write_yolo(tmp_path / "out", [answer, answer], tmp_path)
    broken = answer._replace(class_name="two\nlines")
    with pytest.raises(ValueError, match=r"line breaks.*two\\nlines"):
        write_yolo(tmp_path / "out", [broken], [tmp_path / "a.png"])
    assert not (tmp_path / "out").exists()
    (tmp_path / "labels").mkdir()
    with pytest.raises(ValueError, match="without labels: nothing is replaced"):
        write_yolo(tmp_path, [answer], [tmp_path / "a.png"])


@pytest.mark.parametrize("write", [write_csv, write_coco, write_yolo])
def test_pairs_of_iter_localize_are_named(write, images_dir, tmp_path):
    image = sorted(images_dir.iterdir())[0]
    answer = Localization(0, "cat", 0.9, (1.0, 1.0, 9.0, 9.0), None)
    pairs = [(image, answer)]
    with pytest.raises(ValueError, match=r"`localizations` .*iter_localize"):
        write(tmp_path / "out", pairs, [image])
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("write", [write_coco, write_csv])
def test_numbers_of_numpy_are_numbers(write, tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    box = tuple(np.float32([1.5, 2.5, 9.5, 9.5]))
    answer = Localization(0, "cat", np.float32(0.5), box, None)
    write(tmp_path / "out", [answer], [tmp_path / "a.png"])
    read = read_coco if write is write_coco else read_csv
    boxes = read(tmp_path, tmp_path / "out").boxes
    np.testing.assert_allclose(boxes * [40, 30, 40, 30], [box], atol=1e-4)


@pytest.mark.parametrize("write", [write_coco, write_yolo])
def test_sizes_are_those_of_the_files(write, tmp_path):
    """Not those that the annotations state."""
    data = read_csv(tmp_path, write_rescaled(tmp_path), verify=False)
    truth = data.boxes[0]
    answer = Localization(0, "red", 1.0, BOX, None)
    out = tmp_path / "out"
    write(out, [answer], data)
    if write is write_coco:
        again = read_coco(tmp_path, out)
    else:
        again = read_yolo(tmp_path, out / "labels", out / "classes.txt")
    np.testing.assert_allclose(again.boxes[0], truth, atol=1e-6)


def test_file_names_that_are_no_utf8(tmp_path):
    """JSON can name them and stays readable; a table cannot."""
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    Image.new("RGB", (40, 30)).save(images / "\u732b.png")
    try:
        os.link(images / "\u732b.png", os.fsencode(images) + b"/odd\xff.png")
    except OSError:
        pytest.skip("this file system takes no such name")
    answers = [Localization(0, "cat", 0.5, (1.0, 2.0, 9.0, 9.0), None)] * 2
    write_coco(out, answers, images)
    assert '"\u732b.png"' in out.read_text("utf-8")
    assert set(read_coco(images, out).names) == {"\u732b.png", "odd\udcff.png"}
    write_yolo(tmp_path / "yolo", answers, images)
    names = set(os.listdir(tmp_path / "yolo" / "labels"))
    assert names == {"\u732b.txt", "odd\udcff.txt"}
    before = out.read_bytes()
    with pytest.raises(ValueError, match=r"`images` .*UTF-8.*odd.udcff\.png"):
        write_csv(out, answers, images)
    assert out.read_bytes() == before
