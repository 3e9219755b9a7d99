"""What a box is: its formats, its corners, its area.

A box covers `[x0, x1) x [y0, y1)` in continuous coordinates. The helpers below the
public functions use operators and indexing alone, or take the array namespace `xp`
(`keras.ops`, `numpy`, or the `numpy` part of a layer's own backend): one text
serves tensors, symbolic tensors, host arrays and `tf.data`.
"""

import numpy as np
from keras import KerasTensor, backend, ops

FORMATS = (
    "xyxy",
    "yxyx",
    "xywh",
    "center_xywh",
    "center_yxhw",
    "rel_xyxy",
    "rel_yxyx",
    "rel_xywh",
    "rel_center_xywh",
)


def convert(boxes, source, target, image_size=None):
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
        Tensor of the shape of `boxes`, float64 if `boxes` is, else float32. NaN is
        data like any other, here as in all functions of boxes: it is not looked for
        and comes out as NaN.

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
    boxes = as_boxes(boxes)
    if source == target:
        return boxes
    corners = to_corners(boxes, source)
    if is_relative(source) and not is_relative(target):
        height, width = sides(ops, image_size, boxes)
        corners = to_pixels(corners, height, width)
    elif is_relative(target) and not is_relative(source):
        height, width = sides(ops, image_size, boxes)
        corners = to_fractions(corners, height, width)
    return from_corners(ops, corners, target)


def clip(boxes, bounding_box_format="rel_xyxy", image_size=None):
    """Cuts boxes off at the image's border.

    A box wholly outside becomes a box of area 0 on the border.

    Args:
        boxes: tensor of shape `(..., 4)`, any rank.
        bounding_box_format: format of `boxes`; see `convert`.
        image_size: `(height, width)` in pixels, needed for a format in pixels: a
            pair, or a tensor `(B, 2)` that matches `boxes` from the left.

    Returns:
        Tensor of the shape and format of `boxes`.

    Raises:
        ValueError: as `convert`.

    Example:

    >>> from keras_localize import boxes
    >>> np.asarray(boxes.clip([-0.5, 0.25, 0.5, 1.5])).tolist()
    [0.0, 0.25, 0.5, 1.0]
    """
    check_format(bounding_box_format)
    boxes = as_boxes(boxes)
    height, width = 1, 1
    if not is_relative(bounding_box_format):
        height, width = sides(ops, image_size, boxes)
    x0, y0, x1, y1 = to_corners(boxes, bounding_box_format)

    def within(coordinate, side):
        return ops.minimum(ops.maximum(coordinate, 0), ops.cast(side, boxes.dtype))

    corners = (
        within(x0, width),
        within(y0, height),
        within(x1, width),
        within(y1, height),
    )
    return from_corners(ops, corners, bounding_box_format)


def area(boxes, bounding_box_format="rel_xyxy"):
    """Area of each box, in the square of the format's unit.

    Args:
        boxes: tensor of shape `(..., 4)`, any rank.
        bounding_box_format: format of `boxes`; see `convert`.

    Returns:
        Tensor of shape `(...)`. A box whose corners are inverted is empty: 0.

    Raises:
        ValueError: for an unknown format or a last axis that is not 4.

    Example:

    >>> from keras_localize import boxes
    >>> np.asarray(boxes.area([[0, 0, 4, 3], [4, 0, 0, 3]], "xyxy")).tolist()
    [12.0, 0.0]
    """
    check_format(bounding_box_format)
    x0, y0, x1, y1 = to_corners(as_boxes(boxes), bounding_box_format)
    return ops.maximum(x1 - x0, 0) * ops.maximum(y1 - y0, 0)


# --- for the rest of the package ---


def check_format(bounding_box_format, argument="bounding_box_format"):
    """Raises the ValueError that names `argument` unless the format is known."""
    if bounding_box_format not in FORMATS:
        raise ValueError(
            f"`{argument}` must be one of {', '.join(FORMATS)}. "
            f"Received: {argument}={bounding_box_format!r}"
        )


def is_relative(bounding_box_format):
    """Whether the format counts in fractions of the image's sides."""
    return bounding_box_format.startswith("rel_")


def as_boxes(boxes, argument="boxes"):
    """`boxes` as a float tensor of shape (..., 4): float64 stays, else float32."""
    if not isinstance(boxes, KerasTensor):
        try:
            boxes = ops.convert_to_tensor(boxes)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`{argument}` must be a numeric array of shape (..., 4). "
                f"Received: {boxes!r}"
            ) from error
    if len(boxes.shape) == 0 or boxes.shape[-1] != 4:
        raise ValueError(
            f"`{argument}` must have 4 coordinates on its last axis, shape (..., 4). "
            f"Received shape: {tuple(boxes.shape)}"
        )
    dtype = backend.standardize_dtype(boxes.dtype)
    return boxes if dtype in ("float32", "float64") else ops.cast(boxes, "float32")


def to_corners(boxes, bounding_box_format):
    """The coordinates (x0, y0, x1, y1), each of shape (...), unit unchanged."""
    return as_corners((boxes[..., i] for i in range(4)), bounding_box_format)


def as_corners(coordinates, bounding_box_format):
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


def from_corners(xp, corners, bounding_box_format):
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


def to_pixels(corners, height, width):
    """Corners in fractions of the sides to corners in pixels."""
    x0, y0, x1, y1 = corners
    return x0 * width, y0 * height, x1 * width, y1 * height


def to_fractions(corners, height, width):
    """Corners in pixels to corners in fractions of the sides."""
    x0, y0, x1, y1 = corners
    return x0 / width, y0 / height, x1 / width, y1 / height


def sides(xp, image_size, boxes, dtype=None):
    """`image_size` as (height, width), each shaped to meet the boxes' coordinates.

    A pair of numbers comes back as Python numbers; a pair of scalar tensors as such,
    a tensor (B, 2) as two tensors (B, 1, ...), of `dtype`, by default the boxes'.
    """
    if image_size is None:
        raise ValueError(
            "`image_size` is needed: expected (height, width) in pixels. "
            "Received: image_size=None"
        )
    dtype = dtype or backend.standardize_dtype(boxes.dtype)
    if isinstance(image_size, (tuple, list)) and len(image_size) == 2:
        pair = [_number(side) for side in image_size]
        if any(side is None or isinstance(side, (str, bool)) for side in pair):
            raise _bad_image_size(image_size)
        if all(isinstance(side, (int, float)) for side in pair):
            if not all(side >= 1 and side % 1 == 0 for side in pair):
                raise _bad_image_size(image_size)
            return int(pair[0]), int(pair[1])
        if all(map(_is_scalar, pair)):
            return tuple(_tensor(xp, side, dtype) for side in pair)
    if not hasattr(image_size, "shape") or isinstance(image_size, np.ndarray):
        try:
            given = np.asarray(image_size)
        except ValueError as error:  # lists of several lengths
            raise _bad_image_size(image_size) from error
        numbers = given.dtype.kind in "iuf"
        if not numbers or not ((given >= 1) & (given % 1 == 0)).all():
            raise _bad_image_size(given.tolist())
        image_size = given
    image_size = _tensor(xp, image_size, dtype)
    *leading, last = tuple(image_size.shape) or (None,)
    matches = len(leading) < len(boxes.shape) and all(
        a == b or 1 in (a, b) or None in (a, b) for a, b in zip(leading, boxes.shape)
    )
    if last != 2 or not matches:
        raise _bad_image_size(
            f"shape {tuple(image_size.shape)} for boxes of shape {tuple(boxes.shape)}"
        )
    for _ in range(len(boxes.shape) - 1 - len(leading)):
        image_size = xp.expand_dims(image_size, -2)
    return image_size[..., 0], image_size[..., 1]


def _number(side):
    if isinstance(side, np.number) or (isinstance(side, np.ndarray) and not side.ndim):
        return side.item()
    return side


def _is_scalar(side):
    shape = getattr(side, "shape", None)
    return isinstance(side, (int, float)) or (shape is not None and len(shape) == 0)


def _tensor(xp, value, dtype):
    if isinstance(value, KerasTensor):
        return ops.cast(value, dtype)
    return xp.array(value, dtype=dtype)


def _bad_image_size(received):
    return ValueError(
        "`image_size` must be (height, width) in pixels, whole numbers of at least 1, "
        "or a tensor (..., 2) whose leading axes match those of the boxes from the "
        f"left. Received: {received}"
    )
