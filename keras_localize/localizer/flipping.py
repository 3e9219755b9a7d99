"""Horizontally flipped images; `boxes.flip` flips their boxes."""

import keras
import numpy as np


def flip_images(images: np.ndarray) -> np.ndarray:
    """Images (B, H, W, C) or (B, C, H, W), left and right exchanged: a view."""
    width = 3 if keras.config.image_data_format() == "channels_first" else 2
    return np.flip(images, axis=width)
