"""The fast path of a plain JPEG: simplejpeg decodes it, OpenCV scales it.

Both packages are optional: the extra `fast` installs them. The geometry is that of
the path by Pillow, and so are the pixels to about a gray level.
"""

import functools
from types import ModuleType

import numpy as np
from PIL import Image


def scaled(image: Image.Image, size: tuple[int, int]) -> np.ndarray | None:
    """Pixels of an opened image, scaled to `size` by an antialiased bilinear filter.

    Args:
        image: of which only the header has been read.
        size: (width, height) in pixels.

    Returns:
        uint8 RGB array of shape (height, width, 3), not turned by EXIF. None where
        this path does not apply: a package is missing, the image is not a file of
        plain JPEG, is damaged, or has to shrink by more than its decoder and a
        factor of 2.
    """
    found = packages()
    file = getattr(image, "fp", None)
    if (
        found is None
        or file is None
        or image.format != "JPEG"
        or image.mode not in ("RGB", "L")
    ):
        return None
    simplejpeg, cv2 = found
    # As Pillow chooses: the smallest decode that is not below the target.
    spare = min(whole // part for whole, part in zip(image.size, size))
    reduction = next(factor for factor in (8, 4, 2, 1) if factor <= max(spare, 1))
    # Exact in fractions: half of 375 rows are 187.5 rows, not 188.
    scales = [whole / reduction / part for whole, part in zip(image.size, size)]
    if max(scales) > 2:
        return None
    width, height = (-(-whole // reduction) for whole in image.size)
    file.seek(0)
    try:
        pixels = simplejpeg.decode_jpeg(
            file.read(), "RGB", min_width=width, min_height=height
        )
    except ValueError:
        return None
    if pixels.shape != (height, width, 3):
        return None
    return _resized(cv2, pixels, scales)[: size[1], : size[0]]


@functools.cache
def packages() -> tuple[ModuleType, ModuleType] | None:
    """(simplejpeg, cv2), or None where one of them is not installed."""
    try:
        import cv2
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg, cv2


def _resized(cv2: ModuleType, pixels: np.ndarray, scales: list[float]) -> np.ndarray:
    """Shrunk by the scales across and down; may have a row or column to spare.

    Antialiased bilinear weighs with a triangle as wide as the scale s: its variance is
    s^2 / 6. Plain bilinear has 1 / 6, and three taps (w, 1 - 2w, w) of variance 2w
    add what lacks.
    """
    lacking = [max(scale**2 - 1, 0) / 12 for scale in scales]
    if max(lacking) > 0:
        taps = [np.array([w, 1 - 2 * w, w], "float32") for w in lacking]
        border = cv2.BORDER_REPLICATE
        pixels = cv2.sepFilter2D(pixels, -1, *taps, borderType=border)
    # Given the scale and not the size, it keeps to fractions of a pixel.
    return cv2.resize(pixels, None, fx=1 / scales[0], fy=1 / scales[1])
