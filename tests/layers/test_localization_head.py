"""The head against closed forms, a float64 reference, and what it must learn."""

import keras
import numpy as np
import pytest

from keras_localize import BoxLoss, IoUMetric, LocalizationHead
from keras_localize.layers.feature_maps import averaged_down, patch_grid
from keras_localize.layers.localization_head import KINDS

DISTANCE = 0.18 * np.log1p(np.exp(0.54))


def numpy_of(x):
    return keras.ops.convert_to_numpy(x)


def set_prediction(head, kernel, bias):
    head.prediction.set_weights([np.reshape(kernel, (1, 1, -1, 8)), np.asarray(bias)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_every_box_is_ordered_inside_and_float32(kind, policy, rng):
    head = LocalizationHead(kind, units=8, dtype=policy)
    maps = [rng.normal(size=(64, 6, 6, 3)), rng.normal(size=(64, 3, 3, 5))]
    head([x.astype("float32") for x in maps])
    for scale in (1.0, 30.0 if policy != "mixed_float16" else 4.0):
        head.set_weights(
            [scale * rng.normal(size=w.shape).astype("float32") for w in head.weights]
        )
        box = head([x.astype("float32") for x in maps])
        assert keras.backend.standardize_dtype(box.dtype) == "float32"
        box = numpy_of(box)
        assert box.shape == (64, 4)
        assert (box >= 0).all() and (box <= 1).all()
        assert (box[:, :2] <= box[:, 2:]).all()
    symbolic = head([keras.KerasTensor((None, *x.shape[1:])) for x in maps])
    assert (symbolic.shape, symbolic.dtype) == ((None, 4), "float32")


def test_starts_at_the_centre_near_the_mean_box():
    head = LocalizationHead(units=4)
    box = head(np.zeros((1, 5, 7, 3), "float32"))  # no feature: all locations are alike
    expected = [0.5 - DISTANCE, 0.5 - DISTANCE, 0.5 + DISTANCE, 0.5 + DISTANCE]
    np.testing.assert_allclose(numpy_of(box)[0], expected, atol=1e-6)


def passing_head(height, width, channels):
    """A head whose trunk passes the map on, unchanged where it is positive."""
    head = LocalizationHead(units=channels)
    head.build((None, height, width, channels))
    same = np.eye(channels)[None, None]
    head.laterals[0].set_weights([same, np.zeros(channels)])
    middle = np.zeros((3, 3, channels, 1))
    middle[1, 1] = 1
    head.context_conv.set_weights([middle, same, np.zeros(channels)])
    return head


def test_each_side_comes_from_the_location_it_attends_to(rng):
    # Channel i marks the location that side i (left, top, right, bottom) attends to.
    height, width = 6, 9
    head = passing_head(height, width, 4)
    raw = np.array([-1.0, -2.0, 0.0, -0.5])
    set_prediction(head, [*np.eye(4, 8) * 1000.0], [0, 0, 0, 0, *raw])
    distance = 0.18 * np.log1p(np.exp(raw + 0.54))
    for _ in range(8):
        row, column = rng.integers(0, (height, width), (4, 2)).T
        x = np.zeros((1, height, width, 4), "float32")
        x[0, row, column, range(4)] = 1
        centers = np.where([1, 0, 1, 0], (column + 0.5) / width, (row + 0.5) / height)
        expected = (centers + [-1, -1, 1, 1] * distance).clip(0, 1)
        expected[2:] = np.maximum(expected[:2], expected[2:])
        np.testing.assert_allclose(numpy_of(head(x))[0], expected, atol=1e-5)


def test_spread_is_how_far_the_attended_locations_disagree(rng):
    height, width = 5, 7
    head = passing_head(height, width, 8)
    set_prediction(head, np.eye(8), np.zeros(8))
    x = rng.uniform(0, 3, (2, height, width, 8)).astype("float32")
    box, spread = head(x, return_spread=True)
    np.testing.assert_array_equal(numpy_of(box), numpy_of(head(x)))
    symbolic = head(keras.KerasTensor((None, height, width, 8)), return_spread=True)
    assert [tuple(s.shape) for s in symbolic] == [(None, 4)] * 2

    raw = x.reshape(2, -1, 8).astype("float64")
    attention = np.exp(raw[..., :4]) / np.exp(raw[..., :4]).sum(1, keepdims=True)
    rows, columns = (np.mgrid[:height, :width] + 0.5).reshape(2, -1)
    at = np.stack([columns / width, rows / height] * 2, -1)
    sides = at + [-1, -1, 1, 1] * (0.18 * np.log1p(np.exp(raw[..., 4:] + 0.54)))
    mean = (attention * sides).sum(1, keepdims=True)
    expected = np.sqrt((attention * (sides - mean) ** 2).sum(1))
    np.testing.assert_allclose(numpy_of(spread), expected, atol=1e-5)

    x[:, 2, 3, :4] = 60  # all attention to one location: no disagreement
    assert numpy_of(head(x, return_spread=True)[1]).max() < 1e-5


def test_no_spread_of_a_single_prediction():
    with pytest.raises(ValueError, match=r"return_spread=True.*'pooled'"):
        LocalizationHead("pooled")(np.zeros((1, 2, 2, 3)), return_spread=True)


@pytest.mark.parametrize("rows, columns", [(8, 10), (7, 9)])
def test_agrees_with_a_float64_reference(rng, rows, columns):
    fine = rng.normal(size=(3, rows, columns, 2))
    middle = rng.normal(size=(3, 4, 5, 6))
    coarse = rng.normal(size=(3, 1, 1, 3))  # its interpolation is a constant
    maps = [x.astype("float32") for x in (fine, middle, coarse)]
    head = LocalizationHead(units=7)
    head(maps)
    weights = [rng.normal(scale=0.4, size=w.shape) for w in head.weights]
    head.set_weights(weights)
    by_name = {w.path.split("/", 1)[1]: v for w, v in zip(head.weights, weights)}

    def find(layer, part):
        found = [v for k, v in by_name.items() if k.startswith(f"{layer}/{part}")]
        assert len(found) == 1
        return found[0]

    # Over the border there is nothing, which counts in no average.
    border = ((0, 0), (0, 8 - rows), (0, 10 - columns), (0, 0))
    padded = np.pad(fine, border, constant_values=np.nan)
    averaged = np.nanmean(padded.reshape(3, 4, 2, 5, 2, 2), axis=(2, 4))
    x = np.maximum(
        averaged @ find("lateral_0", "kernel")[0, 0]
        + find("lateral_0", "bias")
        + middle @ find("lateral_1", "kernel")[0, 0]
        + coarse @ find("lateral_2", "kernel")[0, 0],
        0,
    )
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    depthwise = find("context_conv", "depthwise")[..., 0]
    x = sum(
        padded[:, i : i + 4, j : j + 5] * depthwise[i, j]
        for i in range(3)
        for j in range(3)
    )
    x = x @ find("context_conv", "pointwise")[0, 0] + find("context_conv", "bias")
    x = np.maximum(x, 0) @ find("prediction", "kernel")[0, 0] + find(
        "prediction", "bias"
    )
    attention = np.exp(x[..., :4])
    attention /= attention.sum((1, 2), keepdims=True)
    distance = 0.18 * np.log1p(np.exp(x[..., 4:] + 0.54))
    row, column = np.mgrid[:4, :5]
    center = np.stack([(column + 0.5) / 5, (row + 0.5) / 4], -1)
    corners = np.concatenate(
        [center - distance[..., :2], center + distance[..., 2:]], -1
    )
    expected = (attention * corners).sum((1, 2)).clip(0, 1)
    expected[:, 2:] = np.maximum(expected[:, :2], expected[:, 2:])
    np.testing.assert_allclose(numpy_of(head(maps)), expected, atol=2e-5)


def test_tokens_are_the_map_they_came_from(rng):
    features = rng.normal(size=(2, 4, 4, 3)).astype("float32")
    head = LocalizationHead(units=5)
    expected = numpy_of(head(features))
    patches = features.reshape(2, 16, 3)
    prefix = rng.normal(size=(2, 5, 3)).astype("float32")
    tokens = np.concatenate([prefix, patches], axis=1)
    for given in (None, 5):
        other = LocalizationHead(units=5, num_prefix_tokens=given)
        other.build(tokens.shape)
        other.set_weights(head.get_weights())
        np.testing.assert_allclose(numpy_of(other(tokens)), expected, atol=1e-6)


def test_a_dict_of_maps_is_their_list(rng):
    maps = {"P4": rng.normal(size=(2, 4, 4, 5)), "P3": rng.normal(size=(2, 8, 8, 5))}
    head = LocalizationHead()
    found = keras.ops.convert_to_numpy(head(maps))
    as_list = keras.ops.convert_to_numpy(head([maps["P3"], maps["P4"]]))
    np.testing.assert_array_equal(found, as_list)


def test_no_attention_before_a_call():
    with pytest.raises(ValueError, match="`attention` needs a layer that has been"):
        LocalizationHead().attention(np.zeros((1, 4, 4, 3)))


def test_another_number_of_maps_is_refused(rng):
    fine, coarse = rng.normal(size=(2, 8, 8, 5)), rng.normal(size=(2, 4, 4, 5))
    head = LocalizationHead()
    head([fine, coarse])
    for maps in ([fine, coarse, coarse], [fine], coarse):
        with pytest.raises(ValueError, match="`inputs` must be 2 feature maps"):
            head(maps)


@pytest.mark.parametrize(("side", "step"), [(75, 4), (10, 4), (9, 3), (8, 4), (7, 2)])
def test_finer_maps_are_averaged_over_what_is_there(side, step, rng):
    """Windows are placed as by "same" padding, which itself does not count."""
    x = rng.normal(size=(1, side, side, 2)).astype("float32")
    found = averaged_down(keras.ops.convert_to_tensor(x), (step, step))
    count = -(-side // step)
    start = -((count * step - side) // 2)
    edges = [
        slice(max(start + i * step, 0), start + (i + 1) * step) for i in range(count)
    ]
    expected = [
        [x[0, rows, columns].mean(axis=(0, 1)) for columns in edges] for rows in edges
    ]
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found)[0], expected, rtol=1e-5, atol=1e-6
    )


def test_prefix_tokens_are_counted():
    assert patch_grid(197) == (1, 14)  # ViT at 224
    assert patch_grid(196) == (0, 14)
    assert patch_grid(16 * 16 + 5) == (5, 16)  # DINOv2 with registers
    with pytest.raises(ValueError, match="num_prefix_tokens=3"):
        patch_grid(197, 3)


def test_channels_first_is_channels_last_transposed(rng):
    features = rng.normal(size=(2, 4, 6, 3)).astype("float32")
    last, first = (
        LocalizationHead(units=4, data_format=f"channels_{order}")
        for order in ("last", "first")
    )
    expected = numpy_of(last(features))
    first.build((None, 3, 4, 6))
    first.set_weights(last.get_weights())
    got = first(features.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(numpy_of(got), expected, atol=1e-6)


@pytest.mark.parametrize(
    "kind, rate", [("spatial", 0.005), ("pooled", 0.02), ("flatten", 0.005)]
)
def test_fits_sixteen_images(kind, rate, rng):
    # Random features distinguish the images; a head that cannot learn stays at 0.3.
    maps = rng.normal(size=(16, 4, 4, 24)).astype("float32")
    corner = rng.uniform(0, 0.6, (16, 2))
    side = rng.uniform(0.2, 0.4, (16, 2))
    boxes = np.concatenate([corner, corner + side], axis=1).astype("float32")
    inputs = keras.Input(maps.shape[1:])
    model = keras.Model(inputs, LocalizationHead(kind, units=64)(inputs))
    schedule = keras.optimizers.schedules.CosineDecay(rate, 320)
    model.compile(keras.optimizers.Adam(schedule), BoxLoss(), metrics=[IoUMetric()])
    dataset = np.tile(maps, (80, 1, 1, 1)), np.tile(boxes, (80, 1))
    model.fit(*dataset, batch_size=16, epochs=4, shuffle=False, verbose=0)
    assert model.evaluate(maps, boxes, verbose=0)[1] > 0.95


def test_a_box_beyond_the_border_can_come_back():
    # All sides lie outside; plain clipping would leave no gradient to any weight.
    head = LocalizationHead(units=2)
    x = np.zeros((1, 3, 3, 1), "float32")
    inputs = keras.Input((3, 3, 1))
    model = keras.Model(inputs, head(inputs))
    set_prediction(head, np.zeros((2, 8)), [0.0] * 4 + [9.0] * 4)
    np.testing.assert_array_equal(model.predict(x, verbose=0), [[0, 0, 1, 1]])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    target = np.array([[0.25, 0.25, 0.75, 0.75]], "float32")
    before = head.prediction.get_weights()[1]
    model.fit(x, target, verbose=0)
    assert (head.prediction.get_weights()[1][4:] < before[4:]).all()


def test_round_trip_in_a_saved_model(tmp_path, rng):
    maps = [keras.Input((4, 4, 3)), keras.Input((2, 2, 5))]
    box = LocalizationHead("spatial", units=6, dtype="mixed_bfloat16", name="box")(maps)
    model = keras.Model(maps, box)
    model.save(tmp_path / "head.keras")
    loaded = keras.models.load_model(tmp_path / "head.keras")
    config = model.get_layer("box").get_config()
    assert loaded.get_layer("box").get_config() == config
    assert config["units"] == 6 and config["kind"] == "spatial"
    x = [rng.normal(size=(2, *m.shape[1:])).astype("float32") for m in maps]
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"kind": "huge"}, "kind='huge'"),
        ({"units": 0}, "units=0"),
        ({"num_prefix_tokens": -1}, "num_prefix_tokens=-1"),
        ({"data_format": "nhwc"}, "data_format='nhwc'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        LocalizationHead(**arguments)


@pytest.mark.parametrize("shape", [(2, 10), (None, 3, 4, 5, 6), (None, None, None, 3)])
def test_what_is_no_map_is_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        LocalizationHead()(keras.KerasTensor(shape))
