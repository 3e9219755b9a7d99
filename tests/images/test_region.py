"""A rectangle of an image as an image of its own."""

import io

import numpy as np
import pytest
from PIL import Image

from keras_localize.images import ImageError, Region, inspect, letterbox, load


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (30, 50, 3)).astype("uint8")


def test_of_every_kind_of_source(pixels, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    content = path.read_bytes()
    sources = (path, str(path), content, io.BytesIO(content), Image.open(path), pixels)
    for source in sources:
        found = load(Region(source, (10, 5, 40, 25)))
        np.testing.assert_array_equal(found, pixels[5:25, 10:40])
    assert inspect(Region(path, (10, 5, 40, 25)))[:2] == (20, 30)


def test_in_pixels_of_the_upright_image(pixels, tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    upright = load(tmp_path / "a.png")
    assert upright.shape == (50, 30, 3)
    found = load(Region(tmp_path / "a.png", (3, 20, 30, 41)))
    np.testing.assert_array_equal(found, upright[20:41, 3:30])


def test_beyond_the_image_is_black(pixels):
    found = load(Region(pixels, (-5, -3, 55, 40)))
    assert found.shape == (43, 60, 3)
    np.testing.assert_array_equal(found[3:33, 5:55], pixels)
    found[3:33, 5:55] = 0
    assert found.max() == 0


def test_letterboxed_as_the_cut_out_pixels(pixels):
    square, size = letterbox(Region(pixels, (0, 0, 50, 20)), 16)
    expected, _ = letterbox(pixels[:20], 16)
    assert size == (20, 50)
    np.testing.assert_array_equal(square, expected)


def test_errors_name_the_file(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.png: missing image"):
        load(Region(tmp_path / "gone.png", (0, 0, 5, 5)))
    with pytest.raises(ImageError, match=r"\[5, 0, 5, 5\]: empty image"):
        load(Region(np.zeros((9, 9, 3), "uint8"), (5, 0, 5, 5)))
