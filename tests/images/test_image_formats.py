"""File formats and pixel formats: what is seen, what is refused."""

import io
import subprocess
import sys

import numpy as np
import pytest
from image_samples import UPRIGHT, blocks, exif, psnr, saved
from PIL import Image

from keras_localize import images
from keras_localize.images import ImageError, formats
from keras_localize.images.formats import installed_formats
from keras_localize.images.listing import IMAGE_SUFFIXES


def test_pixel_formats(tmp_path, jpeg_path):
    grey = blocks(20, 30)
    rgba = np.concatenate([grey, np.full((20, 30, 1), 255, "uint8")], axis=-1)
    rgba[:10, :, 3] = 0
    on_black = grey.copy()
    on_black[:10] = 0
    wide = grey[..., 0].astype("uint16") * 257
    exact = {
        "bmp": saved(tmp_path / "a.bmp", grey),
        "lossless webp": saved(tmp_path / "a.webp", grey, lossless=True),
        "one channel": saved(tmp_path / "b.png", grey[..., 0]),
        "16 bits": saved(tmp_path / "c.png", wide),
        "16 bits tiff": saved(tmp_path / "c.tif", wide),
        "gif": saved(tmp_path / "named.jpg", grey[..., 0], format="GIF"),
        "png named jpg": saved(tmp_path / "other.jpg", grey, format="PNG"),
    }
    for name, path in exact.items():
        assert np.array_equal(images.load(path), grey), name
    transparent = saved(tmp_path / "d.png", rgba)
    assert np.array_equal(images.load(transparent), on_black)
    palette = Image.fromarray(grey[..., 0]).convert("P")
    palette.save(tmp_path / "e.png", transparency=0)
    assert images.load(tmp_path / "e.png").shape == (20, 30, 3)
    for name, image, options in (
        ("cmyk", Image.fromarray(grey).convert("CMYK"), {}),
        ("grey", Image.fromarray(grey[..., 0]), {}),
        ("progressive", Image.fromarray(grey), {"progressive": True}),
    ):
        path = tmp_path / f"{name}.jpg"
        image.save(path, quality=95, **options)
        assert psnr(images.load(path), grey) > 35, name
        assert images.letterbox(path, 16)[0].shape == (16, 16, 3)


def test_bad_files_are_refused_by_name(tmp_path, monkeypatch, jpeg_path):
    whole = saved(tmp_path / "whole.jpg", blocks(200, 300)).read_bytes()
    cases = {
        "missing.jpg": (None, "missing image"),
        "empty.jpg": (b"", "not an image"),
        "text.jpg": (b"this is no image", "not an image"),
        "cut.jpg": (whole[: len(whole) // 2], "unreadable image"),
        "postscript.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image"),
    }
    for name, (content, reason) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        for use in (images.load, lambda path: images.letterbox(path, 16)):
            with pytest.raises(ImageError, match=reason) as caught:
                use(tmp_path / name)
            assert name in str(caught.value) and caught.value.reason == reason
    with pytest.raises(ImageError, match="unreadable"):
        images.inspect(tmp_path / "cut.jpg", decode=True)
    with pytest.raises(ImageError, match="unreadable"):
        images.load(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.raises(ImageError, match="too large"):
        images.load(tmp_path / "whole.jpg")


def ftyp(brand, *others):
    """The first box of a file of the ISO base media format."""
    body = brand + b"\0\0\0\0" + b"".join(others)
    return (len(body) + 8).to_bytes(4, "big") + b"ftyp" + body


@pytest.fixture
def without(monkeypatch):
    """Makes a format one that Pillow does not open."""

    def remove(name):
        installed_formats()
        monkeypatch.delitem(Image.OPEN, name, raising=False)
        # None in sys.modules: the import fails.
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        formats._register_heif.cache_clear()

    yield remove
    formats._register_heif.cache_clear()


def test_avif(tmp_path):
    if "AVIF" not in installed_formats():
        pytest.skip("needs Pillow 11.3")
    pixels = blocks(40, 60)
    path = saved(tmp_path / "a.avif", pixels, quality=95)
    assert psnr(images.load(path), pixels) > 38
    assert images.inspect(path) == (40, 60, 1, "AVIF", "RGB")


def test_heic_without_a_call_by_the_user(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pixels = blocks(40, 60)
    path = tmp_path / "a.heic"
    # In a process of its own: here the plug-in may be registered already.
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(path, quality=95)
    code = (
        "import sys; from keras_localize import images; "
        "print(*images.load(sys.argv[1])[3, 5], images.inspect(sys.argv[1]).format)"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *color, form = done.stdout.split()
    assert np.abs(np.array(color, int) - pixels[3, 5]).max() < 10 and form == "HEIF"
    for source in (path, path.read_bytes()):
        assert psnr(images.load(source), pixels) > 38
        square, size = images.letterbox(source, 30)
        assert size == (40, 60)
        assert psnr(square, images.letterbox(pixels, 30)[0].astype(float)) > 38


def test_a_heic_is_turned_once(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    upright = blocks(40, 64)
    for orientation in range(1, 9):
        inverse = {6: 8, 8: 6}.get(orientation, orientation)
        stored = np.ascontiguousarray(UPRIGHT[inverse](upright))
        # As cameras do it: the EXIF says so, and a property of the file as well.
        tag = exif(orientation).tobytes()
        path = saved(tmp_path / f"{orientation}.heic", stored, exif=tag, quality=95)
        assert psnr(images.load(path), upright) > 38
        assert images.inspect(path)[:2] == (40, 64)
        with Image.open(path) as image:
            assert psnr(images.load(image), upright) > 38
            assert psnr(images.load(image.copy()), upright) > 38  # and no warning


@pytest.mark.parametrize(
    ("name", "content", "remedy"),
    [
        ("HEIF", ftyp(b"heic", b"mif1", b"heic"), 'pillow-heif.*extra "heif"'),
        ("HEIF", ftyp(b"mif1", b"miaf", b"heix"), "pillow-heif"),
        ("AVIF", ftyp(b"avif", b"mif1", b"miaf"), "Pillow 11.3"),
        ("AVIF", ftyp(b"mif1", b"avif"), "Pillow 11.3"),
    ],
)
def test_what_is_not_installed_is_said(tmp_path, without, name, content, remedy):
    without(name)
    path = tmp_path / "photo.heic"
    path.write_bytes(content + bytes(200))
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        for use in (images.load, images.inspect):
            with pytest.raises(ImageError, match=f"{name} needs .*{remedy}") as caught:
                use(source)
            assert caught.value.reason == "format not installed"
    # Another file of the container (a video), and a damaged image.
    for content in (ftyp(b"isom", b"mp42"), b"\0\0\0\x18ftyp"):
        with pytest.raises(ImageError, match="not an image"):
            images.load(content + bytes(200))


@pytest.mark.parametrize(
    ("name", "content"),
    [("WEBP", b"RIFF\x24\0\0\0WEBPVP8 "), ("AVIF", ftyp(b"avif", b"mif1"))],
)
def test_a_build_without_a_format_is_said(monkeypatch, name, content):
    installed_formats()
    factory, _ = Image.OPEN.get(name, Image.OPEN["PNG"])
    # What Pillow's own plug-ins do where their library is missing.
    message = f"cannot be identified because {name} support not installed"
    monkeypatch.setitem(Image.OPEN, name, (factory, lambda prefix: message))
    assert name not in installed_formats()
    with pytest.raises(ImageError, match=f"{name} needs .*Pillow"):
        images.load(content + bytes(100))


def test_a_damaged_heic_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "cut.heic"
    path.write_bytes(ftyp(b"heic", b"mif1", b"heic") + bytes(200))
    with pytest.raises(ImageError, match=r"cut\.heic"):
        images.load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n",
        b"\xd7\xcd\xc6\x9a" + bytes(60),  # WMF
        b"8BPS" + bytes(60),  # PSD
        b"%PDF-1.4",
    ],
)
def test_no_other_format_is_tried(tmp_path, content):
    for source in (content, io.BytesIO(content)):
        with pytest.raises(ImageError, match="not an image: none of JPEG, PNG"):
            images.load(source)


def test_every_suffix_is_of_a_format_that_is_read():
    assert set(IMAGE_SUFFIXES.values()) == set(formats.FORMATS)


def test_float_tiff_is_refused_by_name(tmp_path):
    path = saved(tmp_path / "heat.tif", np.ones((4, 4), "float32"))
    with pytest.raises(ImageError, match=r"heat\.tif: unknown pixel format: mode F"):
        images.load(path)
    image = Image.open(path)
    with image, pytest.raises(ImageError, match=r"heat\.tif: unknown pixel format"):
        images.load(image)


def test_a_transparent_colour_is_black(tmp_path):
    """A PNG in RGB may name one colour that is transparent."""
    pixels = np.full((4, 6, 3), 200, "uint8")
    pixels[:2] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "t.png", transparency=(255, 0, 0))
    pixels[:2] = 0
    np.testing.assert_array_equal(images.load(tmp_path / "t.png"), pixels)
