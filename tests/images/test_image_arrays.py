"""Arrays as images: shapes, dtypes, ranges of values."""

import keras
import numpy as np
import pytest
from image_samples import blocks
from PIL import Image

from keras_localize import images
from keras_localize.images import ImageError


def test_arrays(rng):
    pixels = rng.integers(0, 256, (8, 9, 3)).astype("uint8")
    assert np.array_equal(images.load(pixels), pixels)
    assert np.array_equal(images.load(pixels.astype("float64") + 0.4), pixels)
    assert np.array_equal(images.load(pixels.astype("int64")), pixels)
    wide = pixels.astype("uint16") * 257
    assert np.array_equal(images.load(wide), pixels)
    grey = images.load(pixels[..., 0])
    assert np.array_equal(grey, np.repeat(pixels[..., :1], 3, axis=-1))
    assert np.array_equal(images.load(pixels[..., :1]), grey)
    before = pixels.copy()
    images.letterbox(pixels, 16)
    assert np.array_equal(pixels, before)
    assert np.array_equal(images.load(np.array([[[300.0, -5, 7]]]))[0, 0], [255, 0, 7])


def test_arrays_that_are_no_images():
    for array in (
        np.zeros((4, 4, 2)),
        np.zeros((2, 4, 4, 3)),
        np.zeros((0, 4, 3)),
        np.zeros(4),
        np.full((2, 2, 3), np.nan),
        np.zeros((2, 2, 3), complex),
        None,
    ):
        with pytest.raises(ImageError, match=r"not an image|not finite"):
            images.load(array)


# Every value is exact in float16.
UNIT = np.linspace(0, 1, 5 * 4 * 3).reshape(5, 4, 3).astype("float16")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("use", [images.load, lambda x: images.letterbox(x, 8)])
def test_floats_of_a_unit_range_are_refused(dtype, use):
    unit = UNIT.astype(dtype)
    for array, wanted in (
        (unit, r"multiply .*255.*\[0, 1\]"),
        (unit / 2, r"multiply .*255.*\[0, 0\.5\]"),
        (unit[..., :1], r"multiply .*255"),
        (unit[..., 0], r"multiply .*255"),
        (unit * 2 - 1, r"127\.5.*\[-1, 1\]"),
        (unit - 1, r"127\.5.*\[-1, 0\]"),
        (unit * 4.5 - 2, r"preprocessing.*\[-2, 2\.5\]"),
        (unit * 280 - 124, r"preprocessing.*\[-124, 156\]"),
        (unit * 3 - 4, r"preprocessing.*\[-4, -1\]"),
        (unit * 4096, r"16-bit.*\[0, 4096\]"),
    ):
        with pytest.raises(ImageError, match=wanted) as caught:
            use(array.astype(dtype))
        assert caught.value.reason == "wrong range of values"
        assert f"dtype: {dtype}" in str(caught.value)
        assert str(caught.value).startswith("<ndarray>: ")


def test_floats_that_may_be_an_image_are_taken():
    for value in (0, 0.25, 1, -1, 128, 255, 300):
        for shape in ((4, 5, 3), (4, 5), (1, 1, 3)):
            loaded = images.load(np.full(shape, float(value)))
            assert (loaded == np.clip(round(value), 0, 255)).all()
    dark = UNIT.astype("float64") * 1.6
    assert np.array_equal(images.load(dark), np.round(dark))
    # A filter's overshoot is clipped.
    sharp = UNIT.astype("float64") * 300 - 20
    assert np.array_equal(images.load(sharp), np.clip(np.round(sharp), 0, 255))


def test_integers_keep_their_values():
    dark = np.arange(2).repeat(24).reshape(4, 4, 3)
    for dtype in ("int8", "int32", "uint8", "uint32"):
        assert np.array_equal(images.load(dark.astype(dtype)), dark)
    with pytest.raises(ImageError, match=r"16-bit values as uint16.*4095"):
        images.load(dark * 4095)
    with pytest.raises(ImageError, match=r"preprocessing"):
        images.load((dark * 255 - 128).astype("int8"))


def test_booleans_are_refused():
    with pytest.raises(ImageError, match=r"multiply by 255.*bool"):
        images.load(np.ones((4, 4), bool))


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bfloat16"])
def test_tensors(dtype):
    pixels = blocks(12, 10)
    tensor = keras.ops.convert_to_tensor(pixels, dtype)
    if dtype == "bfloat16" and keras.backend.backend() == "torch":
        pytest.skip("torch gives no NumPy array of bfloat16")
    found = images.load(tensor)
    assert np.abs(found - pixels.astype(int)).max() <= (1 if dtype == "bfloat16" else 0)


def test_a_unit_range_is_refused_with_the_overshoot_of_a_resampling():
    edge = np.zeros((8, 8), "float32")
    edge[:, 4:] = 1
    resized = np.array(Image.fromarray(edge).resize((32, 32), Image.Resampling.BICUBIC))
    assert resized.min() < 0 and resized.max() > 1
    with pytest.raises(ImageError, match=r"multiply .*255"):
        images.load(resized)
    with pytest.raises(ImageError, match=r"127\.5"):
        images.load(resized * 2 - 1)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bfloat16", "float16", "int64"])
def test_tensors_of_torch(dtype, rng):
    torch = pytest.importorskip("torch")
    pixels = rng.integers(0, 256, (8, 9, 3)).astype("uint8")
    tensor = torch.tensor(pixels).to(getattr(torch, dtype))
    if dtype == "float32":
        tensor.requires_grad = True
    expected = np.round(tensor.detach().double().numpy())
    assert np.array_equal(images.load(tensor), expected)
    with pytest.raises(ImageError, match="multiply"):
        images.load(torch.tensor(pixels / 255))
