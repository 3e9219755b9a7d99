"""Crop-and-refine, against windows worked out by hand and a model that measures."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_backbone import tiny_backbone

from keras_localize import build_localizer
from keras_localize.images import crop, letterbox
from keras_localize.localizer.refinement import out_of_windows, windows_around


def around(box, height, width, size=32):
    return windows_around(np.array([box], "float32"), np.array([[height, width]]), size)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((40, 50, 60, 70), (34, 44, 32)),  # 1.6 times 20, about the middle (50, 60)
        ((40, 50, 60, 60), (34, 39, 32)),  # by the longer side
        ((0, 10, 20, 30), (-6, 4, 32)),  # into the border of a portrait's square
        ((99, 0, 101, 2), (96, 0, 8)),  # no smaller than size / 4, not above the top
        ((10, 10, 100, 190), (-50, 0, 200)),  # no larger than the padded square
        ((50, 50, 50, 50), (46, 46, 8)),  # a box of no size
        ((np.nan, 50, 60, 70), (-50, 0, 200)),  # not finite
    ],
)
def test_windows_by_hand(box, expected):
    np.testing.assert_allclose(around(box, 200, 100), [expected], atol=1e-5)


@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_windows_stay_in_the_square_and_hold_the_box(height, width, corners):
    x0, x1 = sorted([corners[0] * width, corners[1] * width])
    y0, y1 = sorted([corners[2] * height, corners[3] * height])
    ((left, top, side),) = around((x0, y0, x1, y1), height, width)
    whole, close = max(height, width), 1e-3 * max(height, width)
    assert min(8, whole) <= side + close and side <= whole + close
    for first, low, high, extent in ((left, x0, x1, width), (top, y0, y1, height)):
        assert (extent - whole) / 2 - close <= first
        assert first + side <= (extent + whole) / 2 + close
        assert first <= low + close and high <= first + side + close
    # And back: the window's own corners.
    windows = np.array([[left, top, side]])
    np.testing.assert_allclose(
        out_of_windows(np.array([[0, 0, 1, 1.0]]), windows),
        [[left, top, left + side, top + side]],
    )


@pytest.fixture
def constant_localizer():
    """For every image the box is the middle of the square: [.25, .25, .75, .75]."""
    localizer = build_localizer(tiny_backbone(), 3, head="pooled", quality=True)
    localizer.head.dense.set_weights([np.zeros((36, 4)), np.zeros(4)])
    return localizer


def test_the_answer_is_that_of_both_passes(constant_localizer, rng):
    image = rng.integers(0, 256, (200, 100, 3)).astype("uint8")
    found = constant_localizer.localize(image, refine=True)[0]
    # First 0 to 100, 50 to 150, cut at the image's sides only in the end; then the
    # middle half of the window of 160 pixels about (50, 100).
    np.testing.assert_allclose(found.box, (10, 60, 90, 140), atol=1e-3)
    seen = [letterbox(image, 32)[0], crop(image, (-30, 20, 160), 32)]
    answer = constant_localizer.predict(np.stack(seen), verbose=0)
    label = np.average(answer["label"], axis=0, weights=[1, 2])
    assert found.label == label.argmax()
    assert found.score == pytest.approx(label.max(), abs=1e-5)
    assert found.quality == pytest.approx(answer["quality"][1, 0], abs=1e-5)


def test_any_batch_any_iterable_and_flipped(constant_localizer, rng):
    made = [rng.integers(0, 256, (160, 160, 3)).astype("uint8") for _ in range(5)]
    # For every image: centre (.3, .4) and half extents of .2, as logits.
    shares = np.array([0.1, 0.2, 0.5, 0.6])
    logits = np.log([0.3 / 0.7, 0.4 / 0.6, 0.4 / 0.6, 0.4 / 0.6])
    constant_localizer.head.dense.set_weights([np.zeros((36, 4)), logits])
    found = constant_localizer.localize(iter(made), batch_size=2, refine=True)
    assert len(found) == 5
    # 16 to 80 and 32 to 96; the window of 102.4 about (48, 64), pushed to x = 0.
    x, y = 0, 64 - 51.2
    expected = np.array([x, y, x, y]) + 102.4 * shares
    for one in found:
        np.testing.assert_allclose(one.box, expected, atol=1e-2)
    options = {"refine": True, "flip_average": True}
    found = constant_localizer.localize(iter(made), batch_size=2, **options)
    # Flipped: .5 to .9, so .3 to .7 in the mean; the window about (80, 64).
    x = 80 - 51.2
    mean = np.array([0.3, 0.2, 0.7, 0.6])
    for one in found:
        np.testing.assert_allclose(
            one.box, np.array([x, y, x, y]) + 102.4 * mean, atol=1e-2
        )


@keras.saving.register_keras_serializable(package="tests")
class BrightBox(keras.Layer):
    """The box of all pixels of the map that are more than half bright."""

    def call(self, maps):
        ops = keras.ops
        bright = ops.cast(ops.max(maps, axis=-1) > 127, "float32")
        sides = []
        for axis in (1, 2):  # over rows: which columns are bright
            line, count = ops.max(bright, axis=axis), bright.shape[3 - axis]
            position = ops.arange(count, dtype="float32")
            low = ops.min(ops.where(line > 0, position, count), axis=1) / count
            high = ops.max(ops.where(line > 0, position + 1, 0), axis=1) / count
            sides.append((low, high))
        (x0, x1), (y0, y1) = sides
        return ops.stack([x0, y0, x1, y1], axis=-1)


def test_refined_boxes_are_finer(rng):
    backbone = keras.Sequential(
        [keras.Input((64, 64, 3)), keras.layers.AveragePooling2D(2)]
    )
    localizer = build_localizer(
        backbone, None, head=BrightBox(name="box"), preprocessing=None
    )
    images, boxes = [], []
    for _ in range(16):
        x0, y0 = rng.integers(0, 400, 2)
        width, height = rng.integers(40, 90, 2)
        image = np.zeros((480, 640, 3), "uint8")
        image[y0 : y0 + height, x0 : x0 + width] = 255
        x1, y1 = min(x0 + width, 640), min(y0 + height, 480)
        images.append(image)
        boxes.append((x0, y0, x1, y1))

    def errors(**options):
        found = localizer.localize(images, **options)
        return np.abs(np.array([one.box for one in found]) - boxes)

    # A pixel of the map is 20 of the image's; then 1.6 * 90 / 32, with what the
    # first pass was wrong by: at most 1.6 * 130 / 32.
    assert errors().mean() > 3
    assert errors(refine=True).max() < 6.5
    assert errors(refine=True).mean() < errors().mean() / 2
