"""LabelMe: a folder of images and a folder with one JSON file for each."""

import math
from functools import partial
from pathlib import Path
from typing import Any

from keras_localize import types
from keras_localize.checks import check_positive_int
from keras_localize.datasets.annotation import AnnotatedObject, Corners, hull
from keras_localize.datasets.annotation_files import finite, read_json
from keras_localize.datasets.class_names import ClassNames
from keras_localize.datasets.collector import Collector
from keras_localize.datasets.dataset import LocalizationDataset
from keras_localize.datasets.errors import AnnotationError
from keras_localize.datasets.paired_files import FileContent, read_paired_files
from keras_localize.datasets.policy import (
    Multiple,
    OnError,
    Outside,
    Pixels,
    Policy,
    WithoutBox,
)

# LabelMe writes the encoded image into the file.
_LIMIT = 2**28

# Shape -> the least and the most points that it has.
_POINTS = {
    "rectangle": (2, 4),
    "oriented_rectangle": (4, 4),
    "polygon": (3, 10**6),
    "circle": (2, 2),
    "mask": (2, 2),
}
_WITHOUT_AREA = ("point", "points", "line", "linestrip")


def read_labelme(
    images_dir: types.Path,
    annotations_dir: types.Path,
    *,
    class_names: ClassNames | None = None,
    without_box: WithoutBox = "skip",
    multiple: Multiple = "largest",
    on_error: OnError = "raise",
    outside: Outside = "clip",
    pixels: Pixels = "upright",
    verify: bool = True,
    max_bytes: int = _LIMIT,
) -> LocalizationDataset:
    """Reads images and their LabelMe JSON files.

    `annotations_dir/NAME.json` belongs to the image `images_dir/NAME.*`; where there
    is none or more than one, to the image that its `imagePath` names. A rectangle,
    polygon, circle or mask is an object, its box the smallest that holds it (counted
    for shapes that are no rectangle). A point or a line is an object without a box.

    Args:
        images_dir: folder of the images; folders below are read too.
        annotations_dir: folder of the JSON files, usually the same.
        class_names: the classes in the order of their ids; as in `read_voc`. None:
            the labels found, sorted.
        without_box, multiple, on_error, outside, pixels, verify: as in `read_voc`. An
            image whose file has no shape, or without a file, has no object.
        max_bytes: a larger file is refused. By default 256 MiB: a file may hold its
            image.

    Returns:
        A `LocalizationDataset`.

    Raises:
        AnnotationError: a ValueError that names file, field and value.

    Example:

    >>> import json
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from keras_localize.datasets import read_labelme
    >>> Image.new("RGB", (100, 50)).save("cat.png")
    >>> _ = Path("cat.json").write_text(json.dumps({
    ...     "imagePath": "cat.png",
    ...     "shapes": [{
    ...         "label": "cat",
    ...         "shape_type": "rectangle",
    ...         "points": [[75, 50], [25, 0]],
    ...     }],
    ... }))
    >>> read_labelme(".", ".")[0].box.tolist()
    [0.25, 0.0, 0.75, 1.0]

    Reference:
        [LabelMe](https://github.com/wkentaro/labelme)
    """
    policy = Policy(without_box, multiple, on_error, outside, pixels, verify)
    check_positive_int(max_bytes, "max_bytes")
    return read_paired_files(
        Collector(policy, class_names),
        images_dir,
        annotations_dir,
        ".json",
        "a JSON file",
        partial(_read_file, max_bytes=max_bytes),
    )


def _read_file(file: Path, max_bytes: int) -> FileContent:
    content = _read_json(file, max_bytes)

    def objects(notes: list[str]) -> list[AnnotatedObject]:
        found = []
        for position, shape in enumerate(content["shapes"]):
            obj, note = _object(shape, file, f"shapes[{position}]")
            found.append(obj)
            notes += [note] if note else []
        return found

    name = content.get("imagePath")
    return FileContent(
        image_name=name if isinstance(name, str) else "",
        image_field="imagePath",
        objects=objects,
        size=partial(_size, content, file),
        size_field="imageHeight",
    )


def _read_json(file: Path, max_bytes: int) -> dict[str, Any]:
    content = read_json(file, max_bytes)
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list) or not all(isinstance(s, dict) for s in shapes):
        raise AnnotationError(
            file, "not LabelMe's JSON", expected='an object with "shapes", a list'
        )
    return content


def _object(
    shape: dict[str, Any], file: Path, place: str
) -> tuple[AnnotatedObject, str | None]:
    """The object of a shape, and a note where it is no rectangle."""
    label, kind = shape.get("label"), shape.get("shape_type") or "polygon"
    if not isinstance(label, str) or not label.strip():
        raise AnnotationError(
            file, "missing label", field=f"{place}.label", received=label
        )
    label = label.strip()
    if kind in _WITHOUT_AREA:
        return AnnotatedObject(label, field=place), f"{kind} without a box"
    if not isinstance(kind, str) or kind not in _POINTS:
        raise AnnotationError(
            file,
            "unknown shape",
            field=f"{place}.shape_type",
            expected=f"one of {', '.join((*_POINTS, *_WITHOUT_AREA))}",
            received=kind,
        )
    place = f"{place}.points"
    points = _points(shape.get("points"), file, place)
    least, most = _POINTS[kind]
    if not least <= len(points) <= most:
        raise _malformed(points, file, place)
    note = None if kind == "rectangle" else f"box around a {kind}"
    return AnnotatedObject(label, _corners(kind, points), field=place), note


def _corners(kind: str, points: list[tuple[float, float]]) -> Corners:
    """The box around a shape."""
    x0, y0, x1, y1 = hull(points)
    if kind == "circle":
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        return x - radius, y - radius, x + radius, y + radius
    if kind == "mask":
        # The corners of a mask are its first and its last pixel.
        return x0, y0, x1 + 1, y1 + 1
    return x0, y0, x1, y1


def _points(values: Any, file: Path, place: str) -> list[tuple[float, float]]:
    if not isinstance(values, list) or not values:
        raise _malformed(values, file, place)
    points = []
    for point in values:
        if not isinstance(point, list) or len(point) != 2:
            raise _malformed(values, file, place)
        if any(isinstance(value, bool) for value in point):
            raise _malformed(values, file, place)
        x, y = (finite(value, file, place) for value in point)
        points.append((x, y))
    return points


def _malformed(points: Any, file: Path, place: str) -> AnnotationError:
    return AnnotationError(
        file,
        "malformed shape",
        field=place,
        expected="[[x, y], ...], as many points as the shape has",
        received=points,
    )


def _size(content: dict[str, Any], file: Path) -> tuple[float, float] | None:
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if height is None or width is None:
        return None
    return finite(height, file, "imageHeight"), finite(width, file, "imageWidth")
