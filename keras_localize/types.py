"""Types that the annotations of the whole package share."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import IO, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = [
    "ArrayLike",
    "BoundingBoxFormat",
    "DataFormat",
    "ImageSize",
    "ImageSource",
    "Path",
    "Region",
    "Tensor",
]

# Keras does not type its tensors: a tensor of the backend, a KerasTensor, or an array.
Tensor: TypeAlias = Any
ArrayLike: TypeAlias = npt.ArrayLike | Tensor

BoundingBoxFormat: TypeAlias = Literal[
    "xyxy",
    "yxyx",
    "xywh",
    "center_xywh",
    "center_yxhw",
    "rel_xyxy",
    "rel_yxyx",
    "rel_xywh",
    "rel_center_xywh",
]
DataFormat: TypeAlias = Literal["channels_last", "channels_first"]

# (height, width) in pixels, or a tensor (B, 2) of such pairs.
ImageSize: TypeAlias = tuple[int, int] | Sequence[int] | np.ndarray | Tensor

Path: TypeAlias = str | PathLike[str]
_WholeImage: TypeAlias = (
    Path | bytes | bytearray | memoryview | IO[bytes] | Image.Image | np.ndarray
)


@dataclass(frozen=True)
class Region:
    """A rectangle of an image as an image of its own.

    The image is decoded, and the rectangle cut out of it, only when it is read:
    thousands of regions need no memory and no files.

    Attributes:
        source: the whole image: a path, encoded bytes, an open binary file, a PIL
            image, or pixels.
        box: (x0, y0, x1, y1), integers, in pixels of the upright image. What lies
            beyond the image is black.

    Example:

    >>> from keras_localize import images
    >>> image = np.arange(12, dtype="uint8").reshape(3, 4)
    >>> images.load(images.Region(image, (1, 0, 3, 2)))[..., 0].tolist()
    [[1, 2], [5, 6]]
    """

    source: _WholeImage
    box: tuple[int, int, int, int]

    def __str__(self) -> str:
        name = self.source if isinstance(self.source, str) else "an image"
        return f"{name}[{', '.join(map(str, self.box))}]"


# One image: a path, encoded bytes, an open binary file, a PIL image, pixels, or a
# rectangle of one of these.
ImageSource: TypeAlias = _WholeImage | Region
