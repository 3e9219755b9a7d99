"""The operations of `TensorNamespace`, on TensorFlow's own public operations.

They serve in `tf.data` on every backend, and in TensorFlow's graphs. The names and the
numbers are those of `keras.ops`. Import this module only where a TensorFlow tensor is
at hand, because it imports TensorFlow.
"""

import types
from typing import Any

import tensorflow as tf

from keras_localize.types import DataFormat, Tensor

abs = tf.abs
bitwise_and = tf.bitwise.bitwise_and
bitwise_xor = tf.bitwise.bitwise_xor
cast = tf.cast
clip = tf.clip_by_value
convert_to_tensor = tf.convert_to_tensor
einsum = tf.einsum
exp = tf.exp
expand_dims = tf.expand_dims
floor = tf.floor
logical_and = tf.logical_and
logical_not = tf.logical_not
logical_or = tf.logical_or
maximum = tf.maximum
minimum = tf.minimum
pad = tf.pad
repeat = tf.repeat
reshape = tf.reshape
right_shift = tf.bitwise.right_shift
round = tf.round
squeeze = tf.squeeze
stack = tf.stack
take = tf.gather
transpose = tf.transpose
where = tf.where
zeros_like = tf.zeros_like

all = tf.reduce_all
max = tf.reduce_max
min = tf.reduce_min
sum = tf.reduce_sum


def add(x1: Any, x2: Any) -> Tensor:
    return x1 + x2


def array(x: Any, dtype: Any) -> Tensor:
    return tf.cast(x, dtype)


def arange(stop: Any) -> Tensor:
    return tf.range(stop)


def shape(x: Tensor) -> tuple[Any, ...]:
    """Python numbers for the sides that are known, scalar tensors for the others."""
    known = x.shape.as_list()
    if None not in known:
        return tuple(known)
    actual = tf.shape(x)
    return tuple(actual[i] if side is None else side for i, side in enumerate(known))


def subtract(x1: Any, x2: Any) -> Tensor:
    return x1 - x2


def _resize(
    images: Tensor,
    size: Any,
    interpolation: str,
    antialias: bool,
    data_format: DataFormat,
) -> Tensor:
    first = data_format == "channels_first"
    if first:
        images = tf.transpose(images, _channels(images, last=True))
    images = tf.image.resize(images, size, interpolation, antialias=antialias)
    return tf.transpose(images, _channels(images, last=False)) if first else images


def _channels(images: Tensor, last: bool) -> list[int]:
    """The permutation of axes that moves the channels, for one image or a batch."""
    batch = list(range(len(images.shape) - 3))
    order = (1, 2, 0) if last else (2, 0, 1)
    return batch + [len(batch) + axis for axis in order]


image = types.SimpleNamespace(resize=_resize)
