"""The state that a training leaves, whenever it ends."""

import keras
import numpy as np
import pytest

import keras_localize as kl
from keras_localize.localizer import training_checkpoint

X = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
Y = X.sum(1, keepdims=True)


class Killed(Exception):
    pass


class KillAt(keras.callbacks.Callback):
    """Ends the process, as it were, in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch, self.now = epoch, None

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.epoch, 1):
            raise Killed


class Rates(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append(epoch)


def network(units=8):
    keras.utils.set_random_seed(1)
    layers = [keras.Input((3,)), keras.layers.Dense(units, "tanh")]
    model = keras.Sequential(
        [*layers, keras.layers.Dropout(0.3), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def train(folder, *callbacks, epochs=5):
    checkpoint = kl.TrainingCheckpoint(folder)
    model = network()
    model.fit(
        X,
        Y,
        batch_size=4,
        shuffle=False,
        epochs=epochs,
        initial_epoch=checkpoint.epochs,
        callbacks=[checkpoint, *callbacks],
        verbose=0,
    )
    return model, checkpoint


def same(first, second):
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


# Keras's dropout on torch draws from torch's own generator; see `EpochOrder`.
@pytest.mark.skipif(keras.backend.backend() == "torch", reason="needs EpochOrder")
def test_any_model_goes_on_with_dropout_and_optimizer(tmp_path):
    whole, expected = train(tmp_path / "whole")
    seen = Rates()
    for epoch in (0, 2, 4):
        with pytest.raises(Killed):
            train(tmp_path / "broken", KillAt(epoch), seen)
    model, checkpoint = train(tmp_path / "broken", seen)
    assert seen.seen == [0, 0, 1, 2, 2, 3, 4, 4]
    same(model, whole)
    assert checkpoint.epochs == 5 and checkpoint.finished
    np.testing.assert_allclose(checkpoint.history["loss"], expected.history["loss"])
    weights = [p.name for p in (tmp_path / "broken").glob("*.h5")]
    assert weights == ["end_epoch_5.weights.h5"]


def test_a_finished_training_is_not_trained_again(tmp_path):
    whole, _ = train(tmp_path)
    seen = Rates()
    again, checkpoint = train(tmp_path, seen)
    assert seen.seen == []
    same(again, whole)
    # More epochs go on from there.
    _, checkpoint = train(tmp_path, seen, epochs=7)
    assert seen.seen == [5, 6]
    assert len(checkpoint.history["loss"]) == 7


def test_keeps_what_another_callback_made_of_the_weights(tmp_path):
    stop = keras.callbacks.EarlyStopping(
        "loss", min_delta=1e9, patience=1, restore_best_weights=True
    )
    folder = tmp_path / "stopped"
    checkpoint = kl.TrainingCheckpoint(folder)
    model = network()
    model.fit(X, Y, epochs=9, callbacks=[stop, checkpoint], verbose=0)
    kept = kl.TrainingCheckpoint(folder)
    assert kept.finished and kept.epochs == checkpoint.epochs < 9
    fresh = network()
    kept.restore(fresh)
    same(fresh, model)


@pytest.mark.parametrize("file", ["weights.h5", "state.json"])
def test_killed_while_it_writes(file, tmp_path, monkeypatch):
    """The state before stays, whichever of the two files was unfinished."""
    with pytest.raises(Killed):
        train(tmp_path, KillAt(2))
    before = kl.TrainingCheckpoint(tmp_path)
    replacing = training_checkpoint.replacing

    def failing(path):
        if path.name.endswith(file):
            raise Killed
        return replacing(path)

    monkeypatch.setattr(training_checkpoint, "replacing", failing)
    with pytest.raises(Killed):
        train(tmp_path)
    monkeypatch.undo()
    after = kl.TrainingCheckpoint(tmp_path)
    assert (after.epochs, after.history) == (before.epochs, before.history) and (
        after.epochs == 2
    )
    one, other = network(), network()
    before.restore(one)
    after.restore(other)
    same(one, other)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"epochs": 3'])
def test_a_state_that_cannot_be_read(text, tmp_path):
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(ValueError, match=r"`folder`.*state\.json cannot be read"):
        kl.TrainingCheckpoint(tmp_path)


def test_the_state_of_another_model(tmp_path):
    train(tmp_path)
    with pytest.raises(ValueError, match=r"shape|layer|variables"):
        kl.TrainingCheckpoint(tmp_path).restore(network(units=4))
