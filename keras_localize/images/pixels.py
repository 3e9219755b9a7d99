"""From an opened PIL image of any mode to RGB."""

import numpy as np
from PIL import Image

from keras_localize.images.arrays import eight_bits
from keras_localize.images.errors import ImageError
from keras_localize.types import ImageSource


def to_rgb(image: Image.Image, source: ImageSource) -> Image.Image:
    """Decodes an opened image to mode "RGB". Transparent pixels lie on black.

    Args:
        image: the opened image.
        source: what it was opened from; an error names it.

    Raises:
        ImageError: for a mode whose range of values is not known.
    """
    mode = image.mode
    transparent = "transparency" in image.info
    if mode == "RGB" and not transparent:
        image.load()
        return image
    if mode == "I" or mode.startswith("I;16"):
        return Image.fromarray(eight_bits(np.asarray(image))).convert("RGB")
    if mode in ("F", "LAB"):
        raise ImageError(source, "unknown pixel format", f"mode {mode}")
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or transparent:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image).convert("RGB")
    return image.convert("RGB")


def reduce_decoding(
    image: Image.Image, size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Asks a JPEG for the smallest decode not below `size`, (width, height).

    Returns:
        (0, 0, width, height) of the whole image in pixels of the decode, exact in
        fractions: half of 375 rows are 187.5 rows, not 188.
    """
    drafted = None
    if image.format in ("JPEG", "MPO"):
        drafted = image.draft(None, size)
    return (0, 0, *image.size) if drafted is None else drafted[1]
