"""Types that the annotations of the whole package share."""

from collections.abc import Sequence
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
# One image: a path, encoded bytes, an open binary file, a PIL image, or pixels.
ImageSource: TypeAlias = (
    Path | bytes | bytearray | memoryview | IO[bytes] | Image.Image | np.ndarray
)
