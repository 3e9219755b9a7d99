"""Losses for one box per sample: value and gradient are finite for finite boxes."""

from typing import Any

import keras
from keras import ops

from keras_localize.boxes.formats import Corners, as_boxes, check_format
from keras_localize.boxes.overlap import (
    OVERLAPS,
    RESOLUTION,
    SCALE,
    Overlap,
    compare_axis,
    larger,
    magnitude,
    measure,
    positive,
    scaled_corners,
    smaller,
)
from keras_localize.checks import check_choice, check_number
from keras_localize.types import ArrayLike, BoundingBoxFormat, Tensor

__all__ = ["BoxLoss", "CIoULoss", "DIoULoss", "GIoULoss", "IoULoss"]

# L1 grows no further, so that it and the sum over a batch stay finite in float32.
LARGEST_L1 = 1e30


class _OverlapLoss(keras.losses.Loss):
    """`1 - overlap` of the boxes with ordered corners, plus a cost of inverted sides.

    The overlap of an inverted box is that of the box with its corners ordered. Alone
    it would leave the box inverted, since both are equally good. So each inverted side
    costs twice its length more, in units of the enclosing box.
    """

    overlap: Overlap

    def __init__(
        self,
        bounding_box_format: BoundingBoxFormat = "rel_xyxy",
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            name=name or f"{self.overlap}_loss",
            reduction=reduction,
            dtype=arithmetic_dtype(dtype),
        )
        check_format(bounding_box_format)
        self.bounding_box_format: BoundingBoxFormat = bounding_box_format

    def call(self, y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
        """The loss of each box: `(..., 4)` and `(..., 4)` give `(...)`."""
        return self._overlap_loss(*self._corners(y_true, y_pred))

    def _corners(self, y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Corners, Corners]:
        true, pred = as_boxes(y_true, "y_true"), as_boxes(y_pred, "y_pred")
        check_same_shape(true, pred)
        return (
            scaled_corners(true, self.bounding_box_format),
            scaled_corners(pred, self.bounding_box_format),
        )

    def _overlap_loss(self, true: Corners, pred: Corners) -> Tensor:
        x0, y0, x1, y1 = pred
        x = compare_axis(*_ordered(true[0], true[2]), *_ordered(x0, x1))
        y = compare_axis(*_ordered(true[1], true[3]), *_ordered(y0, y1))
        inversion = _inversion(x0, x1, x.hull) + _inversion(y0, y1, y.hull)
        return 1 - measure(self.overlap, x, y) + ops.squeeze(inversion, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "bounding_box_format": self.bounding_box_format,
            "dtype": self.dtype,
        }


@keras.saving.register_keras_serializable(package="keras_localize")
class IoULoss(_OverlapLoss):
    """`1 - IoU`: 0 for a perfect box, 1 for a disjoint one.

    The gradient is 0 while the boxes do not overlap. `BoxLoss` with `overlap="iou"`
    has a gradient there too.

    Value and gradient are finite for any finite prediction. A prediction with inverted
    corners (`x1 < x0`) is measured with its corners ordered, and each inverted side
    adds twice its length divided by that of the enclosing box. The gradient of this
    term orders the corners, and gives a prediction of no size a size.

    Args:
        bounding_box_format: format of `y_true` and `y_pred`; see
            `keras_localize.boxes.convert`.
        reduction: as for every Keras loss.
        name: name of the loss; `None`: `"iou_loss"`.
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

    L1 is the sum of the absolute errors of the four corners' coordinates, whatever the
    format, in its unit. (In DETR, which has these weights, it is that of centre and
    size.) The default weights are meant for relative formats; for a format in pixels
    divide `l1_weight` by the side of the image. Above 1e30 L1 grows no further.

    Value and gradient are finite for any finite prediction. Inverted predictions are
    treated as by `IoULoss`; L1 takes the corners as they are.

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
        l1_weight: float = 5.0,
        overlap_weight: float = 2.0,
        overlap: Overlap = "giou",
        bounding_box_format: BoundingBoxFormat = "rel_xyxy",
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "box_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(bounding_box_format, reduction, name or "box_loss", dtype)
        check_choice(overlap, OVERLAPS, "overlap")
        self.overlap = overlap
        self.l1_weight = check_number(l1_weight, "l1_weight", least=0)
        self.overlap_weight = check_number(overlap_weight, "overlap_weight", least=0)

    def call(self, y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
        """The loss of each box: `(..., 4)` and `(..., 4)` give `(...)`."""
        true, pred = self._corners(y_true, y_pred)
        l1 = _bounded(sum(magnitude(t - p) for t, p in zip(true, pred))) / SCALE
        overlap_loss = self._overlap_loss(true, pred)
        return self.l1_weight * l1[..., 0] + self.overlap_weight * overlap_loss

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "l1_weight": self.l1_weight,
            "overlap_weight": self.overlap_weight,
            "overlap": self.overlap,
        }


# --- for the rest of the package ---


def arithmetic_dtype(dtype: Any) -> str:
    """float64 where `dtype` (or, for None, Keras's floatx) asks for it, else float32.

    Half precision is not enough for box arithmetic, whatever the policy.
    """
    policy = keras.dtype_policies.get(dtype or keras.config.floatx())
    return "float64" if policy.compute_dtype == "float64" else "float32"


def check_same_shape(y_true: Tensor, y_pred: Tensor) -> None:
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


def _ordered(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return smaller(a, b), larger(a, b)


def _inversion(low: Tensor, high: Tensor, hull: Tensor) -> Tensor:
    """Twice the length of an inverted side, in units of the enclosure.

    At length 0 the gradient is the mean of the two one-sided ones, which gives the box
    a size.
    """
    hull = ops.stop_gradient(hull)
    unit = larger(hull, ops.full_like(hull, RESOLUTION * SCALE))
    return 2 * positive(low - high) / unit


def _bounded(length: Tensor) -> Tensor:
    """`length`, at most LARGEST_L1; beyond it the gradient shrinks in proportion."""
    largest = LARGEST_L1 * SCALE
    return length * (largest / ops.maximum(ops.stop_gradient(length), largest))
