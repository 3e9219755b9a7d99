"""From a file, an array or a PIL image to upright RGB pixels, and into the square.

The datasets and `Localizer.localize` both come here, so training and use see the same
pixels for the same file. `fast_jpeg` serves plain JPEGs; everything else stands here.
"""

import math
import struct
from os import PathLike
from typing import NamedTuple

import numpy as np
from PIL import Image

from keras_localize.boxes.square import fit
from keras_localize.images import fast_jpeg

# EPS and the like start other programs; only these are ever tried.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")

# EXIF orientation -> what turns the stored pixels (rows, columns, ...) upright.
_TURNS = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
_TRANSPOSED = (5, 6, 7, 8)
_INVERSE = {6: 8, 8: 6}  # the others undo themselves

# Everything that Pillow's decoders are known to let out on a damaged file.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    struct.error,
    Image.DecompressionBombError,
    Warning,  # where the user's filters make errors of them
)


class ImageError(ValueError):
    """A picture that cannot be read; the message names it and says why.

    `reason` is the short form of why, by which the datasets count; `detail` says more.
    """

    def __init__(self, source, reason, detail=""):
        super().__init__(f"{_name(source)}: {reason}{detail and ': '}{detail}")
        self.reason = reason
        self.detail = detail


class ImageInfo(NamedTuple):
    """What a picture's file says of itself.

    `height` and `width` are those of the upright picture, in pixels;
    `orientation` is the EXIF value as found (1 where there is none).
    """

    height: int
    width: int
    orientation: int
    format: str
    mode: str


def load(source):
    """Decodes a picture to upright RGB.

    Args:
        source: a path, a `PIL.Image.Image`, or an array or tensor (H, W, 3),
            (H, W, 1), (H, W, 4) or (H, W) with values in [0, 255] (uint16: in
            [0, 65535]).

    Returns:
        uint8 array of shape (height, width, 3), turned upright by its EXIF
        orientation. Only the first frame of an animation is taken, transparent
        pixels lie on black, 16-bit values are scaled to 8 bits.

    Raises:
        ImageError: a ValueError that names the picture and says what is wrong:
            missing, empty, not a picture, truncated, too large
            (`PIL.Image.MAX_IMAGE_PIXELS`), of an unknown pixel format.
    """
    with _opened(source) as picture:
        upright = _turned(np.array(_rgb(picture)), _orientation(picture))
        return np.ascontiguousarray(upright)


def letterbox(source, size, out=None):
    """Decodes a picture, centres it in a black square and scales it to `size`.

    The geometry is `keras_localize.boxes.square.fit`, that of `PadToSquare` and of
    `boxes.to_square`; the resampling is antialiased bilinear. A JPEG that is much
    larger than the square is decoded at a half, a quarter or an eighth of its size,
    which is faster and moves no box. Pillow does it all, or `fast_jpeg` where it can.

    Args:
        source: as in `load`.
        size: side of the square in pixels.
        out: uint8 array of shape (size, size, 3), black, into which the picture is
            put. None: a new one.

    Returns:
        The pair (square, (height, width)): a uint8 array of shape (size, size, 3),
        and the size of the upright picture before.

    Raises:
        ImageError: as `load`.
    """
    with _opened(source) as picture:
        orientation = _orientation(picture)
        height, width = _upright_size(picture, orientation)
        place = fit(height, width, size)
        turned = orientation in _TRANSPOSED
        stored = (place.rows, place.columns) if turned else (place.columns, place.rows)
        small = fast_jpeg.scaled(picture, stored)
        if small is None:
            small = _scaled(picture, stored)
        square = np.zeros((size, size, 3), "uint8") if out is None else out
        bottom, right = place.top + place.rows, place.left + place.columns
        square[place.top : bottom, place.left : right] = _turned(small, orientation)
        return square, (height, width)


def crop(source, window, size):
    """Decodes a picture and scales a square window of it, black where it ends.

    The pixels of the square lie exactly where the window puts them; one that the
    picture covers only in part is black. As in `letterbox`, the resampling is
    antialiased bilinear (it reads the picture just beyond the window, too), and a
    large JPEG is decoded at a reduced size where the window allows it.

    Args:
        source: as in `load`.
        window: (x0, y0, side) in pixels of the upright picture, floats. It may reach
            beyond the picture.
        size: side of the square in pixels.

    Returns:
        uint8 array of shape (size, size, 3).

    Raises:
        ImageError: as `load`.
    """
    x0, y0, side = (float(value) for value in window)
    step = side / size
    square = np.zeros((size, size, 3), "uint8")
    with _opened(source) as picture:
        orientation = _orientation(picture)
        width, height = picture.size
        upright = _upright_size(picture, orientation)
        back = _INVERSE.get(orientation, orientation)
        x0, y0, *_ = turn_box((x0, y0, x0 + side, y0 + side), *upright, back)
        left, right, *across = _covered(x0, step, width, size)
        top, bottom, *down = _covered(y0, step, height, size)
        if left == right or top == bottom:
            return square
        wanted = math.ceil(width / step), math.ceil(height / step)
        *_, columns, rows = _reduce(picture, wanted) or (0, 0, width, height)
        across = [x * columns / width for x in across]
        down = [y * rows / height for y in down]
        square[top:bottom, left:right] = _rgb(picture).resize(
            (right - left, bottom - top),
            Image.Resampling.BILINEAR,
            (across[0], down[0], across[1], down[1]),
        )
        return _turned(square, orientation)


def inspect(source, decode=False):
    """Reads what a picture's file says of itself, an `ImageInfo`, without its pixels.

    Args:
        source: as in `load`.
        decode: decodes the pixels as well (at an eighth of the size where the
            format can), so that a damaged picture is found now.

    Raises:
        ImageError: as `load`.
    """
    with _opened(source) as picture:
        orientation = _orientation(picture)
        height, width = _upright_size(picture, orientation)
        info = ImageInfo(height, width, orientation, picture.format or "", picture.mode)
        if decode:
            _reduce(picture, (1, 1))
            _rgb(picture)
        return info


def turn_box(corners, height, width, orientation):
    """Moves a box from the stored pixels of a picture to its upright ones.

    Args:
        corners: (x0, y0, x1, y1) in stored pixels.
        height: the stored height in pixels.
        width: the stored width.
        orientation: the EXIF orientation.

    Returns:
        (x0, y0, x1, y1) in pixels of the upright picture.
    """
    x0, y0, x1, y1 = corners
    if orientation in (2, 3, 7, 8):
        x0, x1 = width - x1, width - x0
    if orientation in (3, 4, 6, 7):
        y0, y1 = height - y1, height - y0
    if orientation in _TRANSPOSED:
        x0, y0, x1, y1 = y0, x0, y1, x1
    return x0, y0, x1, y1


# --- helpers ---


class _opened:
    """Context: `source` as a PIL image, every failure as a ImageError."""

    def __init__(self, source):
        self.source = source
        self.picture = None

    def __enter__(self):
        try:
            self.picture = self._open()
            self._check_size()
        except ImageError:
            self._close()
            raise
        except _DECODER_ERRORS as error:
            self._close()
            raise self._refusal(error) from error
        return self.picture

    def __exit__(self, kind, error, trace):
        self._close()
        if isinstance(error, _DECODER_ERRORS) and not isinstance(error, ImageError):
            raise self._refusal(error) from error

    def _open(self):
        if isinstance(self.source, Image.Image):
            return self.source.copy()  # decoding at a reduced size changes it
        if isinstance(self.source, (str, PathLike)):
            return Image.open(self.source, formats=FORMATS)
        return _from_array(self.source)

    def _check_size(self):
        width, height = self.picture.size
        limit = Image.MAX_IMAGE_PIXELS
        if width < 1 or height < 1:
            raise ImageError(self.source, "empty picture", f"{height} x {width}")
        if limit is not None and width * height > limit:
            raise ImageError(
                self.source,
                "too large",
                f"{height} x {width} pixels, the limit PIL.Image.MAX_IMAGE_PIXELS "
                f"is {limit}",
            )

    def _refusal(self, error):
        if isinstance(error, FileNotFoundError):
            return ImageError(self.source, "missing picture")
        if isinstance(
            error,
            (
                Image.DecompressionBombError,
                Image.DecompressionBombWarning,
            ),
        ):
            return ImageError(self.source, "too large", str(error))
        if isinstance(error, Image.UnidentifiedImageError):
            return ImageError(
                self.source, "not a picture", f"none of {', '.join(FORMATS)}"
            )
        return ImageError(
            self.source, "unreadable picture", f"{type(error).__name__}: {error}"
        )

    def _close(self):
        if self.picture is not None and self.picture is not self.source:
            self.picture.close()


def _from_array(source):
    array = np.asarray(source)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(
            source,
            "not a picture",
            "expected a path, a PIL image, or an array (height, width, channels) "
            f"with 1, 3 or 4 channels. Received shape: {array.shape}, "
            f"dtype: {array.dtype}",
        )
    if array.dtype == np.uint16:
        array = _eight_bits(array)
    elif array.dtype != np.uint8:
        if array.dtype.kind not in "iuf" and array.dtype.name != "bfloat16":
            raise ImageError(source, "not a picture", f"dtype {array.dtype}")
        array = array.astype("float32")
        if not np.isfinite(array).all():
            raise ImageError(source, "not finite", "the array holds NaN or infinity")
        array = np.clip(np.round(array), 0, 255).astype("uint8")
    if array.shape[-1] == 1:
        array = array[..., 0]
    return Image.fromarray(np.ascontiguousarray(array))


def _orientation(picture):
    """EXIF orientation, 1 where the file has none or its EXIF is damaged."""
    try:
        value = picture.getexif().get(0x0112, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) else 1


def _upright_size(picture, orientation):
    """(height, width) of a picture once it is turned upright."""
    width, height = picture.size
    return (width, height) if orientation in _TRANSPOSED else (height, width)


def _reduce(picture, size):
    """Asks a JPEG for the smallest decode not below `size`; gives its exact extent."""
    if picture.format not in ("JPEG", "MPO"):
        return None
    drafted = picture.draft(None, size)
    return drafted and drafted[1]


def _scaled(picture, size):
    """Pixels of a picture scaled to (width, height) by Pillow, antialiased bilinear."""
    # Exact in fractions: half of 375 rows are 187.5 rows, not 188.
    extent = _reduce(picture, size) or (0, 0, *picture.size)
    bilinear = Image.Resampling.BILINEAR
    return np.asarray(_rgb(picture).resize(size, bilinear, extent, reducing_gap=3.0))


def _covered(start, step, extent, size):
    """Which pixels of a window's axis a picture covers whole, and what they show.

    Returns:
        (first, end, low, high): the pixels first to end - 1 show the picture from low
        to high. A picture that covers no pixel whole is shown by one, as `fit` does.
    """
    low, high = max(0.0, start), min(float(extent), start + size * step)
    if low >= high:
        return 0, 0, 0.0, 0.0
    # Rounding must not cost a pixel whose edge is the picture's.
    first = math.ceil((low - start) / step - 1e-6)
    end = math.floor((high - start) / step + 1e-6)
    if first >= end:
        first = min(int(((low + high) / 2 - start) / step), size - 1)
        return first, first + 1, low, high
    return first, end, max(low, start + first * step), min(high, start + end * step)


def _turned(pixels, orientation):
    turn = _TURNS.get(orientation)
    return pixels if turn is None else turn(pixels)


def _rgb(picture):
    mode = picture.mode
    if mode == "RGB":
        picture.load()
        return picture
    if mode == "I" or mode.startswith("I;16"):
        return Image.fromarray(_eight_bits(np.asarray(picture))).convert("RGB")
    if mode in ("F", "LAB"):
        raise ImageError(picture, "unknown pixel format", f"mode {mode}")
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, picture).convert("RGB")
    return picture.convert("RGB")


def _eight_bits(values):
    scaled = np.clip(values.astype("int64"), 0, 65535) / 257
    return np.round(scaled).astype("uint8")


def _name(source):
    if isinstance(source, (str, PathLike)):
        return str(source)
    if isinstance(source, Image.Image):
        return getattr(source, "filename", "") or f"<{type(source).__name__}>"
    return f"<{type(source).__name__}>"
