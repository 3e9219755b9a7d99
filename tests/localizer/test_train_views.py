"""train_localizer with views and class weights of one's own."""

import keras
import numpy as np
import pytest
from quick_training import EAGER, QUICK, on_tensorflow, two_classes
from tiny_backbone import tiny_backbone

from keras_localize import (
    RandomSquareView,
    build_localizer,
    make_synthetic,
    train_localizer,
)
from keras_localize.datasets.batches import Batches
from keras_localize.datasets.squares import square_boxes
from keras_localize.localizer import train as train_module
from keras_localize.localizer.training_plan import plan_training

pytestmark = EAGER


@pytest.fixture
def data():
    return make_synthetic(24, num_classes=2, min_side=32, max_side=48, seed=0)


@pytest.fixture
def trained_on(monkeypatch):
    """The targets and weights of the cached features that the heads are trained on."""
    kept = []
    make = train_module.cache_features

    def watched(*args, **options):
        cached = make(*args, **options)
        kept.append(cached[1:])
        return cached

    monkeypatch.setattr(train_module, "cache_features", watched)
    return kept


def as_it_is(batch):
    return batch


@on_tensorflow
def test_views_of_ones_own_are_all_views(data, trained_on):
    """Nothing is flipped where they flip nothing."""
    options = {**QUICK, "views": 3, "augment": as_it_is}
    train_localizer(two_classes(tiny_backbone(), data), data, **options)
    targets, _ = trained_on[0]
    boxes = square_boxes(data.boxes, data.image_sizes, 32)
    np.testing.assert_allclose(targets["box"], np.tile(boxes, (3, 1)), atol=1e-6)
    np.testing.assert_array_equal(targets["label"], np.tile(data.labels, 3))
    train_localizer(two_classes(tiny_backbone(), data), data, **QUICK)
    assert len(trained_on[1][0]["box"]) == 2 * len(data)


def test_as_many_views_where_none_is_flipped():
    given = {"objects": 1500, "longest_sides": np.full(1500, 100), "batch_size": 32}
    given |= {"views": None, "head_epochs": None, "fine_tune_epochs": 0}
    localizer = build_localizer(tiny_backbone(), 2)
    default, own = (
        plan_training(localizer, augment=augment, **given)
        for augment in (None, as_it_is)
    )
    assert not own.mirror and own.views == 2 * default.views
    assert own.head_epochs == default.head_epochs
    assert own.feature_bytes == default.feature_bytes


@on_tensorflow
def test_fine_tuning_has_the_views_of_the_heads(data, monkeypatch):
    kept = []
    make = Batches.__init__

    def watched(self, *args, augment=None, **options):
        kept.append(augment)
        make(self, *args, augment=augment, **options)

    monkeypatch.setattr(Batches, "__init__", watched)
    options = {**QUICK, "augment": as_it_is, "fine_tune_epochs": 1}
    train_localizer(two_classes(tiny_backbone(), data), data, data[:6], **options)
    assert kept == [as_it_is, None, as_it_is]  # features, validation, fine-tuning


@on_tensorflow
@pytest.mark.parametrize("trainable", [False, True])
def test_class_weights(trainable, data, trained_on, monkeypatch):
    """They reach the label loss, in every phase."""
    kept = []
    make = Batches.__init__

    def watched(self, *args, **options):
        make(self, *args, **options)
        kept.append(self.weights["label"])

    monkeypatch.setattr(Batches, "__init__", watched)
    localizer = two_classes(tiny_backbone(), data, trainable_backbone=trainable)
    name = data.class_names[1]
    options = {**QUICK, "class_weight": {name: 3.0}}
    epochs = 0 if trainable else 1
    train_localizer(localizer, data, data[:6], fine_tune_epochs=epochs, **options)
    of_train = [weights for weights in kept if len(weights) == len(data)]
    assert len(of_train) == 1 + epochs
    for weights in of_train:
        np.testing.assert_array_equal(weights, np.where(data.labels == 1, 3.0, 1.0))
    # Validation images count as they are.
    assert all((weights == 1).all() for weights in kept if len(weights) == 6)
    if not trainable:
        cached = trained_on[0][1]["label"]
        assert set(cached) == {1.0, 3.0}


def test_class_weights_need_classes(data):
    localizer = build_localizer(tiny_backbone(), num_classes=None)
    with pytest.raises(ValueError, match=r"`class_weight` needs .* classes"):
        train_localizer(localizer, data, class_weight="balanced", **QUICK)


@pytest.mark.parametrize("pipeline", [False, True])
def test_a_call_with_views_of_its_own_goes_on(pipeline, data, tmp_path):
    def train(**options):
        keras.utils.set_random_seed(0)
        view = RandomSquareView(32, flip=0.0)
        colour = keras.layers.RandomBrightness(0.2)
        augment = keras.layers.Pipeline([view, colour]) if pipeline else view
        localizer = two_classes(tiny_backbone(), data)
        options = {**QUICK, "cache": tmp_path, "augment": augment, **options}
        return train_localizer(localizer, data, **options)["loss"]

    class End(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(callbacks=[End()])
    resumed = train()
    np.testing.assert_allclose(resumed, train(cache=None))
