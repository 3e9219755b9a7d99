"""The automatic rate: one cycle over what each `fit` is about to do."""

import keras
import numpy as np
import pytest

from keras_localize import build_localizer
from keras_localize.localizer.one_cycle import OneCycle

# Compiling five times takes a minute; the next test proves what compiling changes.
EAGER = keras.backend.backend() == "tensorflow"


class Rates(keras.callbacks.Callback):
    """Keeps the rate that each step used."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        rate = self.model.optimizer.learning_rate
        self.seen.append(float(keras.ops.convert_to_numpy(rate)))


def cycle(peak, steps):
    """The closed form, in float64."""
    at, warmup = np.arange(steps), max(steps // 8, 1)
    rising = 0.1 + 0.9 * at / warmup
    falling = (1 + np.cos(np.pi * (at - warmup) / max(steps - warmup, 1))) / 2
    return peak * np.where(at < warmup, rising, falling)


def test_every_fit_is_a_cycle_of_its_own(backbone, batch, tmp_path):
    localizer = build_localizer(backbone, 3)
    localizer.compile(run_eagerly=EAGER)
    rates = Rates()

    def fit(model, **kwargs):
        x, y, w = batch
        model.fit(x, y, 2, sample_weight=w, callbacks=[rates], verbose=0, **kwargs)
        return rates.seen

    np.testing.assert_allclose(fit(localizer, epochs=4), cycle(2e-3, 16), rtol=1e-5)
    # Of five epochs the first is done: four are left.
    seen = fit(localizer, epochs=5, initial_epoch=1)
    np.testing.assert_allclose(seen, cycle(2e-3, 16), rtol=1e-5)
    localizer.unfreeze()
    localizer.compile(run_eagerly=EAGER)
    np.testing.assert_allclose(fit(localizer, epochs=1), cycle(1e-3, 4), rtol=1e-5)
    # A file keeps what was automatic, the optimizer's state, and a way on.
    localizer.save(tmp_path / "localizer.keras")
    loaded = keras.models.load_model(tmp_path / "localizer.keras")
    assert int(loaded.optimizer.iterations) == 4
    np.testing.assert_allclose(fit(loaded, epochs=2), cycle(1e-3, 8), rtol=1e-5)


def test_a_second_cycle_really_steps_by_its_own_rate(backbone, batch):
    # SGD-like probe: what the compiled step used, not what the optimizer says.
    localizer = build_localizer(backbone, 3, dropout=0.0)
    localizer.compile()
    x, y, w = batch
    moved = []
    for _ in range(2):
        for epochs in (1, 2):  # one step at a tenth of the peak; two, warming up
            before = localizer.get_layer("label").get_weights()[1]
            localizer.fit(x, y, 8, epochs=epochs, sample_weight=w, verbose=0)
            after = localizer.get_layer("label").get_weights()[1]
            moved.append(np.abs(after - before).max())
    # With a stale rate the second cycle would stand still at its end of zero.
    assert min(moved) > 1e-4


def test_own_optimizers_keep_their_rate(backbone, batch):
    localizer = build_localizer(backbone, 3)
    localizer.compile(keras.optimizers.Adam(0.01))
    rates = Rates()
    x, y, w = batch
    localizer.fit(x, y, 4, 2, sample_weight=w, callbacks=rates, verbose=0)
    assert rates.seen == pytest.approx([0.01] * 4)


def test_without_a_known_number_of_steps_the_rate_stays():
    rate = OneCycle(0.5)
    assert [float(rate(step)) for step in (0, 7, 10**6)] == [0.5] * 3
