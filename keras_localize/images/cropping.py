"""Square windows of an image, for crop-and-refine inference."""

import math

import numpy as np
from PIL import Image

from keras_localize.checks import check_positive_int
from keras_localize.images.opening import opened
from keras_localize.images.orientation import (
    inverse,
    pixel_orientation,
    turn_box,
    turn_pixels,
    upright_size,
)
from keras_localize.images.pixels import reduce_decoding, to_rgb
from keras_localize.types import ImageSource


def crop(
    source: ImageSource, window: tuple[float, float, float], size: int
) -> np.ndarray:
    """Decodes an image and scales a square window of it. What lies beyond is black.

    The pixels of the square lie exactly where the window puts them. One that the
    image covers only in part is black. As in `letterbox`, the resampling is
    antialiased bilinear (it reads the image just beyond the window, too), and a
    large JPEG is decoded at a reduced size where the window allows it.

    Args:
        source: as in `load`.
        window: (x0, y0, side) in pixels of the upright image, floats. It may reach
            beyond the image.
        size: side of the square in pixels.

    Returns:
        uint8 array of shape (size, size, 3).

    Raises:
        ImageError: as `load`.
        ValueError: for a `window` that is not three finite numbers with a positive
            side, or a `size` that is no positive integer.

    Example:

    >>> from keras_localize import images
    >>> image = np.arange(8, dtype="uint8").repeat(8).reshape(8, 8) * 10
    >>> images.crop(image, (2, 5, 4), 4)[..., 0].tolist()
    [[50, 50, 50, 50], [60, 60, 60, 60], [70, 70, 70, 70], [0, 0, 0, 0]]
    """
    size = check_positive_int(size, "size")
    x0, y0, side = _checked(window)
    step = side / size
    square = np.zeros((size, size, 3), "uint8")
    with opened(source) as image:
        orientation = pixel_orientation(image)
        width, height = image.size
        upright = upright_size(height, width, orientation)
        corners = (x0, y0, x0 + side, y0 + side)
        x0, y0, *_ = turn_box(corners, *upright, inverse(orientation))
        left, right, *across = _covered(x0, step, width, size)
        top, bottom, *down = _covered(y0, step, height, size)
        if left == right or top == bottom:
            return square
        wanted = math.ceil(width / step), math.ceil(height / step)
        *_, columns, rows = reduce_decoding(image, wanted)
        across = [x * columns / width for x in across]
        down = [y * rows / height for y in down]
        square[top:bottom, left:right] = to_rgb(image, source).resize(
            (right - left, bottom - top),
            Image.Resampling.BILINEAR,
            (across[0], down[0], across[1], down[1]),
        )
    return turn_pixels(square, orientation)


def _checked(window: tuple[float, float, float]) -> tuple[float, float, float]:
    try:
        x0, y0, side = (float(value) for value in window)
    except (TypeError, ValueError):
        x0 = y0 = side = math.nan
    if not (math.isfinite(x0) and math.isfinite(y0) and 0 < side < math.inf):
        raise ValueError(
            "`window` must be (x0, y0, side), finite numbers with a side above 0. "
            f"Received: window={window!r}"
        )
    return x0, y0, side


def _covered(
    start: float, step: float, extent: int, size: int
) -> tuple[int, int, float, float]:
    """Which pixels of a window's axis an image covers whole, and what they show.

    Returns:
        (first, end, low, high): the pixels first to end - 1 show the image from low
        to high. An image that covers no pixel whole is shown by one, as `fit` does.
    """
    low, high = max(0.0, start), min(float(extent), start + size * step)
    if low >= high:
        return 0, 0, 0.0, 0.0
    # Rounding must not cost a pixel whose edge is the image's.
    first = math.ceil((low - start) / step - 1e-6)
    end = math.floor((high - start) / step + 1e-6)
    if first >= end:
        first = min(int(((low + high) / 2 - start) / step), size - 1)
        return first, first + 1, low, high
    return first, end, max(low, start + first * step), min(high, start + end * step)
