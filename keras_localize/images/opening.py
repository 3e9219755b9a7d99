"""From any source to an opened PIL image; every failure is an `ImageError`."""

import contextlib
import io
import threading
from collections.abc import Iterator
from os import PathLike
from typing import IO, Any, TypeVar

import numpy as np
from PIL import Image, ImageFile

from keras_localize.images.arrays import from_array
from keras_localize.images.errors import ImageError
from keras_localize.images.formats import FORMATS, installed_formats, missing_format
from keras_localize.images.orientation import (
    orientation_tag,
    pixel_orientation,
    set_orientation_tag,
    turn_pixels,
)
from keras_localize.images.pixels import to_rgb
from keras_localize.types import ImageSource, Region
from keras_localize.warn import warn

_Image = TypeVar("_Image", bound=Image.Image)
# One for each image, as far as they reach: images are no keys of a dict.
_LOCKS = [threading.Lock() for _ in range(64)]


@contextlib.contextmanager
def opened(source: ImageSource) -> Iterator[Image.Image]:
    """Context: `source` as a PIL image of which perhaps only the header was read.

    The image is ours: it may be decoded at a reduced size, and is closed at the end.
    What the user gave is not changed: an open file is read from its start (from where
    it stands, if it cannot be rewound), stays open and keeps its position; of a PIL
    image a copy is taken.

    A PIL image as `Image.open` gave it has the EXIF orientation of its pixels. One
    made from another by `rotate`, `resize` or `copy` keeps the EXIF of the first,
    whatever was done to its pixels. It is taken as it is: its orientation becomes 1,
    with a warning if it was not.

    Raises:
        ImageError: for every error while the source is opened, or within the block.
    """
    if _has_outdated_orientation(source):
        warn(
            "A PIL image that was made from another one carries an EXIF orientation. "
            "It is taken as it is and not turned, because its pixels may be upright "
            "already. If they are not, apply `PIL.ImageOps.exif_transpose` to the "
            "image as opened, or give its path. If they are, "
            "`del image.getexif()[274]` ends this warning.",
        )
    with _named_errors(source), contextlib.closing(_open(source)) as image:
        _check_size(image, source)
        yield image


def readable_again(source: Any) -> Any:
    """The bytes of a stream that can be read only once; else the source itself.

    Raises:
        ImageError: where the stream cannot be read.
    """
    if not hasattr(source, "read") or _can_rewind(source):
        return source
    return content(source)


def content(file: Any) -> bytes:
    """All bytes of an open file, which keeps its position if it has one.

    Raises:
        ImageError: where it cannot be read.
    """
    with _named_errors(file):
        return _content(file)


def _open(source: Any) -> Image.Image:
    if isinstance(source, Image.Image):
        return _copied(source)
    if isinstance(source, (str, PathLike)):
        return _unmapped(Image.open(source, formats=installed_formats()))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return Image.open(io.BytesIO(source), formats=installed_formats())
    if hasattr(source, "read"):
        return Image.open(io.BytesIO(_content(source)), formats=installed_formats())
    if isinstance(source, Region):
        return _cut_out(source)
    return from_array(source)


def _cut_out(region: Region) -> Image.Image:
    with opened(region.source) as image:
        orientation = pixel_orientation(image)
        upright = turn_pixels(np.asarray(to_rgb(image, region.source)), orientation)
    return Image.fromarray(np.ascontiguousarray(upright)).crop(region.box)


def _unmapped(image: _Image) -> _Image:
    """The image, of which Pillow will not map the file into memory.

    It maps a TIFF file that an orientation tag turns with the sides swapped: the rows
    are sheared.
    """
    if isinstance(image, ImageFile.ImageFile) and image.format == "TIFF":
        image.filename = ""
    return image


def _copied(image: Image.Image) -> Image.Image:
    # Threads may be given the same image, which Pillow decodes at the first copy.
    with _LOCKS[id(image) // 64 % len(_LOCKS)]:
        name = getattr(image, "filename", "")
        try:
            copy = _unmapped(image).copy()
        finally:
            if isinstance(image, ImageFile.ImageFile):
                image.filename = name
        # After `copy`, which decodes: Pillow turns TIFF files upright while it does.
        upright = not isinstance(image, ImageFile.ImageFile)
        set_orientation_tag(copy, 1 if upright else orientation_tag(image))
    copy.format = image.format
    return copy


def _has_outdated_orientation(source: Any) -> bool:
    return (
        isinstance(source, Image.Image)
        and not isinstance(source, ImageFile.ImageFile)
        and orientation_tag(source) != 1
    )


def _can_rewind(file: Any) -> bool:
    return hasattr(file, "seekable") and file.seekable()


def _content(file: IO[bytes]) -> bytes:
    """All bytes of an open file, which keeps its position if it has one."""
    if not _can_rewind(file):
        content = file.read()
    else:
        position = file.tell()
        file.seek(0)
        try:
            content = file.read()
        finally:
            file.seek(position)
    if isinstance(content, str):
        raise ImageError(file, "not an image", 'opened as text, expected mode "rb"')
    return content


def _check_size(image: Image.Image, source: ImageSource) -> None:
    width, height = image.size
    limit = Image.MAX_IMAGE_PIXELS
    if width < 1 or height < 1:
        raise ImageError(source, "empty image", f"{height} x {width}")
    if limit is not None and width * height > limit:
        raise ImageError(
            source,
            "too large",
            f"{height} x {width} pixels, the limit PIL.Image.MAX_IMAGE_PIXELS "
            f"is {limit}",
        )


@contextlib.contextmanager
def _named_errors(source: ImageSource) -> Iterator[None]:
    try:
        yield
    except ImageError:
        raise
    # On a damaged file Pillow's decoders let out errors of nearly every type.
    except Exception as error:
        raise _image_error(source, error) from error


def _image_error(source: ImageSource, error: Exception) -> ImageError:
    if isinstance(error, FileNotFoundError):
        return ImageError(source, "missing image")
    if isinstance(
        error, (Image.DecompressionBombError, Image.DecompressionBombWarning)
    ):
        return ImageError(source, "too large", str(error))
    if isinstance(error, Image.UnidentifiedImageError):
        missing = missing_format(_header(source))
        if missing is not None:
            return ImageError(source, "format not installed", missing)
        return ImageError(source, "not an image", f"none of {', '.join(FORMATS)}")
    return ImageError(source, "unreadable image", f"{type(error).__name__}: {error}")


def _header(source: Any, length: int = 64) -> bytes:
    if isinstance(source, (str, PathLike)):
        with open(source, "rb") as file:
            return file.read(length)
    if hasattr(source, "read"):
        return _content(source)[:length]
    return bytes(source[:length])
