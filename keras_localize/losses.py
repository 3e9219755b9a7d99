"""Overlap losses for one box per sample, right for any finite prediction."""

import math
import numbers

import keras
from keras import ops

from keras_localize.boxes.formats import as_boxes, check_format
from keras_localize.boxes.overlap import (
    MEASURES,
    RESOLUTION,
    SCALE,
    compare_axis,
    larger,
    magnitude,
    measure,
    positive,
    scaled_corners,
    smaller,
)

# L1 grows no further, so that it and the sum over a batch stay finite in float32.
LARGEST_L1 = 1e30


class _OverlapLoss(keras.losses.Loss):
    """`1 - overlap` of the boxes with ordered corners, plus what straightens them.

    With its corners ordered, an inverted box has an area and a place, but is as good
    as the upright one: the gradient would keep it inverted. So each inverted side
    also costs twice its length, in units of the enclosing box.
    """

    overlap = None

    def __init__(
        self,
        bounding_box_format="rel_xyxy",
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
    ):
        super().__init__(
            name=name or f"{self.overlap}_loss",
            reduction=reduction,
            dtype=arithmetic_dtype(dtype),
        )
        check_format(bounding_box_format)
        self.bounding_box_format = bounding_box_format

    def call(self, y_true, y_pred):
        """The loss of each box: `(..., 4)` and `(..., 4)` give `(...)`."""
        return self._overlap_loss(*self._corners(y_true, y_pred))

    def _corners(self, y_true, y_pred):
        y_true, y_pred = as_boxes(y_true, "y_true"), as_boxes(y_pred, "y_pred")
        check_same_shape(y_true, y_pred)
        return (
            scaled_corners(y_true, self.bounding_box_format),
            scaled_corners(y_pred, self.bounding_box_format),
        )

    def _overlap_loss(self, true, pred):
        x0, y0, x1, y1 = pred
        x = compare_axis(*_ordered(true[0], true[2]), *_ordered(x0, x1))
        y = compare_axis(*_ordered(true[1], true[3]), *_ordered(y0, y1))
        inversion = _inversion(x0, x1, x.hull) + _inversion(y0, y1, y.hull)
        return 1 - measure(self.overlap, x, y) + ops.squeeze(inversion, axis=-1)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "bounding_box_format": self.bounding_box_format,
            "dtype": self.dtype,
        }


@keras.saving.register_keras_serializable(package="keras_localize")
class IoULoss(_OverlapLoss):
    """`1 - IoU`: 0 for a perfect box, 1 for a disjoint one.

    Has no gradient while the boxes do not overlap: `BoxLoss` with `overlap="iou"`
    has one.

    Every prediction is allowed, and gets a finite loss and a finite gradient. One with
    inverted corners (`x1 < x0`) is measured with its corners ordered, and each inverted
    side adds twice its length over that of the enclosing box; the gradient turns the
    box upright. A prediction of no size is opened by the same term.

    Args:
        bounding_box_format: format of `y_true` and `y_pred`; see
            `keras_localize.boxes.convert`.
        reduction: as for every Keras loss.
        name: name of the loss.
        dtype: `None`: arithmetic in float32, whatever the policy (a half precision
            dtype is raised to float32 too); `"float64"` is honoured.

    Call arguments: `y_true` and `y_pred` of shape `(B, 4)`, or `(..., 4)`, the same for
    both; one value per box, shape `(B,)`, goes into the reduction.

    Raises:
        ValueError: for an unknown format, shapes that differ or do not end in 4.

    Example:

    >>> from keras_localize.losses import IoULoss
    >>> loss = IoULoss("xyxy", reduction=None)
    >>> value = loss([[0, 0, 2, 2], [0, 0, 2, 2]], [[0, 0, 2, 1], [2, 0, 0, 2]])
    >>> np.asarray(value).tolist()
    [0.5, 2.0]
    """

    overlap = "iou"


@keras.saving.register_keras_serializable(package="keras_localize")
class GIoULoss(_OverlapLoss):
    """`1 - GIoU`: 0 for a perfect box, up to 2 for a far one.

    Arguments, shapes and the treatment of inverted predictions as for `IoULoss`.

    Reference: [Rezatofighi et al., 2019](https://arxiv.org/abs/1902.09630)

    Example:

    >>> from keras_localize.losses import GIoULoss
    >>> loss = GIoULoss("xyxy")
    >>> float(loss([[-1, -1, 1, 1]], [[0, 0, 1, 1]]))
    0.75
    """

    overlap = "giou"


@keras.saving.register_keras_serializable(package="keras_localize")
class DIoULoss(_OverlapLoss):
    """`1 - DIoU`: 0 for a perfect box, up to 2 for a far one.

    Arguments, shapes and the treatment of inverted predictions as for `IoULoss`.

    Reference: [Zheng et al., 2020](https://arxiv.org/abs/1911.08287)

    Example:

    >>> from keras_localize.losses import DIoULoss
    >>> loss = DIoULoss("xyxy")
    >>> float(loss([[-1, -1, 1, 1]], [[0, 0, 1, 1]]))
    0.8125
    """

    overlap = "diou"


@keras.saving.register_keras_serializable(package="keras_localize")
class CIoULoss(_OverlapLoss):
    """`1 - CIoU`: 0 for a perfect box, up to 3 for a far one of another shape.

    Arguments, shapes and the treatment of inverted predictions as for `IoULoss`.

    Reference: [Zheng et al., 2020](https://arxiv.org/abs/1911.08287)

    Example:

    >>> from keras_localize.losses import CIoULoss
    >>> loss = CIoULoss("xyxy")
    >>> round(float(loss([[0, 0, 2, 2]], [[0, 0, 2, 1]])), 4)
    0.5345
    """

    overlap = "ciou"


@keras.saving.register_keras_serializable(package="keras_localize")
class BoxLoss(_OverlapLoss):
    """`l1_weight * L1 + overlap_weight * overlap loss`: a gradient everywhere.

    L1 is the sum of the four corner coordinates' absolute errors, as in DETR, in the
    unit of the format: the defaults are made for relative formats. For a format in
    pixels divide `l1_weight` by the side of the image. Beyond 1e30 it grows no further:
    the loss is finite for any finite prediction.

    Inverted predictions as for `IoULoss`; L1 sees the corners as they come.

    Reference: [Carion et al., 2020](https://arxiv.org/abs/2005.12872)

    Args:
        l1_weight: weight of L1, at least 0.
        overlap_weight: weight of the overlap loss, at least 0.
        overlap: `"iou"`, `"giou"`, `"diou"` or `"ciou"`.
        bounding_box_format: as for `IoULoss`.
        reduction: as for every Keras loss.
        name: name of the loss.
        dtype: as for `IoULoss`.

    Raises:
        ValueError: as `IoULoss`, for a weight that is negative or not finite, and for
            an unknown `overlap`.

    Example:

    >>> from keras_localize.losses import BoxLoss
    >>> loss = BoxLoss()
    >>> float(loss([[0.0, 0.0, 0.5, 0.5]], [[0.0, 0.0, 0.5, 0.25]]))
    2.25
    """

    def __init__(
        self,
        l1_weight=5.0,
        overlap_weight=2.0,
        overlap="giou",
        bounding_box_format="rel_xyxy",
        reduction="sum_over_batch_size",
        name="box_loss",
        dtype=None,
    ):
        super().__init__(bounding_box_format, reduction, name, dtype)
        if not isinstance(overlap, str) or overlap not in MEASURES:
            raise ValueError(
                f"`overlap` must be one of {', '.join(MEASURES)}. "
                f"Received: overlap={overlap!r}"
            )
        self.overlap = overlap
        self.l1_weight = _weight("l1_weight", l1_weight)
        self.overlap_weight = _weight("overlap_weight", overlap_weight)

    def call(self, y_true, y_pred):
        """The loss of each box: `(..., 4)` and `(..., 4)` give `(...)`."""
        true, pred = self._corners(y_true, y_pred)
        l1 = _bounded(sum(magnitude(t - p) for t, p in zip(true, pred))) / SCALE
        overlap_loss = self._overlap_loss(true, pred)
        return self.l1_weight * l1[..., 0] + self.overlap_weight * overlap_loss

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "l1_weight": self.l1_weight,
            "overlap_weight": self.overlap_weight,
            "overlap": self.overlap,
        }


# --- for the rest of the package ---


def arithmetic_dtype(dtype):
    """float64 where `dtype` (or, for None, Keras's floatx) asks for it, else float32.

    Half precision is not enough for box arithmetic, whatever the policy.
    """
    policy = keras.dtype_policies.get(dtype or keras.config.floatx())
    return "float64" if policy.compute_dtype == "float64" else "float32"


def check_same_shape(y_true, y_pred):
    """Raises a ValueError where the known part of two shapes cannot be the same.

    Broadcasting would turn (B, 1, 4) against (B, 4) into B x B pairs in silence.
    """
    true, pred = tuple(y_true.shape), tuple(y_pred.shape)
    same = len(true) == len(pred) and all(
        t == p or t is None or p is None for t, p in zip(true, pred)
    )
    if not same:
        raise ValueError(
            "`y_true` and `y_pred` must have the same shape (..., 4). "
            f"Received shapes: y_true={true}, y_pred={pred}"
        )


def _ordered(a, b):
    return smaller(a, b), larger(a, b)


def _inversion(low, high, hull):
    """Twice the length of an inverted side, in units of the enclosure.

    At length 0, a kink, the gradient is the middle one, which opens the box.
    """
    unit = ops.maximum(ops.stop_gradient(hull), RESOLUTION * SCALE)
    return 2 * positive(low - high) / unit


def _bounded(length):
    """`length`, at most LARGEST_L1; beyond it the gradient shrinks in proportion."""
    largest = LARGEST_L1 * SCALE
    return length * (largest / ops.maximum(ops.stop_gradient(length), largest))


def _weight(name, value):
    number = isinstance(value, numbers.Real) and math.isfinite(value)
    if not (number and value >= 0):
        raise ValueError(
            f"`{name}` must be a finite number of at least 0. Received: {name}={value}"
        )
    return float(value)
