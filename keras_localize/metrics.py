"""The box metric."""

import numbers

import keras
from keras import ops

from keras_localize.boxes.formats import as_boxes, check_format
from keras_localize.boxes.overlap import iou
from keras_localize.losses import arithmetic_dtype, check_same_shape


@keras.saving.register_keras_serializable(package="keras_localize")
class IoUMetric(keras.metrics.Mean):
    """Mean IoU of predicted boxes, or the share of them above a threshold.

    Not `keras.metrics.IoU`, which compares segmentation maps class by class and, fed
    with boxes, returns a number that means nothing: this one compares boxes.

    Only two sums are kept, so memory does not grow with the data. A sample weight of 0
    leaves a picture without a box out of the mean (in `compile`, list the metric under
    `weighted_metrics`: Keras gives no weights to `metrics`).

    Args:
        threshold: `None` for the mean IoU; a number in `(0, 1]` for the share of boxes
            with an IoU of at least `threshold`.
        bounding_box_format: format of `y_true` and `y_pred`; see
            `keras_localize.boxes.convert`.
        name: `None`: `"iou"`, or with a threshold of 0.5 `"iou_50"`.
        dtype: dtype of the arithmetic and the sums; half precision is raised to
            float32, which is also the default.

    Call arguments: `y_true` and `y_pred` of shape `(B, 4)`, or `(..., 4)`, the same for
    both; `sample_weight` of shape `(B,)`. An inverted box is empty: IoU 0.

    Raises:
        ValueError: for a threshold outside `(0, 1]`, an unknown format, shapes that
            differ or do not end in 4.

    Example:

    >>> from keras_localize.metrics import IoUMetric
    >>> metric = IoUMetric(bounding_box_format="xyxy")
    >>> truth = [[0, 0, 2, 2], [0, 0, 2, 2]]
    >>> metric.update_state(truth, [[0, 0, 2, 2], [0, 0, 1, 2]])
    >>> float(metric.result())
    0.75
    """

    def __init__(
        self,
        threshold=None,
        bounding_box_format="rel_xyxy",
        name=None,
        dtype=None,
    ):
        number = isinstance(threshold, numbers.Real)
        if threshold is not None and not (number and 0 < threshold <= 1):
            raise ValueError(
                "`threshold` must be None or a number in (0, 1]. "
                f"Received: threshold={threshold}"
            )
        check_format(bounding_box_format)
        if name is None:
            name = "iou" if threshold is None else f"iou_{100 * threshold:g}"
        super().__init__(name=name, dtype=arithmetic_dtype(dtype))
        self.threshold = threshold
        self.bounding_box_format = bounding_box_format

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch: `(..., 4)` boxes, and weights of shape `(...)`."""
        y_true = ops.cast(as_boxes(y_true, "y_true"), self.dtype)
        y_pred = ops.cast(as_boxes(y_pred, "y_pred"), self.dtype)
        check_same_shape(y_true, y_pred)
        values = iou(y_true, y_pred, self.bounding_box_format)
        if self.threshold is not None:
            values = values >= self.threshold
        return super().update_state(values, sample_weight)

    def get_config(self):
        """The constructor's arguments."""
        return {
            "threshold": self.threshold,
            "bounding_box_format": self.bounding_box_format,
            "name": self.name,
            "dtype": self.dtype,
        }
