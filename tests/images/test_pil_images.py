"""PIL images: turned as opened, taken as they are once processed, never changed."""

import warnings

import numpy as np
import pytest
from image_samples import UPRIGHT, blocks, exif, saved
from PIL import Image, ImageOps

from keras_localize import images


@pytest.fixture(params=["a.png", "a.tif"])
def sideways(request, tmp_path):
    """The path of an image with orientation 6, (30, 40) when upright."""
    stored = np.ascontiguousarray(UPRIGHT[8](blocks(30, 40)))
    if request.param == "a.tif":
        return saved(tmp_path / "a.tif", stored, tiffinfo={274: 6})
    return saved(tmp_path / "a.png", stored, exif=exif(6))


def uses(source):
    """What every function makes of a source, as arrays."""
    return (
        images.load(source),
        images.letterbox(source, 20)[0],
        images.crop(source, (3, 4, 20), 20),
        np.array(images.inspect(source)[:2]),
    )


def same(results, expected, tolerance=0):
    return all(
        found.shape == wanted.shape
        and np.abs(found - wanted.astype(int)).max() <= tolerance
        for found, wanted in zip(results, expected)
    )


def test_as_opened_it_is_turned(sideways):
    expected = uses(sideways)
    assert expected[0].shape == (30, 40, 3)
    with Image.open(sideways) as image:
        assert same(uses(image), expected)
        assert same(uses(image), expected)  # and once more
        image.load()
        assert same(uses(image), expected)
        ImageOps.exif_transpose(image, in_place=True)
        # Scaled before it was turned, a pixel may be rounded otherwise.
        assert same(uses(image), expected, tolerance=1)


@pytest.mark.parametrize(
    "process",
    [
        lambda image: image.rotate(-90, expand=True),
        lambda image: image.transpose(Image.Transpose.ROTATE_270),
        lambda image: image.resize((20, 30)),
        lambda image: image.convert("L"),
        lambda image: image.crop((2, 3, 20, 30)),
        lambda image: image.copy(),
    ],
)
def test_processed_it_is_taken_as_it_is(tmp_path, process):
    stored = blocks(40, 30)
    path = saved(tmp_path / "a.jpg", stored, exif=exif(6), quality=95)
    with Image.open(path) as opened:
        image = process(opened)
    assert image.getexif()[274] == 6  # what it still says
    pixels = np.asarray(image.convert("RGB"))
    for use in (
        images.load,
        images.inspect,
        lambda image: images.letterbox(image, 20),
        lambda image: images.crop(image, (0, 0, 9), 9),
    ):
        with pytest.warns(UserWarning, match="EXIF orientation") as caught:
            use(image)
        assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(images.load(image), pixels)
        assert images.inspect(image)[:3] == (*pixels.shape[:2], 1)
        assert images.letterbox(image, 20)[1] == pixels.shape[:2]
        window = images.crop(image, (0, 0, 9), 9)
        assert np.array_equal(window, pixels[:9, :9])
    # Filters make errors of warnings here: what follows gives none.
    upright = ImageOps.exif_transpose(image)
    assert np.array_equal(images.load(upright), UPRIGHT[6](pixels))
    del image.getexif()[274]
    assert np.array_equal(images.load(image), pixels)


def test_a_processed_tiff_is_upright_already(tmp_path):
    # Pillow turns it while it decodes, and drops the tag.
    stored = np.ascontiguousarray(UPRIGHT[8](blocks(30, 40)))
    path = saved(tmp_path / "a.tif", stored, tiffinfo={274: 6})
    with Image.open(path) as image:
        assert np.array_equal(images.load(image.copy()), blocks(30, 40))


def test_an_upright_one_gives_no_warning(tmp_path):
    pixels = blocks(30, 40)
    path = saved(tmp_path / "a.png", pixels, exif=exif(1))
    with Image.open(path) as image:
        assert np.array_equal(images.load(image.copy()), pixels)
    assert np.array_equal(images.load(Image.fromarray(pixels)), pixels)


def test_it_is_not_changed(sideways):
    with Image.open(sideways) as image, Image.open(sideways) as untouched:
        uses(image)
        untouched.load()
        assert image == untouched and image.size == untouched.size
        assert image.getexif().get(274) == untouched.getexif().get(274)
        assert image.format == untouched.format
    plain = Image.fromarray(blocks(400, 300))
    plain.info["exif"] = exif(3).tobytes()
    before = plain.tobytes()
    with pytest.warns(UserWarning):
        uses(plain)
    assert plain.tobytes() == before and plain.format is None
    assert plain.getexif()[274] == 3


def test_a_large_jpeg_keeps_its_size(tmp_path):
    path = saved(tmp_path / "a.jpg", blocks(800, 600), quality=95)
    with Image.open(path) as image:
        images.letterbox(image, 32)
        images.inspect(image, decode=True)
        assert np.asarray(image).shape == (800, 600, 3)


def test_the_present_frame_is_taken(tmp_path):
    frames = [Image.new("RGB", (8, 6), color) for color in ("red", "blue", "lime")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert images.load(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]
    with Image.open(tmp_path / "a.gif") as image:
        image.seek(2)
        assert images.load(image)[0, 0].tolist() == [0, 255, 0]
        image.seek(1)
        assert images.load(image)[0, 0].tolist() == [0, 0, 255]


def test_a_closed_one_is_refused_by_name(tmp_path):
    path = saved(tmp_path / "closed.png", blocks(8, 8))
    with Image.open(path) as image:
        pass
    with pytest.raises(images.ImageError, match=r"closed\.png: unreadable image"):
        images.load(image)


def test_inspect_names_its_format(tmp_path):
    path = saved(tmp_path / "a.webp", blocks(8, 9))
    with Image.open(path) as image:
        assert images.inspect(image) == images.inspect(path) == (8, 9, 1, "WEBP", "RGB")
    assert images.inspect(Image.new("L", (9, 8))) == (8, 9, 1, "", "L")
