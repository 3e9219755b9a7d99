"""AdamW whose rate warms up, then falls to zero by the end of a `fit`."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_localize.arrays import to_numpy
from keras_localize.localizer.replicas import clipped_together
from keras_localize.types import Tensor

_AdamW: Any = keras.optimizers.AdamW
if keras.backend.backend() == "torch":
    # Behind this name Keras has a faster class of its own on torch, which it gives to
    # that class alone and not to what derives from it. (On other backends an optimizer,
    # made at import time, would fix the devices before the user can choose them.)
    with keras.device("cpu"):
        _AdamW = type(keras.optimizers.AdamW())


def one_cycle(step: Tensor, steps: Tensor) -> Tensor:
    """Factor on the peak rate: a warm-up over an eighth of the steps, half a cosine.

    Args:
        step: how many steps are done, float32.
        steps: length of the cycle, float32.

    Returns:
        A factor in [0, 1]: 0.1 at step 0, 1 after the warm-up, 0 at the end.
    """
    warmup = ops.maximum(ops.floor(steps / 8), 1.0)
    rising = 0.1 + 0.9 * step / warmup
    share = (step - warmup) / ops.maximum(steps - warmup, 1.0)
    falling = 0.5 + 0.5 * ops.cos(math.pi * ops.clip(share, 0.0, 1.0))
    return ops.where(step < warmup, rising, falling)


class _Slower:
    """Variables with a factor on their rate.

    In an object of its own: Keras takes every variable in a list of an optimizer's for
    one of the optimizer's state.
    """

    def __init__(self, pairs: list[tuple[Any, float]]) -> None:
        self.pairs = pairs


@keras.saving.register_keras_serializable(package="keras_localize")
class OneCycleAdamW(_AdamW):
    """AdamW with a one-cycle learning-rate schedule (arXiv 1708.07120).

    The rate starts at a tenth of the peak, reaches the peak after an eighth of the
    steps, and falls to 0 along a half cosine. `fit` of a `Localizer`, or of the heads
    of `Localizer.split`, has one cycle. For another model call `start_cycle(steps)`
    before `fit`; without it the rate is constant.

    Outside of a cycle `learning_rate` is the peak. It stays an ordinary variable: a
    rate that you or a callback set is kept, and ends the cycle.

    Args:
        learning_rate: the peak rate.
        rate_factors: a factor on the rate for each trainable variable, in the order of
            the model's `trainable_variables`. None: 1 for all. Layers nearer to the
            input of a pretrained network are fine-tuned at lower rates
            (arXiv 1801.06146). They do not go with `use_ema`.
        **kwargs: of `keras.optimizers.AdamW`.

    Example:

    >>> from keras_localize.localizer.one_cycle import OneCycleAdamW
    >>> optimizer = OneCycleAdamW(0.5)
    >>> weight = keras.Variable([1.0])
    >>> optimizer.build([weight])
    >>> optimizer.start_cycle(steps=16)
    >>> rates = []
    >>> for _ in range(16):
    ...     optimizer.apply([keras.ops.ones(1)])
    ...     rates.append(float(keras.ops.convert_to_numpy(optimizer.learning_rate)))
    >>> np.round(rates[:3], 3).tolist(), round(rates[-1], 3)
    ([0.05, 0.275, 0.5], 0.006)
    >>> optimizer.end_cycle()
    >>> float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    0.5
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        rate_factors: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        if rate_factors is not None and self.use_ema:
            # Keras averages the weights before the step is shortened.
            raise ValueError(
                "`rate_factors` do not go with `use_ema`. "
                f"Received: rate_factors={rate_factors!r}, use_ema=True"
            )
        self.rate_factors = (
            None if rate_factors is None else [float(x) for x in rate_factors]
        )
        self._slower = _Slower([])
        self.peak = float(to_numpy(self.learning_rate))

        # Variables, so that they are saved and restored with the optimizer's state.
        def variable(value: float, name: str) -> keras.Variable:
            return keras.Variable(value, trainable=False, dtype="float32", name=name)

        self.cycle_start = variable(0.0, "cycle_start")
        self.cycle_steps = variable(0.0, "cycle_steps")
        # The rate that the cycle has set. The user or a callback sets any other.
        self.cycle_rate = variable(self.peak, "cycle_rate")

    def build(self, variables: list[Any]) -> None:
        """Creates the state for these variables; see `keras.optimizers.Optimizer`.

        Raises:
            ValueError: for another number of variables than of `rate_factors`.
        """
        super().build(variables)
        factors = self.rate_factors
        if factors is None:
            factors = [1.0] * len(variables)
        if len(factors) != len(variables):
            raise ValueError(
                "`rate_factors` must have one factor for each trainable variable, "
                f"{len(variables)}. Received: {len(factors)}"
            )
        self._slower = _Slower([(v, f) for v, f in zip(variables, factors) if f != 1])

    def start_cycle(self, steps: int) -> None:
        """Sets a cycle over the next `steps` steps, unless the rate was set by hand."""
        if self._rate_is_own():
            self.cycle_start.assign(ops.cast(self.iterations, "float32"))
            self.cycle_steps.assign(float(self._updates(steps)))

    def is_within_cycle(self, done: int, steps: int) -> bool:
        """Whether a cycle of `steps` steps was left after `done` of them.

        As by a checkpoint, from which the same `fit` goes on.
        """
        start, length = (int(to_numpy(x)) for x in (self.cycle_start, self.cycle_steps))
        iterations = int(to_numpy(self.iterations))
        # Rounded as Keras does.
        done //= self.gradient_accumulation_steps or 1
        return length == self._updates(steps) and iterations == start + done

    def _updates(self, steps: int) -> int:
        """How often weights change in so many steps: Keras counts these alone."""
        return math.ceil(steps / (self.gradient_accumulation_steps or 1))

    def end_cycle(self) -> None:
        """Ends the cycle; its rate becomes the peak again."""
        if self._rate_is_own():
            self.learning_rate = self.peak
            self.cycle_rate.assign(self.peak)
        self.cycle_steps.assign(0.0)

    def apply(
        self, grads: list[Tensor], trainable_variables: list[Any] | None = None
    ) -> None:
        """Sets the rate of this step, then takes it."""
        if trainable_variables is not None and not self.built:
            self.build(list(trainable_variables))
        done = ops.cast(self.iterations, "float32") - self.cycle_start
        steps, rate, own = (
            ops.convert_to_tensor(x)
            for x in (self.cycle_steps, self.learning_rate, self.cycle_rate)
        )
        cycling = ops.logical_and(steps > 0, ops.equal(rate, own))
        new = ops.where(cycling, self.peak * one_cycle(done, steps), rate)
        self.cycle_rate.assign(ops.where(cycling, new, own))
        self.learning_rate = new
        # The step is shortened afterwards: Keras has no rate for each variable.
        before = [ops.copy(variable) for variable, _ in self._slower.pairs]
        grads = clipped_together(grads, self.clipnorm)
        super().apply(grads, trainable_variables)
        for (variable, factor), old in zip(self._slower.pairs, before):
            variable.assign(old + factor * (variable - old))

    def get_config(self) -> dict[str, Any]:
        # The rate of this moment may be one of a cycle.
        config = super().get_config()
        config["rate_factors"] = self.rate_factors
        return {**config, "learning_rate": self.peak} if self._rate_is_own() else config

    def _rate_is_own(self) -> bool:
        rates = [to_numpy(x) for x in (self.learning_rate, self.cycle_rate)]
        return bool(rates[0] == rates[1])


class OneCycle(keras.callbacks.Callback):
    """Sets one cycle over the steps of a `fit`, whose number `fit` alone knows.

    Args:
        initial_epoch: the epoch at which this `fit` starts.
    """

    def __init__(self, initial_epoch: int = 0) -> None:
        super().__init__()
        self.initial_epoch = initial_epoch

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        steps = self.params.get("steps")
        # A stream of unknown length trains at the peak.
        if steps is None:
            return
        optimizer = one_cycle_of(self.model.optimizer)
        epochs = self.params["epochs"]
        if not optimizer.is_within_cycle(steps * self.initial_epoch, steps * epochs):
            optimizer.start_cycle(steps * max(epochs - self.initial_epoch, 1))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        one_cycle_of(self.model.optimizer).end_cycle()


def one_cycle_of(optimizer: Any) -> Any:
    """The optimizer itself, out of what Keras may have wrapped it in."""
    # In float16 Keras wraps the optimizer in one that scales the loss.
    return getattr(optimizer, "inner_optimizer", optimizer)
