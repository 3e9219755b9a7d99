"""Square windows of an image."""

import numpy as np
import pytest
from image_samples import UPRIGHT, blocks, exif, saved

from keras_localize import images
from keras_localize.images import ImageError


def plane(height, width):
    """Pixels that say where they are: red is x, green is y, blue is lit."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x, y, np.full_like(x, 200)], axis=-1).astype("uint8")


@pytest.mark.parametrize(
    "window",
    [
        (20, 30, 50),  # one pixel of the image is 0.64 of the square
        (10.3, 7.9, 61.7),  # fractions
        (-30, 20, 140),  # out to the left and to the right
        (60.25, 90.5, 30),  # out at the bottom
        (0, 0, 200),  # smaller than it is
    ],
)
def test_a_crop_shows_what_its_window_says(window):
    x0, y0, side = window
    pixels = plane(100, 80)
    square = images.crop(pixels, window, 32).astype("float64")
    assert square.shape == (32, 32, 3)
    step = side / 32
    x = x0 + (np.arange(32) + 0.5) * step
    y = y0 + (np.arange(32) + 0.5) * step
    covered_x = (x - step / 2 >= -1e-9) & (x + step / 2 <= 80 + 1e-9)
    covered_y = (y - step / 2 >= -1e-9) & (y + step / 2 <= 100 + 1e-9)
    seen = covered_y[:, None] & covered_x[None]
    np.testing.assert_array_equal(square[..., 2], np.where(seen, 200, 0))
    assert seen.any()
    # At the image's border the filter has one side only.
    inner = seen.copy()
    inner[[0, -1]] = inner[:, [0, -1]] = False
    inner &= np.roll(seen, 1, 0) & np.roll(seen, -1, 0)
    inner &= np.roll(seen, 1, 1) & np.roll(seen, -1, 1)
    # A pixel's middle lies half a pixel behind its index.
    red = np.broadcast_to(x - 0.5, (32, 32))
    green = np.broadcast_to((y - 0.5)[:, None], (32, 32))
    np.testing.assert_allclose(square[..., 0][inner], red[inner], atol=0.75)
    np.testing.assert_allclose(square[..., 1][inner], green[inner], atol=0.75)


def test_a_crop_beside_the_image_is_black():
    assert not images.crop(plane(20, 20), (40, 3, 10), 8).any()


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(64, 128, 32), (216, 288, 224), (116, 232, 224), (288, 204, 96)],
)
def test_a_crop_of_the_whole_square_is_the_letterbox(height, width, size):
    # Sizes whose border is a whole pixel, so that the letterbox rounds nothing.
    pixels = blocks(height, width)
    square, _ = images.letterbox(pixels, size)
    side = max(height, width)
    window = ((width - side) / 2, (height - side) / 2, side)
    np.testing.assert_array_equal(images.crop(pixels, window, size), square)


def test_a_crop_of_a_thread_still_shows_it():
    pixels = np.full((1, 400, 3), 150, "uint8")
    seen = images.crop(pixels, (0, -199.5, 400), 32)
    assert (seen == 150).all(axis=(1, 2)).sum() == 1
    assert seen.any(axis=(1, 2)).sum() == 1


def test_a_crop_of_a_large_jpeg_is_that_of_its_pixels(tmp_path):
    stored = blocks(603, 805)  # no multiple of any reduction
    for orientation in (1, 3, 6):
        path = tmp_path / f"{orientation}.jpg"
        saved(path, stored, quality=95, exif=exif(orientation))
        upright = images.load(path)
        for window in [(101.5, 53.25, 440), (-60, -100, 805), (400, 300, 30)]:
            seen = images.crop(path, window, 64).astype("int32")
            expected = images.crop(upright, window, 64).astype("int32")
            assert np.abs(seen - expected).mean() < 1
            assert np.abs(seen - expected).max() <= 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_crop_is_upright(orientation, tmp_path):
    stored = blocks(40, 56)
    path = saved(tmp_path / "a.png", stored, exif=exif(orientation))
    upright = np.ascontiguousarray(UPRIGHT[orientation](stored))
    window = (5, 3, 24)
    np.testing.assert_array_equal(images.crop(path, window, 24), upright[3:27, 5:29])


def test_a_crop_of_no_image_names_it(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.jpg"):
        images.crop(tmp_path / "gone.jpg", (0, 0, 4), 8)
