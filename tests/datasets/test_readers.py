"""All readers: the same records, the same policies, only named errors."""

import json
import os
import re
from unicodedata import normalize

import numpy as np
import pytest
from label_folder import FORMS, HEIGHT, NAMES, PLAIN, WIDTH
from PIL import Image

from keras_localize.datasets import (
    AnnotationError,
    load_oxford_pets,
    read_coco,
    read_csv,
    read_labelme,
    read_voc,
    read_yolo,
)


@pytest.mark.parametrize("form", FORMS)
def test_policies_are_the_same_in_every_format(folder, form):
    dataset = folder.read(form)
    assert dataset.names == ["a.png", "b.png"]
    assert np.allclose(dataset.boxes, PLAIN, atol=1e-7)
    assert dataset.labels.tolist() == [1, 0] and dataset.class_names == ("bird", "cat")
    assert dataset.image_sizes.tolist() == [[HEIGHT, WIDTH]] * 2
    assert dataset.summary().handled == dataset.summary().skipped == {}

    # Several objects.
    folder.add("c.png", ("bird", 0, 0, 8, 8), ("cat", 8, 8, 80, 24))
    largest = folder.read(form)
    assert np.allclose(largest.boxes[2], [0.1, 0.2, 1, 0.6]) and largest.labels[2] == 1
    handled = largest.summary().handled
    assert handled == {"several objects, the largest one taken": ("c.png",)}
    first = folder.read(form, multiple="first")
    assert np.allclose(first.boxes[2], [0, 0, 0.1, 0.2]) and first.labels[2] == 0
    skipped = folder.read(form, multiple="skip")
    assert skipped.summary().skipped == {"several objects": ("c.png",)}
    with pytest.raises(AnnotationError, match="several objects"):
        folder.read(form, multiple="error")

    # Over the border, and beyond it.
    folder.add("c.png", ("cat", -8, 10, 40, 50))
    clipped = folder.read(form)
    assert np.allclose(clipped.boxes[2], [0, 0.25, 0.5, 1])
    assert clipped.summary().handled == {"box clipped to the image": ("c.png",)}
    with pytest.raises(AnnotationError, match="reaches over the border"):
        folder.read(form, outside="error")
    for box, reason in (
        ((80, 0, 90, 10), "box outside the image"),
        ((20, 10, 20, 30), "box of zero size"),
        ((20, 10, 10, 30), "inverted box"),
        ((20, 10, float("nan"), 30), "not finite"),
    ):
        if (form, reason) == ("labelme", "inverted box"):
            continue  # its corners come in any order
        folder.add("c.png", ("cat", *box))
        with pytest.raises(AnnotationError) as caught:
            folder.read(form)
        # VOC's inclusive pixels have no box of zero size but an inverted one.
        allowed = {reason, "inverted box"} if form == "voc" else {reason}
        assert caught.value.reason in allowed
        left = folder.read(form, on_error="skip").summary()
        assert left.images == 2
        [name] = left.skipped[caught.value.reason]
        assert name in ("c", "c.png")
        assert left.found == 3

    # Images that are not there or not images.
    folder.add("c.png", ("cat", 0, 0, 8, 8))
    (folder.images / "c.png").write_text("no image")
    with pytest.raises(AnnotationError, match=r"c\.png: not an image"):
        folder.read(form)
    assert len(folder.read(form, on_error="skip")) == 2
    (folder.images / "c.png").unlink()
    with pytest.raises(AnnotationError, match="missing image"):
        folder.read(form)
    assert "missing image" in folder.read(form, on_error="skip").summary().skipped

    for argument in ("without_box", "multiple", "on_error", "outside", "pixels"):
        with pytest.raises(ValueError, match=f"`{argument}` must be one of"):
            folder.read(form, **{argument: "maybe"})


@pytest.mark.parametrize("form", ["voc", "coco", "csv", "labelme"])
def test_object_without_a_box(folder, form):
    folder.add("c.png", ("bird", None))
    assert folder.read(form).summary().skipped == {"without a box": ("c.png",)}
    kept = folder.read(form, without_box="keep")
    assert kept.weights.tolist() == [1, 1, 0] and kept.labels[2] == 0
    with pytest.raises(AnnotationError, match="without a box"):
        folder.read(form, without_box="error")
    # A class without a box says that there is an object: no negative.
    negative = folder.read(form, without_box="negative")
    assert negative.presence.tolist() == [1, 1]
    assert negative.summary().skipped == {"without a box": ("c.png",)}


@pytest.mark.parametrize("form", ["voc", "yolo", "labelme"])
def test_image_without_a_file(folder, form):
    folder.read(form)
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder.images / "lonely.png")
    dataset = folder.read_again(form, without_box="negative")
    assert dataset.names == ["a.png", "b.png", "lonely.png"]
    assert dataset.presence.tolist() == [1, 1, 0] and dataset.labels[2] == -1
    for policy in ("skip", "keep"):
        skipped = folder.read_again(form, without_box=policy).summary().skipped
        assert list(skipped.values()) == [("lonely.png",)]
    with pytest.raises(AnnotationError, match=r"lonely\.png: without"):
        folder.read_again(form, without_box="error")


@pytest.mark.parametrize("form", ["voc", "coco", "yolo", "labelme"])
def test_image_without_an_object(folder, form):
    folder.add("c.png")
    dataset = folder.read(form, without_box="negative")
    assert dataset.names == ["a.png", "b.png", "c.png"]
    assert dataset.presence.tolist() == [1, 1, 0]
    assert dataset.labels.tolist() == [1, 0, -1]
    assert dataset.weights.tolist() == [1, 1, 0] and dataset[2].class_name is None
    assert dataset.summary().handled == {"without an object": ("c.png",)}
    for policy in ("skip", "keep"):
        dataset = folder.read(form, without_box=policy)
        assert dataset.summary().skipped == {"without a box": ("c.png",)}
    with pytest.raises(AnnotationError, match="without a box"):
        folder.read(form, without_box="error")


@pytest.mark.parametrize("form", ["voc", "coco", "csv", "labelme"])
def test_declared_size(folder, form):
    folder.size = (HEIGHT // 2, WIDTH // 2)  # a reduced copy was annotated
    folder.records = {
        "a.png": [("cat", 10, 5, 30, 20)],
        "b.png": [("bird", 0, 0, 4, 10)],
    }
    dataset = folder.read(form)
    assert np.allclose(dataset.boxes, PLAIN, atol=1e-7)
    assert list(dataset.summary().handled) == [
        "stated size differs from the image's, same shape"
    ]
    folder.size = (WIDTH, HEIGHT)
    with pytest.raises(AnnotationError, match=r"size differs.*expected 80 x 40"):
        folder.read(form)


@pytest.mark.parametrize("form", FORMS)
def test_exif_turns_image_and_box(folder, form):
    """A box around painted pixels, given on the upright or on the stored image."""
    tags = Image.Exif()
    tags[0x0112] = 6  # stored 40 x 80, upright 80 x 40
    stored = np.zeros((WIDTH, HEIGHT, 3), "uint8")
    stored[8:24, 4:20] = 255
    upright = np.rot90(stored, -1)
    rows, columns, _ = np.nonzero(upright)
    x0, y0 = int(columns.min()), int(rows.min())
    x1, y1 = int(columns.max()) + 1, int(rows.max()) + 1
    Image.fromarray(stored).save(folder.images / "c.png", exif=tags)
    folder.add("c.png", ("cat", x0, y0, x1, y1), image=False)
    expected = np.array([x0, y0, x1, y1]) / [WIDTH, HEIGHT, WIDTH, HEIGHT]
    dataset = folder.read(form)
    assert dataset[2].size == (HEIGHT, WIDTH)
    assert np.allclose(dataset[2].box, expected, atol=1e-7)
    assert dataset.summary().handled == {"turned upright by EXIF": ("c.png",)}
    if form == "yolo":
        return  # its fractions are written for the upright size by the helper above
    folder.records = {"c.png": [("cat", 4, 8, 20, 24)]}
    folder.size = (WIDTH, HEIGHT)
    raw = folder.read(form, pixels="raw", on_error="skip")
    assert np.allclose(raw[0].box, expected, atol=1e-7)
    with pytest.raises(AnnotationError, match='use pixels="raw"'):
        folder.read(form)
    folder.size = None
    assert np.allclose(folder.read(form, pixels="raw")[0].box, expected, atol=1e-7)


@pytest.mark.parametrize("form", ["voc", "coco", "csv", "labelme"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *((n, "leaves its folder") for n in ("../a.png", "x/../../a.png", "..\\a.png")),
        *((n, "missing image") for n in ("/etc/passwd", "C:\\z.png")),
        (".", "leaves its folder"),
    ],
)
def test_no_name_leaves_its_folder(folder, form, name, reason):
    folder.records = {"zz.png": ()}
    folder.records = {name: [("cat", 0, 0, 8, 8)]}
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder.path / "a.png")
    if form in ("voc", "labelme"):
        where = folder.path / form
        where.mkdir()
        xml = f"<annotation><filename>{name}</filename></annotation>"
        (where / "zz.xml").write_text(xml)
        content = json.dumps({"imagePath": name, "shapes": []})
        (where / "zz.json").write_text(content)
        with pytest.raises(AnnotationError, match=reason):
            folder.read_again(form)
        return
    with pytest.raises(AnnotationError, match=reason):
        folder.read(form)


def test_an_image_whose_file_is_bad_is_no_image_without_an_object(tmp_path):
    """Also where the file's name is not quite the image's, and says not which it is."""
    images, files = tmp_path / "images", tmp_path / "files" / "train"
    images.mkdir(), files.mkdir(parents=True)
    for name in "abc":
        Image.new("RGB", (WIDTH, HEIGHT)).save(images / f"{name}.png")
    options = {"without_box": "negative", "on_error": "skip"}

    def check(dataset, **skipped):
        assert [(r.name, r.presence) for r in dataset] == [("a.png", 1), ("c.png", 0)]
        assert dataset.summary().skipped == {
            reason.replace("_", " "): (name,) for reason, name in skipped.items()
        }

    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    for name, label in (("a", "cat"), ("b", "")):
        (files / f"{name}.xml").write_text(
            f"<annotation><filename>{name}.png</filename><object><name>{label}</name>"
            f"{box}</object></annotation>"
        )
        points = {"label": label, "points": [[0, 0], [9, 9]], "shape_type": "rectangle"}
        content = json.dumps({"imagePath": f"{name}.png", "shapes": [points]})
        (files / f"{name}.json").write_text(content)
        where = files if label == "" else images
        (where / f"{name}.txt").write_text("0 .5 .5 .5 .5")
    check(read_voc(images, files.parent, **options), missing_name="train/b")
    check(read_labelme(images, files.parent, **options), missing_label="train/b")
    # Where the names differ, the file itself names its image.
    for suffix in (".xml", ".json"):
        (files / f"b{suffix}").rename(files / f"other{suffix}")
    check(read_voc(images, files.parent, **options), missing_name="train/other")
    check(read_labelme(images, files.parent, **options), missing_label="train/other")
    # Where it says nothing, its own name is all there is.
    (files / "b.xml").write_text("damaged")
    (files / "b.json").write_text("damaged")
    for suffix in (".xml", ".json"):
        (files / f"other{suffix}").unlink()
    bad = {"an_XML_file_of_this_name_has_an_error": "b.png"}
    check(read_voc(images, files.parent, **options), not_XML="train/b", **bad)
    bad = {"a_JSON_file_of_this_name_has_an_error": "b.png"}
    check(read_labelme(images, files.parent, **options), not_JSON="train/b", **bad)
    (images / "a.txt").rename(files.parent / "a.txt")
    dataset = read_yolo(images, files.parent, ["cat"], **options)
    reason = "a text file of this name belongs to no image"
    assert [r.name for r in dataset] == ["a.png", "c.png"]
    assert dataset.summary().skipped[reason] == ("b.png",)
    (files / "b.txt").rename(files.parent / "b.png.txt")
    dataset = read_yolo(images, files.parent, ["cat"], **options)
    assert dataset.summary().skipped[reason] == ("b.png",)


@pytest.mark.parametrize("form", ["voc", "coco", "labelme"])
def test_fractions_where_pixels_are_promised(folder, form):
    if form == "voc":  # the folder adds 1 to where boxes begin
        folder.records = {"a.png": [("cat", 0.25 - 1, 0.25 - 1, 0.75, 1)]}
    else:
        folder.records = {"a.png": [("cat", 0.25, 0.25, 0.75, 1)]}
    with pytest.raises(AnnotationError, match=r"within one pixel.*not fractions"):
        folder.read(form)
    if form == "voc":
        return  # inclusive pixels have no smaller box
    folder.records = {"a.png": [("cat", 20, 10, 20.5, 10.25)]}
    handled = folder.read(form).summary().handled
    assert handled == {"box smaller than a pixel": ("a.png",)}


@pytest.mark.parametrize("form", ["voc", "csv", "labelme"])
def test_names_of_digits_sort_as_numbers(folder, form):
    folder.records = {}
    for name, label in (("a.png", "10"), ("b.png", "9"), ("c.png", "dog")):
        folder.add(name, (label, 20, 10, 60, 40))
    dataset = folder.read(form, class_names=None)
    assert dataset.class_names == ("9", "10", "dog")
    assert dataset.labels.tolist() == [1, 0, 2]


@pytest.mark.parametrize("form", FORMS)
def test_class_names_from_dict_and_files(folder, form):
    path = folder.path / "names.txt"
    path.write_bytes("\ufeffcat\r\nbird\r\n".encode())
    folder.read(form)
    for names in ({1: "bird", 0: "cat"}, path, str(path)):
        dataset = folder.read_again(form, class_names=names)
        assert dataset.class_names == ("cat", "bird")
        assert [record.class_name for record in dataset] == (
            ["bird", "cat"] if form == "yolo" else ["cat", "bird"]
        )
    with pytest.raises(ValueError, match=r"`class_names`: class ids with gaps.*\[1, 2"):
        folder.read_again(form, class_names={1: "bird", 2: "cat"})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("disk", "annotation"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_unicode_names_are_compared_composed(folder, form, disk, annotation):
    """ "é" is one character or two: the same name of image and class."""
    name, label = "caf\u00e9.png", "M\u00fcsli"
    folder.records = {normalize(annotation, name): [("cat", 20, 10, 60, 40)]}
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder.images / normalize(disk, name))
    dataset = folder.read(form)
    assert dataset.names[-1] == normalize(disk, name) and dataset.labels[-1] == 1
    assert np.allclose(dataset.boxes[-1], PLAIN[0], atol=1e-7)
    if form in ("voc", "csv", "labelme"):
        folder.records = {
            "a.png": [(normalize(annotation, label), 20, 10, 60, 40)],
            "b.png": [(normalize(disk, label), 20, 10, 60, 40)],
        }
        assert folder.read(form, class_names=None).class_names == (label,)


@pytest.mark.parametrize("form", FORMS)
def test_stray_files_are_no_records(folder, form):
    folder.read(form)
    for stray in ("._a", "__MACOSX/a", "__MACOSX/._a", ".ipynb_checkpoints/a"):
        for where in (folder.images, folder.path / form):
            path = where / stray
            path.parent.mkdir(parents=True, exist_ok=True)
            for suffix in (".png", ".xml", ".txt", ".json"):
                path.with_name(path.name + suffix).write_bytes(b"\0\5\x16\7")
    dataset = folder.read_again(form, class_names=NAMES)
    assert dataset.names == ["a.png", "b.png"]
    assert dataset.summary().skipped == {} and dataset.summary().found == 2


@pytest.mark.parametrize("form", FORMS)
def test_a_misspelt_argument_names_the_reader(folder, form):
    folder.read(form)
    with pytest.raises(TypeError, match=rf"read_{form}\(\).*without_boxes"):
        folder.read_again(form, without_boxes="keep")


def test_folders_and_files_that_are_missing(folder):
    nowhere = folder.path / "nowhere"
    for call in (
        lambda: read_voc(nowhere, folder.images),
        lambda: read_voc(folder.images, nowhere),
        lambda: read_coco(folder.images, nowhere),
        lambda: read_yolo(folder.images, nowhere, NAMES),
        lambda: read_yolo(folder.images, folder.images, nowhere),
        lambda: read_csv(folder.images, nowhere),
        lambda: read_labelme(folder.images, nowhere),
    ):
        with pytest.raises(AnnotationError, match=r"nowhere.*missing"):
            call()
    with pytest.raises(AnnotationError, match="no usable record"):
        read_voc(folder.images, folder.images)


def test_real_boxes_read_the_same_from_every_format(oxford_pets_dir, tmp_path):
    pets = load_oxford_pets(oxford_pets_dir, labels="species", verify=False)
    pets = pets[pets.weights > 0]
    images, options = oxford_pets_dir / "images", {"verify": False}
    rows, entries, annotations = ["image,label,xmin,ymin,xmax,ymax"], [], []
    for index, record in enumerate(pets):
        height, width = record.size
        scale = np.array([width, height, width, height])
        x0, y0, x1, y1 = np.round(record.box.astype("float64") * scale).tolist()
        rows.append(f"{record.name}.jpg,{record.class_name},{x0},{y0},{x1},{y1}")
        entries.append({"id": index, "file_name": f"{record.name}.jpg"})
        annotations.append(
            {
                "image_id": index,
                "category_id": record.label,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
            }
        )
        centre = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height)
        line = (record.label, *centre, (x1 - x0) / width, (y1 - y0) / height)
        (tmp_path / f"{record.name}.txt").write_text(" ".join(map(repr, line)))
    (tmp_path / "table.csv").write_text("\n".join(rows))
    categories = [{"id": i, "name": name} for i, name in enumerate(("cat", "dog"))]
    content = {"images": entries, "annotations": annotations, "categories": categories}
    (tmp_path / "coco.json").write_text(json.dumps(content))

    xmls = oxford_pets_dir / "annotations" / "xmls"
    for dataset in (
        read_voc(images, xmls, **options),
        read_coco(images, tmp_path / "coco.json", **options),
        read_yolo(images, tmp_path, ("cat", "dog"), **options),
        read_csv(images, tmp_path / "table.csv", **options),
    ):
        place = {name: i for i, name in enumerate(dataset.names)}
        order = [place[f"{name}.jpg"] for name in pets.names]
        assert len(dataset) == len(pets) == 1800
        assert dataset.class_names == pets.class_names
        assert np.array_equal(dataset.labels[order], pets.labels)
        assert np.allclose(dataset.boxes[order], pets.boxes, atol=1e-6)
        assert np.array_equal(dataset.image_sizes[order], pets.image_sizes)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("verify", [True, False])
def test_larger_annotation_files_are_refused(folder, form, verify):
    folder.size = (HEIGHT, WIDTH)
    folder.read(form)
    file = folder.file(form)
    size = max(one.stat().st_size for one in file.parent.glob(f"*{file.suffix}"))
    read = folder.read_again(form, max_bytes=size, verify=verify)
    assert len(read) == 2
    with pytest.raises(AnnotationError, match="file too large") as caught:
        folder.read_again(form, max_bytes=size - 1, verify=verify)
    assert str(size) in str(caught.value)
    assert f"at most {size - 1} bytes (`max_bytes`)" in str(caught.value)
    for wrong in (0, 1.5, None):
        with pytest.raises(ValueError, match="`max_bytes` must be"):
            folder.read_again(form, max_bytes=wrong)


# What tools write beyond a box, so that it is mutated too.
SPECIAL = {
    "coco": json.dumps(
        {
            "images": [{"id": "7", "file_name": "C:\\data\\a.png", "width": 80}],
            "annotations": [
                {
                    "image_id": 7,
                    "category_id": "1",
                    "segmentation": [[20, 10, 60, 10, 60, 40]],
                }
            ],
            "categories": [
                {"id": 0, "name": "set", "supercategory": "none"},
                {"id": 1, "name": "cat", "supercategory": "set"},
            ],
        }
    ),
    "yolo": "1 .1 .1 .6 .1 .6 .5\n0 .3 .3 .2 .2 .9\n0 .3 .3 .2 .2 .3 .3 2\n",
    "labelme": json.dumps(
        {
            "imagePath": "a.png",
            "shapes": [
                {"label": "cat", "shape_type": "circle", "points": [[20, 10], [9, 9]]},
                {"label": "x", "shape_type": "mask", "points": [[20, 10], [30, 30]]},
                {"label": "y", "points": [[20, 10], [30, 30], [9, 40]]},
                {"label": "z", "shape_type": "point", "points": [[1, 2]]},
            ],
        }
    ),
}


@pytest.mark.parametrize("verify", [True, False])
def test_a_stated_size_that_no_integer_holds(verify, tmp_path):
    Image.new("RGB", (80, 40)).save(tmp_path / "a.png")
    huge = 10**20
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": huge, "height": 40}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [20, 10, 20, 20]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    header = "filename,width,height,class,xmin,ymin,xmax,ymax"
    (tmp_path / "a.csv").write_text(f"{header}\na.png,{huge},40,cat,20,10,40,30\n")
    for reader, name in ((read_coco, "a.json"), (read_csv, "a.csv")):
        with pytest.raises(AnnotationError, match="size too large"):
            reader(tmp_path, tmp_path / name, verify=verify)


@pytest.mark.parametrize(
    ("form", "special"),
    [*((form, False) for form in FORMS), *((form, True) for form in SPECIAL)],
)
def test_fuzzed_annotations_raise_only_annotation_errors(folder, form, special, rng):
    folder.read(form)
    file = folder.file(form)
    whole = SPECIAL[form].encode() if special else file.read_bytes()
    words = b'-1 1e999 nan < > " , { ] \0 .. / \xff null true &a; []'.split(b" ")
    words += [b"99999999999999999999", b"\n", b""]
    before = sorted(folder.path.rglob("*"))
    outcomes = {"read": 0}
    for _ in range(int(os.environ.get("KERAS_LOCALIZE_FUZZ", 250))):
        content = whole
        for _ in range(rng.integers(1, 4)):
            at = rng.integers(len(content) + 1)
            cut = at + rng.integers(0, 6)
            digits = [i for i, byte in enumerate(content) if 48 <= byte <= 57]
            if digits and rng.random() < 0.6:  # keeps most files well formed
                at = digits[rng.integers(len(digits))]
                cut = at + 1
            word = words[rng.integers(len(words))]
            content = content[:at] + word + content[cut:]
        file.write_bytes(content)
        try:
            folder.read_again(form, verify=False)
            outcomes["read"] += 1
        except AnnotationError as error:
            outcomes[error.reason] = outcomes.get(error.reason, 0) + 1
            assert re.search(r"[a-z]", error.reason)
    assert outcomes["read"] > 0 and len(outcomes) > 4
    assert sorted(folder.path.rglob("*")) == before
