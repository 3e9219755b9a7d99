"""Decoding and letterboxing, against painted pixels and float64 references."""

import io
import itertools
import os

import numpy as np
import pytest
from PIL import Image, ImageOps

from keras_localize import images
from keras_localize.boxes.square import fit
from keras_localize.datasets.squares import square_boxes
from keras_localize.images import ImageError, fast_jpeg

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
    """A picture without symmetry that JPEG keeps nearly unchanged."""
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


def antialiased(picture, size):
    """float64 letterbox with a triangle filter as wide as the scale."""

    def matrix(before, after):
        scale = before / after
        centres = (np.arange(after)[:, None] + 0.5) * scale
        distance = np.abs(np.arange(before) + 0.5 - centres) / max(scale, 1)
        weights = np.clip(1 - distance, 0, None)
        return weights / weights.sum(axis=1, keepdims=True)

    height, width = picture.shape[:2]
    place = fit(height, width, size)
    rows, columns = matrix(height, place.rows), matrix(width, place.columns)
    square = np.zeros((size, size, 3))
    square[
        place.top : place.top + place.rows, place.left : place.left + place.columns
    ] = np.einsum("ij,kl,jlc->ikc", rows, columns, picture / 1.0, optimize=True)
    return square


def psnr(a, b):
    error = np.mean((np.asarray(a, "float64") - b) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-12))


@pytest.fixture(params=["fast", "pillow"])
def road(request, monkeypatch):
    """Every test that asks for it runs on both roads of a JPEG."""
    if request.param == "fast":
        pytest.importorskip("cv2")
        pytest.importorskip("simplejpeg")
        assert fast_jpeg.packages() is not None
    else:
        monkeypatch.setattr(fast_jpeg, "packages", lambda: None)
    return request.param


def test_upright_in_all_orientations(tmp_path, road):
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


@pytest.mark.parametrize("kind", ["array", "jpeg"])
def test_painted_rectangle_lies_where_the_box_says(tmp_path, rng, kind, road):
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
        picture = blocks(height, width)
        square, _ = images.letterbox(picture, size)
        assert square.dtype == np.uint8 and square.shape == (size, size, 3)
        assert np.abs(square - antialiased(picture, size)).max() <= 1.5


# As photographs are: smooth, with edges, or full of grain.
def photograph(height, width, seed):
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, 12, (height, width, 3))
    picture = blocks(height, width, seed) + (grain if seed % 2 else 0)
    picture[height // 3 : height // 2, width // 4 : width // 3] = rng.integers(256)
    return np.clip(picture, 0, 255).astype("uint8")


def test_jpegs_are_antialiased_on_both_roads(tmp_path, road):
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


def test_both_roads_give_the_same_pixels(tmp_path, oxford_pets_dir, monkeypatch):
    pytest.importorskip("cv2")
    pytest.importorskip("simplejpeg")
    paths = sorted((oxford_pets_dir / "images").glob("*.jpg"))[::150]
    for seed in range(4):
        picture = photograph(375 + seed, 500 - seed, seed)
        paths.append(saved(tmp_path / f"{seed}.jpg", picture, quality=92))
    for size in (128, 224):
        fast = [images.letterbox(path, size)[0] for path in paths]
        with monkeypatch.context() as patch:
            patch.setattr(fast_jpeg, "packages", lambda: None)
            plain = [images.letterbox(path, size)[0] for path in paths]
        assert all(psnr(*pair) > 36 for pair in zip(fast, plain))
        assert np.mean([psnr(*pair) for pair in zip(fast, plain)]) > 42
        assert any((a != b).any() for a, b in zip(fast, plain))  # two roads there are


def test_into_an_array(tmp_path, road):
    path = saved(tmp_path / "a.jpg", photograph(375, 500, 1))
    batch = np.zeros((2, 64, 64, 3), "uint8")
    square, _ = images.letterbox(path, 64, out=batch[1])
    assert np.shares_memory(square, batch) and not batch[0].any()
    assert np.array_equal(batch[1], images.letterbox(path, 64)[0])


def test_padding_is_black_and_thin_pictures_keep_a_pixel():
    square, size = images.letterbox(np.full((3000, 1, 3), 200, "uint8"), 32)
    assert size == (3000, 1)
    assert (square[:, 15] == 200).all() and square.sum() == 200 * 32 * 3


def test_pixel_formats(tmp_path, road):
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


def test_arrays(rng):
    picture = rng.integers(0, 256, (8, 9, 3)).astype("uint8")
    assert np.array_equal(images.load(picture), picture)
    assert np.array_equal(images.load(picture.astype("float64") + 0.4), picture)
    assert np.array_equal(images.load(picture.astype("int64")), picture)
    wide = picture.astype("uint16") * 257
    assert np.array_equal(images.load(wide), picture)
    grey = images.load(picture[..., 0])
    assert np.array_equal(grey, np.repeat(picture[..., :1], 3, axis=-1))
    assert np.array_equal(images.load(picture[..., :1]), grey)
    before = picture.copy()
    images.letterbox(picture, 16)
    assert np.array_equal(picture, before)
    assert np.array_equal(images.load(np.array([[[300.0, -5, 7]]]))[0, 0], [255, 0, 7])


def test_arrays_that_are_no_pictures():
    for array in (
        np.zeros((4, 4, 2)),
        np.zeros((2, 4, 4, 3)),
        np.zeros((0, 4, 3)),
        np.zeros(4),
        np.full((2, 2, 3), np.nan),
        np.zeros((2, 2, 3), complex),
        None,
    ):
        with pytest.raises(ImageError, match=r"not a picture|not finite"):
            images.load(array)


def test_bad_files_are_refused_by_name(tmp_path, monkeypatch, road):
    whole = saved(tmp_path / "whole.jpg", blocks(200, 300)).read_bytes()
    cases = {
        "missing.jpg": (None, "missing picture"),
        "empty.jpg": (b"", "not a picture"),
        "text.jpg": (b"this is no picture", "not a picture"),
        "cut.jpg": (whole[: len(whole) // 2], "unreadable picture"),
        "postscript.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a picture"),
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


def outcome(path):
    """None for a square, or why there is none."""
    try:
        square, _ = images.letterbox(path, 16)
    except ImageError as error:
        return error.reason
    assert square.shape == (16, 16, 3)
    return None


def test_fuzzed_files_give_a_picture_or_a_picture_error(tmp_path, rng, monkeypatch):
    seeds = []
    for options in (
        {"format": "JPEG", "exif": exif(6)},
        {"format": "PNG"},
        {"format": "GIF"},
        {"format": "WEBP"},
        {"format": "TIFF"},
        {"format": "BMP"},
    ):
        buffer = io.BytesIO()
        Image.fromarray(blocks(24, 32)).save(buffer, **options)
        seeds.append(buffer.getvalue())
    path = tmp_path / "fuzzed.jpg"
    refused = 0
    count = int(os.environ.get("KERAS_LOCALIZE_FUZZ", 500))
    for number in range(count):
        content = np.frombuffer(seeds[number % len(seeds)], "uint8").copy()
        for _ in range(rng.integers(1, 8)):
            content[rng.integers(len(content))] = rng.integers(256)
        path.write_bytes(content[: rng.integers(1, 2 * len(content))].tobytes())
        found = outcome(path)
        refused += found is not None
        with monkeypatch.context() as patch:
            patch.setattr(fast_jpeg, "packages", lambda: None)
            assert outcome(path) == found  # on both roads of a JPEG
    assert count / 10 < refused < count * 0.9


# --- a window of a picture, from near ---


def plane(height, width):
    """Pixels that say where they are: red is x, green is y, blue is lit."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x, y, np.full_like(x, 200)], axis=-1).astype("uint8")


@pytest.mark.parametrize(
    "window",
    [
        (20, 30, 50),  # one pixel of the picture is 0.64 of the square
        (10.3, 7.9, 61.7),  # fractions
        (-30, 20, 140),  # out to the left and to the right
        (60.25, 90.5, 30),  # out at the bottom
        (0, 0, 200),  # smaller than it is
    ],
)
def test_a_crop_shows_what_its_window_says(window):
    x0, y0, side = window
    picture = plane(100, 80)
    square = images.crop(picture, window, 32).astype("float64")
    assert square.shape == (32, 32, 3)
    step = side / 32
    x = x0 + (np.arange(32) + 0.5) * step
    y = y0 + (np.arange(32) + 0.5) * step
    covered_x = (x - step / 2 >= -1e-9) & (x + step / 2 <= 80 + 1e-9)
    covered_y = (y - step / 2 >= -1e-9) & (y + step / 2 <= 100 + 1e-9)
    seen = covered_y[:, None] & covered_x[None]
    np.testing.assert_array_equal(square[..., 2], np.where(seen, 200, 0))
    assert seen.any()
    # At the picture's border the filter has one side only.
    inner = seen.copy()
    inner[[0, -1]] = inner[:, [0, -1]] = False
    inner &= np.roll(seen, 1, 0) & np.roll(seen, -1, 0)
    inner &= np.roll(seen, 1, 1) & np.roll(seen, -1, 1)
    # A pixel's middle lies half a pixel behind its index.
    red = np.broadcast_to(x - 0.5, (32, 32))
    green = np.broadcast_to((y - 0.5)[:, None], (32, 32))
    np.testing.assert_allclose(square[..., 0][inner], red[inner], atol=0.75)
    np.testing.assert_allclose(square[..., 1][inner], green[inner], atol=0.75)


def test_a_crop_beside_the_picture_is_black():
    assert not images.crop(plane(20, 20), (40, 3, 10), 8).any()


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(64, 128, 32), (216, 288, 224), (116, 232, 224), (288, 204, 96)],
)
def test_a_crop_of_the_whole_square_is_the_letterbox(height, width, size):
    # Sizes whose border is a whole pixel, so that the letterbox rounds nothing.
    picture = blocks(height, width)
    square, _ = images.letterbox(picture, size)
    side = max(height, width)
    window = ((width - side) / 2, (height - side) / 2, side)
    np.testing.assert_array_equal(images.crop(picture, window, size), square)


def test_a_crop_of_a_thread_still_shows_it():
    picture = np.full((1, 400, 3), 150, "uint8")
    seen = images.crop(picture, (0, -199.5, 400), 32)
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


def test_a_crop_of_no_picture_names_it(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.jpg"):
        images.crop(tmp_path / "gone.jpg", (0, 0, 4), 8)
