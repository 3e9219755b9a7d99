"""The accuracy of the label output."""

from typing import Any

import keras
from keras import ops

from keras_localize.types import Tensor


@keras.saving.register_keras_serializable(package="keras_localize")
class LabelAccuracy(keras.metrics.MeanMetricWrapper):
    """The share of images whose class of the highest probability is right.

    By the word `"accuracy"` Keras chooses a metric for class ids, or one for one-hot
    labels, at the first batch, and compares those of the other kind wrongly.

    Args:
        num_classes: how many classes the predictions tell apart.
        name, dtype: as in `keras.metrics.Metric`.

    Call arguments:
        y_true: class ids `(B,)` or `(B, 1)`, or probabilities `(B, num_classes)`.
        y_pred: probabilities `(B, num_classes)`; with one unit for two classes, the
            probability of the second `(B, 1)`.

    Example:

    >>> from keras_localize.localizer.label_accuracy import LabelAccuracy
    >>> metric = LabelAccuracy(2)
    >>> metric.update_state([0, 1], [[0.9, 0.1], [0.8, 0.2]])
    >>> metric.update_state([[1, 0], [0, 1]], [[0.9, 0.1], [0.2, 0.8]])
    >>> float(metric.result())
    0.75
    """

    # Larger is better; callbacks of Keras read this.
    _direction = "up"

    def __init__(
        self, num_classes: int, name: str = "accuracy", dtype: Any = None
    ) -> None:
        super().__init__(self._values, name=name, dtype=dtype)
        self.num_classes = num_classes

    def _values(self, y_true: Any, y_pred: Any) -> Tensor:
        """1 for each image with the right class, else 0."""
        true, pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        one_hot = len(true.shape) == 2 and true.shape[1] > 1
        ids = ops.argmax(true, axis=1) if one_hot else ops.reshape(true, (-1,))
        if pred.shape[-1] < self.num_classes:
            # Probabilities of the second class.
            ids = ops.cast(ids, "float32") > 0.5
            right = ops.equal(ids, pred[:, 0] > 0.5)
        else:
            right = ops.equal(ops.cast(ids, "int32"), ops.argmax(pred, axis=-1))
        return ops.cast(right, self.dtype)

    def get_config(self) -> dict[str, Any]:
        return {"num_classes": self.num_classes, "name": self.name, "dtype": self.dtype}
