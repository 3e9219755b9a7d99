"""The samples of deployment, which are scripts and no package."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_localize import build_localizer

SAMPLES = Path(__file__).resolve().parents[2] / "examples" / "deploy"
sys.path.insert(0, str(SAMPLES))

SIZE = 64


@pytest.fixture(scope="session")
def localizer():
    """Its boxes depend on the image, though nothing was trained."""
    keras.utils.set_random_seed(0)
    x = images = keras.Input((SIZE, SIZE, 3))
    for filters in (4, 8, 8):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same")(x)
        x = keras.layers.ReLU()(x)
    backbone = keras.Model(images, x)
    localizer = build_localizer(
        backbone, 3, class_names=["Katze", "Hund", "ni\u00f1o"], preprocessing=None
    )
    kernel = localizer.head.prediction.kernel
    values = np.random.default_rng(0).normal(0, 0.1, kernel.shape)
    localizer.head.prediction.set_weights([values, np.zeros(8, "float32")])
    return localizer


@pytest.fixture(scope="session")
def image_files(tmp_path_factory):
    """A JPEG, a JPEG that lies on its side, and a transparent PNG."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)

    def smooth(height, width, channels):
        coarse = rng.uniform(0, 255, (1, 5, 5, channels)).astype("float32")
        fine = keras.ops.image.resize(coarse, (height, width), "bicubic")
        pixels = np.clip(keras.ops.convert_to_numpy(fine)[0], 0, 255)
        return Image.fromarray(pixels.astype("uint8"))

    exif = Image.Exif()
    exif[0x0112] = 6
    smooth(300, 400, 3).save(folder / "a.jpg", quality=95)
    smooth(300, 200, 3).save(folder / "turned.jpg", quality=95, exif=exif)
    clear = smooth(120, 90, 4)
    clear.putalpha(Image.new("L", clear.size, 255))
    clear.save(folder / "clear.png")
    return sorted(folder.iterdir())
