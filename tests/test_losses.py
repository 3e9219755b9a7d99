import os

import box_pairs
import keras
import numpy as np
import pytest
from differentiate import BACKEND, MODES, value_and_gradient

from keras_localize import boxes
from keras_localize.boxes.formats import FORMATS
from keras_localize.losses import BoxLoss, CIoULoss, DIoULoss, GIoULoss, IoULoss
from keras_localize.metrics import IoUMetric

OVERLAP_LOSSES = (IoULoss, GIoULoss, DIoULoss, CIoULoss)
LOSSES = (*OVERLAP_LOSSES, BoxLoss)
PAIRS = int(os.environ.get("KERAS_LOCALIZE_PAIRS", 300))
STARTS = int(os.environ.get("KERAS_LOCALIZE_STARTS", 100))

A, B, C, D = [-1, -1, 1, 1], [0, 0, 1, 1], [0, 1, 1, 2], [1, 1, 2, 2]


def per_box(loss, y_true, y_pred):
    value = loss(np.asarray(y_true, "float32"), np.asarray(y_pred, "float32"))
    return keras.ops.convert_to_numpy(value)


def pair(rng, n=200):
    return (box_pairs.boxes(rng, n, 0.1).astype("float32") for _ in range(2))


# --- values ---


def test_known_values():
    def values(cls, *pairs):
        return per_box(cls("xyxy", reduction=None), *np.swapaxes(pairs, 0, 1)).tolist()

    assert values(GIoULoss, (A, A), (A, B), (B, C), (B, D)) == [0, 0.75, 1, 1.5]
    expected = pytest.approx([0.8125, 1.19231, 1.2, 1.25], abs=5e-6)
    assert values(DIoULoss, (A, B), (A, C), (B, C), (B, D)) == expected
    assert values(CIoULoss, (A, B), (A, C), (B, C), (B, D)) == expected
    assert values(IoULoss, (A, A), (A, B), (B, C)) == [0, 0.75, 1]
    # L1 of A and B: two coordinates, each off by 1.
    box_loss = BoxLoss(bounding_box_format="xyxy", reduction=None)
    assert per_box(box_loss, [A], [B]).tolist() == [5 * 2 + 2 * 0.75]


@pytest.mark.parametrize("cls", OVERLAP_LOSSES)
def test_is_one_less_the_measure_for_upright_boxes(cls, rng):
    y_true, y_pred = pair(rng)
    measure = getattr(boxes, cls.__name__.removesuffix("Loss").lower())
    overlap = keras.ops.convert_to_numpy(measure(y_true, y_pred))
    loss = per_box(cls(reduction=None), y_true, y_pred)
    np.testing.assert_allclose(loss, 1 - overlap, atol=1e-6)


@pytest.mark.parametrize("overlap", ["iou", "giou", "diou", "ciou"])
def test_box_loss_is_its_two_parts(overlap, rng):
    y_true, y_pred = pair(rng)
    loss = BoxLoss(0.5, 3.0, overlap, reduction=None)
    measure = keras.ops.convert_to_numpy(getattr(boxes, overlap)(y_true, y_pred))
    expected = 0.5 * np.abs(y_true - y_pred).sum(-1) + 3 * (1 - measure)
    np.testing.assert_allclose(per_box(loss, y_true, y_pred), expected, atol=1e-5)


@pytest.mark.parametrize("cls", LOSSES)
def test_the_same_boxes_cost_the_same_in_every_format(cls, rng):
    y_true, y_pred = pair(rng)
    y_pred[::3] = y_pred[::3][:, [2, 1, 0, 3]]  # some inverted
    expected = per_box(cls(reduction=None), y_true, y_pred)
    for name in FORMATS:
        given = [
            keras.ops.convert_to_numpy(boxes.convert(y, "rel_xyxy", name, (1, 1)))
            for y in (y_true, y_pred)
        ]
        loss = cls(bounding_box_format=name, reduction=None)
        np.testing.assert_allclose(per_box(loss, *given), expected, atol=2e-5)


@pytest.mark.parametrize("cls", LOSSES)
@pytest.mark.parametrize("shape", [(4,), (1, 4), (7, 4), (3, 5, 4), (2, 3, 5, 4)])
def test_a_perfect_box_costs_nothing_and_has_no_slope(cls, shape, rng):
    y = box_pairs.boxes(rng, int(np.prod(shape)) // 4).reshape(shape).astype("float32")
    loss = cls(reduction=None)
    value, gradient = value_and_gradient(lambda y_pred: loss(y, y_pred), y)
    assert value.shape == shape[:-1]
    np.testing.assert_allclose(value, 0, atol=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-5)


# --- inverted and empty predictions ---


def test_an_inverted_side_costs_twice_its_length_in_the_enclosure():
    # The truth with swapped corners differs in its order alone: 2 for each side.
    for cls in OVERLAP_LOSSES:
        loss = cls("xyxy", reduction=None)
        swapped = [[1, 1, 0, 0], [1, 0, 0, 1], [0, 1, 1, 0]]
        assert per_box(loss, [B] * 3, swapped).tolist() == [4, 2, 2]
        # Half as wide and inverted, at the same centre: IoU 0.5, 2 * 0.5 on top.
        half = per_box(loss, [B], [[0.75, 0, 0.25, 1]])
        upright = per_box(loss, [B], [[0.25, 0, 0.75, 1]])
        np.testing.assert_allclose(half, upright + 1, atol=1e-6)


@pytest.mark.parametrize("cls", LOSSES)
def test_the_gradient_straightens_inverted_boxes(cls, rng):
    y_true, y_pred = pair(rng, 1000)
    y_pred = y_pred[:, [2, 3, 0, 1]]
    loss = cls(reduction=None)
    value, gradient = value_and_gradient(lambda y: loss(y_true, y), y_pred)
    assert (value > 0).all()
    # A step downhill moves the corners of each side towards each other.
    assert (gradient[:, 2:] - gradient[:, :2] < 0).all()


def test_a_box_of_no_size_opens():
    point = np.array([[0.5, 0.5, 0.5, 0.5]], "float32")
    for cls in LOSSES:
        loss = cls(reduction=None)
        _, gradient = value_and_gradient(
            lambda y, loss=loss: loss(np.array([B], "float32"), y), point
        )
        weight = 2 if cls is BoxLoss else 1
        l1 = np.array([5, 5, -5, -5]) if cls is BoxLoss else 0
        np.testing.assert_allclose(
            gradient, [np.array([1, 1, -1, -1]) * weight + l1], atol=1e-6
        )


def test_which_losses_see_a_disjoint_box():
    truth, far = np.array([B], "float32"), np.array([[3, 3, 4, 4]], "float32")

    def slope(loss):
        return np.abs(value_and_gradient(lambda y: loss(truth, y), far)[1]).max()

    assert slope(IoULoss(reduction=None)) == 0
    assert slope(BoxLoss(overlap="iou", reduction=None)) == 5
    for cls in (GIoULoss, DIoULoss, CIoULoss):
        assert slope(cls(reduction=None)) > 0.01


@pytest.mark.parametrize("cls", [GIoULoss, BoxLoss])
def test_gradient_matches_finite_differences(cls, rng):
    y_true, y_pred = (y.astype("float64") for y in pair(rng, 500))
    y_pred[::2] = y_pred[::2][:, [2, 1, 0, 3]]
    low, high = (
        np.minimum(y_pred[:, :2], y_pred[:, 2:]),
        np.maximum(y_pred[:, :2], y_pred[:, 2:]),
    )
    unit = np.maximum(high, y_true[:, 2:]) - np.minimum(low, y_true[:, :2])

    def reference(y):
        """Float64, the enclosure in the inversion's term held fixed."""
        low, high = np.minimum(y[:, :2], y[:, 2:]), np.maximum(y[:, :2], y[:, 2:])
        overlap = np.minimum(high, y_true[:, 2:]) - np.maximum(low, y_true[:, :2])
        hull = np.maximum(high, y_true[:, 2:]) - np.minimum(low, y_true[:, :2])
        inside = np.maximum(overlap, 0).prod(-1)
        union = (high - low).prod(-1) + (y_true[:, 2:] - y_true[:, :2]).prod(-1)
        union, enclosure = union - inside, hull.prod(-1)
        giou = inside / union - (enclosure - union) / enclosure
        inverted = (2 * np.maximum(y[:, :2] - y[:, 2:], 0) / unit).sum(-1)
        if cls is BoxLoss:
            return 5 * np.abs(y_true - y).sum(-1) + 2 * (1 - giou + inverted)
        return 1 - giou + inverted

    step = 1e-6 * np.eye(4)
    slopes = [(reference(y_pred + h) - reference(y_pred - h)) / 2e-6 for h in step]
    gap = np.abs(
        y_pred[:, [0, 1, 2, 3, 0, 1, 2, 3]] - y_true[:, [0, 1, 2, 3, 2, 3, 0, 1]]
    )
    smooth = gap.min(-1) > 1e-4
    loss = cls(reduction=None)
    truth = y_true.astype("float32")
    value, gradient = value_and_gradient(
        lambda y: loss(truth, y), y_pred.astype("float32")
    )
    np.testing.assert_allclose(value, reference(y_pred), rtol=1e-5, atol=1e-5)
    expected = np.stack(slopes, -1)
    np.testing.assert_allclose(gradient[smooth], expected[smooth], 2e-4, 2e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_finite_whatever_comes(dtype, mode, rng):
    if mode == "jit" and dtype != "float16" and PAIRS < 31000:
        pytest.skip("compiles for long; float16 is the hardest")
    pairs = [
        *box_pairs.upright_pairs(rng, PAIRS).values(),
        *box_pairs.degenerate_pairs(rng, PAIRS).values(),
    ]
    largest = 65504 if dtype == "float16" else 3.3e38
    y_true, y_pred = (
        keras.ops.cast(np.clip(np.concatenate(side), -largest, largest), dtype)
        for side in zip(*pairs)
    )
    losses = [cls(bounding_box_format="xyxy", reduction=None) for cls in LOSSES]
    value, gradient = value_and_gradient(
        lambda y: keras.ops.stack([loss(y_true, y) for loss in losses], -1),
        y_pred,
        mode,
    )
    if PAIRS >= 31000:
        assert len(value) >= 10**6
    assert np.isfinite(value).all()
    assert np.isfinite(value.astype("float32").sum(0)).all()  # what a batch adds up to
    assert np.isfinite(gradient).all()
    assert (value >= -1e-6).all()


def test_the_largest_coordinates_disagree_and_l1_is_bounded():
    most = np.finfo("float32").max
    y_true, y_pred = np.full((1, 4), most), np.full((1, 4), -most)
    loss = BoxLoss(l1_weight=1, overlap_weight=0, reduction=None)
    for scale, expected in [(1.0, 1e30), (1e20 / most, 8e20)]:
        value, gradient = value_and_gradient(
            lambda y, t=y_true * scale: loss(t.astype("float32"), y),
            (y_pred * scale).astype("float32"),
        )
        assert value == pytest.approx(expected, rel=1e-5)
        assert (gradient < 0).all()  # downhill is still towards the truth


@pytest.mark.parametrize("start", ["inverted", "swapped", "disjoint", "point", "zero"])
@pytest.mark.parametrize("cls", [GIoULoss, DIoULoss, CIoULoss, BoxLoss])
def test_fits_from_a_bad_start(cls, start, rng, fitted):
    iou, upright = fitted(cls)[start]
    assert upright.all()
    assert (iou > 0.95).mean() >= 0.99


@pytest.fixture(scope="module")
def fitted():
    """{start: (IoU, whether upright)} of many boxes per bad start, after Adam."""
    results = {}

    def fit(cls):
        if cls not in results:
            results[cls] = _fit(cls)
        return results[cls]

    return fit


def _fit(cls, n=STARTS, steps=700):
    rng = np.random.default_rng(3)
    sides = rng.uniform(0.1, 0.5, (2, n, 2))
    low = rng.uniform(0, 1 - sides)
    truth, other = np.concatenate([low, low + sides], -1)
    which = rng.integers(0, 3, (n, 1))
    orders = np.array([[2, 3, 0, 1], [2, 1, 0, 3], [0, 3, 2, 1]])
    starts = {
        "inverted": np.take_along_axis(other, orders[which[:, 0]], -1),
        "swapped": truth[:, [2, 3, 0, 1]],
        "disjoint": truth + np.array([0.7, 0, 0.7, 0]),
        "point": other[:, [0, 1, 0, 1]],
        "zero": truth * 0,
    }
    y_true = np.tile(truth, (len(starts), 1)).astype("float32")
    # Each box is a row of weights; one batch is all of them.
    table = keras.layers.Embedding(len(y_true), 4)
    model = keras.Sequential([keras.Input((), dtype="int32"), table])
    table.set_weights([np.concatenate(list(starts.values())).astype("float32")])
    schedule = keras.optimizers.schedules.PolynomialDecay(0.03, steps, 0.0)
    model.compile(keras.optimizers.Adam(schedule), cls(reduction="sum"))
    index = np.tile(np.arange(len(y_true)), steps)
    model.fit(index, y_true[index], batch_size=len(y_true), shuffle=False, verbose=0)
    (found,) = table.get_weights()
    iou = keras.ops.convert_to_numpy(boxes.iou(y_true, found)).reshape(-1, n)
    upright = (found[:, 2:] > found[:, :2]).all(-1).reshape(-1, n)
    return dict(zip(starts, zip(iou, upright)))


# --- Keras's side ---


@pytest.mark.parametrize("cls", LOSSES)
def test_reductions_weights_and_masks(cls, rng):
    y_true, y_pred = pair(rng, 6)
    each = per_box(cls(reduction=None), y_true, y_pred)
    assert each.shape == (6,)
    mean = float(each.mean())
    assert float(cls()(y_true, y_pred)) == pytest.approx(mean, rel=1e-5)
    assert float(cls(reduction="sum")(y_true, y_pred)) == pytest.approx(6 * mean, 1e-5)
    weight = np.array([0, 1, 2, 0, 0.5, 1], "float32")
    weighted = float((each * weight).sum())
    for shape in ((6,), (6, 1)):
        value = cls()(y_true, y_pred, sample_weight=weight.reshape(shape))
        assert float(value) == pytest.approx(weighted / 6, rel=1e-5)
    value = cls(reduction="mean_with_sample_weight")(y_true, y_pred, weight)
    assert float(value) == pytest.approx(weighted / weight.sum(), rel=1e-5)

    nested = cls(reduction=None)(y_true.reshape(2, 3, 4), y_pred.reshape(2, 3, 4))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(nested), each.reshape(2, 3), rtol=1e-6
    )


def test_a_mask_leaves_steps_out(rng):
    y_true, y_pred = (y.reshape(2, 3, 4) for y in pair(rng, 6))
    y_true[0, 2] = y_pred[0, 2] = 0  # what Masking takes for "no step"
    model = keras.Sequential([keras.Input((3, 4)), keras.layers.Masking()])
    model.compile(loss=GIoULoss(), run_eagerly=BACKEND != "jax")
    kept = np.delete(np.arange(6), 2)
    each = per_box(GIoULoss(reduction=None), y_true.reshape(6, 4), y_pred.reshape(6, 4))
    value = model.evaluate(y_pred, y_true, verbose=0)
    assert value == pytest.approx(float(each[kept].mean()), rel=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_arithmetic_is_float32_under_every_policy(policy):
    keras.config.set_dtype_policy(policy)
    loss = GIoULoss("xyxy")
    assert loss.dtype == "float32"
    for dtype in (policy, keras.DTypePolicy(policy), "bfloat16", "float32"):
        assert GIoULoss("xyxy", dtype=dtype).dtype == "float32"
    value = per_box(loss, [[600, 600, 640, 640]], [[600, 600, 640, 630]])
    assert value == pytest.approx(0.25, abs=1e-6)


@pytest.mark.skipif(BACKEND == "jax", reason="float64 is off in JAX by default")
@pytest.mark.parametrize("cls", LOSSES)
def test_float64_is_honoured(cls):
    loss = cls(bounding_box_format="xyxy", dtype="float64", reduction=None)
    third = np.array([[0, 0, 1, 1 / 3]])
    value = loss(np.array([B], "float64"), third)
    assert keras.backend.standardize_dtype(value.dtype) == "float64"
    if cls in (IoULoss, GIoULoss):
        assert float(value[0]) == pytest.approx(2 / 3, abs=1e-14)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_trains_under_mixed_precision(policy, rng):
    keras.config.set_dtype_policy(policy)
    y, _ = pair(rng, 64)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(4)]
    )
    model.compile(keras.optimizers.Adam(0.01), BoxLoss())
    history = model.fit(y, y, epochs=30, batch_size=64, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert history[-1] < history[0] / 2


@pytest.mark.parametrize(
    "loss",
    [
        *(cls("xywh", "sum", "mine", "float64") for cls in OVERLAP_LOSSES),
        BoxLoss(1.5, 0.5, "ciou", "center_xywh", "none", "mine", "float64"),
        *(cls() for cls in LOSSES),
    ],
    ids=lambda loss: f"{type(loss).__name__}-{loss.name}",
)
def test_config_round_trip(loss):
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    assert (again.dtype, again.reduction) == (loss.dtype, loss.reduction)
    assert again.bounding_box_format == loss.bounding_box_format


def test_default_names():
    names = ["iou_loss", "giou_loss", "diou_loss", "ciou_loss", "box_loss"]
    assert [cls().name for cls in LOSSES] == names


def test_travels_with_a_saved_model(tmp_path, rng):
    y_true, y_pred = pair(rng, 8)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.compile("sgd", BoxLoss(2, 1, "diou"))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.loss.get_config() == model.loss.get_config()
    expected = model.evaluate(y_pred, y_true, verbose=0)
    assert again.evaluate(y_pred, y_true, verbose=0) == pytest.approx(expected, 1e-5)


@pytest.mark.parametrize("cls", LOSSES)
def test_errors_name_the_argument(cls):
    with pytest.raises(ValueError, match=r"`bounding_box_format`.*'xyxz'"):
        cls(bounding_box_format="xyxz")
    with pytest.raises(ValueError, match=r"`y_pred`.*\(2, 3\)"):
        cls()(np.zeros((2, 4)), np.zeros((2, 3)))
    # Broadcasting would make 2 x 2 pairs of these.
    with pytest.raises(ValueError, match=r"y_true=\(2, 1, 4\), y_pred=\(2, 4\)"):
        cls()(np.zeros((2, 1, 4)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"y_true=\(1, 4\), y_pred=\(2, 4\)"):
        cls()(np.zeros((1, 4)), np.zeros((2, 4)))


def test_errors_of_the_box_loss():
    for name in ("l1_weight", "overlap_weight"):
        for value in (-1, float("nan"), float("inf")):
            with pytest.raises(ValueError, match=f"`{name}`.*{value}"):
                BoxLoss(**{name: value})
    with pytest.raises(ValueError, match=r"`overlap`.*'eiou'"):
        BoxLoss(overlap="eiou")


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="no float64 by default")
def test_float64_is_float64(rng):
    low = rng.uniform(0, 0.5, (50, 2))
    high = low + rng.uniform(0.05, 0.5, (50, 2))
    true = np.concatenate([low, high], axis=1)
    metric = IoUMetric(1.0, dtype="float64")
    metric.update_state(true, true)
    assert float(metric.result()) == 1.0
    # Of an inverted prediction, against the formula.
    loss = GIoULoss(dtype="float64", reduction=None)
    ordered = true[:, [0, 1, 2, 3]] + rng.uniform(-0.02, 0.02, (50, 4))
    inverted = ordered[:, [2, 3, 0, 1]]
    hull = np.maximum(true[:, 2:], ordered[:, 2:]) - np.minimum(
        true[:, :2], ordered[:, :2]
    )
    extra = (2 * (ordered[:, 2:] - ordered[:, :2]) / hull).sum(axis=1)
    found = [keras.ops.convert_to_numpy(loss(true, x)) for x in (inverted, ordered)]
    np.testing.assert_allclose(found[0] - found[1], extra, rtol=1e-12)
