"""Formats against float64 NumPy written from the formats' definitions alone."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_localize import boxes

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


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def written_in(corners, bounding_box_format, height, width):
    """float64 corners in pixels, written in a format."""
    x0, y0, x1, y1 = np.moveaxis(np.asarray(corners, "float64"), -1, 0)
    if bounding_box_format.startswith("rel_"):
        x0, x1, y0, y1 = x0 / width, x1 / width, y0 / height, y1 / height
    w, h, x, y = x1 - x0, y1 - y0, (x0 + x1) / 2, (y0 + y1) / 2
    return np.stack(
        {
            "xyxy": (x0, y0, x1, y1),
            "yxyx": (y0, x0, y1, x1),
            "xywh": (x0, y0, w, h),
            "center_xywh": (x, y, w, h),
            "center_yxhw": (y, x, h, w),
        }[bounding_box_format.removeprefix("rel_")],
        axis=-1,
    )


def random_corners(rng, *shape, side=600):
    a, b = rng.uniform(0, side, (2, *shape, 2))
    return np.concatenate([np.minimum(a, b), np.maximum(a, b)], axis=-1)


@pytest.mark.parametrize("source", FORMATS)
def test_convert_is_the_definition_for_every_pair_of_formats(source, rng):
    corners, height, width = random_corners(rng, 5, 3), 480, 640
    given_boxes = written_in(corners, source, height, width).astype("float32")
    for target in FORMATS:
        expected = written_in(corners, target, height, width)
        converted = boxes.convert(given_boxes, source, target, (height, width))
        scale = 1 if target.startswith("rel_") else 600
        np.testing.assert_allclose(
            to_numpy(converted) / scale, expected / scale, atol=5e-7
        )


@pytest.mark.parametrize("shape", [(), (7,), (2, 3), (2, 3, 4)])
def test_every_rank_and_dtype(shape, rng):
    corners = random_corners(rng, *shape)
    for dtype, result in [
        ("float32", "float32"),
        ("float16", "float32"),
        ("int32", "float32"),
    ]:
        rounded = corners.astype(dtype)
        out = boxes.convert(rounded, "xyxy", "rel_center_xywh", (50, 70))
        assert keras.backend.standardize_dtype(out.dtype) == result
        assert tuple(out.shape) == (*shape, 4)
        expected = written_in(rounded.astype("float64"), "rel_center_xywh", 50, 70)
        np.testing.assert_allclose(to_numpy(out), expected, atol=2e-6, rtol=1e-6)


def test_float64_is_kept_where_the_backend_has_it(rng):
    if keras.backend.backend() == "jax":
        pytest.skip("JAX computes in float32 unless told otherwise")
    corners = random_corners(rng, 4)
    out = boxes.convert(corners, "xyxy", "rel_xywh", (480, 640))
    assert keras.backend.standardize_dtype(out.dtype) == "float64"
    expected = written_in(corners, "rel_xywh", 480, 640)
    np.testing.assert_allclose(to_numpy(out), expected, rtol=1e-13, atol=1e-16)
    area = boxes.area(corners, "xyxy")
    clipped = boxes.clip(corners, "xyxy", (200, 300))
    for out in (area, clipped):
        assert keras.backend.standardize_dtype(out.dtype) == "float64"
    sides = np.maximum(corners[:, 2:] - corners[:, :2], 0)
    np.testing.assert_allclose(to_numpy(area), sides.prod(axis=1), rtol=1e-13)
    expected = np.clip(corners, 0, [300, 200] * 2)
    np.testing.assert_allclose(to_numpy(clipped), expected, rtol=1e-13)
    np.testing.assert_array_equal(
        to_numpy(boxes.clip([np.nan, -1, 0.5, 3])), [np.nan, 0, 0.5, 1]
    )


def test_image_size_per_image_matches_from_the_left(rng):
    sizes = np.array([[480, 640], [100, 30]])
    for shape in [(2,), (2, 3), (2, 3, 5)]:
        corners = random_corners(rng, *shape)
        out = to_numpy(boxes.convert(corners, "xyxy", "rel_xyxy", sizes))
        for index, (height, width) in enumerate(sizes):
            expected = written_in(corners[index], "rel_xyxy", height, width)
            np.testing.assert_allclose(out[index], expected, rtol=2e-6)


@given(
    seed=st.integers(0, 2**16),
    source=st.sampled_from(FORMATS),
    target=st.sampled_from(FORMATS),
    size=st.tuples(st.integers(1, 10_000), st.integers(1, 10_000)),
)
def test_conversion_there_and_back_changes_nothing(seed, source, target, size):
    height, width = size
    corners = random_corners(np.random.default_rng(seed), 64, side=1)
    corners = corners * [width, height, width, height]
    start = written_in(corners, source, height, width).astype("float32")
    there = boxes.convert(start, source, target, size)
    back = to_numpy(boxes.convert(there, target, source, size))
    unit = 1 if source.startswith("rel_") else max(size)
    assert np.abs(back - start).max() <= 5e-7 * unit


def test_clip_cuts_at_the_border_in_every_format(rng):
    corners = random_corners(rng, 50, side=200) - 60
    expected = np.clip(corners, 0, [80, 50, 80, 50])
    for name in FORMATS:
        start = written_in(corners, name, 50, 80).astype("float32")
        clipped = boxes.clip(start, name, (50, 80))
        back = to_numpy(boxes.convert(clipped, name, "xyxy", (50, 80)))
        np.testing.assert_allclose(back, expected, atol=1e-4)


def test_clip_per_image_and_relative_without_image_size():
    sizes = np.array([[10, 20], [30, 5]])
    out = boxes.clip(np.full((2, 3, 4), 100.0, "float32"), "xyxy", sizes)
    expected = np.array([[20, 10, 20, 10], [5, 30, 5, 30]])[:, None].repeat(3, 1)
    np.testing.assert_array_equal(to_numpy(out), expected)
    out = boxes.clip([-1.0, 0.5, 2.0, 0.75])
    np.testing.assert_array_equal(to_numpy(out), [0, 0.5, 1, 0.75])


def test_area_by_counting_pixels(rng):
    corners = np.sort(rng.integers(0, 40, (20, 2, 2)), axis=1).reshape(20, 4)
    counted = []
    for x0, y0, x1, y1 in corners:
        canvas = np.zeros((40, 40))
        canvas[y0:y1, x0:x1] = 1
        counted.append(canvas.sum())
    for name in FORMATS:
        start = written_in(corners, name, 40, 40).astype("float32")
        unit = 1600 if name.startswith("rel_") else 1
        area = to_numpy(boxes.area(start, name))
        np.testing.assert_allclose(area * unit, counted, atol=1e-3)


def test_inverted_boxes_are_empty():
    inverted = [[3, 0, 1, 5], [0, 5, 3, 1], [3, 5, 1, 1]]
    np.testing.assert_array_equal(to_numpy(boxes.area(inverted, "xyxy")), [0, 0, 0])


def test_symbolic_boxes_and_sizes():
    given_boxes = keras.Input((3, 4), name="boxes")
    sizes = keras.Input((2,), dtype="int32", name="sizes")
    relative = boxes.convert(given_boxes, "xyxy", "rel_xywh", sizes)
    clipped = boxes.clip(relative, "rel_xywh")
    model = keras.Model([given_boxes, sizes], [clipped, boxes.area(clipped)])
    value = np.tile(np.array([10.0, 20, 30, 60], "float32"), (1, 3, 1))
    out, area = model([value, np.array([[100, 50]])])
    np.testing.assert_allclose(to_numpy(out)[0, 0], [0.2, 0.2, 0.4, 0.4], atol=1e-6)
    # `area` reads its default format, rel_xyxy.
    np.testing.assert_allclose(to_numpy(area)[0, 0], 0.2 * 0.2, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: boxes.convert([1, 2, 3], "xyxy", "xywh"), ["boxes", "(3,)"]),
        (lambda: boxes.convert(1.0, "xyxy", "xywh"), ["boxes", "()"]),
        (lambda: boxes.convert([1, 2, 3, 4], "xxyy", "xywh"), ["source", "xxyy"]),
        (lambda: boxes.convert([1, 2, 3, 4], "xyxy", None), ["target", "None"]),
        (lambda: boxes.convert([1, 2, 3, 4], "xyxy", "rel_xyxy"), ["image_size"]),
        (lambda: boxes.clip([1, 2, 3, 4], "xyxy"), ["image_size", "None"]),
        (lambda: boxes.area([1, 2, 3, 4], "coco"), ["bounding_box_format", "coco"]),
    ],
)
def test_bad_arguments_name_themselves(call, words):
    with pytest.raises(ValueError) as error:
        call()
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "image_size",
    [
        (0, 3),
        (3, -1),
        (2.5, 3),
        (1, 2, 3),
        "ab",
        5,
        np.ones((2, 3)),
        np.zeros((2, 2)),
        [[1, 2], [3, 4], [5, 6]],
        np.ones((1, 1, 2)),
    ],
)
def test_bad_image_sizes_are_refused(image_size):
    with pytest.raises(ValueError, match="image_size"):
        boxes.convert(np.zeros((2, 4)), "xyxy", "rel_xyxy", image_size)
