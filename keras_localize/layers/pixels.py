"""Pixels resized, padded and rounded into a square: images and masks alike."""

from typing import Any, Literal, get_args

import keras
import numpy as np
from keras import ops

from keras_localize.boxes.array_namespace import TensorNamespace
from keras_localize.boxes.square import Fit
from keras_localize.types import DataFormat, Tensor

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"]
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)
# The axes of height and width, counted from the right.
Axes = tuple[int, int]


def spatial_axes(data_format: DataFormat) -> Axes:
    """The axes of height and width of images."""
    return (-3, -2) if data_format == "channels_last" else (-2, -1)


def mask_axes(mask_rank: int, image_rank: int, data_format: DataFormat) -> Axes:
    """The axes of height and width of masks, with or without an axis of channels."""
    return spatial_axes(data_format) if mask_rank == image_rank else (-2, -1)


def resize(
    xp: TensorNamespace,
    images: Tensor,
    place: Fit,
    interpolation: Interpolation,
    antialias: bool,
    data_format: DataFormat,
) -> Tensor:
    """Resizes images to the rows and columns of their place in the square."""
    if _is_unscaled(place):
        return images
    axes = spatial_axes(data_format)
    if interpolation == "nearest":
        return resize_nearest(xp, images, place, axes)
    images = xp.cast(images, "float32")
    on_torch = xp is ops and keras.backend.backend() == "torch"
    if on_torch and interpolation != "bilinear":
        return _resize_by_weights(images, place, interpolation, antialias, axes)
    return xp.image.resize(
        images,
        (place.rows, place.columns),
        interpolation=interpolation,
        antialias=antialias,
        data_format=data_format,
    )


def resize_nearest(
    xp: TensorNamespace, images: Tensor, place: Fit, axes: Axes
) -> Tensor:
    """The pixel under each output pixel's centre, by integers: dtype and value kept."""
    if _is_unscaled(place):
        return images
    rows = ((2 * xp.arange(place.rows) + 1) * place.height) // (2 * place.rows)
    columns = (2 * xp.arange(place.columns) + 1) * place.width // (2 * place.columns)
    rank = len(images.shape)
    images = xp.take(images, rows, axis=rank + axes[0])
    return xp.take(images, columns, axis=rank + axes[1])


def pad(
    xp: TensorNamespace, images: Tensor, place: Fit, axes: Axes, value: float
) -> Tensor:
    """Fills the square around images that have been resized to their place."""
    widths = [(0, 0)] * len(images.shape)
    bottom = place.size - place.top - place.rows
    right = place.size - place.left - place.columns
    widths[axes[0]] = (place.top, bottom)
    widths[axes[1]] = (place.left, right)
    shape = list(xp.shape(images))
    shape[axes[0]] = shape[axes[1]] = place.size
    padded = xp.pad(images, widths, constant_values=value)
    # tf.data forgets the shape where the padding is a tensor.
    return xp.reshape(padded, shape)


def to_dtype(xp: TensorNamespace, images: Tensor, dtype: str) -> Tensor:
    """Pixels in another dtype; integers are rounded and saturated."""
    given = keras.backend.standardize_dtype(images.dtype)
    if is_integer(dtype) and given != dtype:
        info = np.iinfo(dtype)
        if not is_integer(given):
            images = xp.round(images)
        images = xp.clip(images, info.min, info.max)
    return xp.cast(images, dtype)


def fill_in_dtype(value: float, dtype: str) -> float:
    """The fill value as pixels of `dtype` can hold it."""
    if not is_integer(dtype):
        return value
    info = np.iinfo(dtype)
    return int(np.clip(round(value), info.min, info.max))


def is_integer(dtype: str) -> bool:
    """Whether pixels of this dtype are integers."""
    return "int" in dtype


def _resize_by_weights(
    images: Tensor,
    place: Fit,
    interpolation: Interpolation,
    antialias: bool,
    axes: Axes,
) -> Tensor:
    # torch lacks Lanczos, and its bicubic kernel is not the other backends'.
    shape: list[Any] = list(images.shape)
    axes = (len(shape) + axes[0], len(shape) + axes[1])
    shape[axes[0]], shape[axes[1]] = place.rows, place.columns
    return ops.image.scale_and_translate(
        images,
        tuple(shape),
        scale=np.array(
            [place.rows / place.height, place.columns / place.width], "float32"
        ),
        translation=np.zeros(2, "float32"),
        spatial_dims=axes,
        method=interpolation,
        antialias=antialias,
    )


def _is_unscaled(place: Fit) -> bool:
    return all(
        after is before or (isinstance(after, int) and after == before)
        for before, after in [(place.height, place.rows), (place.width, place.columns)]
    )
