"""Which records `dataset[index]` means."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_localize.arrays import to_numpy


def selected(
    index: Any, count: int, position: Callable[[str], int]
) -> int | np.ndarray:
    """The number of a record, or (K,) numbers of records, all in [0, count).

    Args:
        index: an int, a name, a slice, a mask, or a list of ints or names; arrays and
            tensors of these.
        count: the number of records.
        position: the number of the record of a name.

    Raises:
        IndexError: for a number outside [-count, count).
        ValueError: for what is none of these, or holds a record twice.
    """
    if isinstance(index, str):
        return position(index)
    if isinstance(index, slice):
        return np.arange(count)[index]
    array = to_numpy(index) if keras.ops.is_tensor(index) else np.asarray(index)
    names = array.dtype.kind == "U" or (
        array.dtype.kind == "O" and all(isinstance(name, str) for name in array.flat)
    )
    if names and array.ndim:
        array = np.array([position(str(name)) for name in array.flat], int)
    elif array.size == 0:
        array = array.astype(int)
    if array.ndim == 0 and array.dtype.kind in "iu":
        if not -count <= array < count:
            raise IndexError(f"record {array} of a dataset of {count}")
        return int(array) % count
    if array.ndim != 1 or array.dtype.kind not in "iub":
        raise ValueError(
            "`index` must be an int, a name, a slice, a mask, or a list of ints or "
            f"names. Received: {index!r}"
        )
    numbers = np.arange(count)[array]
    if len(np.unique(numbers)) < len(numbers):
        raise ValueError(f"`index` must hold each record once. Received: {array}")
    return numbers
