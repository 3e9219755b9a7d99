"""A run that is killed and started again ends with the figures of one that was not."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_localize as kl
from keras_localize.datasets import EpochOrder

PROCESS = Path(__file__).with_name("resume_process.py")
# More of them: KERAS_LOCALIZE_KILLS=10.
KILLS = int(os.environ.get("KERAS_LOCALIZE_KILLS", "2"))
STEPS = 12 * 5


def steps(folder):
    file = folder / "steps"
    return file.stat().st_size if file.exists() else 0


def start(folder):
    folder.mkdir(exist_ok=True)
    with open(folder.with_suffix(".log"), "a") as log:
        command = [sys.executable, str(PROCESS), str(folder)]
        return subprocess.Popen(command, stdout=log, stderr=log)


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_at_any_step_and_restarted(tmp_path):
    rng, killed = random.Random(1), 0
    whole, broken = start(tmp_path / "whole"), tmp_path / "broken"
    for _ in range(KILLS):
        process = start(broken)
        wanted = steps(broken) + rng.randint(1, 2 * STEPS // KILLS)
        while steps(broken) < wanted and process.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        killed += process.wait(120) == -signal.SIGKILL
    for process in (start(broken), whole):
        assert process.wait(900) == 0, broken.with_suffix(".log").read_text()[-2000:]
    assert killed >= KILLS / 2
    assert steps(tmp_path / "whole") == STEPS
    expected, found = (
        np.load(tmp_path / f / "result.npy") for f in ("whole", "broken")
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


# --- the epoch, without processes ---


def numbered(count=24):
    """Images whose colour is their number."""
    return kl.LocalizationDataset(
        [np.full((8, 8, 3), i, "uint8") for i in range(count)],
        [[0, 0, 1, 1]] * count,
        [0] * count,
        ["a"],
    )


class Seen(keras.callbacks.Callback):
    """The images that a localizer was trained on, a list per epoch."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append([])


def watched(monkeypatch):
    """A localizer, and the callback that holds what it was trained on."""
    seen = Seen()

    class Watching(kl.Localizer):
        def train_step(self, *data):
            images = keras.ops.convert_to_numpy(data[-1][0])
            seen.epochs[-1] += images[:, 4, 4, 0].astype(int).tolist()
            return super().train_step(*data)

    backbone = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 4, strides=4)]
    )
    built = kl.build_localizer(backbone, 1, preprocessing=None)
    localizer = Watching.from_config(built.get_config())
    localizer.compile(run_eagerly=True)
    return localizer, seen


KINDS = [
    "to_pydataset",
    pytest.param(
        "to_tf_data",
        marks=pytest.mark.skipif(
            keras.backend.backend() == "jax", reason="jit: images cannot be seen"
        ),
    ),
]


def orders(*epochs, seed=3, count=24):
    return [
        np.random.default_rng([seed, epoch]).permutation(count).tolist()
        for epoch in epochs
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_fit_tells_the_epoch(kind, monkeypatch):
    localizer, seen = watched(monkeypatch)
    batches = getattr(numbered(), kind)(8, 8, shuffle=True, seed=3)
    options = {"verbose": 0, "callbacks": [seen]}
    localizer.fit(batches, epochs=2, **options)
    localizer.fit(batches, epochs=2, **options)
    localizer.fit(batches, epochs=6, initial_epoch=4, **options)
    assert seen.epochs == orders(0, 1, 0, 1, 4, 5)
    # Afterwards it counts on.
    later = [
        next(iter(batches))[0] if kind == "to_tf_data" else batches[0][0]
        for _ in range(1)
    ]
    images = keras.ops.convert_to_numpy(later[0])
    assert images[:, 4, 4, 0].tolist() == orders(6)[0][:8]


@pytest.mark.long
def test_feature_batches_are_told_too(monkeypatch):
    backbone = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 4, strides=4)]
    )
    localizer = kl.build_localizer(backbone, 1, preprocessing=None)
    features, heads = localizer.split()
    cached = kl.cache_features(
        features, numbered().to_pydataset(8), mirror=False, verbose=0
    )
    heads.compile()

    def trained(batches, **options):
        keras.utils.set_random_seed(0)
        started = [keras.ops.convert_to_numpy(w) for w in localizer.weights]
        history = heads.fit(batches, verbose=0, **options).history["loss"]
        localizer.set_weights(started)
        return history

    batches = kl.FeatureBatches(*cached, batch_size=4, seed=1)
    first = trained(batches, epochs=2)
    assert batches.epoch == 2
    # The same epochs in the same order, whatever `random` says to Keras.
    heads.compile()
    np.testing.assert_allclose(trained(batches, epochs=2), first, rtol=1e-6)
    heads.compile()
    fresh = kl.FeatureBatches(*cached, batch_size=4, seed=1)
    fresh.set_epoch(7)
    np.testing.assert_allclose(trained(fresh, epochs=2), first, rtol=1e-6)


@pytest.mark.parametrize("method", ["to_pydataset", "to_tf_data"])
def test_other_models_are_told_by_the_callback(method):
    batches = getattr(numbered(), method)(8, 8, shuffle=True, seed=3, targets="box")
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    model.compile("sgd", "mse")
    weights = model.get_weights()

    def losses(**options):
        model.set_weights(weights)
        model.compile(keras.optimizers.SGD(1e-7), "mse")
        options |= {"callbacks": [EpochOrder(batches)], "shuffle": False}
        return model.fit(batches, verbose=0, **options).history["loss"]

    assert losses(epochs=2) == losses(epochs=2)
    assert losses(epochs=3, initial_epoch=2) == losses(epochs=3, initial_epoch=2)
    assert losses(epochs=1) != losses(epochs=3, initial_epoch=2)


def test_what_cannot_be_told_is_refused():
    batches = numbered().to_tf_data(8)
    for bad in (batches.map(lambda *x: x), batches.take(1), [1], None):
        with pytest.raises(ValueError, match="cannot be told the epoch"):
            EpochOrder(batches, bad)


def test_a_cycle_of_the_rate_goes_on_from_a_checkpoint(tmp_path, monkeypatch):
    """`initial_epoch` with a model that was saved within `fit`."""
    rates = {}

    class Rate(keras.callbacks.Callback):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def on_epoch_end(self, epoch, logs=None):
            rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
            rates.setdefault(self.name, {})[epoch] = float(rate)

    def localizer():
        backbone = keras.Sequential(
            [keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 4, strides=4)]
        )
        built = kl.build_localizer(backbone, 1, preprocessing=None)
        built.compile()
        return built

    batches = numbered().to_pydataset(8, 8)
    save = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    options = {"epochs": 6, "verbose": 0}
    localizer().fit(batches, callbacks=[Rate("whole"), save], **options)
    loaded = keras.saving.load_model(tmp_path / "4.keras")
    loaded.fit(batches, initial_epoch=4, callbacks=[Rate("resumed")], **options)
    assert rates["resumed"] == {epoch: rates["whole"][epoch] for epoch in (4, 5)}
    # A new `fit` has a cycle of its own.
    loaded.fit(batches, callbacks=[Rate("new")], **options)
    assert rates["new"] == pytest.approx(rates["whole"])
