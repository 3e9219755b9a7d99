"""Boxes: pure functions on tensors of shape (..., 4), any rank, any backend."""

from keras_localize.boxes.formats import area, clip, convert

__all__ = ["area", "clip", "convert"]
