"""VOC, COCO, YOLO and CSV: the same records, the same policies, only named errors."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_localize.datasets import (
    AnnotationError,
    load_oxford_pets,
    read_coco,
    read_csv,
    read_voc,
    read_yolo,
)

NAMES = ["bird", "cat"]
HEIGHT, WIDTH = 40, 80


class Folder:
    """Images with objects, written as any of the four formats and read back.

    Objects are (class name, x0, y0, x1, y1), half-open, in pixels; a box of None is
    an object without one.
    """

    def __init__(self, path):
        self.path = path
        self.images = path / "images"
        self.images.mkdir()
        self.size = (HEIGHT, WIDTH)
        self.records = {}

    def add(self, name, *objects, image=True, **options):
        if image:
            Image.new("RGB", (WIDTH, HEIGHT)).save(self.images / name, **options)
        self.records[name] = objects

    def read(self, form, **options):
        return getattr(self, f"read_{form}")(**{"class_names": NAMES, **options})

    def read_voc(self, **options):
        folder = self.path / "voc"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, objects in self.records.items():
            xml = f"<annotation><filename>{name}</filename>"
            if self.size:
                height, width = self.size
                xml += f"<size><width>{width}</width><height>{height}</height></size>"
            for label, *box in objects:
                xml += f"<object><name>{label}</name>"
                if box[0] is not None:
                    x0, y0, x1, y1 = box
                    corners = zip(
                        ("xmin", "ymin", "xmax", "ymax"), (x0 + 1, y0 + 1, x1, y1)
                    )
                    inner = "".join(f"<{tag}>{v}</{tag}>" for tag, v in corners)
                    xml += f"<bndbox>{inner}</bndbox>"
                xml += "</object>"
            stem = name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
            (folder / f"{stem}.xml").write_text(xml + "</annotation>")
        return read_voc(self.images, folder, **options)

    def read_coco(self, **options):
        images, annotations = [], []
        for number, (name, objects) in enumerate(self.records.items()):
            image = {"id": number, "file_name": name}
            if self.size:
                image |= {"height": self.size[0], "width": self.size[1]}
            images.append(image)
            for label, *box in objects:
                entry = {"image_id": number, "category_id": 7 + NAMES.index(label)}
                if box[0] is not None:
                    x0, y0, x1, y1 = box
                    entry["bbox"] = [x0, y0, x1 - x0, y1 - y0]
                annotations.append(entry)
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 7 + i, "name": n} for i, n in enumerate(NAMES)],
        }
        (self.path / "coco.json").write_text(json.dumps(content))
        return read_coco(self.images, self.path / "coco.json", **options)

    def read_yolo(self, class_names=NAMES, **options):
        folder = self.path / "yolo"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, objects in self.records.items():
            lines = []
            for label, x0, y0, x1, y1 in objects:
                values = ((x0 + x1) / 2 / WIDTH, (y0 + y1) / 2 / HEIGHT)
                values += ((x1 - x0) / WIDTH, (y1 - y0) / HEIGHT)
                lines.append(f"{NAMES.index(label)} " + " ".join(map(repr, values)))
            (folder / f"{name.rsplit('.', 1)[0]}.txt").write_text("\n".join(lines))
        return read_yolo(self.images, folder, class_names, **options)

    def read_csv(self, **options):
        rows = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
        for name, objects in self.records.items():
            size = f"{self.size[1]},{self.size[0]}" if self.size else ","
            for label, *box in objects:
                cells = ",,," if box[0] is None else ",".join(map(str, box))
                rows.append(f"{name},{size},{label},{cells}")
        (self.path / "table.csv").write_text("\n".join(rows))
        return read_csv(self.images, self.path / "table.csv", **options)


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path)
    made.add("a.png", ("cat", 20, 10, 60, 40))
    made.add("b.png", ("bird", 0, 0, 8, 20))
    return made


FORMS = ("voc", "coco", "yolo", "csv")
PLAIN = [[0.25, 0.25, 0.75, 1], [0, 0, 0.1, 0.5]]


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


@pytest.mark.parametrize("form", ["voc", "coco", "csv"])
def test_object_without_a_box(folder, form):
    folder.add("c.png", ("bird", None))
    assert folder.read(form).summary().skipped == {"without a box": ("c.png",)}
    kept = folder.read(form, without_box="keep")
    assert kept.weights.tolist() == [1, 1, 0] and kept.labels[2] == 0
    with pytest.raises(AnnotationError, match="without a box"):
        folder.read(form, without_box="error")


@pytest.mark.parametrize("form", ["voc", "coco", "yolo"])
def test_image_without_an_object(folder, form):
    folder.add("c.png")
    for policy in ("skip", "keep"):
        dataset = folder.read(form, without_box=policy)
        assert dataset.summary().skipped == {"without a box": ("c.png",)}
    with pytest.raises(AnnotationError, match="without a box"):
        folder.read(form, without_box="error")


@pytest.mark.parametrize("form", ["voc", "coco", "csv"])
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


@pytest.mark.parametrize("form", ["voc", "coco", "csv"])
@pytest.mark.parametrize(
    "name", ["../a.png", "/etc/passwd", "x/../../a.png", "C:\\z.png", "..\\a.png", "."]
)
def test_no_name_leaves_its_folder(folder, form, name):
    folder.records = {"zz.png": ()}
    folder.records = {name: [("cat", 0, 0, 8, 8)]}
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder.path / "a.png")
    if form == "voc":
        (folder.path / "voc").mkdir()
        (folder.path / "voc" / "zz.xml").write_text(
            f"<annotation><filename>{name}</filename></annotation>"
        )
        with pytest.raises(AnnotationError, match="leaves its folder"):
            read_voc(folder.images, folder.path / "voc")
        return
    with pytest.raises(AnnotationError, match="leaves its folder"):
        folder.read(form)


def test_folders_and_files_that_are_missing(folder):
    nowhere = folder.path / "nowhere"
    for call in (
        lambda: read_voc(nowhere, folder.images),
        lambda: read_voc(folder.images, nowhere),
        lambda: read_coco(folder.images, nowhere),
        lambda: read_yolo(folder.images, nowhere, NAMES),
        lambda: read_yolo(folder.images, folder.images, nowhere),
        lambda: read_csv(folder.images, nowhere),
    ):
        with pytest.raises(AnnotationError, match=r"nowhere.*missing"):
            call()
    with pytest.raises(AnnotationError, match="no usable record"):
        read_voc(folder.images, folder.images)


# --- VOC ---


def test_voc_pairs_images_with_files(folder):
    folder.read("voc")
    xml = (folder.path / "voc" / "a.xml").read_text()
    # By stem even where <filename> is stale; by <filename> where there is no stem.
    (folder.path / "voc" / "a.xml").write_text(xml.replace("a.png", "renamed.png"))
    (folder.path / "voc" / "other.xml").write_text(xml.replace("a.png", "c.png"))
    for name in ("c.png", "lonely.png"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder.images / name)
    (folder.images / "deep").mkdir()
    (folder.path / "voc" / "deep").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder.images / "deep" / "a.png")
    (folder.path / "voc" / "deep" / "a.xml").write_text(xml)
    dataset = read_voc(folder.images, folder.path / "voc")
    assert sorted(dataset.names) == ["a.png", "b.png", "c.png", "deep/a.png"]
    assert dataset.summary().skipped == {"without an XML file": ("lonely.png",)}
    with pytest.raises(AnnotationError, match=r"lonely\.png: without an XML file"):
        read_voc(folder.images, folder.path / "voc", without_box="error")
    (folder.path / "voc" / "copy.xml").write_text(xml)
    with pytest.raises(AnnotationError, match="duplicate image"):
        read_voc(folder.images, folder.path / "voc")


def test_voc_zero_based_and_class_names(folder):
    folder.read("voc")
    dataset = read_voc(folder.images, folder.path / "voc", one_based=False)
    assert np.allclose(dataset.boxes[0], [21 / 80, 11 / 40, 0.75, 1])
    dataset = read_voc(folder.images, folder.path / "voc", class_names=["cat", "bird"])
    assert dataset.labels.tolist() == [0, 1]
    with pytest.raises(AnnotationError, match=r"unknown class.*Received: 'bird'"):
        read_voc(folder.images, folder.path / "voc", class_names=["cat"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda xml: xml[:-5], "not XML"),
        (lambda xml: "", "not XML"),
        (lambda xml: "plain text", "not XML"),
        (
            lambda xml: "<!DOCTYPE a [<!ENTITY x 'y'>]>" + xml,
            "XML with a document type",
        ),
        (
            lambda xml: "<!DOCTYPE a SYSTEM 'file:///etc/passwd'>" + xml,
            "XML with a document type",
        ),
        (lambda xml: xml.replace("cat", "&lol;"), "not XML"),
        (lambda xml: xml.replace("<xmax>60</xmax>", ""), "missing element"),
        (lambda xml: xml.replace(">60<", ">sixty<"), "not a number"),
        (lambda xml: xml.replace(">60<", ">1e999<"), "not finite"),
        (lambda xml: xml.replace(">60<", "><"), "not a number"),
        (lambda xml: xml.replace("<name>cat</name>", ""), "missing name"),
        (lambda xml: xml.replace("<width>80<", "<width>-80<"), "size not positive"),
    ],
)
def test_voc_files_that_are_wrong(folder, change, reason):
    folder.read("voc")
    file = folder.path / "voc" / "a.xml"
    file.write_text(change(file.read_text()))
    with pytest.raises(AnnotationError, match=r"a\.xml") as caught:
        read_voc(folder.images, folder.path / "voc")
    assert caught.value.reason == reason
    dataset = read_voc(folder.images, folder.path / "voc", on_error="skip")
    assert dataset.names == ["b.png"] and reason in dataset.summary().skipped


# --- COCO ---


def test_coco_crowds_and_structure(folder):
    folder.read("coco")
    file = folder.path / "coco.json"
    content = json.loads(file.read_text())

    def read(**options):
        return read_coco(folder.images, file, **options)

    def write(**changes):
        file.write_text(json.dumps({**content, **changes}))

    crowd = {"image_id": 0, "category_id": 7, "bbox": [0, 0, 80, 40], "iscrowd": 1}
    write(annotations=[*content["annotations"], crowd])
    dataset = read()
    assert np.allclose(dataset.boxes, PLAIN)
    assert dataset.summary().handled == {"crowd or ignored region left out": ("a.png",)}
    # Ids decide the order, not the file; unused categories stay.
    write(categories=[{"id": 9, "name": "dog"}, *content["categories"][::-1]])
    assert read().class_names == ("bird", "cat", "dog")
    # As tables write them: 1.0, and one name for one image.
    floats = [{**each, "id": float(each["id"])} for each in content["images"]]
    floats[0]["file_name"] = ".\\a.png"
    annotations = [
        {**each, "image_id": float(each["image_id"])} for each in content["annotations"]
    ]
    write(images=floats, annotations=annotations)
    assert read().names == ["a.png", "b.png"] and np.allclose(read().boxes, PLAIN)
    stray = {"image_id": 99, "category_id": 7, "bbox": [0, 0, 1, 1]}
    for changes, reason in (
        ({"annotations": [stray]}, "annotation of an unknown image"),
        ({"annotations": [{**stray, "image_id": 0, "bbox": [1, 2]}]}, "malformed box"),
        ({"annotations": [{**stray, "image_id": 0, "bbox": "x"}]}, "malformed box"),
        (
            {"annotations": [{**stray, "image_id": 0, "bbox": [0, 0, True, 1]}]},
            "not a number",
        ),
        ({"annotations": [{**crowd, "iscrowd": 0, "category_id": 1}]}, "unknown class"),
        ({"annotations": [3]}, "not COCO's JSON"),
        ({"images": None}, "not COCO's JSON"),
        ({"categories": [{"id": 1, "name": "a"}] * 2}, "bad category"),
        ({"images": [{"id": 0}], "annotations": []}, "missing file name"),
        ({"images": content["images"] + content["images"][:1]}, "bad image id"),
        (
            {"images": [*content["images"], {**content["images"][0], "id": 5}]},
            "duplicate image",
        ),
        (
            {"images": [{"id": [1], "file_name": "a.png"}]},
            "annotation of an unknown image",
        ),
        ({"images": [{"file_name": "a.png"}], "annotations": []}, "bad image id"),
    ):
        write(**changes)
        with pytest.raises(AnnotationError) as caught:
            read()
        assert caught.value.reason == reason
    for text in ("", "[1]", "{", "[" * 100_000):
        file.write_text(text)
        with pytest.raises(AnnotationError, match="JSON"):
            read()


# --- YOLO ---


def test_yolo_lines_and_names(folder):
    folder.read("yolo")
    file = folder.path / "yolo" / "a.txt"
    names = folder.path / "yolo" / "names.txt"
    names.write_text("bird\n\ncat\n")
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


# --- all of them ---


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
def test_fuzzed_annotations_raise_only_annotation_errors(folder, form, rng):
    folder.read(form)
    file = {
        "voc": folder.path / "voc" / "a.xml",
        "coco": folder.path / "coco.json",
        "yolo": folder.path / "yolo" / "a.txt",
        "csv": folder.path / "table.csv",
    }[form]
    whole = file.read_bytes()
    words = [
        b"-1",
        b"1e999",
        b"nan",
        b"<",
        b">",
        b'"',
        b",",
        b"{",
        b"]",
        b"\0",
        b"..",
        b"/",
    ]
    words += [b"\xff", b"99999999999999999999", b"null", b"true", b"&a;", b"\n", b""]
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
            if form == "yolo":
                read_yolo(folder.images, folder.path / "yolo", NAMES, verify=False)
            elif form == "voc":
                read_voc(folder.images, folder.path / "voc", verify=False)
            elif form == "coco":
                read_coco(folder.images, file, verify=False)
            else:
                read_csv(folder.images, file, verify=False)
            outcomes["read"] += 1
        except AnnotationError as error:
            outcomes[error.reason] = outcomes.get(error.reason, 0) + 1
            assert re.search(r"[a-z]", error.reason)
    assert outcomes["read"] > 0 and len(outcomes) > 4
    assert sorted(folder.path.rglob("*")) == before
