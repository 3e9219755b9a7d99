"""Images in a square of any size, whole and undistorted.

The datasets and `Localizer.localize` both come here, so training and use see the same
pixels for the same file.
"""

import numpy as np
from PIL import Image

from keras_localize.boxes.square import fit
from keras_localize.checks import check_positive_int
from keras_localize.images import fast_jpeg
from keras_localize.images.opening import opened
from keras_localize.images.orientation import (
    pixel_orientation,
    turn_pixels,
    upright_size,
)
from keras_localize.images.pixels import reduce_decoding, to_rgb
from keras_localize.types import ImageSource


def letterbox(
    source: ImageSource, size: int, out: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[int, int]]:
    """Decodes an image, scales it to fit a square of side `size`, and centers it.

    The rest of the square is black. The geometry is that of `PadToSquare` and of
    `boxes.to_square`. The resampling is antialiased bilinear. A JPEG that is much
    larger than the square is decoded at a half, a quarter or an eighth of its size,
    which is faster and moves no box.

    Args:
        source: as in `load`.
        size: side of the square in pixels.
        out: uint8 array of shape (size, size, 3), black, into which the image is
            put. None: a new one.

    Returns:
        The pair (square, (height, width)): a uint8 array of shape (size, size, 3),
        and the size of the upright image in pixels.

    Raises:
        ImageError: as `load`.
        ValueError: for a `size` that is no positive integer, or an `out` of another
            shape or dtype.

    Example:

    >>> from keras_localize import images
    >>> square, size = images.letterbox(np.full((40, 80, 3), 255, "uint8"), 8)
    >>> size
    (40, 80)
    >>> square[:, 0, 0].tolist()
    [0, 0, 255, 255, 255, 255, 0, 0]
    """
    size = check_positive_int(size, "size")
    square = np.zeros((size, size, 3), "uint8") if out is None else out
    if square.shape != (size, size, 3) or square.dtype != np.uint8:
        raise ValueError(
            f"`out` must be a uint8 array of shape {(size, size, 3)}. Received "
            f"shape: {square.shape}, dtype: {square.dtype}"
        )
    with opened(source) as image:
        orientation = pixel_orientation(image)
        height, width = upright_size(image.height, image.width, orientation)
        place = fit(height, width, size)
        rows, columns = upright_size(place.rows, place.columns, orientation)
        pixels = fast_jpeg.scaled(image, (columns, rows))
        if pixels is None:
            pixels = _scaled(image, (columns, rows), source)
    bottom, right = place.top + place.rows, place.left + place.columns
    square[place.top : bottom, place.left : right] = turn_pixels(pixels, orientation)
    return square, (height, width)


def _scaled(
    image: Image.Image, size: tuple[int, int], source: ImageSource
) -> np.ndarray:
    """Pixels of an opened image, scaled to `size`, (width, height), by Pillow."""
    extent = reduce_decoding(image, size)
    bilinear = Image.Resampling.BILINEAR
    rgb = to_rgb(image, source)
    return np.asarray(rgb.resize(size, bilinear, extent, reducing_gap=3.0))
