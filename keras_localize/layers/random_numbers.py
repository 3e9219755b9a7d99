"""Random numbers that are a pure function of integers.

No state is read: the same integers give the same numbers on every backend, in
`tf.data` and on the host, in any order and with any number of workers. So the random
views of a pipeline are a function of (seed, epoch, index).
"""

from typing import Any

import numpy as np

from keras_localize.boxes.array_namespace import TensorNamespace
from keras_localize.types import Tensor

_GOLDEN = 0x9E3779B9
_MULTIPLIERS = (0x7FEB352D, 0x846CA68B)


def as_seeds(xp: TensorNamespace, seeds: Any) -> Tensor:
    """Integers of any width as int32, taken modulo 2**32."""
    if not hasattr(seeds, "shape") or isinstance(seeds, (np.ndarray, np.generic)):
        if np.asarray(seeds).dtype.kind not in "iuO":
            raise ValueError(f"`seed` must be integers. Received: seed={seeds!r}")
        words = [int(seed) & 0xFFFFFFFF for seed in np.ravel(seeds)]
        seeds = np.array(words, "uint32").reshape(np.shape(seeds)).view("int32")
        return xp.convert_to_tensor(seeds)
    return xp.cast(seeds, "int32")


def fold(xp: TensorNamespace, seeds: Tensor) -> Tensor:
    """Hashes int32 seeds (..., K) over their last axis to (...)."""
    hashed = xp.zeros_like(seeds[..., 0])
    for index in range(seeds.shape[-1]):
        hashed = _mix(xp, xp.bitwise_xor(hashed, seeds[..., index]) + _word(_GOLDEN))
    return hashed


def uniform(xp: TensorNamespace, hashed: Tensor, count: int) -> Tensor:
    """`count` float32 numbers in [0, 1) for each int32 hash (...): (..., count)."""
    streams = np.arange(1, count + 1, dtype="uint32") * np.uint32(_GOLDEN)
    streams = xp.convert_to_tensor(streams.view("int32"))
    bits = _mix(xp, _mix(xp, hashed[..., None] + streams))
    return xp.cast(_shift(xp, bits, 8), "float32") / 2.0**24


def _mix(xp: TensorNamespace, word: Tensor) -> Tensor:
    # Wellons's lowbias32: every bit of the input moves every bit of the output.
    word = xp.bitwise_xor(word, _shift(xp, word, 16)) * _word(_MULTIPLIERS[0])
    word = xp.bitwise_xor(word, _shift(xp, word, 15)) * _word(_MULTIPLIERS[1])
    return xp.bitwise_xor(word, _shift(xp, word, 16))


def _shift(xp: TensorNamespace, word: Tensor, bits: int) -> Tensor:
    # int32 shifts copy the sign bit, and the mask removes the copies.
    return xp.bitwise_and(xp.right_shift(word, bits), (1 << (32 - bits)) - 1)


def _word(constant: int) -> int:
    return constant - 2**32 if constant >= 2**31 else constant
