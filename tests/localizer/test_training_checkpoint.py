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
    assert [p.name for p in (tmp_path / "broken").iterdir()] == ["state.npz"]


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


def test_killed_while_it_writes(tmp_path, monkeypatch):
    """The state before stays."""
    with pytest.raises(Killed):
        train(tmp_path, KillAt(2))
    before = kl.TrainingCheckpoint(tmp_path)
    savez = np.savez

    def failing(path, **arrays):
        savez(path, state=arrays["state"])
        raise Killed

    monkeypatch.setattr(training_checkpoint.np, "savez", failing)
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


@pytest.mark.parametrize("text", ["", "{}", "[]", "PK\x03\x04"])
def test_a_state_that_cannot_be_read(text, tmp_path):
    (tmp_path / "state.npz").write_text(text)
    with pytest.raises(ValueError, match=r"`folder`.*state\.npz cannot be read"):
        kl.TrainingCheckpoint(tmp_path)


def test_a_state_of_which_a_part_is_missing(tmp_path):
    train(tmp_path, epochs=1)
    path = tmp_path / "state.npz"
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 255
    for bad in (content[:-200], bytes(damaged)):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=r"state\.npz"):
            kl.TrainingCheckpoint(tmp_path).restore(network())


def test_the_state_of_another_model(tmp_path):
    train(tmp_path)
    with pytest.raises(ValueError, match=r"shape|layer|variables"):
        kl.TrainingCheckpoint(tmp_path).restore(network(units=4))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_state_of_another_optimizer(optimizer, tmp_path):
    """Of AdamW's variables each has the shape of one of Adam's."""
    train(tmp_path)
    model = network()
    model.compile(optimizer, "mse")
    with pytest.raises(ValueError, match=r"`folder`.*same model and optimizer"):
        kl.TrainingCheckpoint(tmp_path).restore(model)
    same(model, network())  # nothing was half restored


def test_a_model_that_is_not_compiled_gets_the_weights(tmp_path):
    model, _ = train(tmp_path)
    fresh = keras.Sequential.from_config(network().get_config())
    kl.TrainingCheckpoint(tmp_path).restore(fresh)
    same(fresh, model)


@pytest.mark.parametrize("kind", ["lora", "loss_scale", "accumulation", "bfloat16"])
def test_every_variable_is_kept(kind, tmp_path):
    """Those that Keras's files of weights change, and those built in a second step."""

    def resume(folder, *callbacks):
        keras.utils.set_random_seed(1)
        dtype = "bfloat16" if kind == "bfloat16" else "float32"
        dense = keras.layers.Dense(8, "tanh", dtype=dtype)
        model = keras.Sequential(
            [keras.Input((3,)), dense, keras.layers.Dense(1, dtype=dtype)]
        )
        if kind == "lora":
            dense.enable_lora(2)
        steps = 3 if kind == "accumulation" else None
        optimizer: keras.Optimizer = keras.optimizers.Adam(
            0.01, gradient_accumulation_steps=steps
        )
        if kind == "loss_scale":
            optimizer = keras.optimizers.LossScaleOptimizer(
                optimizer, initial_scale=4.0, dynamic_growth_steps=3
            )
        model.compile(optimizer, "mse")
        checkpoint = kl.TrainingCheckpoint(folder)
        model.fit(
            X,
            Y,
            batch_size=4,
            shuffle=False,
            epochs=4,
            initial_epoch=checkpoint.epochs,
            callbacks=[checkpoint, *callbacks],
            verbose=0,
        )
        return model

    whole = resume(tmp_path / "whole")
    for epoch in (1, 2):
        with pytest.raises(Killed):
            resume(tmp_path / "broken", KillAt(epoch))
    model = resume(tmp_path / "broken")
    for parts in ((whole, model), (whole.optimizer, model.optimizer)):
        first, second = (
            [keras.ops.convert_to_numpy(keras.ops.cast(v, "float32")) for v in p]
            for p in (part.variables for part in parts)
        )
        for a, b in zip(first, second, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_another_number_of_epochs_than_is_kept(tmp_path):
    """A training from epoch 0 on top of three epochs would be one of six."""
    model, checkpoint = train(tmp_path, epochs=3)
    for initial_epoch in (0, 4):
        with pytest.raises(ValueError, match=r"`initial_epoch` must be 3"):
            model.fit(
                X,
                Y,
                epochs=5,
                initial_epoch=initial_epoch,
                callbacks=[checkpoint],
                verbose=0,
            )


def test_a_folder_that_cannot_be_written_is_an_error_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    seen = Rates()
    with pytest.raises(OSError, match="file"):
        train(tmp_path / "file", seen)
    assert seen.seen == []


def test_a_model_without_an_optimizer(tmp_path):
    checkpoint = kl.TrainingCheckpoint(tmp_path)
    checkpoint.set_model(keras.Sequential.from_config(network().get_config()))
    with pytest.raises(ValueError, match="compiled with an optimizer"):
        checkpoint.on_train_begin()


def test_keeps_what_other_callbacks_log(tmp_path):
    class Logs(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs |= {"matrix": np.eye(2), "note": "good", "rate": np.float32(0.5)}

    checkpoint = kl.TrainingCheckpoint(tmp_path)
    network().fit(X, Y, callbacks=[Logs(), checkpoint], verbose=0)
    history = kl.TrainingCheckpoint(tmp_path).history
    assert history["matrix"] == [[[1, 0], [0, 1]]]
    assert history["note"] == ["good"] and history["rate"] == [0.5]
