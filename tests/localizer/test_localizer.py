"""What a localizer promises: outputs, training, files, boxes in original pixels."""

import keras
import numpy as np
import pytest
from PIL import Image
from tiny_backbone import tiny_backbone

from keras_localize import Localization, build_localizer
from keras_localize.boxes import iou, to_square
from keras_localize.datasets import make_synthetic
from keras_localize.localizer.quality import QualityHead

NAMES = {
    "box_iou",
    "box_loss",
    "box_mse",
    "label_accuracy",
    "label_loss",
    "loss",
}


# One compiled test proves that the graph compiles; the others save its seconds.
EAGER = keras.backend.backend() == "tensorflow"


def fit(model, batch, **kwargs):
    x, y, w = batch
    return model.fit(x, y, sample_weight=w, batch_size=8, verbose=0, **kwargs).history


def evaluate(model, batch):
    x, y, w = batch
    return model.evaluate(x, y, sample_weight=w, verbose=0, return_dict=True)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_outputs_are_float32_under_every_policy(policy, batch):
    keras.config.set_dtype_policy(policy)
    localizer = build_localizer(tiny_backbone(), 3, quality=True)
    outputs = localizer.predict(batch[0], verbose=0)
    assert {key: value.shape for key, value in outputs.items()} == {
        "box": (8, 4),
        "label": (8, 3),
        "quality": (8, 1),
    }
    assert all(value.dtype == "float32" for value in outputs.values())
    np.testing.assert_allclose(outputs["label"].sum(axis=1), 1, atol=1e-5)


def test_trains_with_no_arguments(backbone, batch):
    localizer = build_localizer(backbone, 3, quality=True)
    localizer.compile()
    history = fit(localizer, batch, epochs=2, validation_data=batch)
    names = {*NAMES, "quality_loss"}
    assert set(history) == names | {f"val_{name}" for name in names}
    # Every part of the loss has a name.
    parts = sum(history[f"{part}_loss"][-1] for part in ("box", "label", "quality"))
    assert history["loss"][-1] == pytest.approx(parts, abs=1e-5)


def test_an_image_without_a_box_trains_and_counts_the_label_alone(backbone, batch):
    localizer = build_localizer(backbone, 3, quality=True, dropout=0.0)
    localizer.compile(run_eagerly=EAGER)
    x, y, w = batch
    scores = evaluate(localizer, batch)
    garbage = {**y, "box": np.where(w["box"][:, None] > 0, y["box"], 0.9)}
    assert evaluate(localizer, (x, garbage, w)) == pytest.approx(scores)
    # An independent count over the six images that have a box.
    outputs = localizer.predict(x, verbose=0)
    found = keras.ops.convert_to_numpy(iou(y["box"][2:], outputs["box"][2:]))
    assert scores["box_iou"] == pytest.approx(found.mean(), abs=1e-5)
    mse = ((outputs["box"] - y["box"])[2:] ** 2).mean()
    assert scores["box_mse"] == pytest.approx(mse, abs=1e-5)
    accuracy = (outputs["label"].argmax(1) == y["label"]).mean()
    assert scores["label_accuracy"] == pytest.approx(accuracy)


def test_repr_says_what_it_is():
    localizer = build_localizer(tiny_backbone(), 3, quality=True, name="pets")
    assert repr(localizer) == (
        "<Localizer pets: backbone tiny, 32 px, 3 classes, outputs box, label, quality>"
    )
    assert "no classes, outputs box>" in repr(build_localizer(tiny_backbone(), None))


@pytest.mark.parametrize("quality", [False, True])
def test_box_only(backbone, batch, quality):
    localizer = build_localizer(backbone, None, quality=quality)
    localizer.compile(run_eagerly=EAGER)
    x, y, w = batch
    history = fit(localizer, (x, {"box": y["box"]}, {"box": w["box"]}))
    parts = {"box_loss", "quality_loss"} if quality else set()
    assert set(history) == {"box_iou", "box_mse", "loss"} | parts
    found = localizer.localize(x[:1])[0]
    assert (found.label, found.class_name, found.score) == (None, None, None)


@pytest.mark.parametrize("names", [None, ["cat", "dog"]])
def test_one_sigmoid_unit(backbone, batch, names):
    localizer = build_localizer(backbone, 1, class_names=names)
    localizer.compile(run_eagerly=EAGER)
    x, y, w = batch
    history = fit(localizer, (x, {**y, "label": y["label"] > 0}, w))
    assert set(history) == NAMES
    probability = localizer.predict(x, verbose=0)["label"][:, 0]
    for found, p in zip(localizer.localize(x), probability):
        assert found.label == int(p > 0.5)
        assert found.score == pytest.approx(max(p, 1 - p), abs=1e-5)
        assert found.scores == pytest.approx((1 - p, p), abs=1e-5)
        assert found.class_name == (names[found.label] if names else None)


def test_one_class_is_the_answer_for_every_image(backbone, batch, tmp_path):
    localizer = build_localizer(backbone, 1, class_names=["plate"], quality=True)
    localizer.compile(run_eagerly=EAGER)
    x, y, w = batch
    one = (x, {**y, "label": np.zeros(8, "int32")}, w)
    history = fit(localizer, one)
    assert history["label_accuracy"] == [1.0] and history["label_loss"] == [0.0]
    assert evaluate(localizer, one)["label_accuracy"] == 1.0
    found = localizer.localize(x[0])[0]
    assert (found.label, found.class_name, found.score) == (0, "plate", 1.0)
    assert found.scores == (1.0,)
    localizer.save(tmp_path / "plates.keras")
    loaded = keras.models.load_model(tmp_path / "plates.keras")
    assert loaded.localize(x[0])[0].class_name == "plate"
    with pytest.raises(ValueError, match=r"\[0, 1\).*1 at index 0"):
        fit(localizer, (x, {**y, "label": np.ones(8, "int32")}, w))


def test_integer_and_one_hot_labels_are_the_same(backbone, batch):
    localizer = build_localizer(backbone, 3)
    localizer.compile(run_eagerly=EAGER)
    x, y, w = batch
    one_hot = {**y, "label": np.eye(3, dtype="float32")[y["label"]]}
    expected = evaluate(localizer, batch)
    localizer.compile(run_eagerly=EAGER)  # Keras chooses the accuracy once
    got = evaluate(localizer, (x, one_hot, w))
    assert got == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("trainable", "smoothing"), [(False, 0.0), (True, 0.1)])
def test_the_label_loss_is_cross_entropy(trainable, smoothing, backbone, batch):
    localizer = build_localizer(backbone, 3, trainable_backbone=trainable)
    localizer.compile(run_eagerly=EAGER)
    p = localizer.predict(batch[0], verbose=0)["label"].astype("float64")
    target = np.eye(3)[batch[1]["label"]] * (1 - smoothing) + smoothing / 3
    expected = -(target * np.log(p)).sum(axis=1).mean()
    got = evaluate(localizer, batch)["label_loss"]
    assert got == pytest.approx(expected, abs=1e-5)


def test_every_argument_of_compile_overrides(backbone, batch):
    localizer = build_localizer(backbone, 3)
    localizer.compile(
        optimizer="sgd",
        loss={"box": "mse"},
        loss_weights={"label": 0.5, "box": 2.0},
        metrics={"label": ["categorical_accuracy"]},
    )
    x, y, _ = batch
    one_hot = {**y, "label": np.eye(3, dtype="float32")[y["label"]]}
    scores = localizer.evaluate(x, one_hot, verbose=0, return_dict=True)
    assert "box_iou" not in scores
    outputs = localizer.predict(x, verbose=0)
    hits = outputs["label"].argmax(axis=1) == y["label"]
    assert scores["label_categorical_accuracy"] == pytest.approx(hits.mean())
    box = outputs["box"]
    assert scores["box_loss"] == pytest.approx(((box - y["box"]) ** 2).mean(), abs=1e-5)
    assert scores["loss"] == pytest.approx(
        0.5 * scores["label_loss"] + 2 * scores["box_loss"], abs=1e-5
    )


def test_a_file_holds_everything(tmp_path, batch):
    localizer = build_localizer(
        tiny_backbone(), 3, class_names=["a", "b", "c"], quality=True, head="pooled"
    )
    localizer.unfreeze("conv_2")
    localizer.compile(
        optimizer=keras.optimizers.AdamW(0.01), loss={"box": "mae"}, run_eagerly=EAGER
    )
    fit(localizer, batch)
    localizer.save(tmp_path / "localizer.keras")
    loaded = keras.models.load_model(tmp_path / "localizer.keras")
    assert loaded.class_names == ("a", "b", "c")
    for name in ("num_classes", "image_size", "dropout", "quality", "frozen"):
        assert loaded.get_config()[name] == localizer.get_config()[name]
    trainable = [v.path for v in localizer.trainable_variables]
    assert [v.path for v in loaded.trainable_variables] == trainable
    assert int(loaded.optimizer.iterations) == 1
    assert loaded.localize(batch[0]) == localizer.localize(batch[0])
    assert evaluate(loaded, batch) == pytest.approx(evaluate(localizer, batch))
    fit(loaded, batch)
    assert int(loaded.optimizer.iterations) == 2


def test_split_shares_the_weights(backbone, batch):
    localizer = build_localizer(backbone, 3, quality=True)
    features, heads = localizer.split()
    x, y, w = batch
    maps = features.predict(x, verbose=0)
    heads.compile(run_eagerly=EAGER)
    before = localizer.predict(x, verbose=0)
    history = fit(heads, (maps, y, w), epochs=9)
    assert set(history) == {*NAMES, "quality_loss"}
    after = localizer.predict(x, verbose=0)
    assert np.abs(after["box"] - before["box"]).max() > 1e-3
    for key, value in heads.predict(maps, verbose=0).items():
        np.testing.assert_allclose(value, after[key], atol=1e-5)


def test_split_needs_a_frozen_backbone(backbone):
    localizer = build_localizer(backbone, 3, trainable_backbone=True)
    with pytest.raises(ValueError, match="frozen backbone"):
        localizer.split()


def test_unfreeze_trains_what_it_says(backbone, batch):
    localizer = build_localizer(backbone, 3)
    heads = len(localizer.trainable_variables)
    localizer.unfreeze("conv_2")
    # conv_2 and inside_2, kernel and bias each; no batch normalization
    assert len(localizer.trainable_variables) == heads + 4
    localizer.compile(run_eagerly=EAGER)
    statistics = backbone.get_layer("norm_2").moving_mean
    frozen = keras.ops.convert_to_numpy(statistics).copy()
    fit(localizer, batch)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(statistics), frozen)
    localizer.unfreeze("conv_2", batch_normalization=True)
    assert len(localizer.trainable_variables) == heads + 6
    localizer.compile(run_eagerly=EAGER)
    fit(localizer, batch)
    assert np.abs(keras.ops.convert_to_numpy(statistics) - frozen).max() > 0
    with pytest.raises(ValueError, match=r"conv_2.*'conv_9'"):
        localizer.unfreeze("conv_9")


def test_the_label_looks_inside_the_box(backbone, batch):
    localizer = build_localizer(backbone, 2)
    pooled = localizer.get_layer("pool").output
    look = keras.Model(localizer.inputs, [localizer.head.output, pooled])
    box, vector = look.predict(batch[0], verbose=0)
    features = localizer.split()[0].predict(batch[0], verbose=0)[-1]
    locations, channels = features.shape[2:]
    low, high = box[:, None, :2] * locations, box[:, None, 2:] * locations
    at = np.arange(locations)[:, None]
    share = (np.minimum(high, at + 1) - np.maximum(low, at)).clip(0, 1)
    inside = np.einsum("bi,bj,bijc->bc", share[..., 1], share[..., 0], features)
    inside /= share.sum(1).prod(1)[:, None]
    np.testing.assert_allclose(vector[:, channels:], inside, atol=1e-3)
    everywhere = features.mean((1, 2))
    np.testing.assert_allclose(vector[:, :channels], everywhere, atol=1e-4)


def test_quality_takes_no_part_in_what_the_others_learn(batch):
    localizers = [
        build_localizer(
            tiny_backbone(), 3, quality=quality, dropout=0.0, trainable_backbone=True
        )
        for quality in (False, True)
    ]
    for name in ("tiny", "box", "label"):
        weights = localizers[0].get_layer(name).get_weights()
        localizers[1].get_layer(name).set_weights(weights)
    found = []
    for localizer in localizers:
        # No clipping by the norm of all gradients, the quality's among them.
        localizer.compile(keras.optimizers.SGD(0.05), run_eagerly=EAGER)
        fit(localizer, batch, shuffle=False)
        found.append(localizer.predict(batch[0], verbose=0))
    for key in ("box", "label"):
        np.testing.assert_allclose(found[1][key], found[0][key], atol=1e-5)


@pytest.mark.long
def test_quality_learns_the_iou(backbone, batch):
    localizer = build_localizer(backbone, None, quality=True)
    localizer.head.trainable = False  # the boxes stay, so their IoU is a fixed target
    features, heads = localizer.split()
    x, y, w = batch
    heads.compile(keras.optimizers.Adam(0.02))
    maps = features.predict(x, verbose=0)
    fit(heads, (maps, {"box": y["box"]}, {"box": w["box"]}), epochs=150)
    outputs = localizer.predict(x, verbose=0)
    truth = keras.ops.convert_to_numpy(iou(y["box"], outputs["box"]))
    quality = outputs["quality"][2:, 0]  # dropout keeps it from learning by heart
    assert np.corrcoef(quality, truth[2:])[0, 1] > 0.8
    assert np.mean(quality) == pytest.approx(np.mean(truth[2:]), abs=0.06)


def test_the_spread_divides_the_odds_of_the_learned_quality(rng):
    """The one that is typical of the training leaves them as they are."""
    head = QualityHead(dropout=0.0)
    pooled = rng.random((3, 8)).astype("float32")
    box = np.array([[0.2, 0.2, 0.6, 0.4]] * 3, "float32")
    shares = np.array([0.1, 0.05, 0.2])[:, None]  # 0.1 in the geometric mean
    spread = (shares * [0.4, 0.2, 0.4, 0.2]).astype("float32")

    def odds(training):
        quality = head(pooled, box, spread, training=training)
        quality = keras.ops.convert_to_numpy(quality)
        return quality / (1 - quality)

    expected = odds(True) * 0.1 / shares
    np.testing.assert_allclose(odds(False), expected, rtol=1e-4)
    spread *= 2  # now the mean is 0.2
    for _ in range(60):
        learned = odds(True)
    np.testing.assert_allclose(odds(False), learned * 0.1 / shares, rtol=0.01)
    head.trainable = False  # nothing of it changes now
    spread *= 2
    for _ in range(5):
        learned = odds(True)
    np.testing.assert_allclose(odds(False), learned * 0.05 / shares, rtol=0.01)


def test_without_a_spread_the_quality_is_the_learned_one(rng):
    head = QualityHead(dropout=0.0)
    pooled, box = rng.random((3, 8)).astype("float32"), np.full((3, 4), 0.5, "float32")
    learned, found = (
        keras.ops.convert_to_numpy(head(pooled, box, training=training))
        for training in (True, False)
    )
    np.testing.assert_array_equal(learned, found)


# --- localize ---


@pytest.fixture
def constant_localizer(backbone):
    """Whatever it sees, the box is the middle of the square: [.25, .25, .75, .75]."""
    localizer = build_localizer(backbone, 3, class_names=["a", "b", "c"], head="pooled")
    localizer.head.dense.set_weights([np.zeros((36, 4)), np.zeros(4)])
    return localizer


def test_boxes_come_back_to_original_pixels(constant_localizer, rng, tmp_path):
    sizes = [(60, 120), (120, 60), (31, 77), (500, 3)]
    images = [rng.integers(0, 256, (*s, 3)).astype("uint8") for s in sizes]
    path = tmp_path / "image.png"
    Image.fromarray(images[1]).save(path)
    given = [images[0], path, str(path), Image.fromarray(images[2]), images[3]]
    found = constant_localizer.localize(given, batch_size=2)
    assert len(found) == 5 and all(isinstance(f, Localization) for f in found)
    assert found[1] == found[2]
    for one, (height, width) in zip(
        [found[0], found[1], found[3], found[4]], sizes, strict=True
    ):
        x0, y0, x1, y1 = one.box
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        # Independent of from_square: the middle half of the longer side, centred.
        longer = max(height, width)
        low = np.array([width, height]) / 2 - longer / 4
        high = np.array([width, height]) / 2 + longer / 4
        tolerance = 0.6 * longer / 32  # the square's rounding to whole pixels
        expected = np.concatenate([low.clip(0), np.minimum(high, [width, height])])
        np.testing.assert_allclose(one.box, expected, atol=tolerance)


def test_localize_inverts_the_square_exactly(constant_localizer, rng):
    image = rng.integers(0, 256, (45, 83, 3)).astype("uint8")
    box = np.array([constant_localizer.localize(image)[0].box])
    square = to_square(box, (45, 83), 32, "xyxy")
    square = keras.ops.convert_to_numpy(square) / 32
    # Vertically the box was cut at the image's border.
    np.testing.assert_allclose(square[0, [0, 2]], [0.25, 0.75], atol=1e-5)


def test_label_score_and_name(constant_localizer, batch):
    probabilities = constant_localizer.predict(batch[0], verbose=0)["label"]
    for one, p in zip(
        constant_localizer.localize(batch[0], batch_size=3), probabilities
    ):
        assert one.label == p.argmax()
        assert one.score == pytest.approx(p.max(), abs=1e-5)
        assert one.class_name == "abc"[one.label]
        assert one.quality is None


def test_flip_average_of_a_flipped_image_is_flipped(backbone, batch):
    localizer = build_localizer(backbone, 3)
    localizer.head.prediction.set_weights(
        [np.random.default_rng(0).normal(size=(1, 1, 128, 8)), np.zeros(8)]
    )
    plain = localizer.localize(batch[0], flip_average=True)
    flipped = localizer.localize(batch[0][:, :, ::-1], flip_average=True)
    for one, other in zip(plain, flipped):
        x0, y0, x1, y1 = other.box
        np.testing.assert_allclose(one.box, (32 - x1, y0, 32 - x0, y1), atol=1e-3)
        assert one.score == pytest.approx(other.score, abs=1e-5)


def test_nothing_in_nothing_out_and_bad_input(constant_localizer, tmp_path):
    assert constant_localizer.localize([]) == []
    with pytest.raises(ValueError, match="batch_size=0"):
        constant_localizer.localize([], batch_size=0)
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(ValueError, match=r"text\.jpg"):
        constant_localizer.localize([tmp_path / "text.jpg"])
    with pytest.raises(ValueError, match=r"missing\.jpg"):
        constant_localizer.localize(tmp_path / "missing.jpg")
    batches = make_synthetic(2, num_classes=2).to_pydataset(32)
    with pytest.raises(ValueError, match=r"give the dataset .* Received: dict"):
        constant_localizer.localize(batches)


# --- arguments ---


@pytest.mark.parametrize(
    "classes, arguments, message",
    [
        (0, {}, "num_classes=0"),
        (-3, {}, "num_classes=-3"),
        (2.5, {}, "num_classes=2.5"),
        (True, {}, "num_classes=True"),
        (3, {"class_names": ["a", "b"]}, "2 names"),
        (3, {"class_names": ["a", "b", "a"]}, "'a' twice"),
        (3, {"class_names": "abc"}, "class_names='abc'"),
        (3, {"dropout": 1.0}, r"dropout.*1\.0"),
        (3, {"dropout": "0.5"}, r"dropout.*'0\.5'"),
        (3, {"head": "huge"}, "kind='huge'"),
        (3, {"head": 7}, "head=7"),
        (
            3,
            {"head": keras.layers.Flatten(), "feature_layers": "block_2"},
            "one box per image",
        ),
        (3, {"preprocessing": 7}, "preprocessing=7"),
    ],
)
def test_bad_arguments_are_named(backbone, classes, arguments, message):
    with pytest.raises(ValueError, match=message):
        build_localizer(backbone, classes, **arguments)


def test_a_head_of_ones_own(backbone, batch):
    x = maps = keras.Input((4, 4, 16))
    x = keras.layers.GlobalAveragePooling2D()(x)
    mine = keras.Model(
        maps, keras.layers.Dense(4, activation="sigmoid")(x), name="mine"
    )
    localizer = build_localizer(backbone, 3, head=mine, feature_layers="block_2")
    localizer.compile(run_eagerly=EAGER)
    assert set(fit(localizer, batch)) == NAMES


def test_unfreeze_reaches_into_nested_models():
    inside = keras.Sequential([keras.layers.BatchNormalization()], name="inside")
    layers = [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 8, strides=8), inside]
    localizer = build_localizer(keras.Sequential(layers), 2, preprocessing=None)
    # Conv2D has two weights that train, BatchNormalization too.
    for batch_normalization in (False, True, False, True):
        localizer.unfreeze(batch_normalization=batch_normalization)
        expected = 4 if batch_normalization else 2
        assert len(localizer.backbone.trainable_weights) == expected


def test_layers_that_the_user_froze_stay_frozen():
    backbone = tiny_backbone()
    for layer in backbone.layers[:4]:
        layer.trainable = False
    names = [weight.path for weight in backbone.trainable_weights]
    localizer = build_localizer(backbone, 3, trainable_backbone=True)
    trained = [weight.path for weight in localizer.backbone.trainable_weights]
    assert trained == names and "conv_0" not in " ".join(names)
    # Of a backbone that is frozen as a whole nothing would train.
    backbone.trainable = False
    localizer = build_localizer(backbone, 3, trainable_backbone=True)
    assert len(localizer.backbone.trainable_weights) > len(names)
