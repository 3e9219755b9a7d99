"""How much two boxes overlap: IoU and its generalisations, paired.

All four measures are computed from how the boxes lie on each axis (`Axis`): the two
lengths, their overlap and their hull (the shortest interval that holds both, a side of
the smallest enclosing box). `compare_axis` computes these once, and a measure is a few
lines of arithmetic on the two axes. Each length is divided by its hull first, so that
neither coordinates of 1e38 nor sides of 1e-17 leave the range of float32.

At a tie the backends' own `maximum` and `abs` have different gradients; `larger`,
`smaller`, `positive` and `magnitude` have the mean of the two one-sided gradients on
every backend.

Eagerly the time goes into some hundred passes over the boxes. So nothing is computed
that is not needed, and gradients are stopped before an operation, not after it.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

from keras import KerasTensor, backend, ops

from keras_localize.boxes.formats import Corners, as_boxes, as_corners, check_format
from keras_localize.boxes.tf_data import in_foreign_graph
from keras_localize.types import ArrayLike, BoundingBoxFormat, Tensor

Overlap = Literal["iou", "giou", "diou", "ciou"]
OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)

# Coordinates are scaled by this power of two, which changes no measure, so that sums
# and differences of the largest floats stay finite.
SCALE = 2.0**-6
# Below this length (in the unit of the coordinates) gradients no longer grow like
# 1 / length: no box is so small, and a gradient of 1e7 would destroy the weights.
RESOLUTION = 1e-3
# Keeps divisors above 0. They are in units of the hull, where it is negligible.
TINY = 1e-15
# Whether the backend's own `maximum` splits the gradient of a tie evenly.
SPLITS_TIES = backend.backend() in ("jax", "torch")


def iou(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    bounding_box_format: BoundingBoxFormat = "rel_xyxy",
) -> Tensor:
    """Intersection over union of each pair of boxes.

    The boxes are paired: the first of `boxes1` with the first of `boxes2`, and so on.
    For all pairs of two sets, give them axes that broadcast.

    No constant is added to the union, which would bias small relative boxes:
    `iou(b, b)` is 1 down to sides of 1e-17. The gradient is 0 for boxes that do not
    overlap; use `giou`, `diou` or `ciou` to train. Where a pair is smaller than 1e-3
    (in the unit of the coordinates) the gradient is scaled down in proportion, so that
    it is finite for any finite input.

    Args:
        boxes1: tensor of shape `(..., 4)`.
        boxes2: tensor of shape `(..., 4)`; its leading axes broadcast with those of
            `boxes1`.
        bounding_box_format: format of both; see `convert`. Relative formats are
            taken as coordinates of the unit square.

    Returns:
        Tensor of shape `(...)` in `[0, 1]`, float64 if a box is, else float32. A box
        with an inverted side is empty, and an empty box has an IoU of 0.

    Raises:
        ValueError: for an unknown format, a last axis that is not 4, or leading axes
            that do not broadcast.

    Example:

    >>> from keras_localize import boxes
    >>> truth = [[0, 0, 2, 2], [0, 0, 2, 2]]
    >>> predicted = [[0, 0, 1, 2], [3, 0, 5, 2]]
    >>> np.asarray(boxes.iou(truth, predicted, "xyxy")).tolist()
    [0.5, 0.0]
    """
    return _paired("iou", boxes1, boxes2, bounding_box_format)


def giou(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    bounding_box_format: BoundingBoxFormat = "rel_xyxy",
) -> Tensor:
    """Generalised IoU: IoU less the empty share of the enclosing box.

    `IoU - (C - U) / C`, with U the union and C the smallest box that encloses both:
    it tells how far apart disjoint boxes are. Arguments, dtypes and gradients as for
    `iou`.

    Reference: [Rezatofighi et al., 2019](https://arxiv.org/abs/1902.09630)

    Args:
        boxes1: tensor of shape `(..., 4)`.
        boxes2: tensor of shape `(..., 4)`.
        bounding_box_format: format of both; see `convert`.

    Returns:
        Tensor of shape `(...)` in `[-1, 1]`, never above the IoU.

    Raises:
        ValueError: for an unknown format, a last axis that is not 4, or leading axes
            that do not broadcast.

    Example:

    >>> from keras_localize import boxes
    >>> truth = [[0, 0, 1, 1], [0, 0, 1, 1]]
    >>> predicted = [[1, 0, 2, 1], [3, 0, 4, 1]]
    >>> np.asarray(boxes.giou(truth, predicted, "xyxy")).tolist()
    [0.0, -0.5]
    """
    return _paired("giou", boxes1, boxes2, bounding_box_format)


def diou(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    bounding_box_format: BoundingBoxFormat = "rel_xyxy",
) -> Tensor:
    """Distance IoU: IoU less the squared distance of the centres.

    `IoU - d^2 / c^2`, with d the distance of the centres and c the diagonal of the
    smallest box that encloses both. Arguments, dtypes and gradients as for `iou`.

    Reference: [Zheng et al., 2020](https://arxiv.org/abs/1911.08287)

    Args:
        boxes1: tensor of shape `(..., 4)`.
        boxes2: tensor of shape `(..., 4)`.
        bounding_box_format: format of both; see `convert`.

    Returns:
        Tensor of shape `(...)` in `[-1, 1]`, never above the IoU.

    Raises:
        ValueError: for an unknown format, a last axis that is not 4, or leading axes
            that do not broadcast.

    Example:

    >>> from keras_localize import boxes
    >>> value = boxes.diou([-1, -1, 1, 1], [0, 0, 1, 1], "xyxy")
    >>> round(float(value), 4)
    0.1875
    """
    return _paired("diou", boxes1, boxes2, bounding_box_format)


def ciou(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    bounding_box_format: BoundingBoxFormat = "rel_xyxy",
) -> Tensor:
    """Complete IoU: DIoU less a term for the aspect ratios.

    `DIoU - alpha * v` with `v = 4 / pi^2 (atan w1/h1 - atan w2/h2)^2` and
    `alpha = v / (1 - IoU + v)`. No gradient flows through alpha, as in the paper. A
    box of no size counts as square. Arguments, dtypes and gradients as for `iou`.

    Reference: [Zheng et al., 2020](https://arxiv.org/abs/1911.08287)

    Args:
        boxes1: tensor of shape `(..., 4)`.
        boxes2: tensor of shape `(..., 4)`.
        bounding_box_format: format of both; see `convert`.

    Returns:
        Tensor of shape `(...)` in `[-2, 1]`, never above the DIoU.

    Raises:
        ValueError: for an unknown format, a last axis that is not 4, or leading axes
            that do not broadcast.

    Example:

    >>> from keras_localize import boxes
    >>> value = boxes.ciou([0, 0, 2, 2], [0, 0, 2, 1], "xyxy")
    >>> round(float(value), 4)
    0.4655
    """
    return _paired("ciou", boxes1, boxes2, bounding_box_format)


# --- for the rest of the package ---


class Axis(NamedTuple):
    """How two intervals lie on one axis."""

    length1: Any
    length2: Any
    overlap: Any  # 0 where they are disjoint
    hull: Any
    offset: Any  # twice the distance of the centres, signed


def scaled_corners(boxes: Tensor, bounding_box_format: BoundingBoxFormat) -> Corners:
    """The corners (x0, y0, x1, y1), each of shape (..., 1), times SCALE."""
    coordinates = ops.split(boxes, 4, axis=-1)
    # Scaled one by one, each is contiguous in memory, which speeds up all that follows.
    coordinates = [coordinate * SCALE for coordinate in coordinates]
    return as_corners(coordinates, bounding_box_format)


def compare_axis(low1: Tensor, high1: Tensor, low2: Tensor, high2: Tensor) -> Axis:
    """The `Axis` of the intervals [low1, high1] and [low2, high2], lows <= highs."""
    length1 = high1 - low1
    length2 = high2 - low2
    overlap = smaller(high1, high2) - larger(low1, low2)
    hull = length1 + length2 - overlap
    offset = (low1 - low2) + (high1 - high2)
    return Axis(length1, length2, positive(overlap), hull, offset)


def measure(kind: Overlap, x: Axis, y: Axis) -> Tensor:
    """The measure `kind` of boxes that lie so on the two axes: (...)."""
    value = _damped(MEASURES[kind](x, y), ops.minimum(x.hull, y.hull))
    return ops.squeeze(value, axis=-1)


def larger(a: Tensor, b: Tensor) -> Tensor:
    """`maximum(a, b)`, its gradient at a tie split evenly."""
    if _is_float64(a):
        return (ops.where(a > b, a, b) + ops.where(b > a, b, a)) / 2
    if SPLITS_TIES:
        return ops.maximum(a, b)
    return (ops.maximum(a, b) + ops.maximum(b, a)) / 2


def smaller(a: Tensor, b: Tensor) -> Tensor:
    """`minimum(a, b)`, its gradient at a tie split evenly."""
    if _is_float64(a):
        return -larger(-a, -b)
    if SPLITS_TIES:
        return ops.minimum(a, b)
    return (ops.minimum(a, b) + ops.minimum(b, a)) / 2


def magnitude(a: Tensor) -> Tensor:
    """`abs(a)`, its gradient at 0 zero."""
    return a * ops.sign(a)


def positive(a: Tensor) -> Tensor:
    """`maximum(a, 0)`, its gradient at 0 a half."""
    if SPLITS_TIES and not _is_float64(a):
        return ops.maximum(a, 0)
    return (a + magnitude(a)) / 2


def _paired(
    kind: Overlap,
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    bounding_box_format: BoundingBoxFormat,
) -> Tensor:
    check_format(bounding_box_format)
    first, second = as_boxes(boxes1, "boxes1"), as_boxes(boxes2, "boxes2")
    _check_broadcast(tuple(first.shape), tuple(second.shape))
    _check_not_foreign(first, second)
    # Beside a symbolic tensor JAX's own operators refuse a constant.
    if isinstance(first, KerasTensor) and not isinstance(second, KerasTensor):
        second = ops.add(second, ops.zeros_like(first))
    elif isinstance(second, KerasTensor) and not isinstance(first, KerasTensor):
        first = ops.add(first, ops.zeros_like(second))
    if _is_float64(first) != _is_float64(second):
        first, second = ops.cast(first, "float64"), ops.cast(second, "float64")
    x0, y0, x1, y1 = scaled_corners(first, bounding_box_format)
    u0, v0, u1, v1 = scaled_corners(second, bounding_box_format)
    # An inverted side has length 0: it ends where it starts.
    x = compare_axis(x0, larger(x1, x0), u0, larger(u1, u0))
    y = compare_axis(y0, larger(y1, y0), v0, larger(v1, v0))
    return measure(kind, x, y)


def _check_broadcast(shape1: tuple, shape2: tuple) -> None:
    if any(
        a != b and 1 not in (a, b) and None not in (a, b)
        for a, b in zip(reversed(shape1), reversed(shape2))
    ):
        raise ValueError(
            "`boxes1` and `boxes2` must have leading axes that broadcast. Received "
            f"shapes: boxes1={shape1}, boxes2={shape2}"
        )


def _check_not_foreign(*boxes: Tensor) -> None:
    if any(map(in_foreign_graph, boxes)):
        raise ValueError(
            "`boxes1` and `boxes2` must be tensors of the backend "
            f"{backend.backend()}. Received: tensors of `tf.data`, which are "
            "TensorFlow's"
        )


def _is_float64(a: Tensor) -> bool:
    # Keras's maximum would make it float32 on torch.
    return backend.standardize_dtype(a.dtype) == "float64"


def _tiny(a: Tensor) -> float:
    """`TINY`, or in float64, where 1 + TINY is more than 1, its square."""
    return TINY * TINY if _is_float64(a) else TINY


def _units(x: Axis, y: Axis) -> tuple[Tensor, Tensor]:
    tiny = _tiny(x.hull)
    return ops.stop_gradient(x.hull) + tiny, ops.stop_gradient(y.hull) + tiny


def _areas(x: Axis, y: Axis, unit_x: Tensor, unit_y: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection and union, in units of the enclosure."""
    intersection = (x.overlap / unit_x) * (y.overlap / unit_y)
    area1 = (x.length1 / unit_x) * (y.length1 / unit_y)
    area2 = (x.length2 / unit_x) * (y.length2 / unit_y)
    return intersection, area1 + area2 - intersection


def _iou(x: Axis, y: Axis) -> Tensor:
    intersection, union = _areas(x, y, *_units(x, y))
    return intersection / (union + _tiny(union))


def _giou(x: Axis, y: Axis) -> Tensor:
    unit_x, unit_y = _units(x, y)
    intersection, union = _areas(x, y, unit_x, unit_y)
    enclosure = (x.hull / unit_x) * (y.hull / unit_y)
    empty = (enclosure - union) / (enclosure + _tiny(union))
    return intersection / (union + _tiny(union)) - empty


def _diou(x: Axis, y: Axis) -> Tensor:
    return _iou(x, y) - _distance(x, y)


def _ciou(x: Axis, y: Axis) -> Tensor:
    iou = _iou(x, y)
    angle1, size1 = _angle(x.length1, y.length1)
    angle2, size2 = _angle(x.length2, y.length2)
    v = (4 / math.pi**2) * ops.square(angle1 - angle2)
    detached_iou, detached_v = ops.stop_gradient(iou), ops.stop_gradient(v)
    alpha = detached_v / (positive(1 - detached_iou) + detached_v + TINY)
    shape = _damped(alpha * v, ops.minimum(size1, size2))
    return iou - _distance(x, y) - shape


MEASURES: dict[Overlap, Callable[[Axis, Axis], Tensor]] = {
    "iou": _iou,
    "giou": _giou,
    "diou": _diou,
    "ciou": _ciou,
}


def _distance(x: Axis, y: Axis) -> Tensor:
    """Squared distance of the centres over the squared diagonal of the enclosure."""
    unit = _longer(x.hull, y.hull) + TINY
    dx, dy, cw, ch = (v / unit for v in (x.offset, y.offset, x.hull, y.hull))
    return (dx * dx + dy * dy) / (4 * (cw * cw + ch * ch) + TINY)


def _angle(w: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Angle of the diagonal, counted from that of a square, and w + h.

    Its tangent, (w - h) / (w + h), stays in [-1, 1] for boxes of any shape and size.
    """
    size = w + h
    return ops.arctan((w - h) / (size + TINY)), size


def _longer(a: Tensor, b: Tensor) -> Tensor:
    return ops.maximum(ops.stop_gradient(a), ops.stop_gradient(b))


def _damped(value: Tensor, length: Tensor) -> Tensor:
    """`value`; its gradient shrinks with `length` once that is below RESOLUTION."""
    length = ops.stop_gradient(length)
    damping = ops.minimum(length / (RESOLUTION * SCALE), 1)
    detached = ops.stop_gradient(value)
    return detached + damping * (value - detached)
