"""The loss of the label output."""

from typing import Any

import keras
from keras import ops

from keras_localize.checks import check_rate
from keras_localize.types import Tensor


@keras.saving.register_keras_serializable(package="keras_localize")
class LabelCrossentropy(keras.losses.Loss):
    """Cross-entropy of class ids or one-hot labels, with label smoothing.

    Keras's `SparseCategoricalCrossentropy` has no label smoothing, and its
    `CategoricalCrossentropy` takes no class ids.

    Args:
        label_smoothing: share of the probability that is spread over all classes,
            in `[0, 1)` (arXiv 1512.00567).
        num_classes: how many classes the predictions tell apart; `None`: as many as
            they have units, and two for one unit.
        reduction, name, dtype: as in `keras.losses.Loss`.

    Call arguments:
        y_true: class ids `(B,)` or `(B, 1)`, or probabilities `(B, num_classes)`.
        y_pred: probabilities `(B, num_classes)`; with one unit, the probability
            of the second of two classes `(B, 1)`.

    A class id outside of `[0, num_classes)` makes its value NaN, on every backend and
    in compiled code. Its gradient is 0, so that the weights stay finite.

    Raises:
        ValueError: for a `label_smoothing` outside of [0, 1).

    Example:

    >>> from keras_localize.localizer.label_loss import LabelCrossentropy
    >>> loss = LabelCrossentropy()(np.array([1]), np.array([[0.5, 0.5]]))
    >>> round(float(loss), 4)
    0.6931
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        num_classes: int | None = None,
        reduction: str = "sum_over_batch_size",
        name: str = "label_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.label_smoothing = check_rate(label_smoothing, "label_smoothing")
        self.num_classes = num_classes

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        units = y_pred.shape[-1]
        num_classes = self.num_classes or max(units, 2)
        if units > 1 and len(y_true.shape) == 2 and y_true.shape[1] > 1:
            return keras.losses.categorical_crossentropy(
                y_true, y_pred, label_smoothing=self.label_smoothing
            )
        if units < num_classes and len(y_true.shape) == 2 and y_true.shape[1] == 2:
            y_true = y_true[:, 1]  # one-hot: the probability of the second class
        given = ops.reshape(y_true, (-1,))
        # Backends differ in what they do with ids outside; they see none.
        ids = ops.clip(given, 0, num_classes - 1)
        if num_classes == 1:
            value = -ops.log(y_pred[:, 0])
        elif units < num_classes:
            value = keras.losses.binary_crossentropy(
                ids[:, None], y_pred, label_smoothing=self.label_smoothing
            )
        else:
            value = keras.losses.categorical_crossentropy(
                ops.one_hot(ops.cast(ids, "int32"), num_classes, dtype=y_pred.dtype),
                y_pred,
                label_smoothing=self.label_smoothing,
            )
        return ops.where(ops.equal(ids, given), value, float("nan"))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "num_classes": self.num_classes,
            "dtype": self.dtype,
        }
