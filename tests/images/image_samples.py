"""Images for the tests of this folder, and float64 references for what is read."""

import numpy as np
from PIL import Image

from keras_localize.boxes.square import fit

# What each EXIF orientation means, said in NumPy: stored pixels -> upright pixels.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


def blocks(height, width, seed=0):
    """An image without symmetry that JPEG keeps nearly unchanged."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (5, 7, 1)).repeat(3, axis=-1).astype("uint8")
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def saved(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def antialiased(pixels, size):
    """float64 letterbox with a triangle filter as wide as the scale."""

    def matrix(before, after):
        scale = before / after
        centres = (np.arange(after)[:, None] + 0.5) * scale
        distance = np.abs(np.arange(before) + 0.5 - centres) / max(scale, 1)
        weights = np.clip(1 - distance, 0, None)
        return weights / weights.sum(axis=1, keepdims=True)

    height, width = pixels.shape[:2]
    place = fit(height, width, size)
    rows, columns = matrix(height, place.rows), matrix(width, place.columns)
    square = np.zeros((size, size, 3))
    square[
        place.top : place.top + place.rows, place.left : place.left + place.columns
    ] = np.einsum("ij,kl,jlc->ikc", rows, columns, pixels / 1.0, optimize=True)
    return square


def psnr(a, b):
    error = np.mean((np.asarray(a, "float64") - b) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-12))


# As photographs are: smooth, with edges, or full of grain.
def photograph(height, width, seed):
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, 12, (height, width, 3))
    pixels = blocks(height, width, seed) + (grain if seed % 2 else 0)
    pixels[height // 3 : height // 2, width // 4 : width // 3] = rng.integers(256)
    return np.clip(pixels, 0, 255).astype("uint8")
