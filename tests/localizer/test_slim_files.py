"""Localizers saved without their optimizer."""

import keras
import numpy as np
import pytest
from tiny_backbone import tiny_backbone

from keras_localize import build_localizer


def trained(rng, **options):
    localizer = build_localizer(tiny_backbone(), 3, trainable_backbone=True, **options)
    localizer.compile("adam")
    size = localizer.image_size
    targets = {"label": np.array([0, 1, 2, 0]), "box": np.full((4, 4), 0.5)}
    targets["box"][:, 2:] = 0.75
    images = rng.uniform(0, 255, (4, size, size, 3)).astype("float32")
    localizer.fit(images, targets, epochs=1, verbose=0)
    return localizer, images


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
@pytest.mark.parametrize("quantized", [False, True])
def test_a_slim_file_holds_the_same_localizer(quantized, rng, tmp_path):
    localizer, images = trained(rng, class_names=["a", "b", "c"], quality=True)
    if quantized:
        localizer.quantize("int8")
    localizer.save(tmp_path / "whole.keras")
    localizer.save(tmp_path / "slim.keras", include_optimizer=False)
    assert localizer.compiled  # it is as it was
    slim = keras.saving.load_model(tmp_path / "slim.keras")
    whole = keras.saving.load_model(tmp_path / "whole.keras")
    assert whole.compiled and not slim.compiled
    assert slim.class_names == localizer.class_names
    expected = localizer.predict(images, verbose=0)
    for key, value in slim.predict(images, verbose=0).items():
        np.testing.assert_array_equal(value, expected[key])
    if not quantized:
        # Adam keeps two numbers for each weight; the rest is the description.
        numbers = sum(value.nbytes for value in localizer.get_weights())
        spared = [
            (tmp_path / name).stat().st_size for name in ("whole.keras", "slim.keras")
        ]
        assert spared[0] - spared[1] > 1.5 * numbers


def test_a_slim_file_holds_what_lora_learned(rng, tmp_path):
    localizer = build_localizer(tiny_backbone(), 3)
    size = localizer.image_size
    images = rng.uniform(0, 255, (4, size, size, 3)).astype("float32")
    label = localizer.get_layer("label")
    label.enable_lora(2)
    label.lora_kernel_b.assign(rng.normal(size=label.lora_kernel_b.shape))
    expected = localizer.predict(images, verbose=0)
    localizer.save(tmp_path / "slim.keras", include_optimizer=False)
    slim = keras.saving.load_model(tmp_path / "slim.keras")
    for key, value in slim.predict(images, verbose=0).items():
        np.testing.assert_allclose(value, expected[key], atol=1e-6)


def test_a_layer_of_ones_own_need_not_be_registered(tmp_path, rng):
    class Own(keras.layers.Layer):
        def call(self, inputs):
            return inputs * 2.0

    layers = [keras.Input((32, 32, 3)), Own(), keras.layers.Conv2D(4, 8, strides=8)]
    localizer = build_localizer(keras.Sequential(layers), 2, preprocessing=None)
    localizer.compile()
    localizer.save(tmp_path / "slim.keras", include_optimizer=False)
    loaded = keras.saving.load_model(tmp_path / "slim.keras", {"Own": Own})
    images = rng.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    for key, value in loaded.predict(images, verbose=0).items():
        np.testing.assert_array_equal(value, localizer.predict(images, verbose=0)[key])


def test_two_layers_of_ones_own_with_one_name_are_refused(tmp_path):
    def make(factor):
        class Own(keras.layers.Layer):
            def call(self, inputs):
                return inputs * factor

        return Own()

    layers = [keras.Input((32, 32, 3)), make(2.0), make(-3.0)]
    backbone = keras.Sequential([*layers, keras.layers.Conv2D(4, 8, strides=8)])
    localizer = build_localizer(backbone, 2, preprocessing=None)
    with pytest.raises(ValueError, match=r"two classes.*called Own.*register"):
        localizer.save(tmp_path / "slim.keras", include_optimizer=False)
