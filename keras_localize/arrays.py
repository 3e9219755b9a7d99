"""From the backend's tensors to NumPy, and the content of arrays in a digest."""

from typing import Any

import keras
import numpy as np

__all__ = ["digest_array", "to_numpy"]


def to_numpy(values: Any) -> np.ndarray:
    """A tensor of any backend, or an array-like, as a NumPy array.

    `keras.ops.convert_to_numpy`, with the type that it has.
    """
    return np.asarray(keras.ops.convert_to_numpy(values))


def digest_array(digest: Any, array: np.ndarray) -> None:
    """Updates a `hashlib` digest by an array's dtype, shape and content."""
    digest.update(f"{array.dtype} {array.shape}".encode())
    # As bytes: bfloat16 has no buffer of its own.
    digest.update(np.ascontiguousarray(array).reshape(-1).view("uint8").data)
