"""Squares of an image of any size, as two products with matrices of weights.

These are operations that every runtime has. No operation needs the image's sides as
Python numbers, so that exporters can leave them open.
"""

from typing import Any, NamedTuple

import keras

from keras_localize.boxes.square import fit
from keras_localize.types import Tensor

# Keras does not say what types they give.
ops: Any = keras.ops


class _Axis(NamedTuple):
    """How the pixels of a square see one axis of the image, in its pixels."""

    centers: Tensor  # (side,) of the image's pixels
    seen: Tensor  # (size,) where the square's pixels look
    scale: Tensor  # of the image in the square
    inside: Tensor  # (size,) bool: whether a pixel of the square shows the image


def size_of(image: Tensor) -> Tensor:
    """(height, width) of an image (H, W, C) as an int32 tensor (2,)."""
    sides = [ops.sum(ones) for ones in (_ones(image, 0), _ones(image, 1))]
    return ops.cast(ops.stack(sides), "int32")


def letterbox(image: Tensor, size: int) -> Tensor:
    """An image (H, W, 3) in a square (size, size, 3), float32 in whole levels.

    The map of `PadToSquare` and the resampling of `localize`: antialiased bilinear.
    """
    height, width = ops.unstack(size_of(image), axis=0)
    place = fit(height, width, size, ops.maximum)

    def axis(number, side, scaled, start):
        pixels = ops.arange(0, size, dtype="int32")
        side = ops.cast(side, "float32")
        share = side / ops.cast(scaled, "float32")
        return _Axis(
            ops.cumsum(_ones(image, number)) - 0.5,
            (ops.cast(pixels - start, "float32") + 0.5) * share,
            1 / share,
            ops.logical_and(pixels >= start, pixels < start + scaled),
        )

    rows = axis(0, place.height, place.rows, place.top)
    columns = axis(1, place.width, place.columns, place.left)
    return _sample(image, rows, columns)


def crop(image: Tensor, window: Tensor, size: int) -> Tensor:
    """A square window of an image (H, W, 3) as a square (size, size, 3).

    As `keras_localize.images.crop`: a pixel that the image covers only in part is
    black.

    Args:
        image: the image.
        window: float32 (3,), x0, y0, side in pixels of the image.
        size: side of the result.
    """
    step = window[2] / size

    def axis(number, start):
        edges = ops.arange(0, size, dtype="float32")
        ones = _ones(image, number)
        side = ops.sum(ones)
        # Rounding must not cost a pixel whose edge is the image's.
        low, high = start + (edges + 1e-3) * step, start + (edges + 1 - 1e-3) * step
        whole = ops.logical_and(low >= 0, high <= side)
        # An image that is thinner than a pixel is shown by one pixel.
        middle = ops.minimum(side, start + window[2]) + ops.maximum(start, 0.0)
        holds = ops.equal(ops.floor((middle / 2 - start) / step), edges)
        return _Axis(
            ops.cumsum(ones) - 0.5,
            start + (edges + 0.5) * step,
            1 / step,
            ops.logical_or(whole, holds),
        )

    return _sample(image, axis(0, window[1]), axis(1, window[0]))


def _sample(image: Tensor, rows: _Axis, columns: _Axis) -> Tensor:
    # As Pillow does: columns first, each of the two results in whole levels.
    channels = ops.transpose(ops.cast(image, "float32"), (2, 0, 1))
    sampled = rounded(ops.matmul(channels, ops.transpose(_weights(columns))[None]))
    sampled = rounded(ops.matmul(_weights(rows)[None], sampled))
    return ops.transpose(sampled, (1, 2, 0))


def rounded(levels: Tensor) -> Tensor:
    """Rounded to whole numbers, halves upwards."""
    return ops.floor(levels + 0.5)


def _weights(axis: _Axis) -> Tensor:
    """Each output pixel's weights over the image's pixels: (size, side)."""
    # A pixel that looks past the border sees the border.
    seen = ops.maximum(axis.seen, axis.centers[0])
    seen = ops.minimum(seen, axis.centers[-1])
    distance = ops.abs(axis.centers[None] - seen[:, None])
    weights = ops.maximum(1 - distance * ops.minimum(axis.scale, 1.0), 0.0)
    weights = weights / ops.sum(weights, axis=-1, keepdims=True)
    return weights * ops.cast(axis.inside, "float32")[:, None]


def _ones(image: Tensor, axis: int) -> Tensor:
    """A one for each row (axis 0) or column (axis 1) of the image."""
    return ops.ones_like(image[:, 0, 0] if axis == 0 else image[0, :, 0], "float32")
