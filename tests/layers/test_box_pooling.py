"""Means inside a box, against sums over a fine grid and closed forms."""

import keras
import numpy as np
import pytest

from keras_localize.layers.box_pooling import BoxPooling


def numpy_of(x):
    return keras.ops.convert_to_numpy(x)


def test_means_over_all_and_inside(rng):
    maps = rng.normal(size=(6, 4, 5, 3)).astype("float32")
    corners = rng.integers(0, 41, (6, 2, 2)) / 40
    boxes = np.concatenate([corners.min(1), corners.max(1)], 1).astype("float32")
    found = numpy_of(BoxPooling()(maps, boxes))
    assert found.shape == (6, 6)
    np.testing.assert_allclose(found[:, :3], maps.mean((1, 2)), atol=1e-5)
    # Every location as 10 x 8 grains: the boxes' corners lie between grains.
    fine = maps.repeat(10, axis=1).repeat(8, axis=2)
    for image, (x0, y0, x1, y1), inside in zip(fine, boxes * 40, found[:, 3:]):
        rows = slice(round(float(y0)), round(float(y1)))
        columns = slice(round(float(x0)), round(float(x1)))
        grains = image[rows, columns].reshape(-1, 3)
        expected = grains.mean(0) if len(grains) else np.zeros(3)
        np.testing.assert_allclose(inside, expected, atol=1e-4)


def test_means_inside_any_box_in_float64(rng):
    maps = rng.normal(size=(50, 5, 7, 3)).astype("float32")
    box = np.sort(rng.uniform(-0.1, 1.1, (50, 2, 2)), axis=1).reshape(50, 4)
    box = box.astype("float32")
    found = numpy_of(BoxPooling()(maps, box))[:, 3:]

    def share(start, end, count):
        left = np.arange(count)
        start, end = start[:, None] * count, end[:, None] * count
        return (np.minimum(end, left + 1) - np.maximum(start, left)).clip(0, 1)

    x0, y0, x1, y1 = box.astype("float64").T
    covered = share(y0, y1, 5)[:, :, None] * share(x0, x1, 7)[:, None]
    area = np.maximum(covered.sum((1, 2)), 1e-3)[:, None]
    expected = np.einsum("bhw,bhwc->bc", covered, maps.astype("float64")) / area
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="converts TF graphs"
)
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter")
def test_converts_to_litert(rng):
    import tensorflow as tf

    layer = BoxPooling()
    specs = [tf.TensorSpec((1, 5, 7, 8)), tf.TensorSpec((1, 4))]
    function = tf.function(lambda x, box: layer(x, box)).get_concrete_function(*specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], layer)
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    runner = interpreter.get_signature_runner()
    x = rng.normal(size=(1, 5, 7, 8)).astype("float32")
    box = np.array([[0.1, 0.2, 0.7, 0.9]], "float32")
    (found,) = runner(x=x, box=box).values()
    np.testing.assert_allclose(found, numpy_of(layer(x, box)), atol=1e-5)


def test_tokens_and_channels_first(rng):
    maps = rng.normal(size=(2, 3, 3, 4))
    box = np.array([[0.1, 0.2, 0.7, 0.9], [0, 0, 1, 1]], "float32")
    expected = numpy_of(BoxPooling()(maps, box))
    tokens = maps.reshape(2, 9, 4)
    with_class_token = np.concatenate([np.full((2, 1, 4), 99.0), tokens], 1)
    for x in (tokens, with_class_token):
        np.testing.assert_allclose(numpy_of(BoxPooling()(x, box)), expected, atol=1e-6)
    first = BoxPooling(data_format="channels_first")(maps.transpose(0, 3, 1, 2), box)
    np.testing.assert_allclose(numpy_of(first), expected, atol=1e-6)
    assert BoxPooling().compute_output_shape((None, 9, 4), (None, 4)) == (None, 8)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_float32_under_every_policy(policy):
    layer = BoxPooling(dtype=policy)
    box = np.array([[0, 0, 1, 1]], "float32")
    out = layer(np.ones((1, 2, 2, 3)), box)
    assert keras.backend.standardize_dtype(out.dtype) == "float32"
    symbolic = layer(keras.KerasTensor((None, 2, 2, 3)), keras.KerasTensor((None, 4)))
    assert (symbolic.shape, symbolic.dtype) == ((None, 6), "float32")
    again = BoxPooling.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
