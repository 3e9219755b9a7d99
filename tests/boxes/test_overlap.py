import os

import box_pairs
import keras
import numpy as np
import pytest
from differentiate import BACKEND, MODES, value_and_gradient
from hypothesis import given
from hypothesis import strategies as st

from keras_localize import boxes
from keras_localize.boxes.formats import FORMATS

KINDS = ("iou", "giou", "diou", "ciou")
# Per relation; the suite's default is small, 31000 makes a million pairs.
PAIRS = int(os.environ.get("KERAS_LOCALIZE_PAIRS", 1000))

A, B, C, D = [-1, -1, 1, 1], [0, 0, 1, 1], [0, 1, 1, 2], [1, 1, 2, 2]
SEEDS = st.integers(0, 2**32 - 1)


def measure(kind, boxes1, boxes2, bounding_box_format="xyxy"):
    value = getattr(boxes, kind)(boxes1, boxes2, bounding_box_format)
    return keras.ops.convert_to_numpy(value)


def reference(kind, boxes1, boxes2, alpha=None):
    """The textbook formula in float64, with a fixed alpha if one is given."""
    a, b = np.asarray(boxes1, "float64"), np.asarray(boxes2, "float64")
    (w1, h1), (w2, h2) = (np.moveaxis(x[..., 2:] - x[..., :2], -1, 0) for x in (a, b))
    overlap = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    hull = np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2])
    intersection = np.maximum(overlap, 0).prod(-1)
    union = w1 * h1 + w2 * h2 - intersection
    iou = intersection / union
    if kind == "iou":
        return iou
    if kind == "giou":
        enclosure = hull.prod(-1)
        return iou - (enclosure - union) / enclosure
    offset = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    diou = iou - (offset**2).sum(-1) / (hull**2).sum(-1)
    if kind == "diou":
        return diou
    v = 4 / np.pi**2 * (np.arctan(w1 / h1) - np.arctan(w2 / h2)) ** 2
    if alpha is None:
        alpha = shape_weight(a, b)
    return diou - alpha * v


def shape_weight(a, b):
    """The alpha of CIoU."""
    (w1, h1), (w2, h2) = (np.moveaxis(x[..., 2:] - x[..., :2], -1, 0) for x in (a, b))
    v = 4 / np.pi**2 * (np.arctan(w1 / h1) - np.arctan(w2 / h2)) ** 2
    return v / np.maximum(1 - reference("iou", a, b) + v, 1e-30)


def in_format(corners, bounding_box_format):
    """Corners (x0, y0, x1, y1) written in another format, in NumPy."""
    x0, y0, x1, y1 = np.moveaxis(corners, -1, 0)
    w, h, x, y = x1 - x0, y1 - y0, (x0 + x1) / 2, (y0 + y1) / 2
    layouts = {
        "xyxy": (x0, y0, x1, y1),
        "yxyx": (y0, x0, y1, x1),
        "xywh": (x0, y0, w, h),
        "center_xywh": (x, y, w, h),
        "center_yxhw": (y, x, h, w),
    }
    return np.stack(layouts[bounding_box_format.removeprefix("rel_")], -1)


@pytest.fixture(scope="module")
def upright():
    """100,000 pairs of proper boxes in every relation."""
    pairs = box_pairs.upright_pairs(np.random.default_rng(1), 9100)
    return [np.concatenate(side) for side in zip(*pairs.values())]


# --- values ---


@pytest.mark.parametrize("kind", KINDS)
def test_matches_the_float64_reference(kind, upright):
    expected = reference(kind, *upright)
    np.testing.assert_allclose(measure(kind, *upright), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("bounding_box_format", FORMATS)
def test_every_format(bounding_box_format, rng):
    a, b = (box_pairs.boxes(rng, 2000, 0.01) for _ in range(2))
    given = [in_format(x, bounding_box_format).astype("float32") for x in (a, b)]
    for kind in KINDS:
        value = measure(kind, *given, bounding_box_format)
        np.testing.assert_allclose(value, reference(kind, a, b), atol=2e-5, rtol=0)


def test_known_values():
    def values(kind, *pairs):
        return measure(kind, *np.array(pairs, "float32").swapaxes(0, 1)).tolist()

    assert values("iou", (A, A), (A, B), (B, C)) == [1, 0.25, 0]
    assert values("giou", (A, A), (A, B), (B, C), (B, D)) == [1, 0.25, 0, -0.5]
    expected = pytest.approx([0.1875, -0.19231, -0.2, -0.25], abs=5e-6)
    assert values("diou", (A, B), (A, C), (B, C), (B, D)) == expected
    assert values("ciou", (A, B), (A, C), (B, C), (B, D)) == expected


@pytest.mark.parametrize("bounding_box_format", FORMATS)
@pytest.mark.parametrize("side", [1.0, 1e-2, 1e-4])
def test_a_box_meets_itself(side, bounding_box_format, rng):
    corner = rng.uniform(0, 1, (1000, 2))
    box = in_format(np.concatenate([corner, corner + side], -1), bounding_box_format)
    box = box.astype("float32")
    for kind in KINDS:
        np.testing.assert_allclose(
            measure(kind, box, box, bounding_box_format), 1, 1e-6
        )


def test_no_bias_down_to_minute_boxes():
    for side in 10.0 ** -np.arange(5, 17):
        whole, half = [0, 0, side, side], [0, 0, side, side / 2]
        assert measure("iou", whole, whole) == pytest.approx(1, abs=1e-6)
        assert measure("iou", whole, half) == pytest.approx(0.5, abs=1e-6)


def test_a_box_of_no_size_counts_as_square():
    # Beside a square it has no term for the shape, beside a sliver the square's.
    point = [0.5, 0.5, 0.5, 0.5]
    assert measure("ciou", B, point) == pytest.approx(measure("diou", B, point))
    sliver = [0, 0, 1, 1e-3]
    v = 4 / np.pi**2 * (np.pi / 4 - np.arctan(1e-3)) ** 2
    expected = measure("diou", sliver, point) - v * v / (1 + v)
    assert measure("ciou", sliver, point) == pytest.approx(expected, abs=1e-5)


def test_coordinates_of_any_size():
    for scale in (1e20, 1e30, 1e38):
        for kind in KINDS:
            assert measure(kind, np.multiply(A, scale), np.multiply(B, scale)) == (
                pytest.approx(measure(kind, A, B), abs=1e-6)
            )


def test_empty_boxes_overlap_nothing():
    inverted, narrow, low, point = (
        [1, 1, 0, 0],
        [1, 0, 0, 1],
        [0, 1, 1, 0],
        [0.5, 0.5, 0.5, 0.5],
    )
    for empty in (inverted, narrow, low, point):
        assert measure("iou", B, empty) == 0
        assert measure("iou", empty, B) == 0
        assert measure("iou", empty, empty) == 0
    # An inverted side is none and stays where it starts: [1, 1, 0, 0] is the point
    # (1, 1), [1, 0, 0, 1] the right side of B.
    assert measure("giou", B, inverted) == 0
    assert measure("diou", B, inverted) == pytest.approx(-0.25)
    assert measure("diou", B, narrow) == pytest.approx(-0.125)


def test_leading_axes_broadcast():
    pairs = measure("iou", np.zeros((5, 1, 4)) + A, np.zeros((1, 3, 4)) + B)
    np.testing.assert_allclose(pairs, np.full((5, 3), 0.25))
    assert measure("iou", A, B).shape == ()
    assert measure("iou", np.zeros((0, 4)), np.zeros((0, 4))).shape == (0,)


# --- properties ---


def any_boxes(seed, n=64):
    """Boxes of every kind: proper, inverted, empty, of very different sizes."""
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-6, 6, (n, 1))
    corners = rng.choice([rng.uniform(-1, 1, (n, 4)), rng.integers(-2, 3, (n, 4))])
    return (corners * scale).astype("float32")


@given(SEEDS, SEEDS, st.sampled_from(KINDS))
def test_range_and_symmetry(seed1, seed2, kind):
    a, b = any_boxes(seed1), any_boxes(seed2)
    value, iou = measure(kind, a, b), measure("iou", a, b)
    low = {"iou": 0, "giou": -1, "diou": -1, "ciou": -2}[kind]
    assert (value >= low - 1e-6).all() and (value <= iou + 1e-6).all()
    assert (iou >= 0).all() and (iou <= 1 + 1e-6).all()
    np.testing.assert_allclose(measure(kind, b, a), value, atol=1e-6)


@given(SEEDS, st.sampled_from(KINDS), st.integers(-3, 3), st.integers(-20, 20))
def test_invariant_under_shift_and_scale(seed, kind, shift, power):
    rng = np.random.default_rng(seed)
    # Sixteenths, so that shifting and scaling are exact.
    a, b = (np.round(box_pairs.boxes(rng, 64, 0.1) * 16) / 16 for _ in range(2))
    value = measure(kind, a, b)
    moved = measure(kind, (a + shift) * 2.0**power, (b + shift) * 2.0**power)
    np.testing.assert_allclose(moved, value, atol=2e-6)


@given(SEEDS, st.sampled_from(("iou", "giou")), st.floats(0.01, 100))
def test_iou_and_giou_invariant_under_stretching(seed, kind, factor):
    rng = np.random.default_rng(seed)
    a, b = (box_pairs.boxes(rng, 64) for _ in range(2))
    stretch = np.array([factor, 1, factor, 1])
    value = measure(kind, a * stretch, b * stretch)
    np.testing.assert_allclose(value, measure(kind, a, b), atol=1e-5)


@given(SEEDS, st.sampled_from(KINDS))
def test_pairs_are_independent(seed, kind):
    a, b = any_boxes(seed), any_boxes(seed + 1)
    order = np.random.default_rng(seed).permutation(len(a))
    shuffled = measure(kind, a[order], b[order])
    np.testing.assert_allclose(shuffled, measure(kind, a, b)[order], atol=1e-6)


@given(SEEDS, st.sampled_from(KINDS))
def test_falls_as_a_box_slides_away(seed, kind):
    rng = np.random.default_rng(seed)
    box = box_pairs.boxes(rng, 1, 0.2)
    steps = np.sort(rng.uniform(0, 4, (64, 1)), 0)
    direction = rng.normal(size=2)
    slid = box + steps * direction[[0, 1, 0, 1]]
    assert (np.diff(measure(kind, np.repeat(box, 64, 0), slid)) <= 1e-6).all()


def test_the_input_is_left_alone(rng):
    a, b = (rng.normal(size=(8, 4)).astype("float32") for _ in range(2))
    before = a.copy(), b.copy()
    for kind in KINDS:
        measure(kind, a, b)
    np.testing.assert_array_equal((a, b), before)


# --- gradients ---


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_matches_finite_differences(kind, rng):
    a, b = (box_pairs.boxes(rng, 3000, 0.1).astype("float32") for _ in range(2))
    a, b = a.astype("float64"), b.astype("float64")
    alpha = shape_weight(a, b)  # the paper holds it fixed
    step = 1e-6
    expected = np.stack(
        [
            reference(kind, a, b + step * unit, alpha)
            - reference(kind, a, b - step * unit, alpha)
            for unit in np.eye(4)
        ],
        -1,
    ) / (2 * step)
    # Finite differences say nothing at a kink, where a side passes a side.
    sides = np.abs(a[:, [0, 1, 2, 3, 2, 3, 0, 1]] - b[:, [0, 1, 2, 3, 0, 1, 2, 3]])
    smooth = sides.min(-1) > 1e-4
    assert smooth.mean() > 0.9
    truth = a.astype("float32")
    _, gradient = value_and_gradient(
        lambda x: getattr(boxes, kind)(truth, x, "xyxy"), b.astype("float32")
    )
    np.testing.assert_allclose(gradient[smooth], expected[smooth], rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_finite_whatever_comes(dtype, mode, rng):
    if mode == "jit" and dtype == "bfloat16" and PAIRS < 31000:
        pytest.skip("compiles for long; float16 is the harder one")
    pairs = [
        *box_pairs.upright_pairs(rng, PAIRS).values(),
        *box_pairs.degenerate_pairs(rng, PAIRS).values(),
    ]
    largest = 65504 if dtype == "float16" else 3.3e38
    a, b = (
        keras.ops.cast(np.clip(np.concatenate(side), -largest, largest), dtype)
        for side in zip(*pairs)
    )
    if PAIRS >= 31000:
        assert len(a) >= 10**6

    def all_four(b):
        values = [getattr(boxes, kind)(a, b, "xyxy") for kind in KINDS]
        return keras.ops.stack(values, -1)

    value, gradient = value_and_gradient(all_four, b, mode)
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() < 1e4  # bounded, not only finite
    assert (value <= 1 + 1e-6).all() and (value >= -2 - 1e-6).all()


def test_gradients_at_ties_are_the_same_everywhere():
    truth = np.array([0, 0, 1, 1], "float32")
    box = np.array(
        [
            [0, 0, 1, 1],  # equal: the best place has no slope
            [1, 0, 2, 1],  # touching: half the slope of the overlap
            [0.5, 0, 0.5, 1],  # no width, inside
            [0, 0, 1, 0.5],  # three sides in common
        ],
        "float32",
    )
    expected = {
        "iou": [
            [0, 0, 0, 0],
            [-0.25, 0, 0, 0],
            [-0.25, 0, 0.25, 0],
            [-0.125, -0.25, 0.125, 1],
        ],
        "giou": [
            [0, 0, 0, 0],
            [-0.5, 0, 0, 0],
            [-0.5, 0.5, 0.5, -0.5],
            [0.125, -0.25, -0.125, 1],
        ],
    }
    for kind, slopes in expected.items():
        _, gradient = value_and_gradient(
            lambda x, kind=kind: getattr(boxes, kind)(truth, x, "xyxy"), box, MODES[-1]
        )
        np.testing.assert_allclose(gradient, slopes, atol=1e-6, err_msg=kind)


def test_the_gradient_of_a_minute_pair_is_damped():
    def steepest(side):
        whole = np.array([[0, 0, side, side]], "float32")
        part = whole * np.array([1, 1, 0.75, 0.75], "float32")
        _, gradient = value_and_gradient(lambda x: boxes.iou(whole, x, "xyxy"), part)
        return np.abs(gradient).max()

    assert steepest(1e-2) == pytest.approx(100 * steepest(1.0), rel=1e-3)
    assert steepest(1e-6) == pytest.approx(steepest(1e-3), rel=1e-3)


# --- dtypes, symbols, errors ---


def test_half_precision_is_raised_to_float32():
    pair = np.array([[100, 200, 300, 400], [150, 200, 350, 401]], "float16")
    for kind in KINDS:
        value = measure(kind, *pair)
        assert value.dtype == "float32"
        assert value == pytest.approx(reference(kind, *pair), abs=1e-6)


@pytest.mark.skipif(BACKEND == "jax", reason="float64 is off in JAX by default")
def test_float64_stays_float64(rng):
    a, b = (box_pairs.boxes(rng, 1000, 1e-3) for _ in range(2))
    for kind in KINDS:
        assert measure(kind, a, b).dtype == "float64"
        np.testing.assert_allclose(
            measure(kind, a, b), reference(kind, a, b), atol=1e-12
        )
        mixed = measure(kind, a, b.astype("float32"))
        assert mixed.dtype == "float64"
        np.testing.assert_allclose(mixed, reference(kind, a, b), atol=1e-3)


def test_inside_a_functional_model(rng):
    found = keras.Input((4,))
    truth = keras.Input((4,))
    outputs = [getattr(boxes, kind)(truth, found) for kind in KINDS]
    assert all(output.shape == (None,) for output in outputs)
    model = keras.Model([truth, found], outputs)
    a, b = (box_pairs.boxes(rng, 4).astype("float32") for _ in range(2))
    for kind, output in zip(KINDS, model([a, b])):
        output = keras.ops.convert_to_numpy(output)
        np.testing.assert_allclose(output, reference(kind, a, b), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_errors_name_the_argument(kind):
    overlap = getattr(boxes, kind)
    with pytest.raises(ValueError, match=r"`boxes1`.*\(2, 3\)"):
        overlap(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"`boxes2`.*\(\)"):
        overlap(np.zeros((2, 4)), 1.0)
    with pytest.raises(ValueError, match=r"`bounding_box_format`.*'xxyy'"):
        overlap(np.zeros((2, 4)), np.zeros((2, 4)), "xxyy")
