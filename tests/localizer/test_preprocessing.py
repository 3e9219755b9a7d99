"""The scaling in the model is the family's own `preprocess_input`."""

import warnings

import keras
import numpy as np
import pytest

from keras_localize import build_localizer
from keras_localize.localizer.preprocessing import PixelScaling, preprocessing_for

FAMILIES = {
    "mobilenet_0.25_224": "mobilenet",
    "mobilenet_1.00_rows": "mobilenet",
    "mobilenetv2_1.00_224": "mobilenet_v2",
    "inception_v3": "inception_v3",
    "inception_resnet_v2": "inception_resnet_v2",
    "xception": "xception",
    "nasnet_mobile": "nasnet",
    "nasnet_large": "nasnet",
    **{f"resnet{depth}v2": "resnet_v2" for depth in (50, 101, 152)},
    **{f"resnet{depth}": "resnet" for depth in (50, 101, 152)},
    "vgg16": "vgg16",
    "vgg19": "vgg19",
    **{f"densenet{depth}": "densenet" for depth in (121, 169, 201)},
}

# Families that hold their scaling unless they are built without it: what is then
# missing, from the layers that they would hold.
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STD = np.array([0.229, 0.224, 0.225])
MISSING = {
    "MobileNetV3Small": lambda x: x / 127.5 - 1,
    "MobileNetV3Large": lambda x: x / 127.5 - 1,
    "efficientnetb0": lambda x: (x / 255 - IMAGENET_MEAN) / IMAGENET_STD,
    "efficientnetv2-b3": lambda x: (x / 255 - IMAGENET_MEAN) / IMAGENET_STD,
    "efficientnetv2-s": lambda x: (x - 128) / 128,
    "efficientnetv2-l": lambda x: (x - 128) / 128,
    "convnext_tiny": lambda x: (x / 255 - IMAGENET_MEAN) / IMAGENET_STD,
    "convnext_xlarge": lambda x: (x / 255 - IMAGENET_MEAN) / IMAGENET_STD,
}


def named(name, *layers):
    """A model that bears a family's name, which is all that tells the family."""
    x = images = keras.Input((8, 8, 3))
    for layer in [*layers, keras.layers.Conv2D(2, 1)]:
        x = layer(x)
    return keras.Model(images, x, name=name)


@pytest.mark.parametrize("name", FAMILIES)
def test_equals_preprocess_input(name, rng):
    layer, known = preprocessing_for(named(name))
    assert known
    images = rng.uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    module = getattr(keras.applications, FAMILIES[name])
    expected = module.preprocess_input(images.copy())
    got = keras.ops.convert_to_numpy(layer(images))
    np.testing.assert_allclose(got, expected, atol=2e-5)


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_without_the_models_own_scaling(name, rng):
    layer, known = preprocessing_for(named(name))
    assert known
    images = rng.uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    got = keras.ops.convert_to_numpy(layer(images))
    np.testing.assert_allclose(got, MISSING[name](images), atol=2e-5)
    # Built with it, the model has the same name and gets no layer.
    assert preprocessing_for(named(name, keras.layers.Rescaling(1 / 255))) == (
        None,
        True,
    )


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="names know no backend"
)
def test_names_are_those_of_the_built_models():
    build = keras.applications.MobileNetV2
    options = {"include_top": False, "weights": None}
    for shape in ((96, 96, 3), (None, None, 3)):
        model = build(alpha=0.35, input_shape=shape, **options)
        assert preprocessing_for(model)[0] is not None
    for preprocess in (True, False):  # the same name for both
        model = keras.applications.MobileNetV3Small(
            input_shape=(96, 96, 3), include_preprocessing=preprocess, **options
        )
        layer, known = preprocessing_for(model)
        assert known and (layer is None) == preprocess


def test_never_twice():
    model = named("resnet50", keras.layers.Rescaling(1 / 127.5, offset=-1.0))
    assert preprocessing_for(model) == (None, True)
    nested = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Normalization()])
    assert preprocessing_for(named("vgg16", nested)) == (None, True)


def test_an_unknown_backbone_gets_one_warning():
    with pytest.warns(UserWarning, match="preprocessing=") as caught:
        localizer = build_localizer(named("my_net"), 2)
    assert len(caught) == 1
    assert localizer.preprocessing is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_localizer(named("my_net"), 2, preprocessing=None)
        layer = keras.layers.Rescaling(1 / 255)
        localizer = build_localizer(named("my_net"), 2, preprocessing=layer)
        assert localizer.preprocessing is layer


def test_an_unknown_word_is_an_error():
    with pytest.raises(ValueError, match="preprocessing='imagenet'"):
        build_localizer(named("my_net"), 2, preprocessing="imagenet")


def test_half_precision_scales_in_float32(rng):
    images = rng.uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    layer = PixelScaling(1 / 127.5, -1.0, dtype="mixed_bfloat16")
    got = layer(images)
    assert keras.backend.standardize_dtype(got.dtype) == "bfloat16"
    expected = images / 127.5 - 1
    # One rounding at the end: half a unit of bfloat16's 8 bits.
    got = keras.ops.convert_to_numpy(keras.ops.cast(got, "float32"))
    np.testing.assert_allclose(got, expected, atol=2**-8)
    assert PixelScaling.from_config(layer.get_config()).get_config() == (
        layer.get_config()
    )


def test_channels_first(rng):
    images = rng.uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    options = {"scale": [1.0, 2.0, 3.0], "offset": [0.5, 0.0, -1.0], "bgr": True}
    last = PixelScaling(**options, data_format="channels_last")(images)
    first = PixelScaling(**options, data_format="channels_first")(
        images.transpose(0, 3, 1, 2)
    )
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(first).transpose(0, 2, 3, 1),
        keras.ops.convert_to_numpy(last),
    )
