"""The boxes of horizontally flipped images."""

from keras import ops

from keras_localize.boxes.formats import as_boxes, check_format, is_relative, sides
from keras_localize.types import ArrayLike, BoundingBoxFormat, ImageSize, Tensor


def flip(
    boxes: ArrayLike,
    bounding_box_format: BoundingBoxFormat = "rel_xyxy",
    image_size: ImageSize | None = None,
) -> Tensor:
    """Gives the boxes of the horizontally flipped image.

    Only x changes, in the format that the boxes have: a width, a height or a y comes
    out bit for bit. An inverted box stays inverted. Flipping twice gives the box back,
    up to the rounding of one subtraction.

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
    boxes = as_boxes(boxes)
    width = 1
    if not is_relative(bounding_box_format):
        _, width = sides(ops, image_size, boxes)
    a, b, c, d = (boxes[..., i] for i in range(4))
    match bounding_box_format.removeprefix("rel_"):
        case "xyxy":
            coordinates = (width - c, b, width - a, d)
        case "yxyx":
            coordinates = (a, width - d, c, width - b)
        case "xywh":
            coordinates = (width - (a + c), b, c, d)
        case "center_xywh":
            coordinates = (width - a, b, c, d)
        case "center_yxhw":
            coordinates = (a, width - b, c, d)
    return ops.stack(coordinates, axis=-1)
