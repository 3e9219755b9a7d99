"""Images scaled and shifted in one resampling, each by its own map.

Output pixel `j` of an axis samples the image at `(j + 0.5 - shift) / scale`. So the
point `x` of the image lies at `scale * x + shift` of the output, which is the map that
moves the boxes. A negative scale flips.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

from keras_localize.boxes.array_namespace import TensorNamespace
from keras_localize.types import Tensor

# (scale, shift): float32 tensors (B,), the shift in pixels of the output.
AxisMap: TypeAlias = tuple[Tensor, Tensor]


def resample(
    xp: TensorNamespace,
    images: Tensor,
    rows: AxisMap,
    columns: AxisMap,
    size: int,
    interpolation: Literal["nearest", "bilinear"],
    antialias: bool = False,
    fill: float = 0,
) -> Tensor:
    """Scales and shifts each image of a batch into a square.

    Args:
        xp: the operations for the tensors; see `namespace_of`.
        images: tensor (B, H, W, C).
        rows: (scale, shift) along y.
        columns: the same along x.
        size: side of the output.
        interpolation: `"nearest"`, which keeps the dtype, or `"bilinear"`.
        antialias: whether to widen the bilinear kernel where the image shrinks.
        fill: value of the pixels whose centre lies outside the image.

    Returns:
        Images (B, size, size, C), float32 unless nearest.
    """
    batch, height, width, channels = xp.shape(images)
    y, x = _sampled(xp, rows, size), _sampled(xp, columns, size)
    inside_y, inside_x = _within(xp, y, height), _within(xp, x, width)
    if interpolation == "nearest":
        resampled = _take_rows(xp, images, _pixel(xp, y, height))
        resampled = _take_columns(xp, resampled, _pixel(xp, x, width))
    elif antialias:
        weights = _triangles(xp, y, rows[0], height)
        resampled = xp.einsum("bsh,bhwc->bswc", weights, xp.cast(images, "float32"))
        weights = _triangles(xp, x, columns[0], width)
        resampled = xp.einsum("btw,bswc->bstc", weights, resampled)
    else:
        # Blending rows of numbers, not pixels of channels, is ten times faster.
        before, after, share = _neighbours(xp, _take_rows, images, y, height)
        lines = (batch, size, width * channels)
        before, after = xp.reshape(before, lines), xp.reshape(after, lines)
        resampled = before + (after - before) * share[:, :, None]

        resampled = xp.reshape(resampled, (batch, size, width, channels))
        before, after, share = _neighbours(xp, _take_columns, resampled, x, width)
        lines = (batch, size, size * channels)
        before, after = xp.reshape(before, lines), xp.reshape(after, lines)
        share = xp.repeat(share, channels, axis=-1)
        resampled = before + (after - before) * share[:, None, :]
    return _fill(xp, resampled, inside_y, inside_x, channels, fill)


def _sampled(xp: TensorNamespace, axis_map: AxisMap, size: int) -> Tensor:
    """The point of the image that each output pixel's centre samples: (B, size)."""
    scale, shift = axis_map
    centres = xp.cast(xp.arange(size), "float32") + 0.5
    return (centres[None] - shift[:, None]) / scale[:, None]


def _within(xp: TensorNamespace, points: Tensor, side: Tensor) -> Tensor:
    return xp.logical_and(points >= 0, points < xp.cast(side, "float32"))


def _pixel(xp: TensorNamespace, points: Tensor, side: Tensor) -> Tensor:
    """The index of the pixel that holds each point, at the border the nearest one."""
    last = xp.cast(side - 1, "float32")
    return xp.cast(xp.minimum(xp.maximum(xp.floor(points), 0.0), last), "int32")


def _neighbours(
    xp: TensorNamespace,
    take: Callable[[TensorNamespace, Tensor, Tensor], Tensor],
    images: Tensor,
    points: Tensor,
    side: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels before and after each point, and the share of the one after."""
    lower = xp.floor(points - 0.5)
    before = xp.cast(take(xp, images, _pixel(xp, lower, side)), "float32")
    after = xp.cast(take(xp, images, _pixel(xp, lower + 1.0, side)), "float32")
    return before, after, points - 0.5 - lower


def _take_rows(xp: TensorNamespace, images: Tensor, index: Tensor) -> Tensor:
    """Rows index[b, i] of each image b."""
    batch, height, width, channels = xp.shape(images)
    index = index + height * xp.arange(batch)[:, None]
    flat = xp.reshape(images, (batch * height, width * channels))
    taken = xp.take(flat, xp.reshape(index, (-1,)), axis=0)
    return xp.reshape(taken, (batch, index.shape[1], width, channels))


def _take_columns(xp: TensorNamespace, images: Tensor, index: Tensor) -> Tensor:
    """Columns index[b, j] of each image b."""
    batch, height, width, channels = xp.shape(images)
    lines = xp.reshape(xp.arange(batch * height), (batch, height, 1))
    index = index[:, None, :] + width * lines
    flat = xp.reshape(images, (batch * height * width, channels))
    taken = xp.take(flat, xp.reshape(index, (-1,)), axis=0)
    return xp.reshape(taken, (batch, height, index.shape[2], channels))


def _triangles(
    xp: TensorNamespace, points: Tensor, scale: Tensor, side: Tensor
) -> Tensor:
    """Each output pixel's weights over the image's pixels: (B, size, side)."""
    pixels = xp.cast(xp.arange(side), "float32") + 0.5
    sharpness = xp.minimum(xp.abs(scale), 1.0)[:, None, None]
    # A point beyond the border samples the border, as in the other kernels.
    points = xp.minimum(xp.maximum(points, 0.5), xp.cast(side, "float32") - 0.5)
    distance = xp.abs(pixels[None, None, :] - points[:, :, None]) * sharpness
    weights = xp.maximum(1.0 - distance, 0.0)
    return weights / xp.sum(weights, axis=-1, keepdims=True)


def _fill(
    xp: TensorNamespace,
    resampled: Tensor,
    inside_y: Tensor,
    inside_x: Tensor,
    channels: Tensor,
    fill: float,
) -> Tensor:
    """Puts `fill` outside the image, never blended with its border."""
    batch, size = xp.shape(inside_y)
    shape = (batch, size, size, channels)
    lines = xp.reshape(resampled, (batch, size, size * channels))
    inside_x = xp.repeat(inside_x, channels, axis=-1)
    inside = xp.logical_and(inside_y[:, :, None], inside_x[:, None, :])
    if lines.dtype == inside.dtype:
        return xp.reshape(xp.logical_and(lines, inside), shape)
    # A product keeps int64, which `where` narrows in tf.data on JAX.
    inside = xp.cast(inside, lines.dtype)
    lines = lines * inside
    if fill:
        lines = lines + xp.cast(fill, lines.dtype) * (1 - inside)
    return xp.reshape(lines, shape)
