"""Flipped boxes against flipped paint, and against themselves flipped twice."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from painted import painted

from keras_localize import boxes
from keras_localize.boxes.formats import FORMATS
from keras_localize.layers import PadToSquare


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


# --- everywhere that boxes may be ---

FUNCTIONS = {
    "convert": lambda x: boxes.convert(x, "rel_xyxy", "center_xywh", (40, 80)),
    "convert sizes": lambda x: boxes.convert(x, "xywh", "rel_yxyx", SIZES),
    "clip": lambda x: boxes.clip(x - x[:, ::-1]),
    "clip sizes": lambda x: boxes.clip(x * 99, "xyxy", SIZES),
    "area": boxes.area,
    "flip": lambda x: boxes.flip(x, "rel_xywh"),
    "flip sizes": lambda x: boxes.flip(x, "xyxy", SIZES),
    "to_square": lambda x: boxes.to_square(x, (40, 80), 32, "rel_xyxy"),
    "to_square sizes": lambda x: boxes.to_square(x, SIZES, 32),
    "from_square sizes": lambda x: boxes.from_square(x, SIZES, 32),
    "invert": lambda x: PadToSquare(32).invert(x, (40, 80)),
}
SIZES = np.array([[40, 80], [90, 30]], "int32")


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_in_tf_data_on_every_backend(name, dtype, rng):
    tf = pytest.importorskip("tensorflow")
    given = (rng.uniform(0, 1, (6, 4)) * (50 if dtype == "int32" else 1)).astype(dtype)
    data = tf.data.Dataset.from_tensor_slices(given).batch(2, drop_remainder=True)
    for batch, found in zip(given.reshape(3, 2, 4), data.map(FUNCTIONS[name])):
        expected = to_numpy(FUNCTIONS[name](batch))
        if dtype != "float64" or keras.backend.backend() != "jax":
            assert found.dtype.name == expected.dtype.name
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_overlaps_in_tf_data_are_refused_where_they_cannot_be():
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensors(np.zeros((2, 4), "float32"))
    if keras.backend.backend() == "tensorflow":
        data.map(lambda x: boxes.iou(x, x))
    else:
        with pytest.raises(ValueError, match=r"`boxes1`.*tensors of `tf\.data`"):
            data.map(lambda x: boxes.iou(x, x))


def test_unknown_rank_in_tf_data_is_named():
    tf = pytest.importorskip("tensorflow")

    def unknown(x):
        return tf.py_function(lambda y: y, [x], tf.float32)

    data = tf.data.Dataset.from_tensors(np.zeros((2, 4), "float32"))
    with pytest.raises(ValueError, match=r"`boxes`.*known rank.*set_shape"):
        data.map(lambda x: boxes.flip(unknown(x)))
    data = tf.data.Dataset.from_tensors(np.zeros((8, 9, 3), "float32"))
    with pytest.raises(ValueError, match=r"`images`.*known rank.*set_shape"):
        data.map(lambda x: PadToSquare(8)(unknown(x)))


@pytest.mark.parametrize("count", [2, 3])
def test_a_pair_of_heights_and_widths_is_refused(count):
    """Of two images they look like two sizes."""
    given = np.full((count, 4), 0.5, "float32")
    heights, widths = np.arange(10, 10 + count), np.arange(100, 100 + count)
    tensors = tuple(map(keras.ops.convert_to_tensor, (heights, widths)))
    for pair in ((heights, widths), tensors):
        with pytest.raises(ValueError, match=r"`image_size`.*stack them"):
            boxes.convert(given, "rel_xyxy", "xyxy", pair)
    sizes = [np.array([10, 100])] * count
    found = boxes.convert(given, "rel_xyxy", "xyxy", sizes)
    np.testing.assert_allclose(to_numpy(found), [[50, 5, 50, 5]] * count)


@pytest.mark.parametrize("kind", ["xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw"])
def test_one_box_in_many_images_is_flipped_in_each(kind):
    box, sizes = np.ones((1, 4)), np.full((5, 2), 10) + np.arange(5)[:, None]
    found = to_numpy(boxes.flip(box, kind, sizes))
    for row, size in zip(found, sizes):
        np.testing.assert_array_equal(row, to_numpy(boxes.flip(box[0], kind, size)))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_symbolic_tensor_and_a_constant(first, dtype):
    """As a box before the network, or an anchor."""
    x = keras.Input((4,))
    one = np.array([[0.1, 0.1, 0.6, 0.7]], dtype)
    given = np.array([[0.1, 0.2, 0.6, 0.6], [0, 0, 1, 1]], "float32")
    for name in ("iou", "giou", "diou", "ciou"):
        function = getattr(boxes, name)
        outputs = function(x, one) if first else function(one, x)
        model = keras.Model(x, [outputs, boxes.flip(x, "xyxy", np.array([[9, 20]]))])
        found, flipped = model(given)
        expected = function(given, one) if first else function(one, given)
        np.testing.assert_allclose(to_numpy(found), to_numpy(expected), rtol=1e-5)
        np.testing.assert_allclose(to_numpy(flipped)[:, 0], 20 - given[:, 2])
