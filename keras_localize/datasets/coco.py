"""COCO: a folder of images and one JSON file for all of them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_localize import types
from keras_localize.checks import check_positive_int
from keras_localize.datasets.annotation import (
    AnnotatedObject,
    Annotation,
    Corners,
    hull,
    turned,
)
from keras_localize.datasets.annotation_files import TABLE_LIMIT
from keras_localize.datasets.class_names import ClassNames
from keras_localize.datasets.coco_columns import coco_columns, ids
from keras_localize.datasets.coco_json import (
    Entry,
    Id,
    as_id,
    entries,
    number,
    read_categories,
    read_coco_json,
    rotation_of,
)
from keras_localize.datasets.collector import Collector
from keras_localize.datasets.dataset import LocalizationDataset
from keras_localize.datasets.decisions import CROWD
from keras_localize.datasets.errors import AnnotationError
from keras_localize.datasets.image_folder import ImageFolder
from keras_localize.datasets.policy import (
    Multiple,
    OnError,
    Outside,
    Pixels,
    Policy,
    WithoutBox,
)
from keras_localize.datasets.simple_records import simple_records

_FALSE, _TRUE = ("0", "0.0", "false"), ("1", "1.0", "true")


def read_coco(
    images_dir: types.Path,
    json_path: types.Path,
    *,
    class_names: ClassNames | None = None,
    without_box: WithoutBox = "skip",
    multiple: Multiple = "largest",
    on_error: OnError = "raise",
    outside: Outside = "clip",
    pixels: Pixels = "upright",
    verify: bool = True,
    max_bytes: int = TABLE_LIMIT,
) -> LocalizationDataset:
    """Reads images and their annotations in COCO's JSON.

    Boxes are `[x, y, width, height]` in pixels, from 0. An annotation without `bbox`
    has the box around the polygons of its `segmentation`. What is counted: such boxes;
    crowd regions (`iscrowd`) and annotations marked `ignore`, which are no objects;
    images that are found by the end of an absolute `file_name`; a category that is
    only the root of the others, as Roboflow writes one, and no class.

    Args:
        images_dir: folder of the images that `file_name` is relative to.
        json_path: the JSON file.
        class_names: the classes in the order of their ids; another category is an
            error. As in `read_voc`. None: the categories in the order of their ids
            in the file, used or not.
        without_box, multiple, on_error, outside, pixels: as in `read_voc`. An image
            without an annotation has no object; one with crowd regions alone is left
            out. A file that is not COCO's JSON at all is always an error.
        verify: decode every image once now, so that a damaged one is found here. False
            opens no image whose width and height the file states (with
            `pixels="raw"` it reads the headers): millions of records are read in
            seconds, and an image of another shape is an error when it is decoded.
        max_bytes: a larger file is refused. By default 1 GiB.

    Returns:
        A `LocalizationDataset`.

    Raises:
        AnnotationError: a ValueError that names file, field and value.

    Example:

    >>> import json
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from keras_localize.datasets import read_coco
    >>> Image.new("RGB", (100, 50)).save("cat.png")
    >>> _ = Path("coco.json").write_text(json.dumps({
    ...     "images": [{"id": 1, "file_name": "cat.png"}],
    ...     "categories": [{"id": 3, "name": "cat"}],
    ...     "annotations": [
    ...         {"image_id": 1, "category_id": 3, "bbox": [25, 0, 50, 50]}
    ...     ],
    ... }))
    >>> read_coco(".", "coco.json")[0].box.tolist()
    [0.25, 0.0, 0.75, 1.0]

    Reference:
        [COCO data format](https://cocodataset.org/#format-data)
    """
    policy = Policy(
        without_box, multiple, on_error, outside, pixels, verify, stated_sizes=True
    )
    check_positive_int(max_bytes, "max_bytes")
    folder = ImageFolder(images_dir)
    path = Path(json_path)
    content = read_coco_json(path, max_bytes)
    images = entries(content, "images", path)
    annotations = entries(content, "annotations", path)
    used = ids(annotations, "category_id")
    categories, roots = read_categories(content, used, path)
    if class_names is None:
        class_names = list(dict.fromkeys(categories.values()))
    collector = Collector(policy, class_names)
    for name in roots:
        collector.note(name, "root category, no class")

    simple = _keep_simple(collector, folder, images, annotations, categories)
    keys = ids(images, "id")
    uses = Counter(keys)
    by_image: dict[Id, list[tuple[str, Entry]]] = {}
    for position, key in enumerate(ids(annotations, "image_id")):
        if key in simple:
            continue
        annotation, place = annotations[position], f"annotations[{position}]"
        if key is not None and key in uses:
            by_image.setdefault(key, []).append((place, annotation))
            continue
        with collector.record(place):
            raise AnnotationError(
                path,
                "annotation of an unknown image",
                field=f"{place}.image_id",
                received=annotation.get("image_id"),
            )
    for position, key in enumerate(keys):
        if key in simple:
            continue
        image, place = images[position], f"images[{position}]"
        with collector.record(str(image.get("file_name", place))):
            key = _image_id(image, uses, path, place)
            notes: list[str] = []
            file = _image_file(image, folder, path, place, notes)
            objects = _objects(by_image.get(key, ()), categories, path, notes)
            annotation = Annotation(
                name=folder.name(file),
                path=file,
                source=str(path),
                objects=objects,
                size=_size(image, path, place),
                size_field=place,
                notes=list(dict.fromkeys(notes)),
                complete=CROWD not in notes,
            )
            collector.keep(annotation, position)
    # Of a large file they are large.
    del content, images, annotations, by_image, uses, simple, keys
    return collector.dataset(path)


def _keep_simple(
    collector: Collector,
    folder: ImageFolder,
    images: list[Entry],
    annotations: list[Entry],
    categories: dict[Id, str],
) -> set[Id | None]:
    """Keeps the images that need no decision; returns their ids."""
    if not collector.policy.trusts_sizes:
        return set()
    columns = coco_columns(images, annotations, categories)
    if columns is None:
        return set()
    records = simple_records(columns, folder, collector.policy, collector.class_names)
    collector.keep_simple(records)
    keys = ids(images, "id")
    return {keys[position] for position in records.positions}


def _image_id(image: Entry, uses: Counter[Id | None], path: Path, place: str) -> Id:
    key = as_id(image.get("id"))
    if key is None or uses[key] > 1:
        raise AnnotationError(
            path,
            "bad image id",
            field=f"{place}.id",
            expected="a number or text that no other image has",
            received=image.get("id"),
        )
    return key


def _image_file(
    image: Entry, folder: ImageFolder, path: Path, place: str, notes: list[str]
) -> Path:
    name, place = image.get("file_name"), f"{place}.file_name"
    if not isinstance(name, str):
        raise AnnotationError(path, "missing file name", field=place, received=name)
    return folder.find(name, path, place, notes)


def _objects(
    annotations: Sequence[tuple[str, Entry]],
    categories: dict[Id, str],
    path: Path,
    notes: list[str],
) -> list[AnnotatedObject]:
    """The objects of one image; `notes` takes up what is special about them."""
    objects = []
    for place, annotation in annotations:
        if any(_flag(annotation, key, path, place) for key in ("iscrowd", "ignore")):
            notes.append(CROWD)
            continue
        category = as_id(annotation.get("category_id"))
        if category is None or category not in categories:
            raise AnnotationError(
                path,
                "without a category" if category is None else "unknown class",
                field=f"{place}.category_id",
                received=annotation.get("category_id"),
            )
        bounds, polygons = annotation.get("bbox"), annotation.get("segmentation")
        corners = None
        if bounds is not None and bounds != []:
            place = f"{place}.bbox"
            corners = _corners(bounds, path, place)
            corners = turned(corners, rotation_of(annotation), notes)
        elif polygons:
            place = f"{place}.segmentation"
            corners = _around(polygons, path, place)
            notes.append("box around a polygon")
        objects.append(AnnotatedObject(categories[category], corners, field=place))
    return objects


def _flag(annotation: Entry, key: str, path: Path, place: str) -> bool:
    """A flag: 0 or 1, false or true, or the same as text; not there: false."""
    value = annotation.get(key)
    text = str(value or 0).casefold()
    if text not in _FALSE + _TRUE:
        raise AnnotationError(
            path,
            "not a flag",
            field=f"{place}.{key}",
            expected="0 or 1",
            received=value,
        )
    return text in _TRUE


def _corners(bounds: Any, path: Path, place: str) -> Corners:
    if not isinstance(bounds, list) or len(bounds) != 4:
        raise AnnotationError(
            path,
            "malformed box",
            field=place,
            expected="[x, y, width, height]",
            received=bounds,
        )
    x, y, width, height = (number(value, path, place) for value in bounds)
    return x, y, x + width, y + height


def _around(polygons: Any, path: Path, place: str) -> Corners:
    """The box around polygons, `[[x1, y1, x2, y2, x3, y3, ...], ...]`."""
    if isinstance(polygons, dict):
        raise AnnotationError(
            path, "run-length encoded mask without a box", field=place
        )
    points = []
    for polygon in polygons if isinstance(polygons, list) else [polygons]:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise AnnotationError(
                path,
                "malformed polygon",
                field=place,
                expected="[[x1, y1, x2, y2, x3, y3, ...], ...]",
                received=polygon,
            )
        values = [number(value, path, place) for value in polygon]
        points += zip(values[::2], values[1::2])
    return hull(points)


def _size(image: Entry, path: Path, place: str) -> tuple[float, float] | None:
    height, width = image.get("height"), image.get("width")
    if height is None or width is None:
        return None
    return (
        number(height, path, f"{place}.height"),
        number(width, path, f"{place}.width"),
    )
