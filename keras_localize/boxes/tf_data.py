"""One text for eager tensors and for the tensors of `tf.data`.

`keras.ops` computes on the active backend, but the tensors of a `tf.data` pipeline
belong to TensorFlow whatever the backend is. And on TensorFlow itself,
`keras.ops.image.resize` refuses a size that a graph has yet to compute. A layer that
asks `namespace_of` for its operations works in all these cases.
"""

import sys

import keras
from keras import ops

from keras_localize.boxes.array_namespace import TensorNamespace
from keras_localize.types import Tensor


def in_tf_graph(tensor: Tensor) -> bool:
    """Whether `tensor` belongs to a TensorFlow graph: `tf.data` or `tf.function`."""
    # A tensor of TensorFlow cannot exist before TensorFlow was imported.
    tensorflow = sys.modules.get("tensorflow")
    return (
        tensorflow is not None
        and tensorflow.is_tensor(tensor)
        and tensorflow.is_symbolic_tensor(tensor)
    )


def in_foreign_graph(tensor: Tensor) -> bool:
    """Whether `tensor` is a TensorFlow graph's while Keras runs on JAX or torch."""
    return keras.backend.backend() != "tensorflow" and in_tf_graph(tensor)


def namespace_of(tensor: Tensor) -> TensorNamespace:
    """The operations for `tensor`: TensorFlow's in its graphs, else `keras.ops`."""
    if in_tf_graph(tensor):
        from keras_localize.boxes import tensorflow_namespace

        return tensorflow_namespace
    return ops


def check_rank(tensor: Tensor, argument: str) -> None:
    """Raises the ValueError for a tensor of `tf.data` whose rank is not known."""
    if getattr(tensor.shape, "rank", 0) is None:
        raise ValueError(
            f"`{argument}` must have a known rank. Received a tensor of unknown shape, "
            "as `tf.py_function` and `tf.io.decode_image` give it: use `set_shape`, or "
            "`expand_animations=False`"
        )
