"""EXIF orientation on every path, against NumPy's turns."""

import numpy as np
import pytest
from image_samples import UPRIGHT, antialiased, blocks, exif, psnr, saved
from PIL import Image, ImageOps

from keras_localize import images
from keras_localize.images.formats import installed_formats


def test_upright_in_all_orientations(tmp_path, jpeg_path):
    for orientation in range(10):
        check_upright(tmp_path, orientation)


def check_upright(tmp_path, orientation):
    stored = blocks(40, 60)
    expected = UPRIGHT.get(orientation, UPRIGHT[1])(stored)
    # PNG is exact, JPEG goes through the reduced decode.
    png = saved(tmp_path / "a.png", stored, exif=exif(orientation))
    assert np.array_equal(images.load(png), expected)
    info = images.inspect(png)
    assert (info.height, info.width) == expected.shape[:2]
    assert info.orientation == orientation
    large = blocks(400, 600)
    jpeg = saved(tmp_path / "a.jpg", large, exif=exif(orientation), quality=95)
    upright = UPRIGHT.get(orientation, UPRIGHT[1])(large)
    with Image.open(jpeg) as image:
        assert np.array_equal(images.load(jpeg), ImageOps.exif_transpose(image))
    assert psnr(images.load(jpeg), upright) > 40
    square, size = images.letterbox(jpeg, 64)
    assert size == upright.shape[:2]
    assert psnr(square, antialiased(upright, 64)) > 40
    with Image.open(jpeg) as image:
        assert psnr(images.letterbox(image, 64)[0], antialiased(upright, 64)) > 40


def test_turned_box_is_the_box_of_the_turned_pixels(rng):
    for orientation in [*range(1, 9)] * 20:
        height, width = rng.integers(4, 30, 2)
        x0, y0 = rng.integers(0, [width - 1, height - 1])
        x1, y1 = rng.integers([x0 + 1, y0 + 1], [width + 1, height + 1])
        painted = np.zeros((height, width, 1))
        painted[y0:y1, x0:x1] = 1
        rows, columns, _ = np.nonzero(UPRIGHT[orientation](painted))
        expected = (
            columns.min(),
            rows.min(),
            columns.max() + 1,
            rows.max() + 1,
        )
        turned = images.turn_box((x0, y0, x1, y1), height, width, orientation)
        assert turned == expected


@pytest.mark.parametrize("mode", ["L", "I;16", "RGB", "RGBA", "P", "CMYK"])
def test_uncompressed_tiff_in_all_orientations(mode, tmp_path):
    """Pillow maps such files with their sides swapped, unless it is told not to."""
    stored = np.zeros((40, 60), "uint8")
    stored[:10, :30] = 255
    image = Image.fromarray(stored)
    if mode == "I;16":
        image = Image.fromarray(stored.astype("uint16") * 257)
    elif mode != "L":
        image = image.convert(mode)
    for orientation in range(1, 9):
        path = tmp_path / f"{orientation}.tif"
        image.save(path, exif=exif(orientation))
        expected = UPRIGHT[orientation](stored[..., None])
        opened = Image.open(path)
        for source in (path, path.read_bytes(), opened):
            seen = images.load(source)
            assert np.abs(seen.astype(int) - expected).max() <= 1, (mode, orientation)
        assert opened.filename in (path, str(path))


def stored_as(upright, orientation):
    """The pixels that EXIF orientation `orientation` turns into `upright`."""
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    return np.ascontiguousarray(UPRIGHT[inverse](upright))


def tiff(path, upright, orientation, **options):
    stored = stored_as(upright, orientation)
    return saved(path, stored, tiffinfo={274: orientation}, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_tiff_is_turned_like_jpeg(tmp_path, orientation, compression):
    upright = blocks(40, 60)
    options = {"compression": compression} if compression else {}
    path = tiff(tmp_path / "a.tif", upright, orientation, **options)
    limit = 12 if compression == "jpeg" else 0
    expected = images.letterbox(upright, 30)[0].astype(int)
    cut = images.crop(upright, (20, 5, 30), 15).astype(int)
    for source in (path, path.read_bytes(), Image.open(path)):
        loaded = images.load(source)
        assert loaded.shape == upright.shape
        assert np.abs(loaded - upright.astype(int)).max() <= limit
        square, size = images.letterbox(source, 30)
        assert size == (40, 60)
        assert np.abs(square - expected).max() <= max(limit, 1)
        assert np.abs(images.crop(source, (20, 5, 30), 15) - cut).max() <= max(limit, 1)
    for decode in (False, True):
        info = images.inspect(path, decode=decode)
        assert info[:4] == (40, 60, orientation, "TIFF")


def test_second_page_of_a_tiff_is_turned_by_its_own_tag(tmp_path):
    first, second = blocks(40, 60), blocks(50, 30, seed=1)
    pages = [Image.fromarray(first), Image.fromarray(stored_as(second, 6))]
    pages[1].encoderinfo = {"tiffinfo": {274: 6}}
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with Image.open(tmp_path / "a.tif") as image:
        assert np.array_equal(images.load(image), first)
        image.seek(1)
        if image.getexif().get(274) == 6:  # early versions of Pillow write one tag
            assert np.array_equal(images.load(image), second)


@pytest.mark.parametrize("suffix", ["png", "webp", "avif", "jpg", "mpo"])
def test_every_format_with_exif_is_turned(tmp_path, suffix):
    if suffix == "avif" and "AVIF" not in installed_formats():
        pytest.skip("needs Pillow 11.3")
    upright = blocks(40, 60)
    for orientation in range(1, 9):
        path = tmp_path / f"{orientation}.{suffix}"
        stored = stored_as(upright, orientation)
        saved(path, stored, exif=exif(orientation), quality=95)
        assert psnr(images.load(path), upright) > 38
        info = images.inspect(path)
        assert info[:3] == (40, 60, orientation)
        assert images.letterbox(path.read_bytes(), 30)[1] == (40, 60)


def test_a_damaged_exif_turns_nothing(tmp_path):
    pixels = blocks(40, 60)
    path = saved(tmp_path / "a.png", pixels, exif=b"Exif\0\0MM\0*\xff\xff\xff")
    assert np.array_equal(images.load(path), pixels)
    with Image.open(path) as image:
        assert np.array_equal(images.load(image), pixels)
        assert np.array_equal(images.load(image.copy()), pixels)
