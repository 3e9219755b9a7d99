"""read_coco: ids, categories, shapes, and files that are wrong."""

import json

import numpy as np
import pytest
from label_folder import HEIGHT, PLAIN, WIDTH
from PIL import Image

from keras_localize.datasets import AnnotationError, read_coco


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


class Coco:
    """A folder with the image a.png, 80 x 40, and a JSON file with an object in it."""

    def __init__(self, path):
        self.images = path / "images"
        self.images.mkdir()
        self.file = path / "coco.json"
        Image.new("RGB", (WIDTH, HEIGHT)).save(self.images / "a.png")
        self.annotation = {"image_id": 1, "category_id": 1, "bbox": [20, 10, 40, 30]}

    def read(self, *, image=None, annotation=None, options=None, **lists):
        content = {
            "images": [{"id": 1, "file_name": "a.png", **(image or {})}],
            "annotations": [{**self.annotation, **(annotation or {})}],
            "categories": [{"id": 1, "name": "cat"}],
            **lists,
        }
        self.file.write_text(json.dumps(content))
        return read_coco(self.images, self.file, **(options or {}))


@pytest.fixture
def coco(tmp_path):
    return Coco(tmp_path)


def test_shapes_without_a_box(coco):
    polygons = [[20, 10, 50, 10, 50, 30], [40, 20, 60, 20, 60, 40, 40, 40]]
    for bbox in (None, []):
        dataset = coco.read(annotation={"bbox": bbox, "segmentation": polygons})
        assert np.allclose(dataset.boxes, PLAIN[:1])
        assert dataset.summary().handled == {"box around a polygon": ("a.png",)}
    # A box is a box, whatever the segmentation says.
    both = coco.read(annotation={"segmentation": [[0, 0, 9, 0, 9, 9]]})
    assert np.allclose(both.boxes, PLAIN[:1]) and not both.summary().handled
    mask = {"counts": "PPYo", "size": [40, 80]}
    assert np.allclose(coco.read(annotation={"segmentation": mask}).boxes, PLAIN[:1])
    for segmentation, reason in (
        (mask, "run-length encoded mask without a box"),
        ([[1, 2, 3, 4]], "malformed polygon"),
        ([[1, 2, 3, 4, 5, 6, 7]], "malformed polygon"),
        ("x", "malformed polygon"),
        ([["1", 2, 3, 4, 5, 6]], "not a number"),
    ):
        with pytest.raises(AnnotationError, match=r"annotations\[0\]") as caught:
            coco.read(annotation={"bbox": None, "segmentation": segmentation})
        assert caught.value.reason == reason


@pytest.mark.parametrize("image_id", [1, 1.0, "1", "a-1"])
@pytest.mark.parametrize("category_id", [1, "1", "c-1"])
def test_ids_of_any_kind(coco, image_id, category_id):
    there = {1: "1", "1": 1}  # the other list writes the same id differently
    dataset = coco.read(
        image={"id": there.get(image_id, image_id)},
        annotation={"image_id": image_id, "category_id": category_id},
        categories=[{"id": there.get(category_id, category_id), "name": "cat"}],
    )
    assert dataset[0].class_name == "cat" and np.allclose(dataset.boxes, PLAIN[:1])


def test_ids_of_digits_sort_as_numbers(coco):
    categories = [{"id": str(i), "name": f"n{i}"} for i in (10, 1, 2)]
    dataset = coco.read(categories=categories)
    assert dataset.class_names == ("n1", "n2", "n10") and dataset[0].label == 0


def category(key, name, above):
    return {"id": key, "name": name, "supercategory": above}


@pytest.mark.parametrize(
    ("categories", "used", "names", "roots"),
    [
        # Roboflow: the project's name above all.
        (
            [category(0, "pets", "none"), category(1, "cat", "pets")],
            [1],
            ["cat"],
            ["pets"],
        ),
        # The project has the name of a class.
        (
            [
                category(0, "cat", "none"),
                category(1, "cat", "cat"),
                category(2, "dog", "cat"),
            ],
            [1, 2],
            ["cat", "dog"],
            [],
        ),
        # ... and both are used: one class all the same.
        (
            [category(0, "cat", "none"), category(1, "cat", "cat")],
            [0, 1],
            ["cat"],
            [],
        ),
        # A root that annotations use is a class.
        (
            [category(0, "pet", "none"), category(1, "cat", "pet")],
            [0, 1],
            ["pet", "cat"],
            [],
        ),
        # COCO itself: a class above itself, a group that is no category.
        (
            [category(1, "person", "person"), category(2, "cat", "animal")],
            [2],
            ["person", "cat"],
            [],
        ),
    ],
)
def test_categories_that_are_roots(coco, categories, used, names, roots):
    for key in range(3):
        Image.new("RGB", (WIDTH, HEIGHT)).save(coco.images / f"{key}.png")
    dataset = coco.read(
        categories=categories,
        images=[{"id": key, "file_name": f"{key}.png"} for key in used],
        annotations=[
            {"image_id": key, "category_id": key, "bbox": [20, 10, 40, 30]}
            for key in used
        ],
    )
    assert dataset.class_names == tuple(names)
    by_id = {each["id"]: each["name"] for each in categories}
    assert [record.class_name for record in dataset] == [by_id[key] for key in used]
    told = {"root category, no class": tuple(roots)} if roots else {}
    assert dataset.summary().handled == told


def test_annotations_without_a_category(coco):
    with pytest.raises(AnnotationError, match="without a category"):
        coco.read(annotation={"category_id": None})
    with pytest.raises(AnnotationError, match=r"bad category.*id and a name"):
        coco.read(categories=[{"id": 1, "name": " "}])


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("/home/me/set/deep/b.png", "image found by the end of an absolute path"),
        ("/other/b.png", "image found by the end of an absolute path"),
        ("C:\\set\\deep\\b.png", "image found by the end of an absolute path"),
        ("https://host/upload/b.png", "image found by the end of an absolute path"),
        ("images/deep/b.png", "image found by a name that begins above its folder"),
        ("b.png", "image found in a folder below"),
        ("deep/b", "image found by a name without suffix"),
        ("deep/b.PNG", None),
        ("./deep\\b.png", None),
    ],
)
def test_file_names_of_other_machines(coco, name, note):
    (coco.images / "deep").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(coco.images / "deep" / "b.png")
    dataset = coco.read(image={"file_name": name})
    assert dataset.names == ["deep/b.png"]
    handled = {note: ("deep/b.png",)} if note else {}
    assert dataset.summary().handled == handled


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/home/me/gone.png", "missing image"),
        ("../images/a.png", "file name leaves its folder"),
        ("/home/../a.png", "file name leaves its folder"),
        ("valid/a.png", "missing image"),
        ("twice.png", "several images"),
        ("/home/me/twice.png", "several images"),
    ],
)
def test_file_names_that_fit_no_image_or_more(coco, name, reason):
    for split in ("train", "valid2"):
        (coco.images / split).mkdir()
        Image.new("RGB", (WIDTH, HEIGHT)).save(coco.images / split / "twice.png")
    with pytest.raises(AnnotationError, match=r"images\[0\]\.file_name") as caught:
        coco.read(image={"file_name": name})
    assert caught.value.reason == reason


def test_crowds_alone_are_no_image_without_an_object(coco):
    options = {"without_box": "negative"}
    crowd = {"iscrowd": 1}
    with pytest.raises(AnnotationError, match=r"no usable record.*1 without a box"):
        coco.read(annotation=crowd, options=options)
    empty = coco.read(annotations=[], options=options)
    assert empty.presence.tolist() == [0] and empty.labels.tolist() == [-1]
    assert empty.class_names == ("cat",)


def test_flags_as_text(coco):
    """As writers of tables leave them: "0" is no crowd."""
    for value in ("0", "false", "False", 0.0, None, False, ""):
        data = coco.read(annotation={"iscrowd": value, "ignore": value})
        assert len(data) == 1 and not data.summary().handled
    for value in ("1", "true", 1.0, True):
        with pytest.raises(AnnotationError, match="no usable record"):
            coco.read(annotation={"iscrowd": value})
    with pytest.raises(AnnotationError, match=r"\.ignore: not a flag.*: 2"):
        coco.read(annotation={"ignore": 2})
