"""Which feature maps are found, in graphs where the right ones are known."""

import keras
import numpy as np
import pytest
from tiny_backbone import tiny_backbone

from keras_localize import build_localizer
from keras_localize.localizer.features import extract_features, find_feature_maps


def map_names(model, size):
    maps = find_feature_maps(model, size)
    outputs = {id(each.output): each.name for each in model.operations}
    return [outputs[id(tap)] for tap in maps]


def test_maps_are_the_ends_of_blocks_not_their_insides():
    assert map_names(tiny_backbone(), 32) == ["block_0", "block_1", "block_2"]


def test_maps_of_a_real_network():
    mobilenet = keras.applications.MobileNet(
        alpha=0.25, include_top=False, weights=None, input_shape=(224, 224, 3)
    )
    assert map_names(mobilenet, 224) == [
        "conv_pw_5_relu",
        "conv_pw_11_relu",
        "conv_pw_13_relu",
    ]


def test_scaled_pixels_are_no_features():
    images = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255, name="scaled")(images)
    x = keras.layers.Conv2D(4, 8, strides=8, name="patches")(x)
    assert map_names(keras.Model(images, x), 32) == ["patches"]


def residual(x, name):
    return keras.ops.add(x, keras.layers.Conv2D(4, 1, name=f"{name}_inside")(x))


class DescribesItself(keras.Model):
    """As KerasHub's backbones: functional, its config the constructor's arguments."""

    def __init__(self, **kwargs):
        images = keras.Input((32, 32, 3))
        x = keras.layers.Conv2D(4, 2, strides=2, name="half")(images)
        x = residual(x, "half")
        x = keras.layers.Conv2D(4, 2, strides=2, name="quarter")(x)
        super().__init__(images, residual(x, "quarter"), **kwargs)

    def get_config(self):
        return {"name": self.name}


def test_a_sum_that_is_no_layer_ends_a_block():
    model = DescribesItself()
    maps = find_feature_maps(model, 32)
    # The sums themselves, which ConvNeXt writes as `x + layer(x)`: no residual
    # branch, no input of one.
    sums = [op.output for op in model.operations if not isinstance(op, keras.Layer)]
    assert [id(x) for x in maps] == [id(each) for each in sums]
    name = next(op.name for op in model.operations if op.output is maps[0])
    extractor, count, _ = extract_features(model, feature_layers=name)
    assert count == 1 and extractor.outputs[0] is maps[0]


def test_maps_where_the_size_is_open():
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="half")(images)
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="quarter")(x)
    assert map_names(keras.Model(images, x), 40) == ["half", "quarter"]


def test_map_before_a_nested_model():
    # The nested model's own output belongs to another graph: only its end counts.
    nested = keras.Sequential(
        [keras.Input((16, 16, 4)), keras.layers.Conv2D(5, 2, strides=2)], name="nested"
    )
    images = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 2, strides=2, name="half")(images)
    model = keras.Model(images, nested(x))
    extractor, maps, _ = extract_features(model)
    assert maps == 2
    assert [tuple(x.shape[1:]) for x in extractor.outputs] == [(16, 16, 4), (8, 8, 5)]


def test_named_layers_override(backbone):
    extractor, maps, size = extract_features(backbone, feature_layers=["relu_0"])
    assert (maps, size) == (1, 32)
    # The label still reads the backbone's end.
    assert [tuple(x.shape[1:]) for x in extractor.outputs] == [(16, 16, 8), (4, 4, 16)]


def test_weights_are_shared_not_copied(backbone):
    localizer = build_localizer(backbone, 2)
    kernel = backbone.get_layer("conv_1").kernel
    assert any(kernel is w for w in localizer.weights)


class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(6, 4, strides=4)

    def call(self, images):
        return self.conv(images / 255.0)


@pytest.mark.parametrize("kind", ["sequential", "unbuilt", "subclassed"])
def test_other_kinds_of_models(kind, batch):
    model = {
        "sequential": lambda: keras.Sequential(
            [keras.Input((32, 32, 3)), keras.layers.Conv2D(6, 4, strides=4)]
        ),
        "unbuilt": lambda: keras.Sequential([keras.layers.Conv2D(6, 4, strides=4)]),
        "subclassed": Subclassed,
    }[kind]()
    size = None if kind == "sequential" else 32
    localizer = build_localizer(model, 3, image_size=size, preprocessing=None)
    assert localizer.image_size == 32
    outputs = localizer.predict(batch[0], verbose=0)
    assert outputs["box"].shape == (8, 4)


def test_a_backbone_that_takes_a_dict_of_one_key(batch, tmp_path):
    images = keras.Input((32, 32, 3), name="images")
    x = keras.layers.Conv2D(6, 4, strides=4, name="quarter")(images)
    x = keras.layers.Conv2D(6, 2, strides=2)(x)
    backbone = keras.Model({"images": images}, x)
    localizer = build_localizer(backbone, 3, preprocessing=None)
    assert localizer.num_maps == 2
    expected = localizer.predict(batch[0], verbose=0)["box"]
    assert expected.shape == (8, 4)
    localizer.save(tmp_path / "dict.keras")
    loaded = keras.models.load_model(tmp_path / "dict.keras")
    np.testing.assert_array_equal(loaded.predict(batch[0], verbose=0)["box"], expected)


def test_tokens_of_a_vision_transformer(batch):
    images = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(6, 8, strides=8)(x)
    tokens = keras.layers.Reshape((16, 6))(x)
    localizer = build_localizer(keras.Model(images, tokens), 3)
    assert localizer.predict(batch[0], verbose=0)["label"].shape == (8, 3)


def make(shape, outputs=lambda x: keras.layers.Conv2D(2, 3)(x)):
    images = keras.Input(shape)
    return keras.Model(images, outputs(images))


@pytest.mark.parametrize(
    "model, arguments, message",
    [
        (lambda: make((32, 48, 3)), {}, "square images.*32 x 48"),
        (lambda: make((32, 32, 1)), {}, "RGB"),
        (lambda: make((None, None, 3)), {}, "image_size=None"),
        (lambda: make((None, None, 3)), {"image_size": -5}, "image_size=-5"),
        (lambda: make((32, 32, 3)), {"image_size": 64}, "image_size=64"),
        (
            lambda: make((32, 32, 3), keras.layers.GlobalAveragePooling2D()),
            {},
            "include_top=False",
        ),
        (lambda: tiny_backbone(), {"feature_layers": ["blok_1"]}, "block_1.*'blok_1'"),
        (lambda: tiny_backbone(), {"feature_layers": []}, "feature_layers"),
        (lambda: Subclassed(), {}, "image_size=None"),
        (lambda: Subclassed(), {"image_size": True}, "image_size=True"),
        (lambda: "MobileNet", {"image_size": 32}, "backbone='MobileNet'"),
        (lambda: None, {"image_size": 32}, "backbone=None"),
        (
            lambda: tiny_backbone(),
            {"feature_layers": keras.Input((4, 4, 16))},
            "feature_layers.*not of",
        ),
    ],
)
def test_bad_backbones_are_refused(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        build_localizer(model(), 3, preprocessing=None, **arguments)


def test_frozen_means_inference_mode_as_a_whole(rng):
    images = keras.Input((8, 8, 3))
    x = keras.layers.BatchNormalization()(images)
    model = keras.Model(images, keras.layers.Dropout(0.5)(x))
    extractor, _, _ = extract_features(model)
    x = rng.normal(3, 5, size=(16, 8, 8, 3)).astype("float32")

    def output(training):
        result = keras.tree.flatten(extractor(x, training=training))[0]
        return keras.ops.convert_to_numpy(result)

    extractor.trainable = False
    np.testing.assert_array_equal(output(True), output(False))
    extractor.trainable = True
    assert np.abs(output(True) - output(False)).max() > 1
