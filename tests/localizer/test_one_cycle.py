"""The automatic rate: one cycle over what each `fit` is about to do."""

import keras
import numpy as np
import pytest

from keras_localize import RandomSquareView, build_localizer, make_synthetic
from keras_localize.localizer.one_cycle import OneCycleAdamW

# Compiling five times takes a minute; the next test proves what compiling changes.
EAGER = keras.backend.backend() == "tensorflow"


class Rates(keras.callbacks.Callback):
    """Keeps the rate that each step used."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        self.seen.append(rate_of(self.model))


def rate_of(model):
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


def cycle(peak, steps):
    """The closed form, in float64."""
    at, warmup = np.arange(steps), max(steps // 8, 1)
    rising = 0.1 + 0.9 * at / warmup
    falling = (1 + np.cos(np.pi * (at - warmup) / max(steps - warmup, 1))) / 2
    return peak * np.where(at < warmup, rising, falling)


@pytest.mark.long
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


@pytest.mark.filterwarnings("ignore:.*ran out of data")  # which is meant
def test_without_a_known_number_of_steps_the_rate_stays(backbone, batch):
    x, y, w = batch

    def stream():
        while True:
            yield x, y, w

    localizer = build_localizer(backbone, 3)
    localizer.compile(run_eagerly=EAGER)
    rates = Rates()
    limited = (each for each, _ in zip(stream(), range(3)))
    localizer.fit(limited, callbacks=[rates], shuffle=False, verbose=0)
    assert rates.seen == pytest.approx([2e-3] * 3)


def test_after_fit_the_model_goes_on_learning(backbone, batch):
    localizer = build_localizer(backbone, 3, dropout=0.0)
    localizer.compile(run_eagerly=EAGER)
    x, y, w = batch
    localizer.fit(x, y, 8, epochs=3, sample_weight=w, verbose=0)
    assert rate_of(localizer) == pytest.approx(2e-3)
    before = localizer.get_layer("label").get_weights()[1]
    localizer.train_on_batch(x, y, w)
    after = localizer.get_layer("label").get_weights()[1]
    assert np.abs(after - before).max() > 1e-4
    assert rate_of(localizer) == pytest.approx(2e-3)


@pytest.mark.long
def test_a_rate_that_the_user_sets_stays(backbone, batch, tmp_path):
    localizer = build_localizer(backbone, 3)
    localizer.compile(run_eagerly=EAGER)
    localizer.optimizer.learning_rate = 3e-4
    rates = Rates()
    x, y, w = batch
    localizer.fit(x, y, 4, sample_weight=w, callbacks=[rates], verbose=0)
    assert rates.seen == pytest.approx([3e-4] * 2)
    localizer.save(tmp_path / "localizer.keras")
    assert rate_of(keras.models.load_model(tmp_path / "localizer.keras")) == (
        pytest.approx(3e-4)
    )


@pytest.mark.parametrize("kind", ["scheduler", "plateau"])
def test_callbacks_that_set_the_rate_are_obeyed(kind, backbone, batch):
    localizer = build_localizer(backbone, 3)
    localizer.compile(run_eagerly=EAGER)
    rates = Rates()
    if kind == "scheduler":
        callback = keras.callbacks.LearningRateScheduler(lambda epoch, _: 0.1**epoch)
        expected = [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]
    else:
        callback = keras.callbacks.ReduceLROnPlateau(
            "loss", factor=0.5, patience=1, min_delta=1e6
        )
        # Epoch 2 does not improve on epoch 1: half of what the cycle had then.
        cycled = cycle(2e-3, 6)[:4]
        expected = [*cycled, cycled[3] / 2, cycled[3] / 2]
    x, y, w = batch
    options = {"sample_weight": w, "verbose": 0, "callbacks": [rates, callback]}
    localizer.fit(x, y, 4, epochs=3, **options)
    assert rates.seen == pytest.approx(expected, rel=1e-5)


def test_the_config_holds_the_peak():
    optimizer = OneCycleAdamW(0.5, weight_decay=0.01)
    optimizer.build([keras.Variable([1.0])])
    optimizer.start_cycle(steps=8)
    optimizer.apply([keras.ops.ones(1)])
    config = keras.optimizers.serialize(optimizer)
    again = keras.optimizers.deserialize(config)
    assert type(again) is type(optimizer)
    assert float(keras.ops.convert_to_numpy(again.learning_rate)) == 0.5


def test_rate_factors_shorten_the_steps():
    """AdamW by hand, in float64, with a rate of its own for each variable."""
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(2, 5)), rng.normal(size=(6, 2, 5))
    rate, decay, factors = 0.05, 0.1, [0.25, 1.0]
    optimizer = OneCycleAdamW(rate, factors, weight_decay=decay)
    again = OneCycleAdamW.from_config(optimizer.get_config())
    assert again.rate_factors == factors
    for tested in (optimizer, again):
        variables = [keras.Variable(row.astype("float32")) for row in start]
        tested.build(variables)
        for step in gradients:
            tested.apply([keras.ops.convert_to_tensor(g, "float32") for g in step])
        for variable, factor, value, column in zip(
            variables, factors, start, gradients.transpose(1, 0, 2)
        ):
            mean = square = 0.0
            for count, gradient in enumerate(column, 1):
                value = value - factor * rate * decay * value
                mean = 0.9 * mean + 0.1 * gradient
                square = 0.999 * square + 0.001 * gradient**2
                unbiased = np.sqrt(square / (1 - 0.999**count))
                step = mean / (1 - 0.9**count) / (unbiased + 1e-7)
                value = value - factor * rate * step
            found = keras.ops.convert_to_numpy(variable)
            # Decay and step are shortened together: equal to second order.
            np.testing.assert_allclose(found, value, rtol=2e-3, atol=1e-4)


def test_rate_factors_of_another_number_of_variables():
    optimizer = OneCycleAdamW(0.1, [1.0])
    with pytest.raises(ValueError, match=r"`rate_factors` must .* 2\. Received: 1"):
        optimizer.build([keras.Variable([1.0]), keras.Variable([1.0])])


@pytest.mark.parametrize("factors", [[0.1], np.array([0.1])])
def test_rate_factors_count_from_the_first_step_of_a_loop(factors):
    """Also where the optimizer is built by its first step. AdamW moves by the rate."""
    ends = []
    for build in (True, False):
        variable = keras.Variable([1.0])
        optimizer = OneCycleAdamW(0.5, factors, weight_decay=0.0)
        if build:
            optimizer.build([variable])
        optimizer.apply([keras.ops.ones(1)], [variable])
        ends.append(float(keras.ops.convert_to_numpy(variable)[0]))
    assert ends == pytest.approx([0.95, 0.95], abs=1e-5)


def test_rate_factors_do_not_go_with_an_average():
    with pytest.raises(ValueError, match="`rate_factors` do not go with `use_ema`"):
        OneCycleAdamW(0.5, [0.1], use_ema=True)
    with pytest.raises(ValueError, match=r"`rate_factors` must .* 1\. Received: 0"):
        OneCycleAdamW(0.5, []).build([keras.Variable([1.0])])


@pytest.mark.parametrize("form", ["config", "wrapped"])
def test_in_every_form_of_the_optimizer_there_is_a_cycle(form, backbone, batch):
    optimizer = OneCycleAdamW(1e-3)
    if form == "config":
        optimizer = keras.optimizers.serialize(optimizer)
    else:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=1.0)
    localizer = build_localizer(backbone, 3)
    localizer.compile(optimizer, run_eagerly=EAGER)
    rates, (x, y, w) = Rates(), batch
    options = {"batch_size": 2, "epochs": 4, "callbacks": [rates], "verbose": 0}
    localizer.fit(x, y, sample_weight=w, **options)
    np.testing.assert_allclose(rates.seen, cycle(1e-3, 16), rtol=1e-5)


def test_an_interrupted_fit_leaves_nothing_behind(backbone):
    """The rate is the peak again, and batches count their epochs again."""

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    localizer = build_localizer(backbone, 2)
    localizer.compile(OneCycleAdamW(1e-3), run_eagerly=EAGER)
    data = make_synthetic(6, num_classes=2, min_side=32, max_side=40)
    batches = data.to_tf_data(32, 6, augment=RandomSquareView(32), seed=0)
    with pytest.raises(KeyboardInterrupt):
        localizer.fit(batches, epochs=3, callbacks=[Interrupt()], verbose=0)
    rate = float(keras.ops.convert_to_numpy(localizer.optimizer.learning_rate))
    assert rate == pytest.approx(1e-3)
    first, second = (next(iter(batches))[0].numpy() for _ in range(2))
    assert not np.array_equal(first, second)


def test_an_error_in_the_first_step_is_the_users(backbone, batch):
    """On JAX Keras has taken the values of all variables then."""

    def failing(*args):
        raise KeyboardInterrupt

    localizer = build_localizer(backbone, 3)
    localizer.compile(OneCycleAdamW(1e-3), run_eagerly=EAGER)
    localizer.train_step = failing
    x, y, w = batch
    with pytest.raises(KeyboardInterrupt):
        localizer.fit(x, y, sample_weight=w, verbose=0)


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_a_file_whose_rate_factors_do_not_fit_loads(backbone, tmp_path):
    localizer = build_localizer(backbone, 2, trainable_backbone=True)
    factors = [0.1] * len(localizer.trainable_variables)
    localizer.compile(OneCycleAdamW(1e-3, factors))
    localizer.backbone.trainable = False
    localizer.save(tmp_path / "localizer.keras")
    with pytest.warns(UserWarning, match="trainable variables.*by default"):
        loaded = keras.saving.load_model(tmp_path / "localizer.keras")
    assert loaded.compiled and loaded.optimizer.rate_factors is None


def test_rate_factors_in_fit(backbone, batch):
    """A factor of 0 keeps a variable, whatever the backend compiles."""
    localizer = build_localizer(backbone, 3, trainable_backbone=True)
    count = len(localizer.trainable_variables)
    factors = [0.0, *[1.0] * (count - 1)]
    before = [keras.ops.convert_to_numpy(v) for v in localizer.trainable_variables]
    localizer.compile(OneCycleAdamW(0.01, factors), run_eagerly=False)
    x, y, w = batch
    localizer.fit(x, y, 4, sample_weight=w, epochs=1, verbose=0)
    after = [keras.ops.convert_to_numpy(v) for v in localizer.trainable_variables]
    np.testing.assert_array_equal(after[0], before[0])
    assert sum(not np.array_equal(a, b) for a, b in zip(after, before)) > count / 2


def test_a_cycle_counts_updates_where_gradients_are_accumulated(backbone, batch):
    localizer = build_localizer(backbone, 3)
    steps = 3
    localizer.compile(
        OneCycleAdamW(1e-3, gradient_accumulation_steps=steps), run_eagerly=EAGER
    )
    rates, (x, y, w) = Rates(), batch
    options = {"batch_size": 2, "epochs": 6, "callbacks": [rates], "verbose": 0}
    localizer.fit(x, y, sample_weight=w, **options)
    expected = np.repeat(cycle(1e-3, 24 // steps), steps)
    np.testing.assert_allclose(rates.seen, expected, rtol=1e-5)
