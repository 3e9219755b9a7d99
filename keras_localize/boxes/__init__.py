"""Boxes: pure functions on tensors of shape (..., 4), any rank, any backend."""

from keras_localize.boxes.formats import area, convert
from keras_localize.boxes.overlap import ciou, diou, giou, iou
from keras_localize.boxes.square import from_square, to_square
from keras_localize.boxes.transforms import clip, flip

__all__ = [
    "area",
    "ciou",
    "clip",
    "convert",
    "diou",
    "flip",
    "from_square",
    "giou",
    "iou",
    "to_square",
]
