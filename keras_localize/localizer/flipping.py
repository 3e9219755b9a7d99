"""Horizontally flipped images; `boxes.flip` flips their boxes."""

import numpy as np

from keras_localize.localizer.features import image_axes


def flip_images(images: np.ndarray) -> np.ndarray:
    """Images (B, H, W, C) or (B, C, H, W), left and right exchanged: a view."""
    _, width, _ = image_axes()
    return np.flip(images, axis=width)
