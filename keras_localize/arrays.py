"""From the backend's tensors to NumPy."""

from typing import Any

import keras
import numpy as np

__all__ = ["to_numpy"]


def to_numpy(values: Any) -> np.ndarray:
    """A tensor of any backend, or an array-like, as a NumPy array.

    `keras.ops.convert_to_numpy`, with the type that it has.
    """
    return np.asarray(keras.ops.convert_to_numpy(values))
