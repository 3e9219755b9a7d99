"""The square's map against 3x3 matrices in float64, and against itself backwards."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_localize import boxes
from keras_localize.boxes.square import fit, move

FORMATS = [
    "xyxy",
    "yxyx",
    "xywh",
    "center_xywh",
    "center_yxhw",
    "rel_xyxy",
    "rel_yxyx",
    "rel_xywh",
    "rel_center_xywh",
]
SIDES = st.one_of(st.integers(1, 12), st.integers(1, 10_000))
SIZES = st.one_of(st.none(), st.integers(1, 1024))


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def matrix(height, width, size):
    """The letterbox as a 3x3 matrix, from its definition, in exact arithmetic."""
    longer = max(height, width)
    size = size or longer
    # Half up, in integers, at least one pixel.
    rows = max((2 * height * size + longer) // (2 * longer), 1)
    columns = max((2 * width * size + longer) // (2 * longer), 1)
    scale = np.diag([columns / width, rows / height, 1.0])
    shift = np.eye(3)
    shift[:2, 2] = (size - columns) // 2, (size - rows) // 2
    return shift @ scale


def transformed(corners, transform):
    points = np.asarray(corners, "float64").reshape(-1, 2, 2)
    points = np.concatenate([points, np.ones((len(points), 2, 1))], axis=-1)
    return (points @ transform.T)[..., :2].reshape(-1, 4)


def random_corners(seed, height, width, count=200):
    a, b = np.random.default_rng(seed).uniform(0, 1, (2, count, 2))
    corners = np.concatenate([np.minimum(a, b), np.maximum(a, b)], axis=-1)
    return (corners * [width, height, width, height]).astype("float32")


def test_known_squares():
    landscape = fit(200, 400, 100)
    assert landscape[3:] == (50, 100, 25, 0)
    assert fit(200, 400)[2:] == (400, 200, 400, 100, 0)
    assert fit(3000, 1, 224)[3:] == (224, 1, 0, 111)
    assert fit(7, 7, 7)[3:] == (7, 7, 0, 0)
    assert fit(4, 3, 2)[3:] == (2, 2, 0, 0)  # 1.5 columns round up
    assert fit(np.int64(40_000), 30_000)[2:] == (40_000, 40_000, 30_000, 0, 5_000)


@given(height=SIDES, width=SIDES, size=SIZES)
def test_the_image_lies_in_its_square(height, width, size):
    place = fit(height, width, size)
    assert max(place.rows, place.columns) == place.size
    assert min(place.rows, place.columns) >= 1
    assert place.top >= 0 and place.left >= 0
    # Centred: the two borders differ by one pixel at most.
    assert place.size - place.rows - 2 * place.top in (0, 1)
    assert place.size - place.columns - 2 * place.left in (0, 1)
    # The aspect ratio is kept to half a pixel.
    exact = place.size * height / max(height, width)
    assert abs(place.rows - exact) <= 0.5 or place.rows == 1


@given(height=SIDES, width=SIDES, size=SIZES, seed=st.integers(0, 2**16))
def test_to_square_is_the_matrix(height, width, size, seed):
    corners = random_corners(seed, height, width)
    expected = transformed(corners, matrix(height, width, size))
    moved = to_numpy(boxes.to_square(corners, (height, width), size))
    side = size or max(height, width)
    assert np.abs(moved - expected).max() <= 3e-7 * side


@given(height=SIDES, width=SIDES, size=SIZES, seed=st.integers(0, 2**16))
def test_from_square_is_the_inverse_matrix(height, width, size, seed):
    side = size or max(height, width)
    corners = random_corners(seed, side, side)
    expected = transformed(corners, np.linalg.inv(matrix(height, width, size)))
    moved = to_numpy(boxes.from_square(corners, (height, width), size))
    assert np.abs(moved - expected).max() <= 1e-6 * np.abs(expected).max() + 1e-6


@pytest.mark.parametrize("bounding_box_format", FORMATS)
def test_there_and_back_to_a_thousandth_of_an_original_pixel(bounding_box_format):
    rng = np.random.default_rng(1)
    relative = bounding_box_format.startswith("rel_")
    letters = bounding_box_format.removeprefix("rel_").removeprefix("center_")
    worst = 0.0
    # Nearly square images, thin ones, primes, and where an output pixel is coarsest.
    shapes = [(10_000, 10_000), (8_560, 10_000), (7_919, 9_973), (10_000, 1)]
    for size in (None, 33, 257, 513):
        for height, width in [*shapes, *rng.integers(1, 10_001, (4, 2))]:
            image_size = (height, width)
            start = random_corners(3, height, width, 2000)
            start = boxes.convert(start, "xyxy", bounding_box_format, image_size)
            there = boxes.to_square(start, image_size, size, bounding_box_format)
            back = boxes.from_square(there, image_size, size, bounding_box_format)
            error = np.abs(to_numpy(back).astype("float64") - to_numpy(start))
            sides = {"x": width, "y": height, "w": width, "h": height}
            unit = [sides[letter] if relative else 1 for letter in letters]
            worst = max(worst, (error * unit).max())
    assert 0 < worst <= 1e-3


@pytest.mark.parametrize("bounding_box_format", FORMATS)
@pytest.mark.parametrize("size", [None, 96])
def test_formats_agree(bounding_box_format, size):
    image_size, side = (375, 500), size or 500
    corners = random_corners(0, *image_size)
    expected = boxes.convert(
        transformed(corners, matrix(*image_size, size)),
        "xyxy",
        bounding_box_format,
        (side, side),
    )
    start = boxes.convert(corners, "xyxy", bounding_box_format, image_size)
    moved = boxes.to_square(start, image_size, size, bounding_box_format)
    unit = 1 if bounding_box_format.startswith("rel_") else side
    np.testing.assert_allclose(
        to_numpy(moved) / unit, to_numpy(expected) / unit, atol=6e-7
    )
    back = boxes.from_square(moved, image_size, size, bounding_box_format)
    unit = 1 if bounding_box_format.startswith("rel_") else 500
    np.testing.assert_allclose(to_numpy(back) / unit, to_numpy(start) / unit, atol=6e-7)


@pytest.mark.parametrize(
    ("bounding_box_format", "size"),
    [("xyxy", None), ("xyxy", 64), ("center_yxhw", 64), ("rel_xywh", 64)],
)
def test_a_size_per_image(bounding_box_format, size):
    sizes = np.array([[100, 50], [30, 4000], [7, 7]])
    start = np.stack([random_corners(i, *hw, count=5) for i, hw in enumerate(sizes)])
    start = boxes.convert(start, "xyxy", bounding_box_format, sizes)
    start = to_numpy(start)
    for value in (start, start[:, 0], start[:, None]):
        moved = to_numpy(boxes.to_square(value, sizes, size, bounding_box_format))
        back = boxes.from_square(moved, sizes, size, bounding_box_format)
        for index, hw in enumerate(sizes):
            one = boxes.to_square(value[index], hw, size, bounding_box_format)
            np.testing.assert_allclose(moved[index], to_numpy(one), atol=2e-6 * 64)
        np.testing.assert_allclose(to_numpy(back), value, atol=1e-3)


def test_a_square_image_of_the_right_size_stays_put():
    corners = random_corners(0, 64, 64)
    moved = boxes.to_square(corners, (64, 64), 64)
    np.testing.assert_allclose(to_numpy(moved), corners, atol=1e-5)
    # A second square around the first changes nothing either.
    once = boxes.to_square(corners, (40, 64), 96)
    twice = boxes.to_square(once, (96, 96), 96)
    np.testing.assert_allclose(to_numpy(twice), to_numpy(once), atol=2e-5)


def test_clipping_before_or_after_is_the_same_within_the_image():
    corners = random_corners(0, 300, 400) * 1.6 - 60
    before = boxes.to_square(boxes.clip(corners, "xyxy", (300, 400)), (300, 400), 64)
    place = fit(300, 400, 64)
    after = to_numpy(boxes.to_square(corners, (300, 400), 64))
    low = [place.left, place.top] * 2
    high = [place.left + place.columns, place.top + place.rows] * 2
    np.testing.assert_allclose(to_numpy(before), np.clip(after, low, high), atol=2e-5)


def test_the_host_kernel_is_the_same_map():
    corners = random_corners(0, 375, 500)
    for name in ("xyxy", "center_yxhw"):
        start = to_numpy(boxes.convert(corners, "xyxy", name))
        on_host = move(np, start, fit(375, 500, 96), name)
        assert on_host.dtype == np.float32
        moved = to_numpy(boxes.to_square(start, (375, 500), 96, name))
        np.testing.assert_allclose(on_host, moved, atol=2e-5)
        back = move(np, on_host, fit(375, 500, 96), name, inverse=True)
        np.testing.assert_allclose(back, start, atol=2e-4)


def test_symbolic_boxes_and_sizes():
    given_boxes = keras.Input((3, 4), name="boxes")
    sizes = keras.Input((2,), dtype="int32", name="sizes")
    there = boxes.to_square(given_boxes, sizes, 64)
    back = boxes.from_square(there, sizes, 64)
    model = keras.Model([given_boxes, sizes], [there, back])
    image_sizes = np.array([[375, 500], [20, 10]])
    start = np.stack([random_corners(0, *hw, count=3) for hw in image_sizes])
    there, back = model([start, image_sizes])
    for index, hw in enumerate(image_sizes):
        expected = transformed(start[index], matrix(*hw, 64))
        np.testing.assert_allclose(to_numpy(there)[index], expected, atol=2e-5)
    np.testing.assert_allclose(to_numpy(back), start, atol=1e-3)


@pytest.mark.parametrize("way", [boxes.to_square, boxes.from_square])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1, 2, 3], (4, 5)), ["boxes", "(3,)"]),
        (([1, 2, 3, 4], None), ["image_size", "None"]),
        (([1, 2, 3, 4], (4, 0)), ["image_size", "(4, 0)"]),
        (([1, 2, 3, 4], (4, 5), 0), ["size", "0"]),
        (([1, 2, 3, 4], (4, 5), -3), ["size", "-3"]),
        (([1, 2, 3, 4], (4, 5), 2.5), ["size", "2.5"]),
        (([1, 2, 3, 4], (4, 5), 8, "voc"), ["bounding_box_format", "voc"]),
    ],
)
def test_bad_arguments_name_themselves(way, arguments, words):
    with pytest.raises(ValueError) as error:
        way(*arguments)
    for word in words:
        assert word in str(error.value)


def test_nan_stays_nan():
    moved = to_numpy(boxes.to_square([np.nan, 0, 10, 10], (20, 20), 10))
    assert np.isnan(moved).tolist() == [True, False, False, False]
