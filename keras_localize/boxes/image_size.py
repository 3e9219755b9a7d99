"""The argument `image_size`: a pair of numbers, or a tensor of pairs."""

from typing import Any

import numpy as np
from keras import backend

from keras_localize.boxes.tf_data import namespace_of
from keras_localize.types import ImageSize, Tensor


def sides(
    image_size: ImageSize | None, boxes: Tensor, dtype: str | None = None
) -> tuple[Any, Any]:
    """`image_size` as (height, width), each shaped to meet the boxes' coordinates.

    A pair of numbers comes back as Python numbers; a pair of scalar tensors as such,
    a tensor (B, 2) as two tensors (B, 1, ...), of `dtype`, by default the boxes'.
    """
    if image_size is None:
        raise ValueError(
            "`image_size` is needed: expected (height, width) in pixels. "
            "Received: image_size=None"
        )
    dtype = dtype or backend.standardize_dtype(boxes.dtype)
    xp = namespace_of(boxes)
    if isinstance(image_size, (tuple, list)) and len(image_size) == 2:
        pair = [_number(side) for side in image_size]
        if any(side is None or isinstance(side, (str, bool)) for side in pair):
            raise _bad_image_size(image_size)
        if all(isinstance(side, (int, float)) for side in pair):
            if not all(side >= 1 and side % 1 == 0 for side in pair):
                raise _bad_image_size(image_size)
            return int(pair[0]), int(pair[1])
        if all(map(_is_scalar, pair)):
            return tuple(xp.array(side, dtype=dtype) for side in pair)
        if isinstance(image_size, tuple) and all(map(_is_array, pair)):
            # Heights and widths, which for two images look like two sizes.
            raise _bad_image_size("a pair of arrays; stack them along the last axis")
    if not hasattr(image_size, "shape") or isinstance(image_size, np.ndarray):
        try:
            given = np.asarray(image_size)
        except ValueError as error:  # lists of several lengths
            raise _bad_image_size(image_size) from error
        numbers = given.dtype.kind in "iuf"
        if not numbers or not ((given >= 1) & (given % 1 == 0)).all():
            raise _bad_image_size(given.tolist())
        image_size = given
    tensor: Any = xp.array(image_size, dtype=dtype)
    *leading, last = tuple(tensor.shape) or (None,)
    matches = len(leading) < len(boxes.shape) and all(
        a == b or 1 in (a, b) or None in (a, b) for a, b in zip(leading, boxes.shape)
    )
    if last != 2 or not matches:
        raise _bad_image_size(
            f"shape {tuple(tensor.shape)} for boxes of shape {tuple(boxes.shape)}"
        )
    for _ in range(len(boxes.shape) - 1 - len(leading)):
        tensor = xp.expand_dims(tensor, -2)
    return tensor[..., 0], tensor[..., 1]


def _number(side: Any) -> Any:
    if isinstance(side, np.number) or (isinstance(side, np.ndarray) and not side.ndim):
        return side.item()
    return side


def _is_scalar(side: Any) -> bool:
    shape = getattr(side, "shape", None)
    return isinstance(side, (int, float)) or (shape is not None and len(shape) == 0)


def _is_array(side: Any) -> bool:
    return len(getattr(side, "shape", None) or ()) > 0


def _bad_image_size(received: object) -> ValueError:
    return ValueError(
        "`image_size` must be (height, width) in pixels, whole numbers of at least 1, "
        "or a tensor (..., 2) whose leading axes match those of the boxes from the "
        f"left. Received: {received}"
    )
