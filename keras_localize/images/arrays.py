"""Arrays and tensors as PIL images, with checks of shape and range."""

from typing import Any

import numpy as np
from PIL import Image

from keras_localize.images.errors import ImageError
from keras_localize.types import ArrayLike

# How far resampling or a filter takes an image in [0, 1] or [-1, 1] beyond its range.
_OVERSHOOT = 0.25


def from_array(source: ArrayLike) -> Image.Image:
    """An array or tensor as a PIL image of 8 bits.

    Args:
        source: (H, W, 3), (H, W, 1), (H, W, 4) or (H, W); uint8, uint16 in
            [0, 65535], or other numbers in [0, 255]. See `load` for the limits.

    Raises:
        ImageError: for another shape, dtype or range of values.
    """
    array = np.asarray(_on_host(source))
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(
            source,
            "not an image",
            "expected a path, encoded bytes, an open binary file, a PIL image, or an "
            "array (height, width, channels) with 1, 3 or 4 channels. Received shape: "
            f"{array.shape}, dtype: {array.dtype}",
        )
    if array.dtype == np.uint16:
        array = eight_bits(array)
    elif array.dtype != np.uint8:
        array = _rounded(array, source)
    if array.shape[-1] == 1:
        array = array[..., 0]
    return Image.fromarray(np.ascontiguousarray(array))


def eight_bits(values: np.ndarray) -> np.ndarray:
    """Values of 16 bits, [0, 65535], as uint8. What lies beyond is clipped."""
    scaled = np.clip(values.astype("int64"), 0, 65535) / 257
    return np.round(scaled).astype("uint8")


def _on_host(source: Any) -> Any:
    """A tensor of torch as one that NumPy takes; anything else as it is."""
    if not hasattr(source, "detach"):
        return source
    tensor = source.detach().cpu()
    # NumPy has no bfloat16.
    return tensor.float() if tensor.is_floating_point() else tensor


def _rounded(array: np.ndarray, source: ArrayLike) -> np.ndarray:
    if array.dtype.kind not in "iuf" and array.dtype.name != "bfloat16":
        hint = ", multiply by 255" if array.dtype == bool else ""
        raise ImageError(
            source,
            "not an image",
            f"expected numbers in [0, 255]{hint}. Received dtype: {array.dtype}",
        )
    is_float = array.dtype.kind not in "iu"
    array = array.astype("float32")
    if not np.isfinite(array).all():
        raise ImageError(source, "not finite", "the array holds NaN or infinity")
    low, high = float(array.min()), float(array.max())
    advice = range_advice(low, high, is_float)
    if advice is not None:
        raise ImageError(
            source,
            "wrong range of values",
            f"expected values in [0, 255]; {advice}. Received values in "
            f"[{low:g}, {high:g}], dtype: {np.asarray(source).dtype}",
        )
    return np.clip(np.round(array), 0, 255).astype("uint8")


def range_advice(low: float, high: float, is_float: bool) -> str | None:
    """What to do with values that are not in [0, 255]; None where they are.

    A filter that sharpens goes beyond [0, 255] a little. That is clipped, so the
    limits are wide.
    """
    if low == high:
        return None  # black, white and grey images exist in every range
    if is_float and low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT:
        return "multiply an image in [0, 1] by 255"
    if is_float and low >= -1 - _OVERSHOOT and high <= 1 + _OVERSHOOT:
        return "an image x in [-1, 1] is (x + 1) * 127.5"
    if low < -high / 4:
        return "undo the preprocessing that made values negative"
    if high > 2 * 255:
        return "scale the values, or give 16-bit values as uint16"
    return None
