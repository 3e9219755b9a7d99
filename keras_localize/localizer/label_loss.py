"""The label head's loss."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_localize")
class LabelCrossentropy(keras.losses.Loss):
    """Cross-entropy that takes class ids or one-hot labels, with smoothing.

    Keras's `SparseCategoricalCrossentropy` has no label smoothing and its
    `CategoricalCrossentropy` takes no class ids; a localizer wants both.

    Args:
        label_smoothing: share of the probability that is spread over all classes,
            in `[0, 1)` (arXiv 1512.00567).
        reduction, name, dtype: as in `keras.losses.Loss`.

    Call arguments:
        y_true: class ids `(B,)` or `(B, 1)`, or probabilities `(B, num_classes)`.
        y_pred: probabilities `(B, num_classes)`; with one class, the probability
            of the positive class `(B, 1)`.

    Example:

    >>> from keras_localize.localizer.label_loss import LabelCrossentropy
    >>> loss = LabelCrossentropy()(np.array([1]), np.array([[0.5, 0.5]]))
    >>> round(float(loss), 4)
    0.6931
    """

    def __init__(
        self,
        label_smoothing=0.0,
        reduction="sum_over_batch_size",
        name="label_crossentropy",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                "`label_smoothing` must be in [0, 1). Received: "
                f"label_smoothing={label_smoothing}"
            )
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        """Per-sample values (B,)."""
        num_classes = y_pred.shape[-1]
        if num_classes == 1:
            y_true = ops.reshape(y_true, (-1, 1))
            return keras.losses.binary_crossentropy(
                y_true, y_pred, label_smoothing=self.label_smoothing
            )
        if len(y_true.shape) == 1 or y_true.shape[-1] == 1:
            ids = ops.cast(ops.reshape(y_true, (-1,)), "int32")
            y_true = ops.one_hot(ids, num_classes, dtype=y_pred.dtype)
        return keras.losses.categorical_crossentropy(
            y_true, y_pred, label_smoothing=self.label_smoothing
        )

    def get_config(self):
        """Every constructor argument."""
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "dtype": self.dtype,
        }
