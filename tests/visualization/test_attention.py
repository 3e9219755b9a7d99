"""Attention maps, on painted images where the deciding location is known."""

import keras
import numpy as np
import pytest

import keras_localize as kl
from keras_localize.visualization import attention_maps, plot_attention

SIDES = ("left", "top", "right", "bottom")
SIZE, STRIDE = 64, 8


@pytest.fixture
def localizer():
    """Its head looks for one channel a side: left red, top green, the others blue."""
    shape = (SIZE, SIZE, 3)
    channels_first = keras.config.image_data_format() == "channels_first"
    backbone = keras.Sequential(
        [
            keras.Input(shape[::-1] if channels_first else shape),
            keras.layers.Rescaling(1 / 255),
            keras.layers.AveragePooling2D(STRIDE),
        ]
    )
    head = kl.LocalizationHead(units=3, name="box")
    localizer = kl.build_localizer(backbone, None, head=head, preprocessing=None)
    (lateral,) = head.laterals
    lateral.kernel.assign(np.eye(3).reshape(1, 1, 3, 3))
    center = np.zeros((3, 3, 3, 1))
    center[1, 1] = 1
    head.context_conv.depthwise_kernel.assign(center)
    head.context_conv.pointwise_kernel.assign(np.eye(3).reshape(1, 1, 3, 3))
    kernel = np.zeros((1, 1, 3, 8))
    kernel[0, 0, [0, 1, 2, 2], [0, 1, 2, 3]] = 30.0
    head.prediction.kernel.assign(kernel)
    return localizer


def painted(height, width):
    """A dark image with a red, a green and a blue patch, and where they are."""
    image = np.zeros((height, width, 3), "uint8")
    patches = []
    for channel, (x, y) in enumerate(((0.1, 0.2), (0.4, 0.7), (0.8, 0.3))):
        x0, y0 = int(x * width), int(y * height)
        x1, y1 = x0 + width // 6, y0 + height // 4
        image[y0:y1, x0:x1, channel] = 255
        patches.append((x0, y0, x1, y1))
    return image, [patches[i] for i in (0, 1, 2, 2)]


@pytest.mark.parametrize("size", [(128, 128), (120, 240), (300, 150), (40, 57)])
def test_the_plot_is_bright_where_the_patch_is(localizer, size):
    image, patches = painted(*size)
    figure = plot_attention(localizer, image)
    assert [axis.get_title() for axis in figure.axes] == list(SIDES)
    for axis, (x0, y0, x1, y1) in zip(figure.axes, patches):
        assert axis.get_xlim() == (0, size[1]) and axis.get_ylim() == (size[0], 0)
        _, drawn = axis.images
        values = np.asarray(drawn.get_array())
        left, right, bottom, top = drawn.get_extent()
        rows, columns = values.shape
        row, column = np.unravel_index(values.argmax(), values.shape)
        x = left + (right - left) * (column + 0.5) / columns
        y = top + (bottom - top) * (row + 0.5) / rows
        # The cell's centre lies within half a cell of the paint.
        half = (right - left) / columns / 2
        assert x0 - half <= x <= x1 + half and y0 - half <= y <= y1 + half
        assert values.max() == 1


def test_maps_are_the_weights_of_the_box(localizer):
    """The weighted means of the centres give the box, at the first distances."""
    image, _ = painted(SIZE, SIZE)
    maps = attention_maps(localizer, image)
    centers = (np.arange(SIZE // STRIDE) + 0.5) * STRIDE
    distance = 0.18 * np.log1p(np.exp(0.54)) * SIZE
    means = [
        (maps[side].sum(axis=1 if side in ("top", "bottom") else 0) * centers).sum()
        for side in SIDES
    ]
    expected = np.array(means) + np.array([-1, -1, 1, 1]) * distance
    expected[2:] = np.maximum(expected[:2], expected[2:])
    (answer,) = localizer.localize(image)
    np.testing.assert_allclose(answer.box, np.clip(expected, 0, SIZE), atol=0.05)
    for side in SIDES:
        assert maps[side].shape == (8, 8) and maps[side].dtype == "float32"
        assert maps[side].sum() == pytest.approx(1, abs=1e-5)


def test_a_plot_of_a_real_localizer_in_a_file(tmp_path):
    backbone = keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(64, 64, 3), alpha=0.25
    )
    localizer = kl.build_localizer(backbone, 2, quality=True)
    localizer.save(tmp_path / "localizer.keras")
    loaded = keras.saving.load_model(tmp_path / "localizer.keras")
    data = kl.make_synthetic(1, directory=tmp_path / "images")
    plot_attention(loaded, data.images[0]).savefig(tmp_path / "attention.png")
    maps = attention_maps(loaded, data.images[0])
    expected = attention_maps(localizer, data.images[0])
    np.testing.assert_allclose(maps["left"], expected["left"], rtol=1e-4)
    assert maps["left"].shape == (4, 4)  # of stride 16


def test_other_heads_and_models_are_refused():
    backbone = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 8, strides=8)]
    )
    pooled = kl.build_localizer(backbone, None, head="pooled", preprocessing=None)
    image = np.zeros((9, 9, 3), "uint8")
    with pytest.raises(ValueError, match=r"kind 'spatial'.*'pooled'"):
        plot_attention(pooled, image)
    with pytest.raises(ValueError, match="kind='pooled'"):
        pooled.head.attention(np.zeros((1, 4, 4, 4)))
    with pytest.raises(ValueError, match=r"`localizer`.*Sequential"):
        plot_attention(backbone, image)


@pytest.mark.parametrize("presence", [False, True])
def test_a_calibration_for_other_options_is_no_matter(presence):
    """Warnings are errors here; the drawn box is that of `localize`."""
    backbone = keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), keras.layers.Conv2D(4, STRIDE, strides=STRIDE)]
    )
    localizer = kl.build_localizer(
        backbone, 2, quality=True, presence=presence, preprocessing=None
    )
    image, _ = painted(120, 240)
    (answer,) = localizer.localize(image, presence_threshold=0)
    localizer.calibrate(kl.make_synthetic(20), 0.8, refine=True)
    for axis in plot_attention(localizer, image).axes:
        x, y = axis.lines[0].get_data()
        drawn = (min(x), min(y), max(x), max(y))
        np.testing.assert_allclose(drawn, answer.box, atol=1e-3)
