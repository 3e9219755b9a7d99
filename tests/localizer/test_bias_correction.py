"""With the corrected bias, rounded weights keep the mean of every channel."""

import keras
import numpy as np
import pytest

from keras_localize.localizer.exporting.bias_correction import correct_biases

pytestmark = [
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="Keras writes LiteRT from it"
    ),
    # As in an export, which keeps warnings of converters to itself.
    pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors"),
]
LAYERS = {
    "same": keras.layers.Conv2D(4, 3, strides=2, padding="same"),
    "valid": keras.layers.Conv2D(4, 3, strides=2),
    "pointwise": keras.layers.Conv2D(4, 1),
    "depthwise": keras.layers.DepthwiseConv2D(3, strides=2, padding="same"),
    "multiplied": keras.layers.DepthwiseConv2D(3, depth_multiplier=2),
}


def rounded(kernel, axes):
    """127 steps to each side for every output channel."""
    step = np.abs(kernel).max(axis=axes, keepdims=True) / 127
    return np.rint(kernel / step) * step


@pytest.mark.parametrize("kind", LAYERS)
def test_the_means_are_those_of_the_float_layer(kind, tmp_path, rng):
    interpreters = pytest.importorskip("ai_edge_litert.interpreter")
    layer = type(LAYERS[kind]).from_config(LAYERS[kind].get_config())
    model = keras.Sequential([keras.Input((9, 9, 6), batch_size=1), layer])
    weights, bias = layer.get_weights()
    # As batch norm leaves them: large weights, and a bias that cancels them.
    weights, bias = rng.normal(0, 30, weights.shape), rng.normal(0, 30, bias.shape)
    layer.set_weights([weights, bias])
    path = tmp_path / "layer.tflite"
    model.export(str(path), format="litert", verbose=False)
    runner = interpreters.Interpreter(str(path)).get_signature_runner()
    (name,) = runner.get_input_details()
    images = rng.uniform(0, 6, (5, 1, 9, 9, 6)).astype("float32")

    def means():
        outputs = [model.predict_on_batch(image) for image in images]
        return np.mean(outputs, axis=(0, 1, 2, 3))

    expected = means()
    correct_biases(path, [{name: image} for image in images])

    axes = (0, 1) if "depth" in type(layer).__name__.lower() else (0, 1, 2)
    layer.set_weights([rounded(weights, axes), bias])
    assert np.abs(means() - expected).max() > 0.1
    details = interpreters.Interpreter(str(path)).get_tensor_details()
    (index,) = {
        one["index"]
        for one in details
        if list(one["shape"]) == list(bias.shape) and one["dtype"] == np.float32
    }
    interpreter = interpreters.Interpreter(str(path))
    interpreter.allocate_tensors()
    layer.set_weights([rounded(weights, axes), interpreter.get_tensor(index)])
    np.testing.assert_allclose(means(), expected, atol=2e-3)
