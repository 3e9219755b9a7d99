"""The array namespaces: complete, and TensorFlow's with the numbers of Keras."""

import ast
import inspect
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_localize
from keras_localize.boxes import tensorflow_namespace
from keras_localize.boxes.array_namespace import ArrayNamespace, TensorNamespace
from keras_localize.boxes.tf_data import in_tf_graph, namespace_of


def operations(protocol):
    functions = {
        name
        for name, _ in inspect.getmembers(protocol, inspect.isfunction)
        if not name.startswith("_")
    }
    return functions | ({"image"} if protocol is TensorNamespace else set())


def test_every_namespace_has_every_operation():
    for name in operations(ArrayNamespace):
        for namespace in (np, keras.ops, tensorflow_namespace):
            assert callable(getattr(namespace, name))
    for namespace in (keras.ops, tensorflow_namespace):
        for name in operations(TensorNamespace) - {"image"}:
            assert callable(getattr(namespace, name))
        assert callable(namespace.image.resize)


def uses_of_xp(tree):
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "xp"
    }


def test_the_protocols_list_what_is_used_and_nothing_else():
    package = pathlib.Path(keras_localize.__file__).parent
    files = [*package.glob("boxes/*.py"), *package.glob("layers/*.py")]
    trees = [ast.parse(path.read_text()) for path in files]
    functions = [
        function
        for tree in trees
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        and "xp: ArrayNamespace" in ast.unparse(function.args)
    ]
    assert set.union(*map(uses_of_xp, functions)) == operations(ArrayNamespace)
    # `convert_to_tensor` is called on what `namespace_of` returns, without a name.
    everywhere = set.union(*map(uses_of_xp, trees)) | {"convert_to_tensor"}
    assert everywhere == operations(TensorNamespace)


X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32") * 3
WORDS = np.arange(24, dtype="int32").reshape(2, 3, 4) * 2654435 - 17
B = X > 0
IMAGES = np.random.default_rng(1).uniform(0, 255, (2, 9, 12, 3)).astype("float32")

CALLS = {
    "abs": lambda xp, x, i, b: xp.abs(x),
    "add": lambda xp, x, i, b: xp.add(x, 2 * x),
    "all": lambda xp, x, i, b: xp.all(b, axis=-1, keepdims=True),
    "arange": lambda xp, x, i, b: xp.arange(xp.shape(x)[0]),
    "array": lambda xp, x, i, b: xp.array(i, dtype="float32"),
    "bitwise_and": lambda xp, x, i, b: xp.bitwise_and(i, 0xFFFF),
    "bitwise_xor": lambda xp, x, i, b: xp.bitwise_xor(i, i * 3),
    "cast": lambda xp, x, i, b: xp.cast(x, "int32"),
    "clip": lambda xp, x, i, b: xp.clip(i, 0, 255),
    "convert_to_tensor": lambda xp, x, i, b: x + xp.convert_to_tensor(X),
    "einsum": lambda xp, x, i, b: xp.einsum("abc,abd->acd", x, x),
    "exp": lambda xp, x, i, b: xp.exp(x),
    "expand_dims": lambda xp, x, i, b: xp.expand_dims(x, -3),
    "floor": lambda xp, x, i, b: xp.floor(x),
    "logical_and": lambda xp, x, i, b: xp.logical_and(b, x < 1),
    "logical_not": lambda xp, x, i, b: xp.logical_not(b),
    "logical_or": lambda xp, x, i, b: xp.logical_or(b, x < -1),
    "max": lambda xp, x, i, b: xp.max(x, axis=-1),
    "maximum": lambda xp, x, i, b: xp.maximum(x, 0.5),
    "min": lambda xp, x, i, b: xp.min(x, axis=-1),
    "minimum": lambda xp, x, i, b: xp.minimum(x, xp.exp(x) - 1),
    "pad": lambda xp, x, i, b: xp.pad(x, [(0, 0), (1, 2), (0, 1)], constant_values=7),
    "repeat": lambda xp, x, i, b: xp.repeat(x, 3, axis=-1),
    "reshape": lambda xp, x, i, b: xp.reshape(x, (xp.shape(x)[0], -1)),
    "right_shift": lambda xp, x, i, b: xp.right_shift(i, 5),
    "round": lambda xp, x, i, b: xp.round(x * 2) + xp.round(x - x + 2.5),
    "shape": lambda xp, x, i, b: xp.cast(xp.stack(xp.shape(x), axis=0), "int32"),
    "squeeze": lambda xp, x, i, b: xp.squeeze(x[:, :1], 1),
    "stack": lambda xp, x, i, b: xp.stack([x, x + 1], axis=-1),
    "subtract": lambda xp, x, i, b: xp.subtract(1, x),
    "sum": lambda xp, x, i, b: xp.sum(x, axis=-1, keepdims=True),
    "take": lambda xp, x, i, b: xp.take(x, xp.arange(2), axis=2),
    "transpose": lambda xp, x, i, b: xp.transpose(x, (2, 0, 1)),
    "where": lambda xp, x, i, b: xp.where(b, x, -1e9),
    "zeros_like": lambda xp, x, i, b: xp.zeros_like(i),
}


def test_every_operation_is_compared():
    assert set(CALLS) | {"image"} == operations(TensorNamespace)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("shape", [(2, 3, 4), (None, None, 4)])
def test_an_operation_in_tf_data_gives_kerass_numbers(name, shape):
    def mapped(x, i, b):
        assert namespace_of(x) is tensorflow_namespace
        return CALLS[name](tensorflow_namespace, x, i, b)

    spec = tuple(tf.TensorSpec(shape, a.dtype) for a in (X, WORDS, B))
    data = tf.data.Dataset.from_generator(
        lambda: [(X, WORDS, B)], output_signature=spec
    )
    (found,) = data.map(mapped)
    tensors = [keras.ops.convert_to_tensor(a) for a in (X, WORDS, B)]
    assert not in_tf_graph(tensors[0]) and namespace_of(tensors[0]) is keras.ops
    expected = CALLS[name](keras.ops, *tensors)
    # NumPy promotes and Keras may widen what an operation counts.
    dtype = keras.backend.standardize_dtype(expected.dtype)
    assert found.dtype.name == dtype or name in ("arange", "take", "shape")
    expected = keras.ops.convert_to_numpy(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos3"])
def test_resizing_in_tf_data_gives_kerass_numbers(interpolation, antialias):
    if keras.backend.backend() == "torch" and interpolation != "bilinear":
        pytest.skip("torch lacks Lanczos, and its bicubic kernel is another one")

    def resized(xp, images, data_format):
        return xp.image.resize(
            images,
            (7, 20),
            interpolation=interpolation,
            antialias=antialias,
            data_format=data_format,
        )

    tensor = keras.ops.convert_to_tensor(IMAGES)
    expected = resized(keras.ops, tensor, "channels_last")
    expected = keras.ops.convert_to_numpy(expected)
    for data_format in ("channels_last", "channels_first"):
        images, want = IMAGES, expected
        if data_format == "channels_first":
            images, want = images.transpose(0, 3, 1, 2), want.transpose(0, 3, 1, 2)
        for given, result in ((images, want), (images[0], want[0])):
            data = tf.data.Dataset.from_tensors(given)
            (found,) = data.map(
                lambda x, how=data_format: resized(tensorflow_namespace, x, how)
            )
            # TensorFlow reads the weights of its bicubic kernel from a table.
            atol = 0.3 if interpolation == "bicubic" else 2e-3
            np.testing.assert_allclose(found, result, atol=atol)
