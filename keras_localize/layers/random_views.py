"""Random views of images: maps into a square, drawn so that boxes stay visible.

A view is a map per axis; see `resampling`.
"""

import math
from typing import NamedTuple, TypeAlias

from keras_localize.boxes.array_namespace import TensorNamespace
from keras_localize.boxes.formats import Corners
from keras_localize.boxes.missing import is_missing
from keras_localize.layers.random_numbers import uniform
from keras_localize.layers.resampling import AxisMap
from keras_localize.types import Tensor

# Side of a box crop by the longer side of the box, about that of the crops of
# `localize(refine=True)`, and how large the box must be: the share of the image's side
# below which it is not magnified further.
BOX_CROP = (1.25, 2.1)
SMALLEST_BOX = 0.25

# What of an axis must stay visible: (from, to, least extent), each (B,)
Visible: TypeAlias = tuple[Tensor, Tensor, Tensor]


class ViewRanges(NamedTuple):
    """What views are drawn from; see the arguments of `RandomSquareView`."""

    size: int
    flip: float
    zoom: tuple[float, float]
    aspect: float
    shift: float
    min_visible: float
    box_crop: float


def draw_views(
    xp: TensorNamespace,
    ranges: ViewRanges,
    hashes: Tensor,
    height: Tensor,
    width: Tensor,
    boxes: Tensor | None,
    corners: Corners | None,
) -> tuple[AxisMap, AxisMap]:
    """Draws a view for each image of a batch.

    Args:
        xp: the operations for the tensors.
        ranges: what the views are drawn from.
        hashes: int32 tensor (B,), of which each image's view is a function.
        height: height of the images in pixels.
        width: width of the images in pixels.
        boxes: (B, N, 4) with N at least 1, or None.
        corners: the corners of `boxes` in pixels, (B, N) each, or None.

    Returns:
        The maps along y and along x.
    """
    height, width = xp.cast(height, "float32"), xp.cast(width, "float32")
    draws = uniform(xp, hashes, 7)
    flipped = draws[:, 0] < ranges.flip
    zoom = _log_uniform(xp, ranges.zoom, draws[:, 1])
    stretch = xp.exp((draws[:, 2] - 0.5) * math.log1p(ranges.aspect))
    whole = xp.maximum(height, width)

    visible_x = visible_y = valid = None
    if boxes is not None and corners is not None:
        x0, y0, x1, y1 = corners
        valid = _valid(xp, boxes, corners)
        close = _box_crop_zoom(xp, corners, height, width, valid, draws[:, 6])
        some = xp.logical_not(xp.all(xp.logical_not(valid), axis=-1))
        chosen = xp.logical_and(some, draws[:, 5] < ranges.box_crop)
        zoom = xp.where(chosen, close, zoom)
    fitted = ranges.size / whole
    scale_x, scale_y = fitted * zoom * stretch, fitted * zoom / stretch
    if valid is not None:
        visible_x = _visible(xp, ranges.min_visible, x0, x1, width, valid)
        visible_y = _visible(xp, ranges.min_visible, y0, y1, height, valid)
        reduction = xp.minimum(
            ranges.size / (visible_x[2] * scale_x),
            ranges.size / (visible_y[2] * scale_y),
        )
        reduction = xp.minimum(reduction, 1.0)
        scale_x, scale_y = scale_x * reduction, scale_y * reduction
    shift_x = _draw_shift(xp, ranges, draws[:, 3], scale_x, width, visible_x)
    shift_y = _draw_shift(xp, ranges, draws[:, 4], scale_y, height, visible_y)
    columns = (
        xp.where(flipped, -scale_x, scale_x),
        xp.where(flipped, ranges.size - shift_x, shift_x),
    )
    return (scale_y, shift_y), columns


def view_corners(
    xp: TensorNamespace, corners: Corners, rows: AxisMap, columns: AxisMap, size: int
) -> Corners:
    """Corners (B, N) in pixels, moved by the views and clipped to the square."""

    def moved(low: Tensor, high: Tensor, axis_map: AxisMap) -> tuple[Tensor, Tensor]:
        scale, shift = (value[:, None] for value in axis_map)
        flipped = scale < 0
        low, high = scale * low + shift, scale * high + shift
        low, high = xp.where(flipped, high, low), xp.where(flipped, low, high)
        side = float(size)
        return (
            xp.minimum(xp.maximum(low, 0.0), side),
            xp.minimum(xp.maximum(high, 0.0), side),
        )

    x0, y0, x1, y1 = corners
    x0, x1 = moved(x0, x1, columns)
    y0, y1 = moved(y0, y1, rows)
    return x0, y0, x1, y1


def _log_uniform(
    xp: TensorNamespace, between: tuple[float, float], draw: Tensor
) -> Tensor:
    least, most = math.log(between[0]), math.log(between[1])
    return xp.exp(least + (most - least) * draw)


def _box_crop_zoom(
    xp: TensorNamespace,
    corners: Corners,
    height: Tensor,
    width: Tensor,
    valid: Tensor,
    draw: Tensor,
) -> Tensor:
    """The zoom at which all boxes together fill about as much as in a crop."""
    x0, y0, x1, y1 = corners
    *_, along_x = _visible(xp, 1.0, x0, x1, width, valid)
    *_, along_y = _visible(xp, 1.0, y0, y1, height, valid)
    whole = xp.maximum(height, width)
    longer = xp.maximum(xp.maximum(along_x, along_y), SMALLEST_BOX * whole)
    return xp.maximum(whole / (longer * _log_uniform(xp, BOX_CROP, draw)), 1.0)


def _valid(xp: TensorNamespace, boxes: Tensor, corners: Corners) -> Tensor:
    x0, y0, x1, y1 = corners
    ordered = xp.logical_and(x1 >= x0, y1 >= y0)
    return xp.logical_and(ordered, xp.logical_not(is_missing(xp, boxes)))


def _visible(
    xp: TensorNamespace,
    min_visible: float,
    low: Tensor,
    high: Tensor,
    side: Tensor,
    valid: Tensor,
) -> Visible:
    """What of an axis must stay visible for all valid boxes of an image.

    If a share r of a box's length is to be visible, then the view must begin before
    the last r and end after the first r of it; for several boxes, of each.
    """
    share = math.sqrt(min_visible)
    low = xp.minimum(xp.maximum(low, 0.0), side)
    high = xp.minimum(xp.maximum(high, 0.0), side)
    hidden = (1 - share) * (high - low)
    start = xp.min(xp.where(valid, low + hidden, 1e9), axis=-1)
    end = xp.max(xp.where(valid, high - hidden, -1e9), axis=-1)
    longest = xp.max(xp.where(valid, share * (high - low), 1e-6), axis=-1)
    return start, end, xp.maximum(end - start, longest)


def _draw_shift(
    xp: TensorNamespace,
    ranges: ViewRanges,
    draw: Tensor,
    scale: Tensor,
    side: Tensor,
    visible: Visible | None,
) -> Tensor:
    """A shift that keeps the square about filled, and the boxes visible."""
    slack, spare = ranges.shift * ranges.size, ranges.size - scale * side
    least = xp.minimum(spare, 0.0) - slack
    most = xp.maximum(spare, 0.0) + slack
    if visible is not None:
        start, end, _ = visible
        least = xp.maximum(least, -start * scale)
        most = xp.maximum(xp.minimum(most, ranges.size - end * scale), least)
    return least + draw * (most - least)
