"""EXIF orientation: how stored pixels become upright ones.

The orientation is a number from 1 to 8. 1 is upright, 2 to 4 are flipped or upside
down, and 5 to 8 are transposed: stored rows are upright columns. Cameras store what
their sensor sees and write down how they were held.
"""

import contextlib
from collections.abc import Callable
from typing import cast

import numpy as np
from PIL import ExifTags, Image

# Orientation -> what turns the stored pixels (rows, columns, ...) upright.
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
_INVERSE = {6: 8, 8: 6}  # the others undo themselves


def turn_box(
    corners: tuple[float, float, float, float],
    height: float,
    width: float,
    orientation: int,
) -> tuple[float, float, float, float]:
    """Moves a box from the stored pixels of an image to its upright ones.

    Args:
        corners: (x0, y0, x1, y1) in stored pixels.
        height: the stored height in pixels. With `height=1, width=1` the corners are
            fractions of the image.
        width: the stored width.
        orientation: the EXIF orientation; a number that is not in 1 to 8 turns
            nothing.

    Returns:
        (x0, y0, x1, y1) in pixels of the upright image.

    Example:

    >>> from keras_localize.images import turn_box
    >>> turn_box((0, 0, 10, 5), height=40, width=60, orientation=6)
    (35, 0, 40, 10)
    """
    x0, y0, x1, y1 = corners
    if orientation in (2, 3, 7, 8):
        x0, x1 = width - x1, width - x0
    if orientation in (3, 4, 6, 7):
        y0, y1 = height - y1, height - y0
    if is_transposed(orientation):
        x0, y0, x1, y1 = y0, x0, y1, x1
    return x0, y0, x1, y1


def turn_pixels(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """A view of stored pixels (rows, columns, ...), turned upright."""
    turn = _TURNS.get(orientation)
    return pixels if turn is None else turn(pixels)


def is_transposed(orientation: int) -> bool:
    """Whether stored rows are upright columns."""
    return orientation in (5, 6, 7, 8)


def upright_size(height: int, width: int, orientation: int) -> tuple[int, int]:
    """(height, width) of the upright image from those of its stored pixels.

    It is its own inverse: upright sizes become stored ones.
    """
    return (width, height) if is_transposed(orientation) else (height, width)


def inverse(orientation: int) -> int:
    """The orientation that turns upright pixels back into stored ones."""
    return _INVERSE.get(orientation, orientation)


# --- orientation of a PIL image ---


def orientation_tag(image: Image.Image) -> int:
    """The EXIF orientation of a PIL image, 1 where it has none or a damaged one."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) else 1


def set_orientation_tag(image: Image.Image, orientation: int) -> None:
    """Sets what `orientation_tag` says of a PIL image."""
    # Pillow asks a damaged EXIF once and gives an empty one afterwards.
    with contextlib.suppress(Exception):
        image.getexif()
    image.getexif()[ExifTags.Base.Orientation] = orientation


def stored_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) of the stored pixels of an image that is not yet decoded."""
    # Of a TIFF file Pillow gives one size or the other, depending on its version.
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return image.height, image.width
    return cast(int, tags[257]), cast(int, tags[256])


def pixel_orientation(image: Image.Image) -> int:
    """The orientation of an image's pixels as decoding gives them.

    Pillow turns TIFF files upright while it decodes them. They are decoded here, so
    that `image` tells its true size and what is left to turn.
    """
    if image.format == "TIFF":
        image.load()
    return orientation_tag(image)
