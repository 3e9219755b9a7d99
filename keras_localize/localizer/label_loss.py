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

    A class id outside of `[0, num_classes)` makes its value NaN, on every backend and
    in compiled code: a wrong label is heard. Its gradient is 0, so that the weights
    are not spoiled by it.

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
        if num_classes > 1 and len(y_true.shape) == 2 and y_true.shape[1] > 1:
            return keras.losses.categorical_crossentropy(
                y_true, y_pred, label_smoothing=self.label_smoothing
            )
        given = ops.reshape(y_true, (-1,))
        # Backends differ in what they do with ids outside; they see none.
        ids = ops.clip(given, 0, max(num_classes - 1, 1))
        if num_classes == 1:
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

    def get_config(self):
        """Every constructor argument."""
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "dtype": self.dtype,
        }
