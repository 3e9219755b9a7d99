"""The default training configuration: losses, metrics, and the optimizer's rate."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import keras

from keras_localize.localizer.label_accuracy import LabelAccuracy
from keras_localize.localizer.label_loss import LabelCrossentropy
from keras_localize.localizer.one_cycle import OneCycleAdamW
from keras_localize.losses import BoxLoss
from keras_localize.metrics import IoUMetric
from keras_localize.types import Tensor


class Recipe(NamedTuple):
    """What differs between training the heads alone and training a network."""

    peak_rate: float
    label_smoothing: float


FROZEN = Recipe(peak_rate=2e-3, label_smoothing=0.0)
TRAINABLE = Recipe(peak_rate=1e-3, label_smoothing=0.1)


def default_optimizer(
    peak_rate: float, rate_factors: Sequence[float] | None = None
) -> OneCycleAdamW:
    """AdamW with one cycle of the rate in each `fit`."""
    return OneCycleAdamW(peak_rate, rate_factors, weight_decay=0.01, clipnorm=10.0)


def default_losses(
    outputs: dict[str, Tensor], num_classes: int | None, recipe: Recipe
) -> dict[str, keras.losses.Loss]:
    """The loss of each output.

    Args:
        outputs: the symbolic outputs by name.
        num_classes: how many classes the label output tells apart.
        recipe: for its label smoothing; one unit does without.
    """
    losses: dict[str, keras.losses.Loss] = {"box": BoxLoss()}
    if "label" in outputs:
        smoothing = recipe.label_smoothing if outputs["label"].shape[-1] > 1 else 0.0
        losses["label"] = LabelCrossentropy(smoothing, num_classes=num_classes)
    for name in ("quality", "presence"):
        if name in outputs:
            losses[name] = keras.losses.BinaryCrossentropy()
    return losses


def default_metrics(names: Collection[str], num_classes: int | None) -> dict[str, Any]:
    """The weighted metrics of each output."""
    # Keras prefixes the names with the output's only where there are several.
    prefix = "" if len(names) > 1 else "box_"
    metrics: dict[str, Any] = {
        "box": [
            IoUMetric(name=f"{prefix}iou"),
            keras.metrics.MeanSquaredError(name=f"{prefix}mse"),
        ]
    }
    if "label" in names:
        metrics["label"] = [LabelAccuracy(num_classes or 2)]
    if "presence" in names:
        metrics["presence"] = [keras.metrics.BinaryAccuracy(name="accuracy")]
    return metrics


def rising_names(names: Collection[str], metrics: Any) -> tuple[str, ...]:
    """Names of logged values that rise as the model improves: IoU and accuracy.

    Args:
        names: names of the outputs.
        metrics: what `compile` was given, in any nesting.
    """
    rising = {"accuracy"}
    for metric in keras.tree.flatten(metrics):
        name = metric if isinstance(metric, str) else getattr(metric, "name", "")
        if isinstance(metric, IoUMetric) or name.endswith(("accuracy", "acc")):
            rising.add(name)
    return tuple(sorted(rising | {f"{n}_{metric}" for n in names for metric in rising}))
