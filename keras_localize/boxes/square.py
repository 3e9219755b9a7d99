"""The square: where a picture lies in it, and how boxes move in and out.

This is the only place that knows the square's scale and offset. Pixels
(`PadToSquare`, the datasets) and boxes (the functions below) both ask `fit`.
"""

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_localize.boxes.formats import (
    as_boxes,
    check_format,
    is_relative,
    sides,
)


def to_square(boxes, image_size, size=None, bounding_box_format="xyxy"):
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
        float32. A coordinate that is not finite stays so.

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


def from_square(boxes, image_size, size=None, bounding_box_format="xyxy"):
    """Moves boxes from a padded square back to the original image.

    The exact inverse of `to_square`, with the same arguments: float32 brings a box of
    a picture of 10,000 pixels back to within 1e-3 pixel.

    Args:
        boxes: tensor of shape `(..., 4)`, any rank, in the square's coordinates.
        image_size: `(height, width)` of the original image in pixels; see
            `to_square`.
        size: side of the square in pixels; `None`: the longer side of the image.
        bounding_box_format: format of the boxes. A relative format is relative to the
            square on the way in and to the image on the way out.

    Returns:
        Tensor of the shape and format of `boxes`. Nothing is clipped: see `clip`.

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
    """A picture's place in its square, all integers, in pixels.

    `height` x `width` pixels of the picture become `rows` x `columns` pixels, put
    at (`top`, `left`) of a square of side `size`.
    """

    height: Any
    width: Any
    size: Any
    rows: Any
    columns: Any
    top: Any
    left: Any


def fit(height, width, size=None, maximum=max):
    """Centres a picture in a square, in whole pixels.

    The arithmetic is in integers, so that Python, every backend and `tf.data` round
    alike, and a picture of 3000 x 1 keeps at least one pixel. Because `rows` and
    `columns` are rounded, the true scale differs per axis: `rows / height` and
    `columns / width`. Boxes must use these and never the nominal `size / longer`.

    Args:
        height: the picture's height: int or integer tensor.
        width: the picture's width.
        size: side of the square; `None`: the longer side of the picture.
        maximum: `max` for ints, the backend's `maximum` for tensors.
    """
    longer = maximum(height, width)
    if size is None:
        size, rows, columns = longer, height, width
    else:
        rows = maximum((2 * height * size + longer) // (2 * longer), 1)
        columns = maximum((2 * width * size + longer) // (2 * longer), 1)
    top = (size - rows) // 2
    left = (size - columns) // 2
    return Fit(height, width, size, rows, columns, top, left)


def move(xp, boxes, fit, bounding_box_format, inverse=False):
    """Boxes (..., 4) of any format into the square, or, `inverse`, back out of it.

    `xp` is `numpy` with a fit of ints, or a backend's namespace with a fit of ints or
    of integer tensors. Each coordinate is mapped as it stands, positions about a
    centre and extents by the scale alone: no detour by corners or pixels, and half the
    magnitude, keep float32 exact to a fraction of a pixel.
    """
    letters = bounding_box_format.removeprefix("rel_").removeprefix("center_")
    picture, scaled, picture_at, scaled_at, corner_at = _rows(
        xp, fit, boxes.dtype, letters
    )

    def constant(row):
        return xp.array(row, boxes.dtype) if isinstance(row, np.ndarray) else row

    if is_relative(bounding_box_format):
        # In fractions of a side a coordinate moves little or not at all: what is added
        # to it is small, and so are its rounding errors.
        square = fit.size
        if not isinstance(square, int):
            square = xp.cast(square, boxes.dtype)[..., None]
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
    scale = constant(scaled / picture)
    middle = constant(picture_at / 2)
    centre = constant(corner_at + scaled_at / 2)
    if inverse:
        return (boxes - centre) / scale + middle
    return (boxes - middle) * scale + centre


def _rows(xp, fit, dtype, letters):
    """What each coordinate moves by, (4,) or (..., 4) each, for ints in float64.

    Sides of the picture and of its scaled copy; the same two and the copy's corner for
    positions, with 0 for widths and heights.
    """
    across = {"x": (fit.width, fit.columns, fit.left)}
    across["y"] = (fit.height, fit.rows, fit.top)
    across.update(w=across["x"], h=across["y"])
    rows = list(zip(*(across[letter] for letter in letters)))
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
        stacked = xp.cast(xp.stack(values, axis=-1), dtype)
        rows = [stacked[..., i : i + 4] for i in range(0, len(values), 4)]
    return *rows[:2], *rows[-3:]


def check_size(size):
    """Raises the ValueError unless `size` is None or an int of at least 1."""
    whole = hasattr(size, "__index__") and not isinstance(size, bool)
    if size is not None and (not whole or size < 1):
        raise ValueError(
            "`size` must be the square's side in pixels, an int of at least 1, or "
            f"None. Received: size={size!r}"
        )


def _move(boxes, image_size, size, bounding_box_format, inverse):
    check_format(bounding_box_format)
    check_size(size)
    boxes = as_boxes(boxes)
    height, width = sides(ops, image_size, boxes, dtype="int32")
    maximum = max if isinstance(height, int) else ops.maximum
    place = fit(height, width, size, maximum)
    return move(ops, boxes, place, bounding_box_format, inverse)
