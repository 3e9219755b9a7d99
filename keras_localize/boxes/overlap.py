"""How much two boxes overlap: IoU and its generalisations, paired.

All four measures need only how the boxes lie on each axis (`Axis`): the two lengths,
their overlap and their hull (the shortest interval that holds both, a side of the
smallest enclosing box). `meet` finds these once; a measure is three lines of
arithmetic on two of them, each length divided by its hull first, so that neither
coordinates of 1e38 nor sides of 1e-17 leave the range of float32.

At a tie the backends' own `maximum` and `abs` have different gradients; `larger`,
`smaller`, `positive` and `magnitude` have the middle one everywhere.

Eagerly the time is that of the operations, some hundred passes over the boxes: what is
not needed is not computed, and what carries no gradient is cut off before, not after.
"""

import math
from typing import Any, NamedTuple

from keras import backend, ops

from keras_localize.boxes.formats import as_boxes, as_corners, check_format

# Coordinates are scaled by this power of two, which changes no measure, so that sums
# and differences of the largest floats stay finite.
SCALE = 2.0**-6
# Below this length (in the unit of the coordinates) gradients no longer grow like
# 1 / length: no box is resolved so finely, and a gradient of 1e7 ends a training.
RESOLUTION = 1e-3
# Keeps divisors from 0. They are in units of the hull, where it is nothing.
TINY = 1e-15
# Where the backend's own `maximum` shares the gradient of a tie evenly.
SHARES_TIES = backend.backend() in ("jax", "torch")


def iou(boxes1, boxes2, bounding_box_format="rel_xyxy"):
    """Intersection over union of each pair of boxes.

    The boxes are paired: the first of `boxes1` with the first of `boxes2`, and so on.
    For all pairs of two sets, give them axes that broadcast.

    No constant is added to the union, so that small relative boxes are not biased:
    `iou(b, b)` is 1 down to sides of 1e-17. The gradient is 0 for boxes that do not
    overlap; use `giou`, `diou` or `ciou` to train. Where a pair is smaller than 1e-3
    (in the unit of the coordinates) the gradient is damped in proportion, so that it
    is bounded for any finite input.

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
    >>> found = [[0, 0, 1, 2], [3, 0, 5, 2]]
    >>> np.asarray(boxes.iou(truth, found, "xyxy")).tolist()
    [0.5, 0.0]
    """
    return _paired("iou", boxes1, boxes2, bounding_box_format)


def giou(boxes1, boxes2, bounding_box_format="rel_xyxy"):
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
    >>> found = [[1, 0, 2, 1], [3, 0, 4, 1]]
    >>> np.asarray(boxes.giou(truth, found, "xyxy")).tolist()
    [0.0, -0.5]
    """
    return _paired("giou", boxes1, boxes2, bounding_box_format)


def diou(boxes1, boxes2, bounding_box_format="rel_xyxy"):
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


def ciou(boxes1, boxes2, bounding_box_format="rel_xyxy"):
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


def scaled_corners(boxes, bounding_box_format):
    """The corners (x0, y0, x1, y1), each of shape (..., 1), times SCALE."""
    coordinates = ops.split(boxes, 4, axis=-1)
    # Scaled one by one they lie in memory one by one, which quickens all that follows.
    coordinates = [coordinate * SCALE for coordinate in coordinates]
    return as_corners(coordinates, bounding_box_format)


def meet(low1, high1, low2, high2):
    """The `Axis` of the intervals [low1, high1] and [low2, high2], lows <= highs."""
    length1 = high1 - low1
    length2 = high2 - low2
    overlap = smaller(high1, high2) - larger(low1, low2)
    hull = length1 + length2 - overlap
    offset = (low1 - low2) + (high1 - high2)
    return Axis(length1, length2, positive(overlap), hull, offset)


def measure(kind, x, y):
    """The measure `kind` ("iou", "giou", "diou", "ciou") of two `Axis`: (...)."""
    value = _damped(MEASURES[kind](x, y), ops.minimum(x.hull, y.hull))
    return ops.squeeze(value, axis=-1)


def larger(a, b):
    """`maximum(a, b)`, its gradient at a tie shared evenly."""
    if _is_float64(a):
        return (ops.where(a > b, a, b) + ops.where(b > a, b, a)) / 2
    if SHARES_TIES:
        return ops.maximum(a, b)
    return (ops.maximum(a, b) + ops.maximum(b, a)) / 2


def smaller(a, b):
    """`minimum(a, b)`, its gradient at a tie shared evenly."""
    if _is_float64(a):
        return -larger(-a, -b)
    if SHARES_TIES:
        return ops.minimum(a, b)
    return (ops.minimum(a, b) + ops.minimum(b, a)) / 2


def magnitude(a):
    """`abs(a)`, its gradient at 0 zero."""
    return a * ops.sign(a)


def positive(a):
    """`maximum(a, 0)`, its gradient at 0 a half."""
    if SHARES_TIES and not _is_float64(a):
        return ops.maximum(a, 0)
    return (a + magnitude(a)) / 2


def _paired(kind, boxes1, boxes2, bounding_box_format):
    check_format(bounding_box_format)
    boxes1, boxes2 = as_boxes(boxes1, "boxes1"), as_boxes(boxes2, "boxes2")
    _check_broadcast(tuple(boxes1.shape), tuple(boxes2.shape))
    if boxes1.dtype != boxes2.dtype:
        boxes1, boxes2 = ops.cast(boxes1, "float64"), ops.cast(boxes2, "float64")
    x0, y0, x1, y1 = scaled_corners(boxes1, bounding_box_format)
    u0, v0, u1, v1 = scaled_corners(boxes2, bounding_box_format)
    # An inverted side is none: it ends where it starts.
    x = meet(x0, larger(x1, x0), u0, larger(u1, u0))
    y = meet(y0, larger(y1, y0), v0, larger(v1, v0))
    return measure(kind, x, y)


def _check_broadcast(shape1, shape2):
    if any(
        a != b and 1 not in (a, b) and None not in (a, b)
        for a, b in zip(reversed(shape1), reversed(shape2))
    ):
        raise ValueError(
            "`boxes1` and `boxes2` must have leading axes that broadcast. Received "
            f"shapes: boxes1={shape1}, boxes2={shape2}"
        )


def _is_float64(a):
    # Keras's maximum would make it float32 on torch.
    return backend.standardize_dtype(a.dtype) == "float64"


def _units(x, y):
    return (ops.stop_gradient(axis.hull) + TINY for axis in (x, y))


def _areas(x, y, unit_x, unit_y):
    """Intersection and union, in units of the enclosure."""
    intersection = (x.overlap / unit_x) * (y.overlap / unit_y)
    area1 = (x.length1 / unit_x) * (y.length1 / unit_y)
    area2 = (x.length2 / unit_x) * (y.length2 / unit_y)
    return intersection, area1 + area2 - intersection


def _iou(x, y):
    intersection, union = _areas(x, y, *_units(x, y))
    return intersection / (union + TINY)


def _giou(x, y):
    unit_x, unit_y = _units(x, y)
    intersection, union = _areas(x, y, unit_x, unit_y)
    enclosure = (x.hull / unit_x) * (y.hull / unit_y)
    empty = (enclosure - union) / (enclosure + TINY)
    return intersection / (union + TINY) - empty


def _diou(x, y):
    return _iou(x, y) - _distance(x, y)


def _ciou(x, y):
    iou = _iou(x, y)
    angle1, size1 = _angle(x.length1, y.length1)
    angle2, size2 = _angle(x.length2, y.length2)
    v = (4 / math.pi**2) * ops.square(angle1 - angle2)
    still_iou, still_v = ops.stop_gradient(iou), ops.stop_gradient(v)
    alpha = still_v / (positive(1 - still_iou) + still_v + TINY)
    shape = _damped(alpha * v, ops.minimum(size1, size2))
    return iou - _distance(x, y) - shape


MEASURES = {"iou": _iou, "giou": _giou, "diou": _diou, "ciou": _ciou}


def _distance(x, y):
    """Squared distance of the centres over the squared diagonal of the enclosure."""
    unit = _longer(x.hull, y.hull) + TINY
    dx, dy, cw, ch = (v / unit for v in (x.offset, y.offset, x.hull, y.hull))
    return (dx * dx + dy * dy) / (4 * (cw * cw + ch * ch) + TINY)


def _angle(w, h):
    """Angle of the diagonal, counted from that of a square, and w + h.

    Its tangent, (w - h) / (w + h), stays in [-1, 1] for boxes of any shape and size.
    """
    size = w + h
    return ops.arctan((w - h) / (size + TINY)), size


def _longer(a, b):
    return ops.maximum(ops.stop_gradient(a), ops.stop_gradient(b))


def _damped(value, length):
    """`value`; its gradient shrinks with `length` once that is below RESOLUTION."""
    length = ops.stop_gradient(length)
    damping = ops.minimum(length / (RESOLUTION * SCALE), 1)
    still = ops.stop_gradient(value)
    return still + damping * (value - still)
