"""Images at their full size."""

import numpy as np

from keras_localize.images.opening import opened
from keras_localize.images.orientation import pixel_orientation, turn_pixels
from keras_localize.images.pixels import to_rgb
from keras_localize.types import ImageSource


def load(source: ImageSource) -> np.ndarray:
    """Decodes an image to upright RGB.

    Only the first frame of an animation is taken. Transparent pixels lie on black.
    16-bit values are scaled to 8 bits.

    Args:
        source: one of

            - the path of a JPEG, PNG, GIF, BMP, WebP, TIFF, PPM, AVIF or HEIC file.
              AVIF needs Pillow 11.3, HEIC the extra `heif`.
            - such a file's content: `bytes`, `bytearray` or `memoryview`.
            - such a file, open for reading bytes, or a `BytesIO`. It is read from its
              start, stays open and keeps its position. One that cannot be rewound
              (a pipe, a response) is read once, from where it stands.
            - a `PIL.Image.Image`, in its present frame. One that comes from
              `Image.open` is turned upright. One that was made from another (by
              `rotate`, `convert`, `copy`, ...) still carries the EXIF of the first,
              whatever was done to its pixels: it is taken as it is, with a
              `UserWarning` where its orientation is not 1.
            - a `Region` of one of these.
            - an array or tensor of shape (H, W, 3), (H, W, 1), (H, W, 4) or (H, W):
              integers or floats in [0, 255], uint16 in [0, 65535]. Values a little
              beyond are clipped. Floats that all lie in [0, 1] or [-1, 1], or by at
              most 0.25 beyond, as after a resampling, are refused, unless all are
              equal; so are other ranges that cannot be those of an image (the least
              value below minus a quarter of the greatest, or the greatest above 510),
              and booleans.

    Returns:
        uint8 array of shape (height, width, 3), turned upright by its EXIF
        orientation.

    Raises:
        ImageError: a ValueError that names the image and says what is wrong:
            missing, not an image, damaged, too large
            (`PIL.Image.MAX_IMAGE_PIXELS`), a format that is not installed, a pixel
            format or range of values that is not known.

    Example:

    >>> from PIL import Image
    >>> from keras_localize import images
    >>> Image.new("RGB", (60, 40), "red").save("red.png")
    >>> pixels = images.load("red.png")
    >>> pixels.shape, pixels[0, 0].tolist()
    ((40, 60, 3), [255, 0, 0])
    """
    with opened(source) as image:
        orientation = pixel_orientation(image)
        upright = turn_pixels(np.array(to_rgb(image, source)), orientation)
        return np.ascontiguousarray(upright)
