"""The padded square: where an image lies in it, and how boxes move in and out.

Only `fit` computes the square's scale and offset. Pixels (`PadToSquare`, the images
of the datasets) and boxes (the functions below) both use it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_localize.boxes.array_namespace import ArrayNamespace
from keras_localize.boxes.formats import as_boxes, check_format, is_relative
from keras_localize.boxes.image_size import sides
from keras_localize.boxes.tf_data import namespace_of
from keras_localize.checks import check_positive_int
from keras_localize.types import ArrayLike, BoundingBoxFormat, ImageSize, Tensor


def to_square(
    boxes: ArrayLike,
    image_size: ImageSize,
    size: int | None = None,
    bounding_box_format: BoundingBoxFormat = "xyxy",
) -> Tensor:
    """Moves boxes from an image to its padded square.

    The square is the one of `PadToSquare`: the image is scaled so that its longer
    side becomes `size` pixels, and centred, all in whole pixels. The box goes exactly
    where the pixels go: along x by `columns / width`, along y by `rows / height`.

    Args:
        boxes: tensor of shape `(..., 4)`, any rank, in the image's coordinates.
        image_size: `(height, width)` of the image in pixels: a pair, or an integer
            tensor `(B, 2)` whose leading axes match those of `boxes` from the left.
        size: side of the square in pixels; `None`: the longer side of the image, so
            that nothing is scaled.
        bounding_box_format: format of the boxes; see `convert`. A relative format is
            relative to the image on the way in and to the square on the way out.

    Returns:
        Tensor of the shape and format of `boxes`, float64 if `boxes` is, else
        float32. NaN and infinity stay what they are.

    Raises:
        ValueError: for an unknown format, a last axis that is not 4, a missing or
            malformed `image_size`, or a `size` below 1.

    Example:

    >>> from keras_localize import boxes
    >>> box = boxes.to_square([0, 0, 400, 200], image_size=(200, 400), size=100)
    >>> np.asarray(box).tolist()
    [0.0, 25.0, 100.0, 75.0]
    """
    return _move(boxes, image_size, size, bounding_box_format, inverse=False)


def from_square(
    boxes: ArrayLike,
    image_size: ImageSize,
    size: int | None = None,
    bounding_box_format: BoundingBoxFormat = "xyxy",
) -> Tensor:
    """Moves boxes from a padded square back to the original image.

    The inverse of `to_square`, with the same arguments. In float32 a box of an image
    of 10,000 pixels comes back to within 1e-3 pixel.

    Args:
        boxes: tensor of shape `(..., 4)`, any rank, in the square's coordinates.
        image_size: `(height, width)` of the original image in pixels; see
            `to_square`.
        size: side of the square in pixels; `None`: the longer side of the image.
        bounding_box_format: format of the boxes. A relative format is relative to the
            square on the way in and to the image on the way out.

    Returns:
        Tensor of the shape and format of `boxes`, float64 if `boxes` is, else
        float32. Nothing is clipped: see `clip`.

    Raises:
        ValueError: as `to_square`.

    Example:

    >>> from keras_localize import boxes
    >>> box = boxes.from_square([0, 25, 100, 75], image_size=(200, 400), size=100)
    >>> np.asarray(box).tolist()
    [0.0, 0.0, 400.0, 200.0]
    """
    return _move(boxes, image_size, size, bounding_box_format, inverse=True)


# --- for the rest of the package ---


class Fit(NamedTuple):
    """Where an image lies in its square, all integers, in pixels.

    `height` x `width` pixels of the image become `rows` x `columns` pixels, put at
    (`top`, `left`) of a square of side `size`.
    """

    height: Any
    width: Any
    size: Any
    rows: Any
    columns: Any
    top: Any
    left: Any


def fit(
    height: Any,
    width: Any,
    size: int | None = None,
    maximum: Callable[[Any, Any], Any] = max,
) -> Fit:
    """Centres an image in a square, in whole pixels.

    The arithmetic is in integers, so that Python, every backend and `tf.data` round
    alike. An image of 3000 x 1 keeps at least one pixel. Because `rows` and `columns`
    are rounded, the true scale differs per axis: `rows / height` and
    `columns / width`. Boxes must use these and never the nominal `size / longer`.

    Args:
        height: the image's height: int or integer tensor.
        width: the image's width.
        size: side of the square; `None`: the longer side of the image.
        maximum: `max` for ints, the backend's `maximum` for tensors.
    """
    longer = maximum(height, width)
    if size is None:
        side, rows, columns = longer, height, width
    else:
        side = size
        rows = maximum((2 * height * size + longer) // (2 * longer), 1)
        columns = maximum((2 * width * size + longer) // (2 * longer), 1)
    top = (side - rows) // 2
    left = (side - columns) // 2
    return Fit(height, width, side, rows, columns, top, left)


def move(
    xp: ArrayNamespace,
    boxes: Tensor,
    fit: Fit,
    bounding_box_format: BoundingBoxFormat,
    inverse: bool = False,
) -> Tensor:
    """Moves boxes (..., 4) of any format into the square, or, `inverse`, out of it.

    `fit` holds ints or integer tensors. Each coordinate is mapped in its own format:
    positions relative to the centre, extents by the scale alone. Corners and pixels
    would be a detour with larger numbers, and float32 would lose fractions of a pixel.
    """
    letters = bounding_box_format.removeprefix("rel_").removeprefix("center_")
    image, scaled, image_at, scaled_at, corner_at = _rows(xp, fit, boxes.dtype, letters)

    def constant(row: Any) -> Any:
        return xp.array(row, dtype=boxes.dtype) if isinstance(row, np.ndarray) else row

    if is_relative(bounding_box_format):
        # A coordinate in fractions of a side moves little. The small difference is
        # computed and added, because its rounding error is small too.
        square = fit.size
        if not isinstance(square, int):
            square = xp.array(square, dtype=boxes.dtype)[..., None]
        # Widths and heights have no origin.
        origin = np.array([letter in "xy" for letter in letters], "float32")
        middle = constant(0.5 * origin)
        origin = origin if isinstance(corner_at, np.ndarray) else constant(origin)
        shift = constant((2 * corner_at + scaled_at - square * origin) / (2 * square))
        if inverse:
            growth = constant((square - scaled) / scaled)
            return boxes + ((boxes - middle - shift) * growth - shift)
        growth = constant((scaled - square) / square)
        return boxes + ((boxes - middle) * growth + shift)
    scale = constant(scaled / image)
    middle = constant(image_at / 2)
    centre = constant(corner_at + scaled_at / 2)
    if inverse:
        return (boxes - centre) / scale + middle
    return (boxes - middle) * scale + centre


def _rows(
    xp: ArrayNamespace, fit: Fit, dtype: Any, letters: str
) -> tuple[Any, Any, Any, Any, Any]:
    """The five numbers that move each coordinate: (4,) or (..., 4), ints as float64.

    The sides of the image and of its scaled copy; then, for positions alone and 0 for
    widths and heights, the same two and the corner of the copy.
    """
    across: dict[str, Any] = {"x": (fit.width, fit.columns, fit.left)}
    across["y"] = (fit.height, fit.rows, fit.top)
    across.update(w=across["x"], h=across["y"])
    rows: Any = list(zip(*(across[letter] for letter in letters)))
    if "w" in letters:
        rows += [
            tuple(value if letter in "xy" else 0 for letter, value in zip(letters, row))
            for row in rows
        ]
    if all(isinstance(value, int) for row in rows for value in row):
        rows = np.array(rows, "float64")
    else:
        # One stack and one cast for all: in `tf.data` every operation counts.
        values = [value for row in rows for value in row]
        values = [v + 0 * fit.rows if isinstance(v, int) else v for v in values]
        stacked = xp.array(xp.stack(values, axis=-1), dtype=dtype)
        rows = [stacked[..., i : i + 4] for i in range(0, len(values), 4)]
    return rows[0], rows[1], rows[-3], rows[-2], rows[-1]


def check_size(size: Any) -> int | None:
    """`size` as None or an int, or the ValueError unless it is positive."""
    return None if size is None else check_positive_int(size, "size")


def _move(
    boxes: ArrayLike,
    image_size: ImageSize,
    size: int | None,
    bounding_box_format: BoundingBoxFormat,
    inverse: bool,
) -> Tensor:
    check_format(bounding_box_format)
    check_size(size)
    tensor = as_boxes(boxes)
    height, width = sides(image_size, tensor, dtype="int32")
    xp = namespace_of(tensor)
    maximum: Any = max if isinstance(height, int) else xp.maximum
    place = fit(height, width, size, maximum)
    return move(xp, tensor, place, bounding_box_format, inverse)
