"""The box metric."""

import numbers
from typing import Any

import keras
from keras import ops

from keras_localize.boxes.formats import as_boxes, check_format
from keras_localize.boxes.overlap import iou
from keras_localize.losses import arithmetic_dtype, check_same_shape
from keras_localize.types import ArrayLike, BoundingBoxFormat, Tensor

__all__ = ["IoUMetric"]


@keras.saving.register_keras_serializable(package="keras_localize")
class IoUMetric(keras.metrics.MeanMetricWrapper):
    """Mean IoU of predicted boxes, or the share of them that reach a threshold.

    `keras.metrics.IoU` is another metric: it compares segmentation maps class by class,
    and its value for boxes has no meaning.

    Only two sums are kept, so memory does not grow with the data. A sample weight of 0
    leaves an image without a box out of the mean. Keras passes sample weights only to
    the metrics that `compile` lists under `weighted_metrics`.

    Larger is better, and the callbacks of Keras know it: in a model with one output,
    `EarlyStopping`, `ModelCheckpoint` and `ReduceLROnPlateau` need no `mode=` to
    monitor this metric.

    Args:
        threshold: `None` for the mean IoU; a number in `(0, 1]` for the share of boxes
            with an IoU of at least `threshold`.
        bounding_box_format: format of `y_true` and `y_pred`; see
            `keras_localize.boxes.convert`.
        name: `None`: `"iou"`, or with a threshold of 0.5 `"iou_50"`.
        dtype: dtype of the arithmetic and the sums; half precision is raised to
            float32, which is also the default.

    Call arguments: `y_true` and `y_pred` of shape `(B, 4)`, or `(..., 4)`, the same for
    both; `sample_weight` of shape `(B,)` or `(...)`. An inverted box is empty: IoU 0.
    Steps that a Keras mask leaves out do not count.

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

    # Keras has no public way to say which direction is better; its callbacks read this.
    _direction = "up"

    def __init__(
        self,
        threshold: float | None = None,
        bounding_box_format: BoundingBoxFormat = "rel_xyxy",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        number = isinstance(threshold, numbers.Real)
        if threshold is not None and not (number and 0 < float(threshold) <= 1):
            raise ValueError(
                "`threshold` must be None or a number in (0, 1]. "
                f"Received: threshold={threshold}"
            )
        check_format(bounding_box_format)
        if name is None:
            name = "iou" if threshold is None else f"iou_{100 * threshold:g}"
        # The wrapper knows of masks, which `keras.metrics.Mean` does not.
        super().__init__(self._values, name=name, dtype=arithmetic_dtype(dtype))
        self.threshold = threshold
        self.bounding_box_format: BoundingBoxFormat = bounding_box_format

    def _values(self, y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
        """One value for each box."""
        true: Tensor = ops.cast(as_boxes(y_true, "y_true"), self.dtype)
        pred: Tensor = ops.cast(as_boxes(y_pred, "y_pred"), self.dtype)
        check_same_shape(true, pred)
        values = iou(true, pred, self.bounding_box_format)
        return values if self.threshold is None else values >= self.threshold

    def get_config(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "bounding_box_format": self.bounding_box_format,
            "name": self.name,
            "dtype": self.dtype,
        }
