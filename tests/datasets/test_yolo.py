"""read_yolo: every kind of line, which files are label files."""

import numpy as np
import pytest
from label_folder import HEIGHT, NAMES, WIDTH
from PIL import Image

from keras_localize.datasets import AnnotationError, read_yolo


def test_yolo_lines_and_names(folder):
    folder.read("yolo")
    file = folder.path / "yolo" / "a.txt"
    names = folder.path / "yolo" / "names.txt"
    names.write_text("bird\ncat\n\n")
    (folder.path / "yolo" / "classes.txt").write_text("bird\ncat\n")
    dataset = read_yolo(folder.images, folder.path / "yolo", names)
    assert dataset.class_names == ("bird", "cat") and len(dataset) == 2
    with pytest.raises(AnnotationError, match=r"names\.txt: missing image"):
        read_yolo(folder.images, folder.path / "yolo", NAMES)
    names.unlink()
    for text, reason in (
        ("1 0.5 0.5 0.5", "malformed line"),
        ("1 0.5 0.5 0.5 0.5 1.9", "malformed line"),
        ("2 0.5 0.5 0.5 0.5", "unknown class"),
        ("-1 0.5 0.5 0.5 0.5", "unknown class"),
        ("0.5 0.5 0.5 0.5 0.5", "unknown class"),
        ("cat 0.5 0.5 0.5 0.5", "not a number"),
        ("1 0.5 0.5 nan 0.5", "not finite"),
        ("1 0.5 0.5 -0.5 0.5", "inverted box"),
    ):
        file.write_text(text)
        with pytest.raises(AnnotationError, match=r"a\.txt: line 1") as caught:
            read_yolo(folder.images, folder.path / "yolo", NAMES)
        assert caught.value.reason == reason
    file.unlink()
    dataset = read_yolo(folder.images, folder.path / "yolo", NAMES)
    assert dataset.summary().skipped == {"without a box": ("a.png",)}


class Lines:
    """A folder of empty images and label files with these lines."""

    def __init__(self, path):
        self.path = path

    def read(self, *lines, class_names=("x", "y"), **options):
        for number, line in enumerate(lines):
            Image.new("RGB", (WIDTH, HEIGHT)).save(self.path / f"{number}.png")
            (self.path / f"{number}.txt").write_text(line)
        return read_yolo(self.path, self.path, class_names, **options)


@pytest.fixture
def lines(tmp_path):
    return Lines(tmp_path)


BOX = [0.3, 0.3, 0.7, 0.7]
POLYGON = "1 .1 .1 .6 .1 .6 .5"
# A square that may as well be a box with two keypoints in it.
DOUBTFUL = "1 .4 .4 .6 .4 .6 .6 .4 .6"


@pytest.mark.parametrize(
    ("line", "box", "note"),
    [
        ("1 .5 .5 .4 .4", BOX, None),
        ("1.0\t.5\t.5\t.4\t.4\r\n", BOX, None),
        ("1 .5 .5 .4 .4 .9", BOX, "confidence left out"),
        ("1 .5 .5 .4 .4 0", BOX, "confidence left out"),
        ("1 .5 .5 .4 .4 7", BOX, "id of a track left out"),
        (POLYGON, [0.1, 0.1, 0.6, 0.5], "box around a polygon"),
        (f"{POLYGON} .75", [0.1, 0.1, 0.6, 0.5], "box around a polygon"),
        ("1 .2 .2 .8 .2 .8 .9 .2 .9", [0.2, 0.2, 0.8, 0.9], "box around a polygon"),
        # Keypoints with flags: one, two, and two of which one is not labelled.
        ("1 .5 .5 .4 .4 .4 .6 2", BOX, "box of a pose, keypoints left out"),
        ("1 .5 .5 .4 .4 .4 .6 2 .6 .4 1", BOX, "box of a pose, keypoints left out"),
        ("1 .5 .5 .4 .4 .4 .6 1 0 0 0", BOX, "box of a pose, keypoints left out"),
        # A polygon of five points, as many numbers as a pose with two keypoints.
        (
            "1 .1 .1 .6 .1 .6 .5 .3 .6 .1 .4",
            [0.1, 0.1, 0.6, 0.6],
            "box around a polygon",
        ),
    ],
)
def test_kinds_of_lines(lines, line, box, note):
    dataset = lines.read(line)
    assert np.allclose(dataset.boxes, [box], atol=1e-7) and dataset.labels == [1]
    assert list(dataset.summary().handled) == ([note] if note else [])


def test_polygons_are_told_from_poses_by_all_lines(lines):
    """Poses all have the same number of keypoints, which lie in their boxes."""
    with pytest.raises(
        AnnotationError, match=r'polygons, poses or tracks.*`task="segment"`'
    ):
        lines.read(DOUBTFUL)
    segment = lines.read(DOUBTFUL, task="segment")
    assert np.allclose(segment.boxes, [[0.4, 0.4, 0.6, 0.6]], atol=1e-7)
    pose = lines.read(DOUBTFUL, task="pose")
    assert np.allclose(pose.boxes, [[0.1, 0.2, 0.7, 0.6]], atol=1e-7)
    # Lines of other lengths, or that cannot be poses, settle it for all.
    for other in (POLYGON, "1 .2 .2 .8 .2 .8 .9 .2 .9"):
        dataset = lines.read(DOUBTFUL, other, "1 .9 .1 .9 .9 .1 .9 .1 .1")
        assert np.allclose(dataset.boxes[0], [0.4, 0.4, 0.6, 0.6], atol=1e-7)
    poses = [
        "0 .5 .5 .4 .4 .4 .4 .6 .6",
        "0 .3 .3 .2 .2 .25 .25 .35 .35",
        "0 .7 .3 .2 .2 0 0 .7 .35",
    ]
    with pytest.raises(AnnotationError, match="polygons, poses or tracks"):
        lines.read(*poses)
    (lines.path / "data.yaml").write_text("kpt_shape: [2, 2]\nnames: [x, y]\n")
    dataset = lines.read(*poses, class_names=lines.path / "data.yaml")
    assert np.allclose(dataset.boxes[1], [0.2, 0.2, 0.4, 0.4], atol=1e-7)


@pytest.mark.parametrize("end", [[], [0.91], [3], [0.91, 3]])
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("count", [4, 5, 17])
def test_predicted_poses_are_no_polygons(lines, rng, end, size, count):
    """Ultralytics writes confidences where labels have flags."""
    points = [*rng.uniform(0.4, 0.6, (2, count)), rng.uniform(0.5, 1, count)][:size]
    values = [0, 0.5, 0.5, 0.2, 0.2, *np.stack(points, axis=1).ravel(), *end]
    line = " ".join(f"{value:g}" for value in values)
    with pytest.raises(AnnotationError, match=r'`task="pose"`'):
        lines.read(line)
    dataset = lines.read(line, task="pose")
    assert np.allclose(dataset.boxes, [[0.4, 0.4, 0.6, 0.6]], atol=1e-7)


def test_poses_of_several_lengths_are_no_polygons(lines):
    """As many flags say so, though a last flag may be the id of a track."""

    def pose(x, y, count):
        points = [f"{x + i / 1000} {y - i / 1000} 2" for i in range(count)]
        return f"0 {x} {y} .2 .2 {' '.join(points)}"

    texts = [pose(0.3, 0.3, 17), pose(0.4, 0.5, 17), pose(0.5, 0.5, 14)]
    with pytest.raises(AnnotationError, match=r'`task="pose"`'):
        lines.read(*texts)
    dataset = lines.read(*texts, task="pose")
    assert np.allclose(dataset.boxes[0], [0.2, 0.2, 0.4, 0.4], atol=1e-7)


@pytest.mark.parametrize("task", ["auto", "segment"])
def test_tracks_of_polygons(lines, task):
    square = "1 .2 .2 .4 .2 .4 .4 .2 .4"
    box = [0.2, 0.2, 0.4, 0.4]
    for tracks in (("", " .9 1", " .8 2"), (" 7", " 1", " 12"), (" .9", " 1", " 0")):
        texts = [square + track for track in tracks if track]
        dataset = lines.read(*texts, task=task)
        assert np.allclose(dataset.boxes[: len(texts)], [box] * len(texts), atol=1e-7)
    # A point at the lower border is no track.
    for number in range(3):
        (lines.path / f"{number}.txt").unlink()
    dataset = lines.read(f"{square} .9 1", f"{square} .8 1", task=task)
    assert np.allclose(dataset.boxes[0], [0.2, 0.2, 0.9, 1.0], atol=1e-7)


def test_classes_that_are_none(lines, tmp_path):
    lines.read("0 .5 .5 .4 .4")
    names = tmp_path / "item.pbtxt"
    names.write_text('item {\n  id: 1\n  name: "x"\n}\n')
    for class_names in (None, 1, names):
        with pytest.raises(AnnotationError, match=r"class[_ ]names"):
            lines.read("0 .5 .5 .4 .4", class_names=class_names)


def test_a_box_with_a_confidence_and_a_track_is_no_triangle(lines):
    """Both have six numbers; Ultralytics writes the first with `track`."""
    tracks = ["0 .5 .5 .4 .4 .93 1", "1 .5 .5 .4 .4 .87 2"]
    with pytest.raises(AnnotationError, match=r'or tracks.*`task="detect"`'):
        lines.read(*tracks)
    dataset = lines.read(*tracks, task="detect")
    assert np.allclose(dataset.boxes, [BOX, BOX], atol=1e-7)
    handled = dataset.summary().handled
    assert list(handled) == ["confidence and id of a track left out"]
    # A triangle that no box and confidence are settles it.
    dataset = lines.read(*tracks, POLYGON)
    assert "box around a polygon" in dataset.summary().handled


@pytest.mark.parametrize(
    ("line", "task", "reason"),
    [
        ("0,.5,.5,.4,.4", "auto", "malformed line"),
        ("0 0,5 0,5 0,4 0,4", "auto", "not a number"),
        ("0 90 50 30 40", "auto", "box not in fractions"),
        ("0 40 20 80 40", "auto", "box not in fractions"),
        ("0 10 10 60 10 60 50", "auto", "box not in fractions"),
        ("0 .5 .5 -.4 .4", "auto", "inverted box"),
        ("0 .5 .5 0 .4", "auto", "box of zero size"),
        ("0 .1 .1 .6 .1 .3 .1", "auto", "box of zero size"),
        ("0 .5 .5 .4 .4 7.5", "auto", "malformed line"),
        ("0 .5 .5 .4 .4 7", "segment", "malformed line"),
        ("0 .5 .5 .4 .4 .9 7.5", "detect", "malformed line"),
        ("0 .5 .5 .4 .4 .4 .4 .6 .6 .7 .7 7.5", "auto", "malformed line"),
        (POLYGON, "detect", "malformed line"),
        ("0 .5 .5 .4 .4 .9", "segment", "malformed line"),
    ],
)
def test_lines_that_are_wrong(lines, line, task, reason):
    with pytest.raises(AnnotationError, match=r"0\.txt: line 1") as caught:
        lines.read(line, task=task)
    assert caught.value.reason == reason
    dataset = lines.read(line, "0 .5 .5 .4 .4", task=task, on_error="skip")
    assert dataset.summary().skipped == {reason: ("0.png",)}
    with pytest.raises(ValueError, match="`task` must be one of"):
        lines.read(line, task="box")


def test_files_beside_the_labels(lines):
    for name in (
        "README.dataset.txt",
        "README.roboflow.txt",
        "classes.txt",
        "_darknet.labels",
        "obj.names",
        "train.txt",
    ):
        (lines.path / name).write_text("thanks\n")
    summary = lines.read("1 .5 .5 .4 .4").summary()
    assert summary.found == summary.images == 1
    # A label file whose image is gone is a record.
    (lines.path / "gone.txt").write_text("1 .5 .5 .4 .4")
    with pytest.raises(AnnotationError, match=r"gone\.txt: missing image"):
        lines.read("1 .5 .5 .4 .4")


@pytest.mark.parametrize("layout", ["{kind}/{split}", "{split}/{kind}"])
def test_layouts_with_splits(tmp_path, layout):
    for split, x in (("train", 0.4), ("valid", 0.6)):
        images = tmp_path / layout.format(kind="images", split=split)
        labels = tmp_path / layout.format(kind="labels", split=split)
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(images / "a.jpg")
        (labels / "a.txt").write_text(f"0 {x} .5 .2 .2")
    roots = [(tmp_path, tmp_path)]
    if layout.startswith("{kind}"):
        roots.append((tmp_path / "images", tmp_path / "labels"))
    for images, labels in roots:
        dataset = read_yolo(images, labels, ["x"])
        assert np.allclose(dataset.boxes[:, 0], [0.3, 0.5], atol=1e-7)
        assert dataset.summary().skipped == {}


# Cut at a corner of the image: every third number after the sixth is 0.
CUT = "0 0.2 0.08 0.22 0.15 0.1 0.2 0.0 0.12 0.08 0.0"


def test_a_polygon_cut_at_a_corner_is_no_pose(lines):
    others = "0 0.5 0.5 0.6 0.5 0.6 0.6 0.55 0.7", "0 0.1 0.1 0.3 0.1 0.2 0.4"
    data = lines.read(CUT, *others)
    np.testing.assert_allclose(data["0.png"].box, [0, 0, 0.22, 0.2], atol=1e-6)
    assert data.summary().handled == {
        "box around a polygon": ("0.png", "1.png", "2.png")
    }


def test_poses_with_flags_in_most_lines_alone_are_in_doubt(lines):
    pose = "0 0.5 0.5 0.4 0.4 0.5 0.5 2 0.6 0.6 1"
    data = lines.read(pose, pose)
    np.testing.assert_allclose(data[0].box, [0.3, 0.3, 0.7, 0.7], atol=1e-6)
    with pytest.raises(AnnotationError, match="polygons, poses or tracks"):
        lines.read(pose, pose, pose.replace(" 2 ", " 0.3 "))


@pytest.mark.parametrize("verify", [True, False])
def test_a_box_that_float32_makes_empty_is_one_bad_record(tmp_path, verify):
    for name in "ab":
        Image.new("RGB", (2000, 1000)).save(tmp_path / f"{name}.png")
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.00000001 0.3")
    (tmp_path / "b.txt").write_text("0 0.5 0.5 0.1 0.3")
    options = {"verify": verify}
    with pytest.raises(AnnotationError, match=r"a\.txt.*box of zero size"):
        read_yolo(tmp_path, tmp_path, ["x"], **options)
    data = read_yolo(tmp_path, tmp_path, ["x"], on_error="skip", **options)
    assert data.summary().skipped == {"box of zero size": ("a.png",)}
