"""COCO's lists as columns."""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_localize.datasets.annotation import degrees_of
from keras_localize.datasets.coco_json import Entry, Id, as_id, rotation_of
from keras_localize.datasets.simple_records import Columns

_NUMBERS = {int, float}
_NO_BOX = (np.nan,) * 4


def coco_columns(
    images: list[Entry], annotations: list[Entry], categories: dict[Id, str]
) -> Columns | None:
    """The lists of a COCO file as columns; None where ids or sizes are unusual.

    Crowd regions, rotated boxes, annotations without a box and unknown categories are
    there, as objects that are not simple. Annotations of unknown images are not.

    Args:
        images: the file's images.
        annotations: its annotations.
        categories: the names of the classes by their ids.
    """
    positions: dict[Id | None, int]
    positions = {key: i for i, key in enumerate(ids(images, "id"))}
    if len(positions) < len(images) or None in positions:
        return None
    sizes = [_numbers(image.get(side) for image in images) for side in _SIDES]
    if any(side is None for side in sizes):
        return None
    names = [image.get("file_name") for image in images]
    places: dict[Id | None, int] = {key: i for i, key in enumerate(categories)}
    image = np.array([positions.get(i, -1) for i in ids(annotations, "image_id")], int)
    labels = np.array([places.get(i, -1) for i in ids(annotations, "category_id")], int)
    left_out = [
        bool(
            a.get("iscrowd")
            or a.get("ignore")
            or (a.get("attributes") and degrees_of(rotation_of(a)))
        )
        for a in annotations
    ]
    labels[np.array(left_out, bool)] = -1
    corners = _corners(annotations)
    with np.errstate(all="ignore"):
        corners[:, 2:] += corners[:, :2]
    known = image >= 0
    return Columns(
        # What is no text is no plain name either.
        names=[name if isinstance(name, str) else "" for name in names],
        sizes=np.stack([side for side in sizes if side is not None], axis=1),
        image=image[known],
        corners=corners[known],
        labels=labels[known],
        class_names=list(categories.values()),
    )


_SIDES = ("height", "width")


def ids(entries: Iterable[Entry], key: str) -> list[Id | None]:
    """The ids at `key`, as dict keys; None for what cannot be one."""
    values = [entry.get(key) for entry in entries]
    return values if set(map(type, values)) <= {int} else list(map(as_id, values))


def _numbers(values: Iterable[Any]) -> np.ndarray | None:
    """Numbers as an array with NaN for None; None where there is something else."""
    values = list(values)
    if not set(map(type, values)) <= {*_NUMBERS, type(None)}:
        return None
    try:
        return np.array(values, "float64")
    except OverflowError:
        return None


def _corners(annotations: list[Entry]) -> np.ndarray:
    """(M, 4) `xywh`, NaN where the annotation has no such box."""
    boxes = [annotation.get("bbox") for annotation in annotations]
    boxes = [b if type(b) is list and len(b) == 4 else _NO_BOX for b in boxes]
    if not set(map(type, itertools.chain.from_iterable(boxes))) <= _NUMBERS:
        boxes = [b if set(map(type, b)) <= _NUMBERS else _NO_BOX for b in boxes]
    numbers = itertools.chain.from_iterable(boxes)
    try:
        values = np.fromiter(numbers, "float64", 4 * len(boxes))
    except OverflowError:  # an integer beyond all floats
        values = np.full(4 * len(boxes), np.nan)
    return values.reshape(-1, 4)
