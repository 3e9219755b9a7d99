"""Layers that other layers hold: found, frozen, and saved as frozen."""

import keras
import numpy as np
import pytest

from keras_localize import LocalizationHead, build_localizer
from keras_localize.localizer.sublayers import (
    freeze_paths,
    frozen_paths,
    sublayers,
    trainable_as_before,
)


@keras.saving.register_keras_serializable("test_sublayers")
class Block(keras.layers.Layer):
    """A block as backbones have them; its first normalization is always frozen."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(8, 3, strides=4, padding="same")
        self.fixed = keras.layers.BatchNormalization(trainable=False)
        self._norms = [keras.layers.BatchNormalization() for _ in range(2)]

    def build(self, input_shape):
        self.conv.build(input_shape)
        shape = self.conv.compute_output_shape(input_shape)
        for layer in (self.fixed, *self._norms):
            layer.build(shape)

    def call(self, x, training=None):
        x = self.conv(x)
        for layer in (self.fixed, *self._norms):
            x = layer(x, training=training)
        return x

    def compute_output_shape(self, input_shape):
        return self.conv.compute_output_shape(input_shape)


@pytest.fixture
def localizer():
    images = keras.Input((32, 32, 3))
    inner = keras.Sequential([keras.Input((8, 8, 8)), Block(name="second")])
    maps = inner(Block(name="first")(images))
    backbone = keras.Model(images, maps)
    options = {"trainable_backbone": True, "preprocessing": None}
    return build_localizer(backbone, 2, **options)


def blocks(localizer):
    found = dict(sublayers(localizer.backbone))
    return [layer for layer in found.values() if isinstance(layer, Block)]


def as_numpy(values):
    return [keras.ops.convert_to_numpy(x).copy() for x in values]


def test_all_are_found_once_under_names_of_their_own(localizer):
    found = list(sublayers(localizer.backbone))
    assert len(blocks(localizer)) == 2
    assert len({id(layer) for _, layer in found}) == len(found)
    assert len({path for path, _ in found}) == len(found)
    norms = [x for _, x in found if isinstance(x, keras.layers.BatchNormalization)]
    assert len(norms) == 6
    paths = [path for path, _ in found]
    # A layer comes before what it holds.
    assert paths.index("first") < paths.index("first/conv")


def test_unfrozen_without_batch_normalization(localizer):
    """Statistics and weights stay, wherever the layer is."""
    localizer.unfreeze()
    norms = [
        layer
        for _, layer in sublayers(localizer.backbone)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    before = [as_numpy(norm.weights) for norm in norms]
    kernels = as_numpy(block.conv.kernel for block in blocks(localizer))
    localizer.compile(keras.optimizers.SGD(0.1))
    x, targets = (
        np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)),
        {
            "label": np.arange(4) % 2,
            "box": np.full((4, 4), [0.1, 0.1, 0.6, 0.7]),
        },
    )
    localizer.fit(x, targets, verbose=0)
    for norm, weights in zip(norms, before):
        for one, other in zip(as_numpy(norm.weights), weights):
            np.testing.assert_array_equal(one, other)
    for block, kernel in zip(blocks(localizer), kernels):
        assert not np.array_equal(as_numpy([block.conv.kernel])[0], kernel)
    localizer.unfreeze(batch_normalization=True)
    assert all(norm.trainable for norm in norms)


def test_flags_come_back_from_a_file(localizer, tmp_path):
    first, second = blocks(localizer)
    assert not first.fixed.trainable and first.conv.trainable
    second.conv.trainable = False
    first._norms[1].trainable = False
    localizer.head.context_conv.trainable = False
    expected = [x.path.rpartition("/")[2] for x in localizer.trainable_variables]
    localizer.save(tmp_path / "localizer.keras")
    loaded = keras.saving.load_model(tmp_path / "localizer.keras")
    assert frozen_paths(loaded) == frozen_paths(localizer)
    found = [x.path.rpartition("/")[2] for x in loaded.trainable_variables]
    assert found == expected
    first, second = blocks(loaded)
    assert [first.fixed.trainable, first.conv.trainable] == [False, True]
    assert [norm.trainable for norm in first._norms] == [True, False]
    assert not second.conv.trainable and not loaded.head.context_conv.trainable


def test_what_a_frozen_layer_holds_is_frozen(localizer):
    """Also where the paths are of a file that does not list what it holds."""
    freeze_paths(localizer.backbone, ["first"])
    first, second = blocks(localizer)
    assert not any(x.trainable for x in (first, first.conv, *first._norms))
    assert all(x.trainable for x in (second, second.conv, *second._norms))


def test_flags_are_as_before(localizer):
    first, _ = blocks(localizer)
    first.conv.trainable = False
    before = frozen_paths(localizer.backbone)
    with trainable_as_before(localizer.backbone):
        localizer.unfreeze(batch_normalization=True)
        assert frozen_paths(localizer.backbone) != before
    assert frozen_paths(localizer.backbone) == before


def test_the_layers_of_a_head():
    model = keras.Sequential([keras.Input((8, 8, 4)), LocalizationHead(name="box")])
    paths = [path for path, _ in sublayers(model)]
    assert {"box", "box/context_conv", "box/prediction"} <= set(paths)
    assert sum(path.startswith("box/laterals") for path in paths) == 1
