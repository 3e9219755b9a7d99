"""What an image's file says of itself."""

from typing import NamedTuple

from keras_localize.images.opening import opened
from keras_localize.images.orientation import (
    orientation_tag,
    stored_size,
    upright_size,
)
from keras_localize.images.pixels import reduce_decoding, to_rgb
from keras_localize.types import ImageSource


class ImageInfo(NamedTuple):
    """What an image's file says of itself; see `inspect`.

    Attributes:
        height: height of the upright image in pixels.
        width: width of the upright image in pixels.
        orientation: the EXIF orientation as found, 1 where there is none.
        format: Pillow's name of the format, such as "JPEG". "" for an array.
        mode: Pillow's name of the pixel format, such as "RGB".
    """

    height: int
    width: int
    orientation: int
    format: str
    mode: str


def inspect(source: ImageSource, decode: bool = False) -> ImageInfo:
    """Reads size, orientation and format of an image without decoding its pixels.

    Args:
        source: as in `load`.
        decode: decodes the pixels as well (at an eighth of the size where the
            format can), so that a damaged image is found now.

    Returns:
        An `ImageInfo`.

    Raises:
        ImageError: as `load`; without `decode`, damaged pixels are not noticed.

    Example:

    >>> from PIL import Image
    >>> from keras_localize import images
    >>> Image.new("RGB", (60, 40)).save("sideways.png", exif=b"II*\\0\\x08\\0\\0\\0"
    ...     b"\\x01\\0\\x12\\x01\\x03\\0\\x01\\0\\0\\0\\x06\\0\\0\\0\\0\\0\\0\\0")
    >>> images.inspect("sideways.png")
    ImageInfo(height=60, width=40, orientation=6, format='PNG', mode='RGB')
    """
    with opened(source) as image:
        # Before decoding, which may turn the pixels and forget the orientation.
        orientation = orientation_tag(image)
        height, width = upright_size(*stored_size(image), orientation)
        info = ImageInfo(height, width, orientation, image.format or "", image.mode)
        if decode:
            reduce_decoding(image, (1, 1))
            to_rgb(image, source)
        return info
