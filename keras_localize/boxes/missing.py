"""Rows that mark "no box": all -1 or all 0, as padded batches of boxes have them."""

from keras_localize.boxes.array_namespace import TensorNamespace
from keras_localize.types import Tensor


def is_missing(xp: TensorNamespace, boxes: Tensor, keepdims: bool = False) -> Tensor:
    """Whether each row (..., 4) marks "no box"."""
    return xp.logical_or(
        xp.all(boxes == -1, axis=-1, keepdims=keepdims),
        xp.all(boxes == 0, axis=-1, keepdims=keepdims),
    )


def keep_missing(xp: TensorNamespace, before: Tensor, after: Tensor) -> Tensor:
    """`after`, with the rows that marked "no box" in `before` as they were."""
    return xp.where(is_missing(xp, before, keepdims=True), before, after)
