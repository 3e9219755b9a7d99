"""The presence head: what trains it, and that it disturbs nothing else."""

import keras
import numpy as np
import pytest
from tiny_backbone import tiny_backbone

from keras_localize import FeatureBatches, build_localizer, cache_features
from keras_localize.datasets import make_synthetic

EAGER = keras.backend.backend() == "tensorflow"
NAMES = {"box_iou", "box_loss", "box_mse", "loss"}
NAMES |= {"presence_loss", "presence_accuracy"}
LABEL = {"label_loss", "label_accuracy"}


@pytest.fixture
def mixed(batch):
    """The batch of conftest; its last three images hold no object."""
    x, y, w = batch
    present = np.array([1, 1, 1, 1, 1, 0, 0, 0], "float32")
    targets = {**y, "presence": present[:, None]}
    targets["label"] = np.where(present > 0, y["label"], 0)
    weights = {name: weight * present for name, weight in w.items()}
    return x, targets, {**weights, "presence": np.ones(8, "float32")}


def evaluate(model, batch):
    x, y, w = batch
    return model.evaluate(x, y, sample_weight=w, verbose=0, return_dict=True)


@pytest.mark.parametrize("classes, names", [(3, None), (None, None), (1, ["plate"])])
@pytest.mark.parametrize("quality", [False, True])
def test_default_training(classes, names, quality, mixed, tmp_path):
    localizer = build_localizer(
        tiny_backbone(), classes, class_names=names, quality=quality, presence=True
    )
    assert {k: v.shape for k, v in localizer.output.items()}["presence"] == (None, 1)
    localizer.compile(run_eagerly=EAGER)
    x, y, w = mixed
    if classes == 1:
        y = {**y, "label": 0 * y["label"]}
    history = localizer.fit(x, y, sample_weight=w, verbose=0).history
    expected = NAMES | (LABEL if classes else set())
    assert set(history) == expected | ({"quality_loss"} if quality else set())
    outputs = localizer.predict(x, verbose=0)
    assert outputs["presence"].dtype == "float32"
    # An independent count of loss and accuracy.
    scores = evaluate(localizer, (x, y, w))
    p, truth = outputs["presence"][:, 0].astype("float64"), y["presence"][:, 0]
    entropy = -np.mean(truth * np.log(p) + (1 - truth) * np.log(1 - p))
    assert scores["presence_loss"] == pytest.approx(entropy, abs=1e-5)
    assert scores["presence_accuracy"] == pytest.approx(np.mean((p > 0.5) == truth))
    localizer.save(tmp_path / "presence.keras")
    loaded = keras.models.load_model(tmp_path / "presence.keras")
    assert loaded.presence and loaded.localize(x) == localizer.localize(x)
    assert loaded.localize(x)[0].presence == pytest.approx(p[0], abs=1e-4)
    again = type(localizer).from_config(localizer.get_config())
    assert set(again.output) == set(localizer.output)


def trained(localizer, batch):
    keras.utils.set_random_seed(3)
    x, y, w = batch
    localizer.compile(keras.optimizers.SGD(0.05), run_eagerly=EAGER)
    localizer.fit(x, y, sample_weight=w, shuffle=False, verbose=0, batch_size=8)
    return localizer.predict(x, verbose=0)


def twins(**options):
    keras.utils.set_random_seed(0)
    localizers = [
        build_localizer(
            tiny_backbone(),
            3,
            presence=presence,
            dropout=0.0,
            trainable_backbone=True,
            **options,
        )
        for presence in (False, True)
    ]
    for name in ("tiny", "box", "label"):
        weights = localizers[0].get_layer(name).get_weights()
        localizers[1].get_layer(name).set_weights(weights)
    for layer in localizers[0].backbone.layers + localizers[1].backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return localizers


def test_presence_takes_no_part_in_what_the_others_learn(mixed):
    without, with_presence = (trained(one, mixed) for one in twins())
    for key in ("box", "label"):
        np.testing.assert_allclose(with_presence[key], without[key], atol=1e-5)


def test_images_without_an_object_train_the_presence_alone(mixed):
    """Whatever stands in their other targets and weights."""
    x, y, w = mixed
    absent = y["presence"][:, 0] == 0
    other = np.array([[0.1, 0.1, 0.9, 0.9]], "float32")
    garbage = {
        "label": np.where(absent, 2, y["label"]),
        "box": np.where(absent[:, None], other, y["box"]),
        "presence": y["presence"],
    }
    found = []
    for targets, weights in ((y, w), (garbage, {"box": np.where(absent, 5, w["box"])})):
        second = twins()[1]
        found.append(trained(second, (x, targets, {"label": w["label"], **weights})))
    for key in ("box", "label"):
        np.testing.assert_allclose(found[1][key], found[0][key], atol=1e-6)
    scores = []
    for targets, weights in ((y, w), (garbage, None)):
        localizer = build_localizer(tiny_backbone(), 3, presence=True)
        localizer.set_weights(second.get_weights())
        localizer.compile(run_eagerly=EAGER)
        boxed = {**w, "box": np.ones(8)} if weights else None
        scores.append(evaluate(localizer, (x, targets, boxed)))
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_without_a_target_every_image_holds_an_object(backbone, batch):
    localizer = build_localizer(backbone, 3, presence=True)
    localizer.compile(run_eagerly=EAGER)
    x, y, w = batch
    given = {**y, "presence": np.ones((8, 1), "float32")}
    assert evaluate(localizer, batch) == pytest.approx(
        evaluate(localizer, (x, given, w)), abs=1e-6
    )
    localizer.fit(x, y, sample_weight=w, validation_data=batch, verbose=0)


def test_bad_presence_is_refused(backbone, mixed):
    localizer = build_localizer(backbone, 3, presence=True)
    localizer.compile(run_eagerly=EAGER)
    x, y, w = mixed
    for bad in (y["presence"] * 2, y["presence"] - 1, np.ones((8, 2))):
        with pytest.raises(ValueError, match=r"`presence` must be \(N, 1\)"):
            localizer.fit(x, {**y, "presence": bad}, sample_weight=w, verbose=0)


@pytest.mark.long
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="trained on TensorFlow alone"
)
def test_it_learns_on_cached_features():
    """Drawn objects on clutter, and the clutter alone."""
    data = make_synthetic(240, negatives=0.5, seed=1)
    fresh = make_synthetic(80, negatives=0.5, seed=2)
    localizer = build_localizer(
        tiny_backbone(64), 4, class_names=data.class_names, presence=True, image_size=64
    )
    batches = data.to_pydataset(64)
    localizer.backbone.trainable = False
    features, heads = localizer.split()
    cached = cache_features(features, batches, verbose=0)
    assert cached[1]["presence"].shape == (480, 1)
    heads.compile(keras.optimizers.Adam(5e-3))
    heads.fit(FeatureBatches(*cached, seed=0), epochs=12, shuffle=False, verbose=0)
    scores = localizer.predict(fresh.to_pydataset(64), verbose=0)["presence"][:, 0]
    present = fresh.presence == 1
    wins = (scores[present][:, None] > scores[~present]).mean()
    assert wins > 0.75
    # The answers say so too.
    for answer, score in zip(localizer.localize(fresh), scores):
        assert answer.presence == pytest.approx(score, abs=0.02)
        assert (answer.box is None) == (answer.presence < 0.5)
