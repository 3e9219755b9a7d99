"""read_labelme: the box of every shape, and files that are wrong."""

import json

import numpy as np
import pytest
from label_folder import HEIGHT, WIDTH
from PIL import Image

from keras_localize.datasets import AnnotationError, read_labelme

SCALE = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])


class LabelMe:
    """The image a.png, 80 x 40, with a JSON file beside it."""

    def __init__(self, path):
        self.path = path
        Image.new("RGB", (WIDTH, HEIGHT)).save(path / "a.png")

    def read(self, *shapes, options=None, **content):
        content = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [{"label": "cat", "flags": {}, **shape} for shape in shapes],
            "imagePath": "a.png",
            "imageData": "aGVsbG8=" * 1000,
            "imageHeight": HEIGHT,
            "imageWidth": WIDTH,
            **content,
        }
        (self.path / "a.json").write_text(json.dumps(content))
        return read_labelme(self.path, self.path, **(options or {}))


@pytest.fixture
def labelme(tmp_path):
    return LabelMe(tmp_path)


@pytest.mark.parametrize(
    ("kind", "points", "box"),
    [
        ("rectangle", [[20, 10], [60, 40]], [20, 10, 60, 40]),
        ("rectangle", [[60.5, 10], [20, 40]], [20, 10, 60.5, 40]),
        ("rectangle", [[20, 10], [60, 10], [60, 40], [20, 40]], [20, 10, 60, 40]),
        ("polygon", [[20, 20], [40, 10], [60, 30], [30, 40]], [20, 10, 60, 40]),
        (None, [[20, 20], [40, 10], [60, 40]], [20, 10, 60, 40]),  # old versions
        # A circle: its centre and a point on it, 5 pixels away.
        ("circle", [[30, 20], [33, 24]], [25, 15, 35, 25]),
        # A mask: its first and its last pixel.
        ("mask", [[20, 10], [59, 39]], [20, 10, 60, 40]),
        (
            "oriented_rectangle",
            [[20, 20], [40, 10], [60, 30], [40, 40]],
            [20, 10, 60, 40],
        ),
    ],
)
def test_boxes_of_shapes(labelme, kind, points, box):
    dataset = labelme.read({"shape_type": kind, "points": points})
    assert np.allclose(dataset.boxes * SCALE, [box], atol=1e-5)
    assert dataset.class_names == ("cat",) and dataset.names == ["a.png"]
    note = f"box around a {kind or 'polygon'}"
    handled = {} if kind == "rectangle" else {note: ("a.png",)}
    assert dataset.summary().handled == handled


@pytest.mark.parametrize("kind", ["point", "line", "linestrip", "points"])
def test_points_and_lines_have_no_box(labelme, kind):
    shape = {"shape_type": kind, "points": [[3, 4], [5, 6]]}
    dataset = labelme.read(shape, options={"without_box": "keep"})
    assert dataset.weights.tolist() == [0] and dataset.labels.tolist() == [0]
    assert f"{kind} without a box" in dataset.summary().handled
    # They say that there is an object.
    with pytest.raises(AnnotationError, match="no usable record"):
        labelme.read(shape, options={"without_box": "negative"})


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ({"label": " ", "points": [[1, 2]] * 3}, "missing label"),
        ({"label": None, "points": [[1, 2]] * 3}, "missing label"),
        ({"shape_type": "star", "points": [[1, 2]]}, "unknown shape"),
        ({"shape_type": ["circle"], "points": [[1, 2]]}, "unknown shape"),
        ({"shape_type": "rectangle", "points": [[1, 2]]}, "malformed shape"),
        ({"shape_type": "circle", "points": [[1, 2]] * 3}, "malformed shape"),
        ({"points": [[1, 2], [3, 4]]}, "malformed shape"),
        ({"points": [[1, 2, 3]] * 3}, "malformed shape"),
        ({"points": None}, "malformed shape"),
        ({"points": [[True, 2], [3, 4], [5, 6]]}, "malformed shape"),
        ({"points": [["x", 2], [3, 4], [5, 6]]}, "not a number"),
        ({"points": [[float("nan"), 2], [3, 4], [5, 6]]}, "not finite"),
        ({"points": [[1, 2], [3, 2], [5, 2]]}, "box of zero size"),
    ],
)
def test_shapes_that_are_wrong(labelme, shape, reason):
    with pytest.raises(AnnotationError, match=r"a\.json: shapes\[0\]") as caught:
        labelme.read(shape)
    assert caught.value.reason == reason


def test_files_that_are_wrong(labelme):
    good = {"shape_type": "rectangle", "points": [[20, 10], [60, 40]]}
    with pytest.raises(AnnotationError, match="size differs"):
        labelme.read(good, imageHeight=WIDTH, imageWidth=HEIGHT)
    for text, reason in (
        ("", "not JSON"),
        ("[1]", "not LabelMe's JSON"),
        ('{"images": []}', "not LabelMe's JSON"),
        ('{"shapes": [1]}', "not LabelMe's JSON"),
    ):
        (labelme.path / "a.json").write_text(text)
        with pytest.raises(AnnotationError, match=r"a\.json") as caught:
            read_labelme(labelme.path, labelme.path)
        assert caught.value.reason == reason


def test_images_are_found_by_stem_and_by_their_path(labelme, tmp_path):
    good = {"shape_type": "rectangle", "points": [[20, 10], [60, 40]]}
    # LabelMe writes a path from the JSON file to the image; the stem decides.
    assert len(labelme.read(good, imagePath="..\\images\\a.png")) == 1
    (labelme.path / "a.json").rename(labelme.path / "other.json")
    with pytest.raises(AnnotationError, match="leaves its folder"):
        read_labelme(labelme.path, labelme.path)
    other = labelme.path / "other.json"
    content = {**json.loads(other.read_text()), "imagePath": "C:\\data\\a.png"}
    other.write_text(json.dumps(content))
    dataset = read_labelme(labelme.path, labelme.path)
    note = "image found by the end of an absolute path"
    assert dataset.summary().handled == {note: ("a.png",)}
