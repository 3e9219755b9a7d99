import subprocess
import sys

import box_pairs
import keras
import numpy as np
import pytest
from differentiate import BACKEND

from keras_localize import BoxLoss, boxes
from keras_localize.metrics import IoUMetric

WHOLE = [0, 0, 1, 1]
# Against WHOLE: IoU 1, 0.5, 0.25, 0, and two empty boxes.
FOUND = [WHOLE, [0, 0, 0.5, 1], [0, 0, 0.5, 0.5], [2, 2, 3, 3], [1, 1, 0, 0], [0] * 4]
IOU = np.array([1, 0.5, 0.25, 0, 0, 0])


def result(metric, *batches):
    for batch in batches:
        metric.update_state(*batch)
    return float(metric.result())


def test_mean_iou_and_share_above_a_threshold():
    batch = np.tile(WHOLE, (6, 1)), np.array(FOUND)
    assert result(IoUMetric(), batch) == pytest.approx(IOU.mean(), abs=1e-6)
    # At least the threshold: the IoU of exactly 0.5 counts.
    assert result(IoUMetric(0.5), batch) == pytest.approx(2 / 6)
    assert result(IoUMetric(0.51), batch) == pytest.approx(1 / 6)
    assert result(IoUMetric(1.0), batch) == pytest.approx(1 / 6)


def test_is_the_mean_over_all_boxes_in_batches_of_any_size(rng):
    y_true, y_pred = (box_pairs.boxes(rng, 100).astype("float32") for _ in range(2))
    expected = keras.ops.convert_to_numpy(boxes.iou(y_true, y_pred)).mean()
    parts = np.split(np.arange(100), [1, 8, 50])
    metric = IoUMetric()
    value = result(metric, *((y_true[i], y_pred[i]) for i in parts))
    assert value == pytest.approx(expected, rel=1e-5)
    assert sum(np.prod(v.shape) for v in metric.variables) == 2  # sums, no data
    metric.reset_state()
    assert float(metric.result()) == 0
    assert result(metric, (y_true[:9], y_true[:9])) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_a_box_of_weight_0_is_not_there(threshold):
    truth, found = np.tile(WHOLE, (6, 1)), np.array(FOUND)
    weight = np.array([1, 2, 0, 0.5, 0, 0])
    values = IOU if threshold is None else threshold <= IOU
    expected = (values * weight).sum() / weight.sum()
    for shape in ((6,), (6, 1)):
        metric = IoUMetric(threshold)
        value = result(metric, (truth, found, weight.reshape(shape)))
        assert value == pytest.approx(expected, abs=1e-6)
    assert result(IoUMetric(), (truth, found, np.zeros(6))) == 0


def test_several_boxes_per_sample():
    truth, found = np.tile(WHOLE, (2, 3, 1)), np.reshape(FOUND, (2, 3, 4))
    assert result(IoUMetric(), (truth, found)) == pytest.approx(IOU.mean(), abs=1e-6)
    weight = np.array([[1, 1, 0], [0, 0, 1]])
    value = result(IoUMetric(), (truth, found, weight))
    assert value == pytest.approx(0.5, abs=1e-6)


def test_formats():
    truth = [[10, 20, 30, 40]]
    assert result(
        IoUMetric(bounding_box_format="xywh"), (truth, [[10, 20, 15, 40]])
    ) == pytest.approx(0.5)


def test_disjoint_boxes_score_0():
    # keras.metrics.MeanIoU gives 1.0 here: it is no metric for boxes.
    assert result(IoUMetric(), ([[0.1, 0.1, 0.2, 0.2]], [[0.5, 0.5, 0.9, 0.9]])) == 0


@pytest.mark.parametrize("policy", ["mixed_float16", "float16"])
def test_sums_are_float32_under_every_policy(policy):
    keras.config.set_dtype_policy(policy)
    for dtype in (None, policy):
        metric = IoUMetric(dtype=dtype)
        assert metric.dtype == "float32"
    # float16 would stop counting at 2048.
    same = np.tile(WHOLE, (3000, 1)).astype("float16")
    assert result(metric, (same, same), (same, same * 0)) == pytest.approx(0.5)


@pytest.mark.skipif(BACKEND == "jax", reason="float64 is off in JAX by default")
def test_float64_is_honoured():
    metric = IoUMetric(dtype="float64")
    metric.update_state(np.array([WHOLE], "float64"), np.array([[0, 0, 1, 1 / 3]]))
    assert metric.dtype == "float64"
    value = keras.ops.convert_to_numpy(metric.result())
    assert value == pytest.approx(1 / 3, abs=1e-14)


def test_stateless(rng):
    y_true, y_pred = (box_pairs.boxes(rng, 64).astype("float32") for _ in range(2))
    metric = IoUMetric(0.3)
    expected = result(IoUMetric(0.3), (y_true, y_pred), (y_true, y_true))
    update = metric.stateless_update_state
    if BACKEND == "jax":
        import jax

        update = jax.jit(update)
    state = [v.value for v in metric.variables]
    for found in (y_pred, y_true):
        state = update(state, y_true, found)
    value = metric.stateless_result(state)
    assert float(value) == pytest.approx(expected, rel=1e-5)
    assert float(metric.result()) == 0  # its own state was left alone


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_a_model_with_weights(jit_compile, rng):
    if jit_compile and BACKEND == "torch":
        pytest.skip("torch's compiler takes long")
    y_true, y_pred = (box_pairs.boxes(rng, 50).astype("float32") for _ in range(2))
    weight = (rng.uniform(size=50) < 0.7).astype("float32")
    iou = keras.ops.convert_to_numpy(boxes.iou(y_true, y_pred))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Identity()])
    model.compile(
        loss="mse",
        weighted_metrics=[IoUMetric(), IoUMetric(0.5)],
        jit_compile=jit_compile,
    )
    logs = model.evaluate(
        y_pred, y_true, sample_weight=weight, batch_size=16, verbose=0, return_dict=True
    )
    kept = weight > 0
    assert logs["iou"] == pytest.approx(iou[kept].mean(), rel=1e-5)
    assert logs["iou_50"] == pytest.approx((iou[kept] >= 0.5).mean(), rel=1e-5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute")
def test_under_a_distribution_strategy():
    # In a process of its own: devices must be split before TensorFlow starts.
    script = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, halves)
import keras
from keras_localize.metrics import IoUMetric
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
with strategy.scope():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Identity()])
    model.compile(loss="mse", weighted_metrics=[IoUMetric()], jit_compile=False)
truth = np.tile([0, 0, 1, 1], (12, 1)).astype("float32")
found = truth.copy()
found[:6, 2] = 0.5
weight = np.array([1] * 9 + [0] * 3, "float32")
data = tf.data.Dataset.from_tensor_slices((found, truth, weight)).batch(4)
print("iou", model.evaluate(data, verbose=0, return_dict=True)["iou"])
"""
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True
    )
    assert output.returncode == 0, output.stderr[-2000:]
    value = float(output.stdout.split("iou")[-1])
    assert value == pytest.approx((6 * 0.5 + 3) / 9, rel=1e-5)


def model_that_gets_worse():
    """A model with one output whose box is perfect and learns another one."""
    truth = np.tile(np.array([0.2, 0.2, 0.8, 0.8], "float32"), (4, 1))
    inputs = keras.Input((1,))
    start = keras.initializers.Constant(0.0)
    outputs = keras.layers.Dense(4, kernel_initializer=start)(inputs)
    model = keras.Model(inputs, outputs)
    model.layers[-1].set_weights([np.zeros((1, 4)), truth[0]])
    x = np.zeros((4, 1), "float32")
    return model, (x, 1 - truth[:, ::-1] / 2), (x, truth)


CALLBACKS = {
    "EarlyStopping": lambda folder: keras.callbacks.EarlyStopping("val_iou"),
    "ModelCheckpoint": lambda folder: keras.callbacks.ModelCheckpoint(
        folder / "best.keras", monitor="val_iou", save_best_only=True
    ),
    "ReduceLROnPlateau": lambda folder: keras.callbacks.ReduceLROnPlateau(
        "val_iou", patience=1, factor=0.5
    ),
}


@pytest.mark.parametrize("kind", ["metrics", "weighted_metrics"])
@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_know_that_larger_is_better(name, kind, tmp_path):
    model, train, validation = model_that_gets_worse()
    model.compile(keras.optimizers.SGD(0.1), "mse", **{kind: [IoUMetric()]})
    callback = CALLBACKS[name](tmp_path)
    validation = (*validation, np.ones(4, "float32"))
    history = model.fit(
        *train, validation_data=validation, epochs=3, callbacks=[callback], verbose=0
    ).history
    scores = history["val_iou"]
    assert scores == sorted(scores, reverse=True) and scores[0] > scores[1]
    if name == "EarlyStopping":
        assert len(scores) == 2
    elif name == "ModelCheckpoint":
        best = keras.models.load_model(tmp_path / "best.keras")
        kept = best.evaluate(*validation[:2], verbose=0, return_dict=True)["iou"]
        assert kept == pytest.approx(scores[0], abs=1e-5)
    else:
        rates = history["learning_rate"]
        np.testing.assert_allclose(rates, [0.1, 0.1, 0.05], rtol=1e-6)


def test_names():
    names = [IoUMetric(t).name for t in (None, 0.5, 0.75, 0.55, 0.125)]
    assert names == ["iou", "iou_50", "iou_75", "iou_55", "iou_12.5"]
    assert IoUMetric(0.5, name="mine").name == "mine"


def test_config_round_trip():
    dtype = "float32" if BACKEND == "jax" else "float64"
    for metric in (IoUMetric(), IoUMetric(0.75, "center_xywh", "mine", dtype)):
        again = keras.metrics.deserialize(keras.metrics.serialize(metric))
        assert type(again) is IoUMetric
        assert again.get_config() == metric.get_config()
        for name in ("threshold", "bounding_box_format", "name", "dtype"):
            assert getattr(again, name) == getattr(metric, name)


def test_errors_name_the_argument():
    for threshold in (0, -0.5, 1.5, float("nan")):
        with pytest.raises(ValueError, match=f"`threshold`.*{threshold}"):
            IoUMetric(threshold)
    with pytest.raises(ValueError, match="`bounding_box_format`"):
        IoUMetric(bounding_box_format="coco")
    with pytest.raises(ValueError, match=r"y_true=\(2, 1, 4\), y_pred=\(2, 4\)"):
        IoUMetric().update_state(np.zeros((2, 1, 4)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="`y_pred`"):
        IoUMetric().update_state(np.zeros((2, 4)), np.zeros((2, 5)))


def test_steps_that_a_mask_leaves_out_do_not_count():
    """As of the losses, and of Keras's own metrics."""
    inputs = keras.Input((3, 8))
    x = keras.layers.Masking()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(4)(x))
    box = np.array([0.1, 0.1, 0.9, 0.9], "float32")
    model.layers[-1].set_weights([np.zeros((8, 4), "float32"), box])
    values, truth = np.ones((5, 3, 8), "float32"), np.tile(box, (5, 3, 1))
    values[:, 2], truth[:, 2] = 0, 0  # padding
    model.compile("sgd", BoxLoss(), metrics=[IoUMetric(), IoUMetric(0.5)])
    found = model.evaluate(values, truth, verbose=0, return_dict=True)
    assert found["iou"] == pytest.approx(1) and found["iou_50"] == 1
    weights = np.ones((5, 3), "float32")
    model.compile("sgd", BoxLoss(), weighted_metrics=[IoUMetric()])
    found = model.evaluate(
        values, truth, sample_weight=weights, verbose=0, return_dict=True
    )
    assert found["iou"] == pytest.approx(1)
