"""Letterboxing, against painted pixels and float64 references."""

import itertools

import numpy as np
import pytest
from image_samples import antialiased, blocks, photograph, psnr, saved
from PIL import Image

from keras_localize import images
from keras_localize.datasets.squares import square_boxes
from keras_localize.images import fast_jpeg


@pytest.mark.parametrize("kind", ["array", "jpeg"])
def test_painted_rectangle_lies_where_the_box_says(tmp_path, rng, kind, jpeg_path):
    """Edges of the painted pixels, to a fraction of a pixel, from their mass."""
    worst = 0
    for number in range(40):
        height, width = rng.integers(200, 700, 2)
        size = int(rng.integers(48, 160))
        x0, y0 = rng.integers([width // 8, height // 8], [width // 2, height // 2])
        x1 = rng.integers(x0 + width // 4, width - width // 8 + 1)
        y1 = rng.integers(y0 + height // 4, height - height // 8 + 1)
        painted = np.zeros((height, width, 3), "uint8")
        painted[y0:y1, x0:x1] = 255
        source = painted
        if kind == "jpeg":
            source = saved(tmp_path / f"{number}.jpg", painted, quality=95)
        square, _ = images.letterbox(source, size)
        mass = square[..., 0].astype("float64")
        relative = np.array([[x0, y0, x1, y1]]) / [width, height, width, height]
        box = square_boxes(relative, [(height, width)], size)[0].astype("float64")
        box = box * size
        for axis, low, high in ((0, box[0], box[2]), (1, box[1], box[3])):
            profile = mass.max(axis=axis) / 255
            centre = ((np.arange(size) + 0.5) * profile).sum() / profile.sum()
            worst = max(worst, abs(profile.sum() - (high - low)))
            worst = max(worst, abs(centre - (low + high) / 2))
    # JPEG rings by a few grey levels around the white rectangle.
    assert worst < (0.03 if kind == "array" else 0.35)


def test_letterbox_is_antialiased():
    shapes = ((100, 151), (313, 90), (60, 60), (200, 3))
    for size, (height, width) in itertools.product((32, 90, 250), shapes):
        pixels = blocks(height, width)
        square, _ = images.letterbox(pixels, size)
        assert square.dtype == np.uint8 and square.shape == (size, size, 3)
        assert np.abs(square - antialiased(pixels, size)).max() <= 1.5


def test_jpegs_are_antialiased_on_both_paths(tmp_path, jpeg_path):
    """Every reduction of the decoder, odd sides, grey, progressive, enlarged."""
    shapes = ((375, 500), (333, 500), (401, 299), (90, 61), (1201, 807), (2000, 1501))
    for seed, (height, width) in enumerate(shapes):
        options = {"quality": 92, "progressive": seed % 3 == 1}
        path = saved(
            tmp_path / f"{seed}.jpg", photograph(height, width, seed), **options
        )
        decoded = images.load(path)
        for size in (96, 224, 256):
            square, shape = images.letterbox(path, size)
            assert shape == (height, width)
            assert psnr(square, antialiased(decoded, size)) > 36, (height, width, size)
            with Image.open(path) as image:
                grey = image.convert("L")
            grey.save(tmp_path / "grey.jpg", quality=95)
            square, _ = images.letterbox(tmp_path / "grey.jpg", size)
            expected = antialiased(images.load(tmp_path / "grey.jpg"), size)
            assert psnr(square, expected) > 36


def test_both_paths_give_the_same_pixels(tmp_path, oxford_pets_dir, monkeypatch):
    pytest.importorskip("cv2")
    pytest.importorskip("simplejpeg")
    paths = sorted((oxford_pets_dir / "images").glob("*.jpg"))[::150]
    for seed in range(4):
        pixels = photograph(375 + seed, 500 - seed, seed)
        paths.append(saved(tmp_path / f"{seed}.jpg", pixels, quality=92))
    for size in (128, 224):
        fast = [images.letterbox(path, size)[0] for path in paths]
        with monkeypatch.context() as patch:
            patch.setattr(fast_jpeg, "packages", lambda: None)
            plain = [images.letterbox(path, size)[0] for path in paths]
        assert all(psnr(*pair) > 36 for pair in zip(fast, plain))
        assert np.mean([psnr(*pair) for pair in zip(fast, plain)]) > 42
        assert any((a != b).any() for a, b in zip(fast, plain))  # the paths do differ


def test_into_an_array(tmp_path, jpeg_path):
    path = saved(tmp_path / "a.jpg", photograph(375, 500, 1))
    batch = np.zeros((2, 64, 64, 3), "uint8")
    square, _ = images.letterbox(path, 64, out=batch[1])
    assert np.shares_memory(square, batch) and not batch[0].any()
    assert np.array_equal(batch[1], images.letterbox(path, 64)[0])


def test_padding_is_black_and_thin_images_keep_a_pixel():
    square, size = images.letterbox(np.full((3000, 1, 3), 200, "uint8"), 32)
    assert size == (3000, 1)
    assert (square[:, 15] == 200).all() and square.sum() == 200 * 32 * 3
