"""How a localizer trains when nobody says how."""

import inspect
from typing import NamedTuple

import keras
from keras import ops

from keras_localize.boxes import iou
from keras_localize.localizer.label_loss import LabelCrossentropy
from keras_localize.localizer.one_cycle import OneCycle, SetCycle
from keras_localize.localizer.targets import check_targets
from keras_localize.losses import BoxLoss
from keras_localize.metrics import IoUMetric


class Recipe(NamedTuple):
    """What differs between training heads alone and training a network."""

    peak_rate: float
    label_smoothing: float


FROZEN = Recipe(peak_rate=2e-3, label_smoothing=0.0)
TRAINABLE = Recipe(peak_rate=1e-3, label_smoothing=0.1)


@keras.saving.register_keras_serializable(package="keras_localize")
class LocalizerHeads(keras.Model):
    """A model with the outputs `"label"` and `"box"` that knows its own recipe.

    `Localizer` is one whose input is pictures; `Localizer.split()` gives one whose
    input is feature maps. A functional model: `LocalizerHeads(inputs, outputs)`.
    """

    _cycles = False  # whether `fit` lays the rate of an automatic optimizer

    def compile(
        self,
        optimizer="auto",
        loss="auto",
        loss_weights=None,
        metrics="auto",
        weighted_metrics=None,
        **kwargs,
    ):
        """Configures training; without arguments, with the measured recipe.

        Args:
            optimizer: `"auto"`: AdamW with weight decay 0.01, gradients clipped to
                norm 10 and a rate that each `fit` lays over its steps as one cycle:
                a warm-up to 2e-3, then half a cosine to zero. Where the backbone is
                trainable the peak is 1e-3: pretrained weights move less.
            loss: `"auto"`: cross-entropy for the label (class ids or one-hot), where
                the backbone is trainable with label smoothing 0.1 (not for a single
                sigmoid unit), and `BoxLoss` (5 L1 + 2 GIoU) for the box. A dict may
                name one output only: the other keeps its own.
            loss_weights: as in Keras; by default both count 1.
            metrics: `"auto"`: accuracy for the label, IoU and mean squared error
                for the box, as weighted metrics, so that a picture without a box
                (box weight 0) counts in none of them. Given `metrics` or
                `weighted_metrics`, these alone are used.
            weighted_metrics: as in Keras.
            **kwargs: every other argument of `keras.Model.compile`.
        """
        outputs = dict(zip(self.output_names, self.outputs))
        self._cycles = isinstance(optimizer, str) and optimizer == "auto"
        if self._cycles:
            optimizer = keras.optimizers.AdamW(
                OneCycle(self._recipe().peak_rate), weight_decay=0.01, clipnorm=10.0
            )
        defaults = {"box": BoxLoss()}
        if "label" in outputs:
            binary = outputs["label"].shape[-1] == 1
            smoothing = 0.0 if binary else self._recipe().label_smoothing
            defaults["label"] = LabelCrossentropy(smoothing)
        if isinstance(loss, str) and loss == "auto":
            loss = defaults
        elif isinstance(loss, dict):
            loss = {**defaults, **loss}
        if isinstance(metrics, str) and metrics == "auto":
            metrics = None
            if weighted_metrics is None:
                weighted_metrics = _default_metrics(outputs)
        super().compile(
            optimizer=optimizer,
            loss=loss,
            loss_weights=loss_weights,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            **kwargs,
        )

    def fit(self, *args, **kwargs):
        """`keras.Model.fit`, after a look at targets that are given as arrays.

        With the automatic optimizer its rate goes through one cycle.

        Raises:
            ValueError: for class ids out of range and boxes that are not `rel_xyxy`,
                in `y` or `validation_data`. Datasets are streams, not looked at: there
                an id out of range makes the label's loss NaN.
        """
        given = inspect.signature(super().fit).bind(*args, **kwargs).arguments
        self._check_targets(given.get("y"), given.get("sample_weight"))
        if isinstance(given.get("validation_data"), (tuple, list)):
            self._check_targets(*given["validation_data"][1:])
        if self._cycles:
            cycle = SetCycle(self._recipe().peak_rate, given.get("initial_epoch", 0))
            callbacks = given.get("callbacks") or []
            if isinstance(callbacks, keras.callbacks.CallbackList):
                callbacks.append(cycle)
            else:
                given["callbacks"] = [cycle, *keras.tree.flatten(callbacks)]
        return super().fit(**given)

    def evaluate(self, x=None, y=None, *args, sample_weight=None, **kwargs):
        """`keras.Model.evaluate`, after the same look at the targets as `fit`."""
        self._check_targets(y, sample_weight)
        return super().evaluate(x, y, *args, sample_weight=sample_weight, **kwargs)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """The compiled losses; with a quality output, its own on top.

        The quality's target is the IoU of the predicted box, detached; it counts by
        the weight of the box. Nobody has to supply it, so Keras must not ask for it.
        """
        if not _has_quality(y_pred):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        judged, quality = _without_quality(y_pred)
        loss = super().compute_loss(x, y, judged, sample_weight, training)
        truth = iou(y["box"], ops.stop_gradient(y_pred["box"]))
        error = keras.losses.binary_crossentropy(truth[:, None], quality)
        if sample_weight is not None and sample_weight.get("box") is not None:
            error = error * ops.cast(sample_weight["box"], error.dtype)
        return loss + ops.mean(error)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The compiled metrics, on the outputs that have a truth."""
        if _has_quality(y_pred):
            y_pred, _ = _without_quality(y_pred)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def get_compile_config(self):
        """What `compile` was given; an automatic optimizer stays automatic."""
        config = super().get_compile_config()
        return {**config, "optimizer": "auto"} if self._cycles else config

    def compile_from_config(self, config):
        """Compiles a loaded model as it was: it evaluates and goes on training."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def _recipe(self):
        return FROZEN

    def _check_targets(self, targets, sample_weight=None):
        outputs = dict(zip(self.output_names, self.outputs))
        classes = outputs["label"].shape[-1] if "label" in outputs else None
        check_targets(targets, sample_weight, classes)


def _has_quality(y_pred):
    return isinstance(y_pred, dict) and "quality" in y_pred


def _without_quality(y_pred):
    judged = {key: value for key, value in y_pred.items() if key != "quality"}
    return judged, y_pred["quality"]


def _default_metrics(outputs):
    # Keras prefixes the names with the output's only where several have metrics
    # (the quality, which has no metrics, does not count).
    prefix = "" if "label" in outputs else "box_"
    metrics = {
        "box": [
            IoUMetric(name=f"{prefix}iou"),
            keras.metrics.MeanSquaredError(name=f"{prefix}mse"),
        ]
    }
    if "label" in outputs:
        metrics["label"] = ["accuracy"]
    return metrics
