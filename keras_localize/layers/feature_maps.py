"""The features of a backbone, maps of either data format or tokens, as (B, H, W, C)."""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from keras import ops

from keras_localize.types import DataFormat, Tensor

Shape: TypeAlias = Sequence[int | None]


def as_list(inputs: Any) -> list[Tensor]:
    """One tensor, or a list or a dict of them, as a list; by the keys' order."""
    if isinstance(inputs, dict):
        return [inputs[key] for key in sorted(inputs)]
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]


def as_shapes(input_shape: Any) -> list[Any]:
    """One shape, or a list or a dict of them, as a list; by the keys' order."""
    if isinstance(input_shape, dict):
        return [input_shape[key] for key in sorted(input_shape)]
    nested = isinstance(input_shape[0], (list, tuple))
    return list(input_shape) if nested else [input_shape]


def as_map(
    features: Tensor, data_format: DataFormat, num_prefix_tokens: int | None = None
) -> Tensor:
    """A map or tokens as a map (B, H, W, C)."""
    if len(features.shape) == 3:
        tokens, channels = features.shape[1:]
        prefix, side = patch_grid(tokens, num_prefix_tokens)
        return ops.reshape(features[:, prefix:], (-1, side, side, channels))
    if data_format == "channels_first":
        return ops.transpose(features, (0, 2, 3, 1))
    return features


def averaged_down(x: Tensor, step: tuple[int, int]) -> Tensor:
    """Average pooling by `step` with "same" padding, over the locations that exist.

    Keras counts copies of the border on torch where three or more are joined.
    """
    height, width = x.shape[1:3]
    lacking = [-n % s for n, s in zip((height, width), step)]
    if max(step) < 3 or not any(lacking):
        return ops.average_pool(x, step, step, "same", "channels_last")
    # What is lacking is added at both ends, as "same" does, at the end if it is odd.
    sides = [(n // 2, n - n // 2) for n in lacking]
    padded = ops.pad(x, [(0, 0), *sides, (0, 0)])
    there = ops.pad(ops.ones((1, height, width, 1), x.dtype), [(0, 0), *sides, (0, 0)])
    total, share = (
        ops.average_pool(each, step, step, "valid", "channels_last")
        for each in (padded, there)
    )
    return total / share


def map_shape(
    shape: Shape, data_format: DataFormat, num_prefix_tokens: int | None = None
) -> tuple[Any, ...]:
    """The shape that `as_map` gives for features of this shape.

    Raises:
        ValueError: for what is neither a map nor tokens, an unknown number of
            channels, or patches that form no square.
    """
    shape = tuple(shape)
    if len(shape) == 4:
        if data_format == "channels_first":
            shape = (shape[0], shape[2], shape[3], shape[1])
    elif len(shape) == 3 and shape[1] is not None:
        _, side = patch_grid(shape[1], num_prefix_tokens)
        shape = (shape[0], side, side, shape[2])
    else:
        raise ValueError(
            "The inputs must be feature maps (B, H, W, C) or tokens (B, T, C) with a "
            "known T, as a backbone without its top and without pooling gives. "
            f"Received an input of shape {shape}"
        )
    if None in shape[1:]:
        raise ValueError(
            "The height, width and channels of feature maps must be known: give the "
            f"backbone images of a fixed size. Received an input of shape {shape}"
        )
    return shape


def patch_grid(tokens: int, num_prefix_tokens: int | None = None) -> tuple[int, int]:
    """(number of prefix tokens, side of the square of patches).

    Class and register tokens come first. Where their number is not given, the
    patches are taken to be the largest square that fits.
    """
    prefix = num_prefix_tokens
    if prefix is None:
        prefix = tokens - math.isqrt(tokens) ** 2
    patches = tokens - prefix
    if patches <= 0 or math.isqrt(patches) ** 2 != patches:
        raise ValueError(
            f"`num_prefix_tokens` must leave a square number of patches of {tokens} "
            f"tokens. Received: num_prefix_tokens={num_prefix_tokens}, which leaves "
            f"{patches}"
        )
    return prefix, math.isqrt(patches)
