"""Keras's operations for the tensors at hand, inside `tf.data` too.

`keras.ops` computes on the active backend, but the tensors of a `tf.data` pipeline
belong to TensorFlow whatever the backend is; and on TensorFlow itself
`keras.ops.image.resize` refuses a size that a graph has yet to compute. A layer that
asks `ops_for` runs in all these worlds with one text.
"""

import functools
import sys

import keras
from keras import ops


def in_tf_graph(tensor):
    """Whether `tensor` belongs to a TensorFlow graph: `tf.data` or `tf.function`."""
    tensorflow = sys.modules.get("tensorflow")
    return (
        tensorflow is not None
        and tensorflow.is_tensor(tensor)
        and tensorflow.is_symbolic_tensor(tensor)
    )


def in_foreign_graph(tensor):
    """Whether a TensorFlow graph's tensor is met while Keras runs on JAX or torch."""
    return keras.backend.backend() != "tensorflow" and in_tf_graph(tensor)


def ops_for(tensor):
    """`keras.ops`, or its like on TensorFlow where `tensor` belongs to a graph."""
    return _tensorflow_ops() if in_tf_graph(tensor) else ops


class _TensorFlowOps:
    """The names of `keras.ops`, computed by TensorFlow on any backend."""

    def __init__(self):
        # Keras's preprocessing layers switch to TensorFlow in tf.data in this way;
        # their attribute `backend` is the one public door to it.
        self._backend = keras.layers.Rescaling(1.0).backend
        self._backend.set_backend("tensorflow")

    def __getattr__(self, name):
        for module in (self._backend.numpy, self._backend):
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(name)


@functools.cache
def _tensorflow_ops():
    return _TensorFlowOps()
