"""Flipped boxes against flipped paint, and against themselves flipped twice."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from painted import painted

from keras_localize import boxes
from keras_localize.boxes.formats import FORMATS


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def in_format(corners, name, image_size):
    return to_numpy(boxes.convert(corners, "xyxy", name, image_size))


def paint_of(image):
    """Corners of the white pixels, in whole pixels."""
    rows, columns = np.nonzero(image[..., 0])
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("name", FORMATS)
def test_the_box_is_where_the_flipped_paint_is(name, rng):
    for _ in range(20):
        # Powers of two: fractions of the sides are exact.
        height, width = 2 ** rng.integers(2, 8, 2)
        image, corners = painted(rng, height, width)
        expected = in_format(paint_of(image[:, ::-1]), name, (height, width))
        box = in_format(corners, name, (height, width))
        flipped = to_numpy(boxes.flip(box, name, (height, width)))
        np.testing.assert_array_equal(flipped, expected)


@given(
    name=st.sampled_from(FORMATS),
    rows=st.lists(st.lists(st.integers(-64, 128), min_size=4, max_size=4), min_size=1),
)
def test_flipped_twice_is_the_same_box(name, rows):
    # Inverted boxes and boxes beyond the border too; on a grid of 1/64 nothing rounds.
    box = np.array(rows, "float32") / 64
    size = None if name.startswith("rel_") else (50, 33)
    there = boxes.flip(box, name, size)
    np.testing.assert_array_equal(to_numpy(boxes.flip(there, name, size)), box)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
def test_what_a_flip_leaves_alone_is_kept_bit_for_bit(shape, rng):
    box = rng.normal(size=shape).astype("float32")
    for name in FORMATS:
        letters = name.removeprefix("rel_").removeprefix("center_")
        kept = [i for i, letter in enumerate(letters) if letter != "x"]
        flipped = to_numpy(boxes.flip(box, name, (30, 50)))
        np.testing.assert_array_equal(flipped[..., kept], box[..., kept])
        assert flipped.dtype == "float32"


def test_an_image_size_for_each_image():
    box = np.array([[[1, 2, 3, 4], [0, 0, 9, 9]], [[5, 6, 7, 8], [0, 0, 20, 5]]])
    expected = [[[6, 2, 8, 4], [0, 0, 9, 9]], [[13, 6, 15, 8], [0, 0, 20, 5]]]
    for sizes in (np.array([[30, 9], [40, 20]]), [[30, 9], [40, 20]]):
        flipped = to_numpy(boxes.flip(box, "xyxy", sizes))
        np.testing.assert_array_equal(flipped, expected)


def test_float64_is_kept_where_the_backend_has_it():
    if keras.backend.backend() == "jax":
        pytest.skip("JAX computes in float32 unless told otherwise")
    flipped = boxes.flip(np.array([0.1, 0.2, 0.3, 0.4], "float64"))
    np.testing.assert_array_equal(to_numpy(flipped), [1 - 0.3, 0.2, 1 - 0.1, 0.4])


def test_symbolic_boxes_and_sizes():
    box, size = keras.Input((3, 4)), keras.Input((2,), dtype="int32")
    model = keras.Model([box, size], boxes.flip(box, "xywh", size))
    assert model.output_shape == (None, 3, 4)
    value = np.tile(np.array([1, 2, 3, 4], "float32"), (2, 3, 1))
    out = to_numpy(model([value, np.array([[9, 8], [9, 30]])]))
    assert out[:, 0].tolist() == [[4, 2, 3, 4], [26, 2, 3, 4]]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: boxes.flip([1, 2, 3]), ["boxes", "(3,)"]),
        (lambda: boxes.flip([1, 2, 3, 4], "xyxy"), ["image_size", "None"]),
        (lambda: boxes.flip([1, 2, 3, 4], "coco"), ["bounding_box_format", "coco"]),
        (lambda: boxes.flip([1, 2, 3, 4], "xyxy", (0, 5)), ["image_size", "(0, 5)"]),
    ],
)
def test_bad_arguments_name_themselves(call, words):
    with pytest.raises(ValueError) as error:
        call()
    for word in words:
        assert word in str(error.value)
