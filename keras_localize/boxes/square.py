"""The square: where a picture lies in it, and how boxes move in and out.

This is the only place that knows the square's scale and offset. Pixels
(`PadToSquare`, the datasets) and boxes (the functions below) both ask `fit`.
"""

from typing import Any, NamedTuple


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
        size = longer
    rows = maximum((2 * height * size + longer) // (2 * longer), 1)
    columns = maximum((2 * width * size + longer) // (2 * longer), 1)
    top = (size - rows) // 2
    left = (size - columns) // 2
    return Fit(height, width, size, rows, columns, top, left)
