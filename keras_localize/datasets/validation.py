"""Arguments of a dataset to arrays of one form, or an error that names the record."""

from collections import Counter
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import numpy as np

from keras_localize.datasets.decisions import same_shape
from keras_localize.images import ImageError, inspect
from keras_localize.types import ArrayLike, Region


def as_images(images: Iterable[Any]) -> list[str | np.ndarray | Region]:
    """Paths as strings; arrays and regions as they are."""
    return [
        # To ask for PathLike is slow.
        image
        if isinstance(image, str) or not isinstance(image, PathLike)
        else str(image)
        for image in images
    ]


def as_names(names: Iterable[Any] | None, images: Sequence[Any]) -> list[str]:
    """One name per image, by default its path or its number."""
    if names is None:
        names = (
            image if isinstance(image, str) else f"{i:08d}"
            for i, image in enumerate(images)
        )
    given = [str(name) for name in names]
    repeated = []
    if not all_different(given):
        repeated = [name for name, n in Counter(given).items() if n > 1]
    if len(given) != len(images) or repeated:
        raise ValueError(
            f"`names` must be {len(images)} different names. "
            f"Received: {len(given)}, repeated: {repeated[:3]}"
        )
    return given


def as_presence(presence: ArrayLike | None, count: int) -> np.ndarray:
    """float32 (N,) of 1 and 0, by default all 1."""
    values = np.ones(count) if presence is None else np.asarray(presence)
    if values.shape != (count,) or not np.isin(values, (0, 1)).all():
        raise ValueError(
            f"`presence` must be {count} values 0 or 1, one per image. "
            f"Received: {np.array2string(values, threshold=10)} "
            f"of shape {values.shape}"
        )
    return values.astype("float32")


def as_labels(
    labels: ArrayLike, presence: np.ndarray, classes: int, names: Sequence[str]
) -> np.ndarray:
    """int32 (N,) in [0, classes); -1 where the image holds no object."""
    ids = np.asarray(labels)
    count = len(presence)
    if ids.shape != (count,) or (count and ids.dtype.kind not in "iu"):
        raise ValueError(
            f"`labels` must be {count} integers, one per image. "
            f"Received shape: {ids.shape}, dtype: {ids.dtype}"
        )
    absent = presence == 0
    outside = np.flatnonzero(((ids < 0) | (ids >= classes)) & ~absent)
    if outside.size:
        raise ValueError(
            f"`labels` must lie in [0, {classes}), one per class name; -1 is for "
            f"images of `presence` 0 alone. "
            f"Received: {ids[outside[0]]} for {names[outside[0]]}"
        )
    labeled = np.flatnonzero(absent & (ids != -1))
    if labeled.size:
        raise ValueError(
            "`labels` must be -1 where `presence` is 0. "
            f"Received: {ids[labeled[0]]} for {names[labeled[0]]}"
        )
    return ids.astype("int32")


def as_weights(
    weights: ArrayLike | None, presence: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """float32 (N,), finite and not negative, by default 1; 0 where no object is."""
    count = len(presence)
    values = presence if weights is None else np.asarray(weights, "float64")
    if values.shape != (count,) or not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(
            f"`weights` must be {count} finite numbers >= 0, one per image. "
            f"Received shape: {values.shape}"
        )
    weighted = np.flatnonzero((presence == 0) & (values > 0))
    if weighted.size:
        raise ValueError(
            "`weights` must be 0 where `presence` is 0. "
            f"Received: {values[weighted[0]]} for {names[weighted[0]]}"
        )
    return values.astype("float32")


def as_boxes(boxes: ArrayLike, weights: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """float32 (N, 4), valid `rel_xyxy` within the image; zeros where the weight is."""
    corners = np.array(boxes, "float32")
    if not len(weights):
        corners = corners.reshape(0, 4)
    if corners.shape != (len(weights), 4):
        raise ValueError(
            f"`boxes` must have shape ({len(weights)}, 4), one box per image. "
            f"Received shape: {corners.shape}"
        )
    corners[weights == 0] = 0
    x0, y0, x1, y1 = corners.T
    good = (np.minimum(x0, y0) >= 0) & (x0 < x1) & (y0 < y1)
    good &= np.maximum(x1, y1) <= 1
    bad = np.flatnonzero(~good & (weights > 0))
    if bad.size:
        raise ValueError(
            "`boxes` must be rel_xyxy with 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1. "
            f"Received: {corners[bad[0]].tolist()} for {names[bad[0]]}"
        )
    return corners


def as_sizes(image_sizes: ArrayLike | None, images: Sequence[Any]) -> np.ndarray:
    """int64 (N, 2), positive (height, width), by default read from the images."""
    if image_sizes is None:
        image_sizes = [inspect(image)[:2] for image in images]
    sizes = np.asarray(image_sizes, "int64").reshape(-1, 2)
    if len(sizes) != len(images) or (sizes < 1).any():
        raise ValueError(
            f"`image_sizes` must be ({len(images)}, 2), positive (height, width). "
            f"Received shape: {np.shape(image_sizes)}"
        )
    return sizes


def check_shape(image: Any, actual: Sequence[int], stated: np.ndarray) -> None:
    """Refuses an image whose stated (height, width) has another shape.

    Raises:
        ImageError: a ValueError that names the image.
    """
    if not same_shape(actual, stated.tolist()):
        raise ImageError(
            image,
            "size differs from the stated one",
            f"{actual[1]} x {actual[0]}, stated {stated[1]} x {stated[0]}",
        )


def all_different(texts: Sequence[str]) -> bool:
    """Whether no two are equal; False where that is not sure."""
    # Which take less memory than a set of the texts.
    hashes = np.fromiter(map(hash, texts), "int64", len(texts))
    hashes.sort()  # several times as fast as np.unique
    return not (hashes[1:] == hashes[:-1]).any()
