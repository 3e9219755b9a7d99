"""COCO: a folder of images and one JSON file for all of them."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_localize import types
from keras_localize.datasets.annotation import AnnotatedObject, Annotation
from keras_localize.datasets.annotation_files import finite, read_text
from keras_localize.datasets.collector import Collector
from keras_localize.datasets.dataset import LocalizationDataset
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


def read_coco(
    images_dir: types.Path,
    json_path: types.Path,
    *,
    class_names: Sequence[str] | None = None,
    without_box: WithoutBox = "skip",
    multiple: Multiple = "largest",
    on_error: OnError = "raise",
    outside: Outside = "clip",
    pixels: Pixels = "upright",
    verify: bool = True,
) -> LocalizationDataset:
    """Reads images and their annotations in COCO's JSON.

    Boxes are `[x, y, width, height]` in pixels, from 0. Crowd regions (`iscrowd`) and
    annotations marked `ignore` are no objects; they are left out and counted.

    Args:
        images_dir: folder of the images that `file_name` is relative to.
        json_path: the JSON file.
        class_names: the classes in the order of their ids; another category is an
            error. None: the categories in the order of their ids in the file,
            used or not.
        without_box: an image without an annotation is left out (`"skip"`) or an
            error (`"error"`). `"keep"` keeps those that have a category but no
            `bbox`: weight 0, the label is trained.
        multiple: `"largest"`, `"first"`, `"skip"` or `"error"`; see `read_voc`.
        on_error: `"raise"` or `"skip"`. A file that is not COCO's JSON at all is
            always an error.
        outside: `"clip"` or `"error"`.
        pixels: `"upright"` or `"raw"`.
        verify: decode every image once now.

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
        without_box=without_box,
        multiple=multiple,
        on_error=on_error,
        outside=outside,
        pixels=pixels,
        verify=verify,
    )
    folder = ImageFolder(images_dir)
    path = Path(json_path)
    content = _json(path)
    categories = _categories(content, path)
    collector = Collector(policy, class_names or list(categories.values()))

    images = _list(content, "images", path)
    uses = Counter(_key(image.get("id")) for image in images)
    by_image: dict[int | str, list[tuple[int, dict[str, Any]]]] = {}
    for number, annotation in enumerate(_list(content, "annotations", path)):
        key = _key(annotation.get("image_id"))
        if key is not None and key in uses:
            by_image.setdefault(key, []).append((number, annotation))
            continue
        with collector.record(f"annotations[{number}]"):
            raise AnnotationError(
                path,
                "annotation of an unknown image",
                field=f"annotations[{number}].image_id",
                received=annotation.get("image_id"),
            )
    for number, image in enumerate(images):
        place = f"images[{number}]"
        with collector.record(str(image.get("file_name", place))):
            name = image.get("file_name")
            if not isinstance(name, str):
                raise AnnotationError(
                    path,
                    "missing file name",
                    field=f"{place}.file_name",
                    received=name,
                )
            key = _key(image.get("id"))
            if key is None or uses[key] > 1:
                raise AnnotationError(
                    path,
                    "bad image id",
                    field=f"{place}.id",
                    expected="a number or text that no other image has",
                    received=image.get("id"),
                )
            objects, notes = [], []
            for index, annotation in by_image.get(key, ()):
                if annotation.get("iscrowd") or annotation.get("ignore"):
                    notes.append("crowd or ignored region left out")
                else:
                    objects.append(
                        _object(annotation, categories, path, f"annotations[{index}]")
                    )
            file = folder.find(name, path, f"{place}.file_name")
            collector.keep(
                Annotation(
                    name=folder.name(file),
                    path=file,
                    source=str(path),
                    objects=objects,
                    size=_size(image, path, place),
                    size_field=place,
                    notes=list(dict.fromkeys(notes)),
                )
            )
    return collector.dataset(path)


def _json(path):
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, AnnotationError):
            raise
        raise AnnotationError(path, "not JSON", received=str(error)) from error
    if not isinstance(content, dict):
        raise AnnotationError(
            path,
            "not COCO's JSON",
            expected='an object with "images", "annotations", "categories"',
            received=type(content).__name__,
        )
    return content


def _list(content, key, path):
    values = content.get(key)
    if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
        raise AnnotationError(
            path,
            "not COCO's JSON",
            field=key,
            expected="a list of objects",
            received=values,
        )
    return values


def _categories(content, path):
    """Category id -> name, in the order of the ids."""
    categories = {}
    for number, category in enumerate(_list(content, "categories", path)):
        key, name = _key(category.get("id")), category.get("name")
        bad = not isinstance(key, int) or not isinstance(name, str)
        if bad or key in categories or name in categories.values():
            raise AnnotationError(
                path,
                "bad category",
                field=f"categories[{number}]",
                expected="an integer id and a name, neither used before",
                received=category,
            )
        categories[key] = name
    return dict(sorted(categories.items()))


def _object(annotation, categories, path, place):
    category = _key(annotation.get("category_id"))
    if category not in categories:
        raise AnnotationError(
            path,
            "unknown class",
            field=f"{place}.category_id",
            received=annotation.get("category_id"),
        )
    bounds = annotation.get("bbox")
    if bounds is None or bounds == []:
        return AnnotatedObject(categories[category], None, field=place)
    if not isinstance(bounds, list) or len(bounds) != 4:
        raise AnnotationError(
            path,
            "malformed box",
            field=f"{place}.bbox",
            expected="[x, y, width, height]",
            received=bounds,
        )
    x, y, width, height = (_number(value, path, f"{place}.bbox") for value in bounds)
    corners = (x, y, x + width, y + height)
    return AnnotatedObject(categories[category], corners, field=f"{place}.bbox")


def _size(image, path, place):
    if image.get("width") is None or image.get("height") is None:
        return None
    height, width = (
        _number(image[side], path, f"{place}.{side}") for side in ("height", "width")
    )
    return height, width


def _number(value, path, place):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise AnnotationError(path, "not a number", field=place, received=value)
    return finite(value, path, place)


def _key(value):
    """An id as a dict key, None for what cannot be one; some tools write 1 as 1.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (int, str)) else None
