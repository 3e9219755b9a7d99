"""Training of a model with the outputs of a localizer."""

import contextlib
import inspect
from typing import Any, Literal

import keras
from keras import ops

from keras_localize.boxes import iou
from keras_localize.datasets.epoch_order import EpochOrder, takes_epochs
from keras_localize.localizer.class_names import check_same_classes, count_classes
from keras_localize.localizer.defaults import (
    FROZEN,
    Recipe,
    default_losses,
    default_metrics,
    default_optimizer,
    rising_names,
)
from keras_localize.localizer.heads import SingleClass
from keras_localize.localizer.one_cycle import (
    OneCycle,
    OneCycleAdamW,
    one_cycle_of,
)
from keras_localize.localizer.targets import (
    as_class_ids,
    check_targets,
    match_targets,
    without_absent,
)
from keras_localize.types import Tensor
from keras_localize.warn import warn


class LocalizationModel(keras.Model):
    """Base of the models that predict a `"label"` and a `"box"`.

    A functional model whose outputs are a dict. `Localizer` takes images,
    `LocalizerHeads` takes feature maps; both are trained in the same way.
    """

    _automatic = False  # whether the optimizer has one cycle in each `fit`
    # Names of logged values that rise as the model improves.
    _rising: tuple[str, ...] = ()
    # Names of the outputs that have neither a loss nor a metric.
    _unused: frozenset[str] = frozenset()
    class_names: tuple[str, ...] | None = None

    def compile(
        self,
        optimizer: Literal["auto"] | str | keras.optimizers.Optimizer = "auto",
        loss: Any = "auto",
        loss_weights: Any = None,
        metrics: Any = "auto",
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configures training. Without arguments: the default configuration.

        Args:
            optimizer: `"auto"`: AdamW with weight decay 0.01, gradients clipped to
                norm 10, and a learning rate that goes through one cycle in each
                `fit`: a warm-up to 2e-3, then half a cosine to zero. Where the
                backbone is trainable the peak is 1e-3. Outside of `fit` the rate is
                the peak. A rate that you set, or that a callback sets, stays: from
                then on there is no cycle.
            loss: `"auto"`: cross-entropy for the label (class ids or one-hot), where
                the backbone is trainable with label smoothing 0.1 (not for a single
                sigmoid unit), `BoxLoss` (5 L1 + 2 GIoU) for the box, and binary
                cross-entropy for presence and quality. A dict may
                name some of the outputs only: the others keep their default. An
                output whose loss is None is not trained (with a quality the box needs
                both losses to be None), and without a metric of its own it needs no
                target.
            loss_weights: as in Keras; by default every loss counts 1.
            metrics: `"auto"`: accuracy for label and presence, IoU and mean squared
                error for the box, as weighted metrics, so that an image without a box
                (box weight 0) does not count. Given `metrics` or `weighted_metrics`,
                these alone are used.
            weighted_metrics: as in Keras.
            **kwargs: every other argument of `keras.Model.compile`.

        Raises:
            ValueError: for a loss or a loss weight of what is no output.
        """
        outputs = self._named_outputs()
        for argument, given in (("loss", loss), ("loss_weights", loss_weights)):
            _check_outputs(given, outputs, argument)
        if isinstance(optimizer, str) and optimizer == "auto":
            optimizer = default_optimizer(self._recipe().peak_rate)
        # Before Keras does it where no optimizer's own variables are tracked.
        optimizer = keras.optimizers.get(optimizer)
        self._automatic = isinstance(one_cycle_of(optimizer), OneCycleAdamW)
        defaults = default_losses(outputs, self._count_classes(), self._recipe())
        if isinstance(loss, str) and loss == "auto":
            loss = defaults
        elif isinstance(loss, dict):
            loss = {**defaults, **loss}
        untrained = _untrained(loss, list(outputs))
        if isinstance(metrics, str) and metrics == "auto":
            metrics = None
            if weighted_metrics is None:
                weighted_metrics = default_metrics(outputs, self._count_classes())
                for name in untrained:
                    weighted_metrics.pop(name, None)
        measured = [m for m in (metrics, weighted_metrics) if m is not None]
        self._unused = frozenset(
            name
            for name in untrained
            if all(isinstance(m, dict) and m.get(name) is None for m in measured)
        )
        self._rising = rising_names(outputs, [metrics, weighted_metrics])
        super().compile(
            optimizer=optimizer,
            loss=loss,
            loss_weights=_every_loss_weight(loss, loss_weights),
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            **kwargs,
        )

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """`keras.Model.fit`, after a check of targets that are given as arrays.

        Targets and weights are dicts by output, or lists in the order of
        `output_names`; those that the model has no output for are ignored. Targets:
        label (B,) class ids or (B, classes) one-hot, box (B, 4) `rel_xyxy`, presence
        (B, 1) of 1 and 0; weights: (B,). Callbacks that monitor a loss, an IoU or an
        accuracy need no `mode=`. Batches of this library have the order and the draws
        of the epoch of this `fit`, whatever they were used for before; see
        `keras_localize.datasets.EpochOrder`. There is a warning for an array of images
        outside [0, 255].

        Raises:
            ValueError: for class ids out of range and boxes that are not `rel_xyxy`,
                in `y` or `validation_data`. Batches of a dataset are not checked:
                there an id out of range makes the label's loss NaN. But where they
                say their `class_names`, as those of `LocalizationDataset` do, ids
                that mean other classes than the model's are refused.
        """
        given = inspect.signature(super().fit).bind(*args, **kwargs).arguments
        self._match(given)
        self._check_inputs(given.get("x"))
        self._check_class_names(given.get("x"), "x")
        if isinstance(given.get("validation_data"), (tuple, list)):
            x, y, weight = keras.utils.unpack_x_y_sample_weight(
                given["validation_data"]
            )
            validation = {"y": y, "sample_weight": weight}
            self._match(validation)
            given["validation_data"] = (x, *validation.values())
        else:
            self._check_class_names(given.get("validation_data"), "validation_data")
        callbacks: Any = given.get("callbacks")
        own: list[Any] = []
        if self._automatic:
            own.append(OneCycle(given.get("initial_epoch", 0)))
        ordered = [
            given[name]
            for name in ("x", "validation_data")
            if takes_epochs(given.get(name))
        ]
        own.append(EpochOrder(*ordered))
        if takes_epochs(given.get("x")):
            # Keras would shuffle the batches of a PyDataset once more.
            given["shuffle"] = False
        if isinstance(callbacks, keras.callbacks.CallbackList):
            # Keras makes one with the epochs and steps of this `fit`.
            callbacks = callbacks.callbacks
        callbacks = keras.tree.flatten(callbacks) if callbacks else []
        self._set_modes(callbacks)
        given["callbacks"] = [*own, *callbacks]
        try:
            return super().fit(**given)
        except BaseException:
            # Keras calls no `on_train_end`, without which batches would stay at this
            # epoch, and the rate in its cycle. After the first step on JAX there is
            # nothing to reset: Keras has taken the values of all variables.
            for callback in own:
                with contextlib.suppress(TypeError):
                    if callback.model is not None:
                        callback.on_train_end()
            raise

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.evaluate`, after the check of the targets that `fit` makes."""
        given = inspect.signature(super().evaluate).bind(*args, **kwargs).arguments
        self._match(given)
        self._check_inputs(given.get("x"))
        self._check_class_names(given.get("x"), "x")
        options = given.pop("kwargs", {})
        return super().evaluate(**given, **options)

    def compute_loss(
        self,
        x: Tensor = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The compiled losses of all outputs.

        The target of the quality is the IoU of the predicted box, detached; its
        weight is that of the box. Nobody has to supply it. An image whose presence is
        0 trains the presence alone.
        """
        y, sample_weight = self._matched(y, sample_weight)
        y, sample_weight = _with_quality(y, sample_weight, y_pred)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def compute_metrics(
        self, x: Tensor, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """The compiled metrics of the outputs that have targets.

        The target of the quality is that of its loss.
        """
        y, sample_weight = self._matched(y, sample_weight)
        y, sample_weight = _with_quality(y, sample_weight, y_pred)
        y_pred = {name: y_pred[name] for name in y}
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model as it was: it evaluates and goes on training.

        It has the default configuration, with a warning, where the optimizer has
        `rate_factors` for other variables than are trainable.
        """
        self.compile(**keras.saving.deserialize_keras_object(config))
        factors = getattr(one_cycle_of(self.optimizer), "rate_factors", None)
        trainable = len(self.trainable_variables)
        if factors is not None and len(factors) != trainable:
            warn(
                f"The optimizer was made for {len(factors)} trainable variables, and "
                f"there are {trainable}: the model is compiled by default."
            )
            self.compile()
        self.optimizer.build(self.trainable_variables)

    def _recipe(self) -> Recipe:
        return FROZEN

    def _named_outputs(self) -> dict[str, Tensor]:
        return dict(zip(self.output_names, self.outputs))

    def _targets(self) -> list[str]:
        """Names of the outputs that the user has targets for."""
        return [name for name in self.output_names if name != "quality"]

    def _optional(self) -> set[str]:
        """Outputs whose targets may be missing: nothing is computed of them.

        The target of the quality is computed from that of the box.
        """
        quality = "quality" in self.output_names and "quality" not in self._unused
        return set(self._unused) - ({"box"} if quality else set())

    def _matched(self, y: Any, sample_weight: Any) -> tuple[Any, Any]:
        y, sample_weight = match_targets(
            y, sample_weight, self._targets(), self._optional()
        )
        if "label" in y:
            units = self._named_outputs()["label"].shape[-1]
            y = {**y, "label": as_class_ids(y["label"], self._count_classes(), units)}
        return without_absent(y, sample_weight)

    def _count_classes(self) -> int | None:
        outputs = self._named_outputs()
        if "label" not in outputs:
            return None
        if isinstance(self.get_layer("label"), SingleClass):
            return 1
        return count_classes(outputs["label"].shape[-1], None)

    def _match(self, given: dict[str, Any]) -> None:
        """Brings arrays of targets and weights into one form and checks them.

        Keras itself takes targets and weights only in the same form.
        """
        if given.get("y") is None:
            return
        y, sample_weight = match_targets(
            given["y"], given.get("sample_weight"), self._targets(), self._optional()
        )
        check_targets(y, sample_weight, self._count_classes())
        given["y"] = y
        if sample_weight is not None:
            given["sample_weight"] = sample_weight

    def _check_inputs(self, x: Any) -> None:
        """Warns of inputs that this kind of model is not made for."""

    def _check_class_names(self, data: Any, argument: str) -> None:
        if "label" in self._targets():
            check_same_classes(self, data, argument)

    def _set_modes(self, callbacks: list[keras.callbacks.Callback]) -> None:
        """Tells callbacks of Keras the direction of values that it does not know."""
        modes = dict.fromkeys(self._rising, "max")
        modes |= {f"{name}_loss": "min" for name in self.output_names}
        modes["box_mse"] = "min"
        for callback in callbacks:
            # A callback of the user's own may have an attribute of this name.
            monitor = str(getattr(callback, "monitor", "")).removeprefix("val_")
            if getattr(callback, "mode", None) == "auto":
                callback.mode = modes.get(monitor, "auto")


@keras.saving.register_keras_serializable(package="keras_localize")
class LocalizerHeads(LocalizationModel):
    """The heads of a localizer as a model on feature maps, from `Localizer.split`.

    A functional model: `LocalizerHeads(inputs, outputs)`. It takes the list of feature
    maps (B, H, W, C) that the first model of `split` gives, and its outputs are those
    of the localizer. `compile` and `fit` have the localizer's defaults.
    """


def _with_quality(y: Any, sample_weight: Any, y_pred: Any) -> tuple[Any, Any]:
    """Targets and weights, with those of the quality where the model predicts one."""
    if "quality" not in y_pred:
        return y, sample_weight
    truth = iou(y["box"], ops.stop_gradient(y_pred["box"]))
    y = {**y, "quality": truth[:, None]}
    if sample_weight is not None:
        sample_weight = {**sample_weight, "quality": sample_weight["box"]}
    return y, sample_weight


def _check_outputs(given: Any, outputs: dict[str, Tensor], argument: str) -> None:
    unknown = (
        [name for name in given if name not in outputs]
        if isinstance(given, dict)
        else []
    )
    if unknown:
        raise ValueError(
            f"`{argument}` must have names of outputs as keys: {', '.join(outputs)}. "
            f"Received: {', '.join(map(str, unknown))}"
        )


def _untrained(loss: Any, names: list[str]) -> list[str]:
    """Names of the outputs that have no loss."""
    if isinstance(loss, (list, tuple)):
        loss = dict(zip(names, loss))
    if not isinstance(loss, dict):
        return []
    return [name for name in names if loss.get(name) is None]


def _every_loss_weight(loss: Any, loss_weights: Any) -> Any:
    """Weights for all losses of a dict; those that were not given are 1."""
    if isinstance(loss, dict) and isinstance(loss_weights, dict):
        return {**dict.fromkeys(loss, 1.0), **loss_weights}
    return loss_weights
