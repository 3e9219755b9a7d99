"""KerasHub's functional backbones, where KerasHub is installed."""

import keras
import numpy as np
import pytest

from keras_localize import build_localizer

keras_hub = pytest.importorskip("keras_hub")


def efficient_net():
    return keras_hub.models.EfficientNetBackbone(
        stackwise_kernel_sizes=[3, 3],
        stackwise_num_repeats=[1, 1],
        stackwise_input_filters=[8, 8],
        stackwise_output_filters=[8, 12],
        stackwise_expansion_ratios=[1, 2],
        stackwise_squeeze_and_excite_ratios=[0.25, 0.25],
        stackwise_strides=[2, 2],
        stackwise_block_types=["v1", "v1"],
        stackwise_force_input_filters=[0, 0],
        stackwise_nores_option=[False, False],
        width_coefficient=1.0,
        depth_coefficient=1.0,
    )


def res_net():
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64, 64],
        stackwise_num_blocks=[1, 1, 1],
        stackwise_num_strides=[1, 2, 2],
        block_type="basic_block",
    )


def vit():
    # As a layer of another model it is stored as itself; its own layers cannot be
    # read back (KerasHub 0.32: their config is not their constructor's).
    inside = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3),
        patch_size=8,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=16,
    )
    return keras.Sequential([keras.Input((32, 32, 3)), inside])


def dino_v2():
    return keras_hub.models.DINOV2Backbone(
        patch_size=8,
        num_layers=1,
        hidden_dim=8,
        num_heads=2,
        intermediate_dim=16,
        num_register_tokens=4,
        image_shape=(32, 32, 3),
    )


@pytest.mark.parametrize(
    "make",
    [res_net, efficient_net, vit, dino_v2],
)
@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # DINO's mask token
def test_builds_trains_and_comes_back(make, batch, tmp_path):
    localizer = build_localizer(
        make(), 3, image_size=32, preprocessing=None, trainable_backbone=True
    )
    localizer.compile()
    x, y, w = batch
    history = localizer.fit(x, y, sample_weight=w, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    expected = localizer.predict(x, verbose=0)["box"]
    localizer.save(tmp_path / "hub.keras")
    loaded = keras.models.load_model(tmp_path / "hub.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0)["box"], expected, atol=1e-6)


def test_pyramid_outputs_are_feature_layers(batch):
    backbone = efficient_net()
    levels = [backbone.pyramid_outputs[level] for level in ("P1", "P2")]
    localizer = build_localizer(
        backbone, 3, image_size=32, preprocessing=None, feature_layers=levels
    )
    assert localizer.num_maps == 2
    features, _ = localizer.split()
    sizes = [x.shape[1] for x in features.predict(batch[0], verbose=0)]
    assert sizes == [16, 8, 4]
