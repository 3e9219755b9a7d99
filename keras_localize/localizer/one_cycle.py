"""A rate that warms up, then falls to zero by the end of `fit`."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_localize")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Warm-up over an eighth of the steps, then half a cosine to zero.

    Args:
        peak: the highest rate.
        steps: length of the cycle; `None`, where it is not known: the rate stays at
            its peak.
        start: the optimizer's step at which the cycle begins.

    Example:

    >>> from keras_localize.localizer.one_cycle import OneCycle
    >>> rate = OneCycle(1.0, steps=80)
    >>> [round(float(rate(step)), 2) for step in (0, 5, 10, 45, 80)]
    [0.1, 0.55, 1.0, 0.5, 0.0]
    """

    def __init__(self, peak, steps=None, start=0):
        self.peak = peak
        self.steps = steps
        self.start = start

    def __call__(self, step):
        """The rate at a step of the optimizer, float32."""
        if self.steps is None:
            return ops.convert_to_tensor(self.peak, "float32")
        done = ops.cast(step, "float32") - self.start
        warmup = max(self.steps // 8, 1)
        rising = 0.1 + 0.9 * done / warmup
        share = (done - warmup) / max(self.steps - warmup, 1)
        falling = 0.5 + 0.5 * ops.cos(math.pi * ops.clip(share, 0.0, 1.0))
        return self.peak * ops.where(done < warmup, rising, falling)

    def get_config(self):
        """Every constructor argument."""
        return {"peak": self.peak, "steps": self.steps, "start": self.start}


class SetCycle(keras.callbacks.Callback):
    """Lays one cycle over the steps that `fit` is about to take.

    Only `fit` knows how many they are. The compiled step holds the old rate as a
    constant of its graph, so it is made anew.
    """

    def __init__(self, peak, initial_epoch=0):
        super().__init__()
        self.peak = peak
        self.initial_epoch = initial_epoch

    def on_train_begin(self, logs=None):
        """Sets the rate of the model's optimizer."""
        optimizer = self.model.optimizer
        steps = self.params.get("steps")
        if steps is not None:
            steps *= max(self.params["epochs"] - self.initial_epoch, 1)
        start = int(ops.convert_to_numpy(optimizer.iterations))
        optimizer.learning_rate = OneCycle(self.peak, steps, start)
        self.model.make_train_function(force=True)
