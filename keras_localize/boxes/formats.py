"""The formats of boxes: conversion, corners, area.

A box covers `[x0, x1) x [y0, y1)` in continuous coordinates. The helpers below the
public functions use operators and indexing alone, or an array namespace `xp`: one text
serves tensors, symbolic tensors, host arrays and `tf.data`.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias, cast, get_args

from keras import KerasTensor, backend, ops

from keras_localize.boxes.array_namespace import ArrayNamespace, TensorNamespace
from keras_localize.boxes.image_size import sides
from keras_localize.boxes.tf_data import check_rank, in_foreign_graph, namespace_of
from keras_localize.checks import check_choice
from keras_localize.types import ArrayLike, BoundingBoxFormat, ImageSize, Tensor

FORMATS: tuple[BoundingBoxFormat, ...] = get_args(BoundingBoxFormat)


def convert(
    boxes: ArrayLike,
    source: BoundingBoxFormat,
    target: BoundingBoxFormat,
    image_size: ImageSize | None = None,
) -> Tensor:
    """Converts boxes from one format to another.

    Args:
        boxes: tensor of shape `(..., 4)`, any rank.
        source: format of `boxes`: `"xyxy"`, `"yxyx"`, `"xywh"`, `"center_xywh"`,
            `"center_yxhw"` in pixels, or `"rel_xyxy"`, `"rel_yxyx"`, `"rel_xywh"`,
            `"rel_center_xywh"` in fractions of the image's sides.
        target: format to convert to, one of the same.
        image_size: `(height, width)` of the image in pixels, needed only between
            pixels and fractions: a pair, or a tensor `(B, 2)` whose leading axes
            match those of `boxes` from the left.

    Returns:
        Tensor of the shape of `boxes`, float64 if `boxes` is, else float32. NaN stays
        NaN, here and in every function of `boxes`.

    Raises:
        ValueError: for an unknown format, a last axis that is not 4, or a missing
            or malformed `image_size`.

    Example:

    >>> from keras_localize import boxes
    >>> box = boxes.convert([10, 20, 30, 60], "xyxy", "rel_xywh", image_size=(160, 80))
    >>> np.asarray(box).tolist()
    [0.125, 0.125, 0.25, 0.25]
    """
    check_format(source, "source")
    check_format(target, "target")
    tensor = as_boxes(boxes)
    if source == target:
        return tensor
    corners = to_corners(tensor, source)
    if is_relative(source) and not is_relative(target):
        height, width = sides(image_size, tensor)
        corners = to_pixels(corners, height, width)
    elif is_relative(target) and not is_relative(source):
        height, width = sides(image_size, tensor)
        corners = to_fractions(corners, height, width)
    return from_corners(namespace_of(tensor), corners, target)


def area(
    boxes: ArrayLike, bounding_box_format: BoundingBoxFormat = "rel_xyxy"
) -> Tensor:
    """Area of each box, in the square of the format's unit.

    Args:
        boxes: tensor of shape `(..., 4)`, any rank.
        bounding_box_format: format of `boxes`; see `convert`.

    Returns:
        Tensor of shape `(...)`, float64 if `boxes` is, else float32. A box whose
        corners are inverted is empty: 0.

    Raises:
        ValueError: for an unknown format or a last axis that is not 4.

    Example:

    >>> from keras_localize import boxes
    >>> np.asarray(boxes.area([[0, 0, 4, 3], [4, 0, 0, 3]], "xyxy")).tolist()
    [12.0, 0.0]
    """
    check_format(bounding_box_format)
    tensor = as_boxes(boxes)
    xp = namespace_of(tensor)
    x0, y0, x1, y1 = to_corners(tensor, bounding_box_format)
    return at_least_0(xp, x1 - x0) * at_least_0(xp, y1 - y0)


# --- for the rest of the package ---


def at_least_0(xp: TensorNamespace, x: Tensor) -> Tensor:
    """`maximum(x, 0)`; on torch Keras's own makes float32 of float64."""
    return xp.where(x <= 0, xp.zeros_like(x), x)


# (x0, y0, x1, y1), each of shape (...)
Corners: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]


def check_format(
    bounding_box_format: Any, argument: str = "bounding_box_format"
) -> None:
    """Raises the ValueError that names `argument` unless the format is known."""
    check_choice(bounding_box_format, FORMATS, argument)


def is_relative(bounding_box_format: str) -> bool:
    """Whether the unit is a fraction of the image's sides, not a pixel."""
    return bounding_box_format.startswith("rel_")


def as_boxes(boxes: ArrayLike, argument: str = "boxes") -> Tensor:
    """`boxes` as a float tensor of shape (..., 4): float64 stays, else float32.

    In `tf.data` it is one of TensorFlow on every backend.
    """
    tensor = cast(Any, boxes)  # annotated, it would stop AutoGraph
    if not isinstance(boxes, KerasTensor) and not in_foreign_graph(tensor):
        try:
            tensor = ops.convert_to_tensor(boxes)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`{argument}` must be a numeric array of shape (..., 4). "
                f"Received: {boxes!r}"
            ) from error
    check_rank(tensor, argument)
    if len(tensor.shape) == 0 or tensor.shape[-1] != 4:
        raise ValueError(
            f"`{argument}` must have 4 coordinates on its last axis, shape (..., 4). "
            f"Received shape: {tuple(tensor.shape)}"
        )
    dtype = backend.standardize_dtype(tensor.dtype)
    if dtype in ("float32", "float64"):
        return tensor
    return namespace_of(tensor).cast(tensor, "float32")


def to_corners(boxes: Tensor, bounding_box_format: BoundingBoxFormat) -> Corners:
    """The coordinates (x0, y0, x1, y1), each of shape (...), unit unchanged."""
    return as_corners((boxes[..., i] for i in range(4)), bounding_box_format)


def as_corners(
    coordinates: Iterable[Tensor], bounding_box_format: BoundingBoxFormat
) -> Corners:
    """A box's four coordinates as (x0, y0, x1, y1), unit unchanged."""
    a, b, c, d = coordinates
    layout = bounding_box_format.removeprefix("rel_")
    if layout == "xyxy":
        return a, b, c, d
    if layout == "yxyx":
        return b, a, d, c
    if layout == "xywh":
        return a, b, a + c, b + d
    if layout == "center_yxhw":
        a, b, c, d = b, a, d, c
    return a - c / 2, b - d / 2, a + c / 2, b + d / 2


def from_corners(
    xp: ArrayNamespace, corners: Corners, bounding_box_format: BoundingBoxFormat
) -> Tensor:
    """Inverse of `to_corners`."""
    x0, y0, x1, y1 = corners
    layout = bounding_box_format.removeprefix("rel_")
    if layout == "xyxy":
        coordinates = (x0, y0, x1, y1)
    elif layout == "yxyx":
        coordinates = (y0, x0, y1, x1)
    elif layout == "xywh":
        coordinates = (x0, y0, x1 - x0, y1 - y0)
    else:
        x, y, width, height = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
        coordinates = (x, y, width, height)
        if layout == "center_yxhw":
            coordinates = (y, x, height, width)
    return xp.stack(coordinates, axis=-1)


def to_pixels(corners: Corners, height: Any, width: Any) -> Corners:
    """Corners in fractions of the sides to corners in pixels."""
    x0, y0, x1, y1 = corners
    return x0 * width, y0 * height, x1 * width, y1 * height


def to_fractions(corners: Corners, height: Any, width: Any) -> Corners:
    """Corners in pixels to corners in fractions of the sides."""
    x0, y0, x1, y1 = corners
    return x0 / width, y0 / height, x1 / width, y1 / height
