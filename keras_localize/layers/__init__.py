"""Keras layers: preprocessing that moves boxes with pixels, and the box head."""

from keras_localize.layers.localization_head import LocalizationHead
from keras_localize.layers.pad_to_square import PadToSquare
from keras_localize.layers.random_square_view import RandomSquareView

__all__ = ["LocalizationHead", "PadToSquare", "RandomSquareView"]
