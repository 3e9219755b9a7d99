"""Values and gradients on the backend at hand, eager or compiled."""

import keras
import numpy as np

BACKEND = keras.backend.backend()
# torch's compiler takes seconds per function; the benchmark runs it, the tests do not.
MODES = ("eager",) if BACKEND == "torch" else ("eager", "jit")


def value_and_gradient(fn, x, mode="eager"):
    """`fn(x)` of shape (N,), and the gradient of its sum with respect to `x`."""
    return _DIFFERENTIATE[BACKEND](fn, x, mode)


def _tensorflow(fn, x, mode):
    import tensorflow as tf

    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = fn(x)
        return value, tape.gradient(value, x)

    if mode == "jit":
        both = tf.function(both, jit_compile=True)
    value, gradient = both(tf.convert_to_tensor(x))
    return _host(value), _host(gradient)


def _jax(fn, x, mode):
    import jax

    def both(x):
        value, pull = jax.vjp(fn, x)
        return value, pull(jax.numpy.ones_like(value))[0]

    if mode == "jit":
        both = jax.jit(both)
    value, gradient = both(jax.numpy.asarray(x))
    return _host(value), _host(gradient)


def _torch(fn, x, mode):
    x = keras.ops.convert_to_tensor(x).detach().requires_grad_()
    value = fn(x)
    value.sum().backward()
    return _host(value.detach()), _host(x.grad)


def _host(x):
    return np.asarray(keras.ops.convert_to_numpy(x)).astype("float64")


_DIFFERENTIATE = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
