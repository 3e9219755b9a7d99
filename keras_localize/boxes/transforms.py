"""Boxes clipped at the image's border, and flipped with the image."""

from typing import Any

from keras_localize.boxes.formats import (
    as_boxes,
    at_least_0,
    check_format,
    from_corners,
    is_relative,
    to_corners,
)
from keras_localize.boxes.image_size import sides
from keras_localize.boxes.tf_data import namespace_of
from keras_localize.types import ArrayLike, BoundingBoxFormat, ImageSize, Tensor


def clip(
    boxes: ArrayLike,
    bounding_box_format: BoundingBoxFormat = "rel_xyxy",
    image_size: ImageSize | None = None,
) -> Tensor:
    """Cuts boxes off at the image's border.

    A box wholly outside becomes a box of area 0 on the border.

    Args:
        boxes: tensor of shape `(..., 4)`, any rank.
        bounding_box_format: format of `boxes`; see `convert`.
        image_size: `(height, width)` in pixels, needed for a format in pixels: a
            pair, or a tensor `(B, 2)` that matches `boxes` from the left.

    Returns:
        Tensor of the shape and format of `boxes`, float64 if `boxes` is, else float32.

    Raises:
        ValueError: as `convert`.

    Example:

    >>> from keras_localize import boxes
    >>> np.asarray(boxes.clip([-0.5, 0.25, 0.5, 1.5])).tolist()
    [0.0, 0.25, 0.5, 1.0]
    """
    check_format(bounding_box_format)
    tensor = as_boxes(boxes)
    height, width = 1, 1
    if not is_relative(bounding_box_format):
        height, width = sides(image_size, tensor)
    xp = namespace_of(tensor)
    x0, y0, x1, y1 = to_corners(tensor, bounding_box_format)

    def within(coordinate: Tensor, side: Any) -> Tensor:
        side = xp.array(side, dtype=tensor.dtype)
        # As `at_least_0`.
        return at_least_0(xp, xp.where(coordinate >= side, side, coordinate))

    corners = (
        within(x0, width),
        within(y0, height),
        within(x1, width),
        within(y1, height),
    )
    return from_corners(xp, corners, bounding_box_format)


def flip(
    boxes: ArrayLike,
    bounding_box_format: BoundingBoxFormat = "rel_xyxy",
    image_size: ImageSize | None = None,
) -> Tensor:
    """Gives the boxes of the horizontally flipped image.

    Only x changes, in the format that the boxes have: a width, a height or a y comes
    out bit for bit. An inverted box stays inverted. Flipping twice gives the box back,
    up to rounding.

    Args:
        boxes: tensor of shape `(..., 4)`, any rank.
        bounding_box_format: format of `boxes`; see `convert`.
        image_size: `(height, width)` in pixels, needed for a format in pixels: a
            pair, or a tensor `(B, 2)` whose leading axes match those of `boxes` from
            the left.

    Returns:
        Tensor of the shape and format of `boxes`, float64 if `boxes` is, else float32.

    Raises:
        ValueError: as `convert`.

    Example:

    >>> from keras_localize import boxes
    >>> np.asarray(boxes.flip([0.0, 0.25, 0.375, 1.0])).tolist()
    [0.625, 0.25, 1.0, 1.0]
    >>> box = boxes.flip([10, 20, 30, 60], "xywh", image_size=(160, 80))
    >>> np.asarray(box).tolist()
    [40.0, 20.0, 30.0, 60.0]
    """
    check_format(bounding_box_format)
    tensor = as_boxes(boxes)
    xp = namespace_of(tensor)
    width: Any = 1
    if not is_relative(bounding_box_format):
        _, width = sides(image_size, tensor)
        if not isinstance(width, int) and width.shape != tensor.shape[:-1]:
            # One row of boxes may meet several images.
            tensor = xp.add(tensor, xp.zeros_like(width)[..., None])
    a, b, c, d = (tensor[..., i] for i in range(4))
    layout = bounding_box_format.removeprefix("rel_")

    def minus(x: Tensor) -> Tensor:
        # By its operator an array of JAX refuses a symbolic tensor.
        return xp.subtract(width, x)

    if layout == "xyxy":
        coordinates = (minus(c), b, minus(a), d)
    elif layout == "yxyx":
        coordinates = (a, minus(d), c, minus(b))
    elif layout == "xywh":
        coordinates = (minus(a + c), b, c, d)
    elif layout == "center_xywh":
        coordinates = (minus(a), b, c, d)
    else:
        coordinates = (a, minus(b), c, d)
    return xp.stack(coordinates, axis=-1)
