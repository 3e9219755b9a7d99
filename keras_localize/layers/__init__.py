"""Layers: the boxes' functions in Keras clothes, and the localization head."""

from keras_localize.layers.localization_head import LocalizationHead
from keras_localize.layers.pad_to_square import PadToSquare
from keras_localize.layers.random_square_view import RandomSquareView

__all__ = ["LocalizationHead", "PadToSquare", "RandomSquareView"]
