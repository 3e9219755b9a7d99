"""train_localizer: what it decides, what it keeps, and that it goes on."""

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import keras
import numpy as np
import pytest
from quick_training import EAGER, QUICK, on_tensorflow, two_classes
from tiny_backbone import tiny_backbone

from keras_localize import (
    LocalizationDataset,
    RandomSquareView,
    build_localizer,
    make_synthetic,
    train_localizer,
)
from keras_localize.datasets.batches import Batches
from keras_localize.datasets.squares import Squares
from keras_localize.localizer import train as train_module
from keras_localize.localizer import training_folder
from keras_localize.localizer.candidates import Candidate, best, evaluated_candidates
from keras_localize.localizer.feature_batches import FeatureBatches
from keras_localize.localizer.resumable import joined
from keras_localize.localizer.training_checkpoint import TrainingCheckpoint
from keras_localize.localizer.training_plan import plan_training, source_side

PROCESS = Path(__file__).with_name("train_process.py")
pytestmark = EAGER


@pytest.fixture
def data():
    return make_synthetic(24, num_classes=2, min_side=32, max_side=48, seed=0)


def weights_of(model):
    return [keras.ops.convert_to_numpy(x).copy() for x in model.weights]


@pytest.mark.long
def test_heads_learn_and_the_backbone_stays():
    data = make_synthetic(300, num_classes=2, min_side=32, max_side=48, seed=0)
    train, validation = data.split(0.2)
    localizer = two_classes(tiny_backbone(), data)
    before = weights_of(localizer.backbone)
    history = train_localizer(
        localizer, train, validation, head_epochs=8, views=2, seed=0, verbose=0
    )
    assert history["phase"] == ["heads"] * 8 and "choice" not in history
    assert {len(values) for values in history.values()} == {8}
    for old, new in zip(before, weights_of(localizer.backbone)):
        np.testing.assert_array_equal(old, new)
    # On a random backbone; the mean box of these images has about 0.2.
    assert history["val_box_iou"][-1] > 0.3
    assert history["val_box_iou"][-1] > history["val_box_iou"][0]
    # The localizer itself has been trained, and is compiled.
    squares = validation.to_pydataset(32)
    found = localizer.evaluate(squares, return_dict=True, verbose=0)
    assert found["box_iou"] == pytest.approx(history["val_box_iou"][-1], abs=2e-3)


@pytest.mark.long
def test_fine_tuning_keeps_the_best_on_validation(data, monkeypatch):
    train, validation = data.split(0.5)
    localizer = two_classes(tiny_backbone(), data)
    evaluated = []
    evaluate = type(localizer).evaluate

    def watched(self, *args, **kwargs):
        values = evaluate(self, *args, **kwargs)
        evaluated.append((weights_of(self), values))
        return values

    monkeypatch.setattr(type(localizer), "evaluate", watched)
    history = train_localizer(
        localizer, train, validation, fine_tune_epochs=2, batch_size=4, **QUICK
    )
    assert history["phase"] == ["heads"] * 2 + ["fine-tuning"] * 2
    assert len(history["val_label_accuracy"]) == 4
    choice = history["choice"]
    # Fine-tuning with validation data calls `evaluate` of Keras's in other ways too.
    before, *averages, after = evaluated[-6:]
    for share, (weights, _) in zip((0.3, 0.5, 0.7, 0.85), averages, strict=True):
        for b, w, a in zip(before[0], weights, after[0]):
            np.testing.assert_allclose(w, (1 - share) * b + share * a, atol=1e-5)
    assert any(not np.allclose(b, a, atol=1e-6) for b, a in zip(before[0], after[0]))
    kept = [i for i, row in enumerate(choice) if row["kept"]]
    assert len(kept) == 1
    for one, wanted in zip(weights_of(localizer), evaluated[-6 + kept[0]][0]):
        np.testing.assert_array_equal(one, wanted)
    first, chosen = choice[0], choice[kept[0]]
    for name in ("box_iou", "label_accuracy"):
        assert chosen[name] >= first[name]
    # What was trainable before is trainable after.
    assert not localizer.backbone.trainable
    assert not any(layer.trainable for layer in localizer.backbone.layers)
    localizer.split()


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([(0.5, 0.5), (0.6, 0.5), (0.7, 0.7), (0.6, 0.8), (0.9, 0.4)], 2),
        ([(0.5, 0.5), (0.9, 0.49), (0.49, 0.9), (0.4, 0.4), (0.1, 0.1)], 0),
        ([(0.5, 0.5), (0.5, 0.5), (0.5, 0.5), (0.5, 0.5), (0.5, 0.5)], 0),
    ],
)
def test_the_choice(values, kept):
    """The best mean among those that are in neither measure below the first."""
    candidates = [
        Candidate(str(i), [], {"box_iou": box, "label_accuracy": label, "loss": 9.0})
        for i, (box, label) in enumerate(values)
    ]
    assert best(candidates).name == str(kept)


def test_the_choice_of_a_model_without_labels():
    values = [{"box_iou": 0.5}, {"box_iou": 0.4}, {"box_iou": 0.6}]
    candidates = [Candidate(str(i), [], v) for i, v in enumerate(values)]
    assert best(candidates).name == "2"


def test_the_choice_keeps_what_was_where_no_value_is_a_number():
    values = [{"box_iou": np.nan}, {"box_iou": np.nan}]
    candidates = [Candidate(str(i), [], v) for i, v in enumerate(values)]
    assert best(candidates).name == "0"


def test_averages():
    before, after = [np.array([0.0, 1.0])], [np.array([1.0, 3.0])]
    seen = evaluated_candidates(before, after, lambda w: {"box_iou": float(w[0][0])})
    assert [one.weights[0].tolist() for one in seen] == [
        [0.0, 1.0],
        [0.3, pytest.approx(1.6)],
        [0.5, 2.0],
        [0.7, pytest.approx(2.4)],
        [0.85, pytest.approx(2.7)],
        [1.0, 3.0],
    ]


def plan(images, trainable=False, **options):
    localizer = build_localizer(tiny_backbone(), 2, trainable_backbone=trainable)
    given = {"views": None, "head_epochs": None, "fine_tune_epochs": 0}
    given |= {"objects": images, "longest_sides": np.full(images, 100)}
    return plan_training(localizer, **{**given, "batch_size": 32, **options})


@pytest.mark.parametrize(
    ("images", "views", "epochs"),
    [(1, 16, 60), (50, 16, 60), (1500, 4, 16), (6000, 1, 16), (10**6, 1, 3)],
)
def test_views_and_epochs_by_the_number_of_images(images, views, epochs):
    decided = plan(images)
    assert (decided.views, decided.head_epochs) == (views, epochs)
    given = plan(images, views=3, head_epochs=5)
    assert (given.views, given.head_epochs) == (3, 5)


def test_images_without_an_object_take_nothing_from_the_others():
    """Box and label get as many views and epochs as without these images."""
    alone, beside = plan(1500), plan(3000, objects=1500)
    assert (beside.views, beside.head_epochs) == (alone.views, alone.head_epochs)
    assert beside.feature_bytes == 2 * alone.feature_bytes
    none = plan(1500, objects=0)
    assert (none.views, none.head_epochs) == (alone.views, alone.head_epochs)
    # Fine-tuning sees all of them, and its policy depends on the steps.
    few, many = (
        plan(800, fine_tune_epochs=20),
        plan(1600, objects=800, fine_tune_epochs=20),
    )
    assert not few.batch_normalization and many.batch_normalization


def test_the_policy_of_fine_tuning_by_its_steps():
    short, long = plan(1500, fine_tune_epochs=3), plan(1500, fine_tune_epochs=25)
    assert not short.batch_normalization and short.backbone_factor < 0.5
    assert long.batch_normalization and long.backbone_factor == 1.0


@pytest.mark.parametrize(("given", "halved"), [(64, 32), (32, 16), (20, 16), (8, 8)])
def test_long_fine_tuning_of_a_small_backbone_has_smaller_batches(given, halved):
    options = {"batch_size": given}
    short, long = (plan(6000, fine_tune_epochs=n, **options) for n in (1, 25))
    assert (short.batch_size, short.fine_tune_batch_size) == (given, given)
    assert (long.batch_size, long.fine_tune_batch_size) == (given, halved)


@on_tensorflow
def test_fine_tuning_has_the_batches_of_its_plan(data, monkeypatch):
    monkeypatch.setattr("keras_localize.localizer.training_plan.LONG_STEPS", 1)
    monkeypatch.setattr("keras_localize.localizer.training_plan.FULL_BATCH", 2)
    steps = []

    class Steps(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            steps.append(self.params["steps"])

    localizer = two_classes(tiny_backbone(), data)
    options = {**QUICK, "batch_size": 8, "callbacks": Steps()}
    train_localizer(localizer, data, data, fine_tune_epochs=1, **options)
    assert steps[1] == -(-len(data) // 4)


def test_a_large_backbone_is_fine_tuned_with_care():
    backbone = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(600, 8, strides=8),
            keras.layers.Conv2D(400, 3, padding="same"),
        ]
    )
    assert backbone.count_params() > 2e6
    given = {"objects": 1500, "views": None, "head_epochs": None, "batch_size": 32}
    given |= {"longest_sides": np.full(1500, 100)}
    large = build_localizer(backbone, 2, preprocessing=None)
    short, long = (
        plan_training(large, fine_tune_epochs=epochs, **given) for epochs in (3, 25)
    )
    assert not short.batch_normalization and not long.batch_normalization
    assert short.backbone_factor < long.backbone_factor < 0.5
    assert short.peak_rate == long.peak_rate < plan(1500, fine_tune_epochs=25).peak_rate


@pytest.mark.parametrize(
    ("sides", "side"),
    [([500], 291), ([100, 300, 300], 291), ([240, 250, 500], 250), ([50], 224)],
)
def test_views_come_from_larger_squares_where_images_are_larger(sides, side):
    assert source_side(224, sides) == side


@on_tensorflow
def test_views_show_the_detail_of_larger_images(monkeypatch):
    """The squares of the training are larger, those of the validation are not."""
    sizes = []
    make = Squares.__init__

    def watched(self, images, size, *args, **kwargs):
        sizes.append(size)
        make(self, images, size, *args, **kwargs)

    monkeypatch.setattr(Squares, "__init__", watched)
    data = make_synthetic(8, num_classes=2, min_side=90, max_side=100, seed=0)
    localizer = two_classes(tiny_backbone(), data)
    train_localizer(localizer, data, data, fine_tune_epochs=1, **QUICK)
    assert sizes == [42, 32, 42]  # features, validation, fine-tuning
    colour = keras.layers.RandomBrightness(0.1)
    first = keras.layers.Pipeline([RandomSquareView(32, flip=0.0), colour])
    for augment, side in ((first, 42), (colour, 32)):
        sizes.clear()
        train_localizer(localizer, data, data, augment=augment, **QUICK)
        assert sizes == [side, 32]


@on_tensorflow
def test_fine_tuning_weighs_the_box_twice(data):
    localizer = two_classes(tiny_backbone(), data)
    history = train_localizer(localizer, data, data, fine_tune_epochs=1, **QUICK)
    for epoch, phase in enumerate(history["phase"]):
        weight = 2 if phase == "fine-tuning" else 1
        box, label = (history[f"{x}_loss"][epoch] for x in ("box", "label"))
        assert history["loss"][epoch] == pytest.approx(weight * box + label, rel=1e-4)
    values = localizer.evaluate(data.to_tf_data(32), return_dict=True, verbose=0)
    assert values["loss"] == pytest.approx(values["box_loss"] + values["label_loss"])


@pytest.mark.parametrize("size", [32, None])
def test_bytes_of_the_features(size):
    """Of the maps that `split` really gives, also of a backbone for any size."""
    localizer = build_localizer(tiny_backbone(size), 2, image_size=32)
    features, _ = localizer.split()
    maps = features.predict(np.zeros((1, 32, 32, 3)), verbose=0)
    options = {"views": 4, "head_epochs": 1, "fine_tune_epochs": 0, "batch_size": 8}
    options |= {"objects": 10, "longest_sides": np.full(10, 100)}
    expected = sum(x.size for x in maps) * 2 * (2 * 4 * 10)
    assert plan_training(localizer, **options).feature_bytes == expected


@on_tensorflow
def test_short_fine_tuning_leaves_batch_normalization(data):
    localizer = two_classes(tiny_backbone(), data)
    norm = localizer.backbone.get_layer("norm_1")
    before = weights_of(norm)
    train_localizer(localizer, data, data, fine_tune_epochs=1, **QUICK)
    for old, new in zip(before, weights_of(norm)):
        np.testing.assert_allclose(old, new, rtol=1e-6)


@on_tensorflow
def test_without_validation_a_tenth_is_held_out(data, monkeypatch):
    seen = {}
    run = train_module._Training.run

    def watched(self, held_out):
        seen.update(train=self.batches.train.names, held_out=held_out.names)
        return run(self, held_out)

    monkeypatch.setattr(train_module._Training, "run", watched)
    localizer = two_classes(tiny_backbone(), data)
    history = train_localizer(localizer, data, fine_tune_epochs=1, **QUICK)
    assert len(seen["held_out"]) == 2
    assert sorted(seen["train"] + seen["held_out"]) == sorted(data.names)
    assert not any(name.startswith("val_") for name in history)
    assert len(history["choice"]) == 6


@on_tensorflow
def test_no_images_and_no_features_stay_in_memory(data, monkeypatch):
    """TensorFlow keeps the functions of datasets for ever, but not what they read."""
    kept = []

    def watched(cls, attribute):
        init = cls.__init__

        def recording(self, *args, **options):
            init(self, *args, **options)
            for one in keras.tree.flatten(getattr(self, attribute)):
                kept.append(weakref.ref(one))

        monkeypatch.setattr(cls, "__init__", recording)

    watched(Batches, "squares")
    watched(FeatureBatches, "arrays")
    localizer = two_classes(tiny_backbone(), data)
    train_localizer(localizer, data, data, fine_tune_epochs=1, **QUICK)
    gc.collect()
    assert len(kept) > 10
    assert not [one for one in kept if one() is not None]


@on_tensorflow
def test_large_features_go_to_a_temporary_folder(data, monkeypatch, tmp_path):
    monkeypatch.setattr(training_folder, "FEATURES_IN_MEMORY", 10)
    monkeypatch.setattr(training_folder.tempfile, "tempdir", str(tmp_path))
    seen = []
    fit = train_module.resumable_fit

    def watched(model, folder, x, **options):
        seen.append((folder, isinstance(x.arrays[0][0], np.memmap)))
        return fit(model, folder, x, **options)

    monkeypatch.setattr(train_module, "resumable_fit", watched)
    train_localizer(two_classes(tiny_backbone(), data), data, **QUICK)
    assert seen == [(None, True)]
    # TensorFlow may leave files there.
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


@pytest.mark.long
@on_tensorflow
def test_presence_is_trained_with_negatives_of_its_own(data, monkeypatch):
    seen = []
    run = train_module._Training.run

    def watched(self, held_out):
        seen.append(self.batches.train.summary().negatives)
        return run(self, held_out)

    monkeypatch.setattr(train_module._Training, "run", watched)
    small = make_synthetic(24, num_classes=2, min_side=96, max_side=128, seed=0)
    localizer = two_classes(tiny_backbone(), small, presence=True)
    history = train_localizer(localizer, small, small, fine_tune_epochs=1, **QUICK)
    assert seen[0] > 0
    assert np.isfinite(history["presence_loss"]).all()
    assert np.isfinite(history["val_presence_loss"]).all()
    # Own negatives are enough.
    own = make_synthetic(24, num_classes=2, min_side=96, negatives=0.25, seed=0)
    train_localizer(localizer, own, **QUICK)
    assert seen[1] == own.summary().negatives


@pytest.mark.parametrize("kind", ["boxes alone", "one class", "quality"])
def test_every_kind_of_model(kind, data):
    if kind == "one class":
        data = make_synthetic(24, num_classes=1, min_side=32, max_side=48)
    options = {
        "boxes alone": {"num_classes": None},
        "one class": {"num_classes": 1, "class_names": data.class_names},
        "quality": {"num_classes": 2, "quality": True},
    }[kind]
    localizer = build_localizer(tiny_backbone(), **options)
    history = train_localizer(localizer, data, data, fine_tune_epochs=1, **QUICK)
    assert np.isfinite(history["loss"]).all()
    assert ("val_label_accuracy" in history) == (kind != "boxes alone")
    assert len(localizer.localize(data.images[:2], verbose=0)) == 2


def test_a_trainable_backbone_is_trained_as_a_whole(data):
    localizer = two_classes(tiny_backbone(), data, trainable_backbone=True)
    before = weights_of(localizer.backbone)
    history = train_localizer(localizer, data, data, **QUICK)
    assert history["phase"] == ["all layers"] * 2
    after = weights_of(localizer.backbone)
    assert not all(np.array_equal(b, a) for b, a in zip(before, after))
    assert localizer.backbone.trainable
    with pytest.raises(ValueError, match=r"`fine_tune_epochs`.*head_epochs"):
        train_localizer(localizer, data, fine_tune_epochs=1, **QUICK)


def test_a_history_has_a_value_of_each_name_for_each_epoch():
    first = {"loss": [2.0, 1.0], "phase": ["heads"] * 2}
    second = {"loss": [0.5], "rate": [0.1], "phase": ["fine-tuning"]}
    both = joined(first, second)
    assert both["loss"] == [2.0, 1.0, 0.5]
    np.testing.assert_array_equal(both["rate"], [np.nan, np.nan, 0.1])
    assert both["phase"] == ["heads", "heads", "fine-tuning"]


@on_tensorflow
def test_the_quality_head_ends_early(data):
    """It keeps the weights of an early epoch; the other heads train on."""
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(
                [weights_of(self.model.get_layer(n)) for n in ("quality", "label")]
            )

    localizer = two_classes(tiny_backbone(), data, quality=True)
    options = {**QUICK, "head_epochs": 12, "callbacks": Watch()}
    train_localizer(localizer, data, **options)
    assert len(seen) == 12
    for name, epoch in (("quality", 3), ("label", 11)):
        kept = weights_of(localizer.get_layer(name))
        for one, other in zip(kept, seen[epoch][name == "label"]):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("epochs", "expected"), [(1, 1), (4, 3), (16, 5), (60, 20)])
def test_epochs_of_the_quality(epochs, expected):
    assert plan(1500, head_epochs=epochs).quality_epochs == expected


@on_tensorflow
def test_classes_are_matched_by_name(data):
    """The same data with the classes in another order trains the same weights."""
    names = data.class_names
    results = []
    for given in (data, data.with_class_names(names[::-1])):
        keras.utils.set_random_seed(1)
        localizer = build_localizer(tiny_backbone(), 2, class_names=names)
        train_localizer(localizer, given, given, **QUICK)
        results.append(weights_of(localizer))
    for one, other in zip(*results):
        np.testing.assert_array_equal(one, other)


def test_unknown_classes_are_refused(data):
    localizer = build_localizer(tiny_backbone(), 2, class_names=["disc", "heart"])
    for given in ((data,), (data[data.labels == 0], data)):
        with pytest.raises(ValueError, match="square") as error:
            train_localizer(localizer, *given, **QUICK)
        assert "heart" in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"head_epochs": 0}, ["head_epochs", "0"]),
        ({"views": 0}, ["views", "0"]),
        ({"fine_tune_epochs": -1}, ["fine_tune_epochs", "-1"]),
        ({"batch_size": 0}, ["batch_size", "0"]),
        ({"verbose": 3}, ["verbose", "3"]),
        ({"seed": "a"}, ["seed", "a"]),
        ({"augment": 3}, ["augment", "3"]),
        ({"augment": keras.layers.MixUp()}, ["augment", "MixUp", "blends"]),
        ({"class_weight": {"heart": 2}}, ["class_weight", "heart"]),
        ({"train": []}, ["train", "list"]),
        ({"train": "empty"}, ["train", "none"]),
        ({"validation": "empty"}, ["validation", "none"]),
        ({"validation": "batches"}, ["validation", "BatchDataset"]),
        ({"localizer": "model"}, ["localizer", "Functional"]),
    ],
)
def test_bad_arguments(arguments, words, data):
    given = {
        "localizer": two_classes(tiny_backbone(), data),
        "train": data,
        **arguments,
    }
    made = {
        "empty": data[:0],
        "batches": data.to_pydataset(32),
        "model": tiny_backbone(),
    }
    given = {
        name: made.get(value, value) if isinstance(value, str) else value
        for name, value in given.items()
    }
    with pytest.raises(ValueError) as error:
        train_localizer(**{"verbose": 0, **given})
    for word in words:
        assert word in str(error.value)


@on_tensorflow
def test_callbacks_are_called_in_every_phase(data):
    class Watch(keras.callbacks.Callback):
        seen = []

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append((type(self.model).__name__, epoch, "val_loss" in logs))

    localizer = two_classes(tiny_backbone(), data)
    options = {"fine_tune_epochs": 1, "callbacks": Watch()}
    train_localizer(localizer, data, data, **options, **QUICK)
    assert Watch.seen == [
        ("LocalizerHeads", 0, True),
        ("LocalizerHeads", 1, True),
        ("Localizer", 0, True),
    ]


@on_tensorflow
def test_a_folder_of_another_call_is_refused(data, tmp_path):
    localizer = two_classes(tiny_backbone(), data)
    folder = tmp_path / "cache"
    options = {**QUICK, "cache": folder}
    train_localizer(localizer, data, **options)
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    boxes = np.clip(data.boxes * 0.9, 0, 1)
    moved = LocalizationDataset(
        data.images, boxes, data.labels, data.class_names, names=data.names
    )
    for other, word in [
        ({**options, "views": 2}, "views"),
        ({**options, "head_epochs": 3}, "head_epochs"),
        ({**options, "seed": 1}, "seed"),
        ({**options, "train": moved}, "train"),
        ({**options, "validation": data}, "validation"),
        ({**options, "augment": RandomSquareView(32)}, "augment"),
        ({**options, "class_weight": {0: 2.0}}, "differs in: class_weight$"),
        ({**options, "fine_tune_epochs": 1}, "differs in: train$"),  # a tenth held out
    ]:
        arguments = {"train": data, **other}
        with pytest.raises(ValueError, match=f"`cache` .*{word}"):
            train_localizer(localizer, **arguments)
    assert kept == {path: path.read_bytes() for path in kept}


@pytest.mark.long
@on_tensorflow
def test_fine_tuning_goes_on_from_a_folder_of_the_heads(data, tmp_path):
    """As if both had been one call."""
    results = []
    for calls in ((0, 2), (2,)):
        keras.utils.set_random_seed(0)
        localizer = two_classes(tiny_backbone(), data, dropout=0.3)
        folder = tmp_path / f"cache_{len(calls)}"
        for epochs in calls:
            history = train_localizer(
                localizer,
                data,
                data,
                fine_tune_epochs=epochs,
                batch_size=8,
                cache=folder,
                **QUICK,
            )
        results.append((history, weights_of(localizer)))
    (history, weights), (wanted, wanted_weights) = results
    assert history == wanted
    for one, other in zip(weights, wanted_weights):
        np.testing.assert_array_equal(one, other)
    assert [path.name for path in (folder / "heads").iterdir()] == ["state.npz"]
    assert TrainingCheckpoint(folder / "heads").epochs == 2


def test_ended_after_the_last_epoch(data, tmp_path):
    """What callbacks do at the end of a phase is done by the call that goes on."""

    class End(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            raise KeyboardInterrupt

    def train(folder, **options):
        keras.utils.set_random_seed(0)
        localizer = two_classes(tiny_backbone(), data, quality=True)
        options = {**QUICK, "head_epochs": 4, "cache": tmp_path / folder, **options}
        history = train_localizer(localizer, data, **options)
        return localizer, history

    whole, expected = train("whole")
    with pytest.raises(KeyboardInterrupt):
        train("ended", callbacks=[End()])
    localizer, history = train("ended")
    assert len(history["loss"]) == 4
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)
    for one, other in zip(weights_of(localizer), weights_of(whole)):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


class EndFineTuning(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if type(self.model).__name__ == "Localizer" and batch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("cached", [False, pytest.param(True, marks=on_tensorflow)])
def test_a_localizer_whose_fine_tuning_was_interrupted(cached, data, tmp_path):
    """It can be saved, and in a folder the same call goes on with it."""
    options = {**QUICK, "fine_tune_epochs": 1, "batch_size": 4}
    if cached:
        options["cache"] = tmp_path / "cache"

    def build():
        keras.utils.set_random_seed(0)
        return two_classes(tiny_backbone(), data)

    localizer = build()
    before = weights_of(localizer.backbone)
    with pytest.raises(KeyboardInterrupt):
        train_localizer(localizer, data, data, callbacks=EndFineTuning(), **options)
    moved = [
        not np.array_equal(one, other)
        for one, other in zip(weights_of(localizer.backbone), before)
    ]
    # Without a folder, what was trained is kept.
    assert any(moved) != cached
    localizer.save(tmp_path / "localizer.keras")
    loaded = keras.saving.load_model(tmp_path / "localizer.keras")
    for one, other in zip(weights_of(loaded), weights_of(localizer)):
        np.testing.assert_array_equal(one, other)
    if cached:
        whole = build()
        expected = train_localizer(whole, data, data, **{**options, "cache": None})
        history = train_localizer(localizer, data, data, **options)
        np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-4)
        with pytest.raises(ValueError, match=r"`cache` .* differs in: localizer"):
            train_localizer(localizer, data, data, **options)


def test_an_image_held_out_that_cannot_be_read_is_found_early(tmp_path):
    options = {"num_classes": 2, "min_side": 48, "max_side": 64}
    files = make_synthetic(20, directory=tmp_path, **options)
    [path, *_] = files.split(0.1, seed=0)[1].images
    os.truncate(path, os.path.getsize(path) // 2)
    begun = []

    class Watch(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            begun.append(True)

    localizer = two_classes(tiny_backbone(), files)
    options = {**QUICK, "fine_tune_epochs": 1, "callbacks": Watch()}
    with pytest.raises(Exception, match=Path(path).name):
        train_localizer(localizer, files, **options)
    assert not begun


@on_tensorflow
def test_an_error_in_the_choice_keeps_what_was_trained(data, monkeypatch):
    localizer = two_classes(tiny_backbone(), data)
    trained = []

    class Watch(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            trained.append(localizer.get_weights())

    def failing(self, *args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(type(localizer), "evaluate", failing)
    options = {**QUICK, "fine_tune_epochs": 1, "callbacks": Watch()}
    # With images for it, `fit` evaluates too.
    with pytest.raises(MemoryError):
        train_localizer(localizer, data, **options)
    for one, other in zip(localizer.get_weights(), trained[1]):
        np.testing.assert_array_equal(one, other)


@on_tensorflow
def test_a_folder_of_other_images_or_another_localizer(data, tmp_path):
    """A network that is trained as a whole has no folder of features that knows."""

    def train(dataset, folder, **options):
        localizer = two_classes(tiny_backbone(), dataset, **options)
        return train_localizer(localizer, dataset, cache=tmp_path / folder, **QUICK)

    other = LocalizationDataset(
        [255 - image for image in data.images],
        data.boxes,
        data.labels,
        data.class_names,
        names=data.names,
    )
    train(data, "whole", trainable_backbone=True)
    with pytest.raises(ValueError, match=r"`cache` .* differs in: images$"):
        train(other, "whole", trainable_backbone=True)
    keras.utils.set_random_seed(0)
    train(data, "heads", dropout=0.2)
    keras.utils.set_random_seed(0)
    with pytest.raises(ValueError, match=r"`cache` .* differs in: localizer$"):
        train(data, "heads", dropout=0.7)
    (tmp_path / "heads" / "call.json").write_text("")
    with pytest.raises(ValueError, match=r"`cache` .*call\.json is damaged"):
        train(data, "heads", dropout=0.2)


@on_tensorflow
def test_a_localizer_without_names_has_the_classes_of_the_training_images():
    """Validation images with another order of classes are matched by name."""

    def squares(names, labels):
        value = {"black": 0, "white": 250}
        images = [np.full((32, 32, 3), value[names[i]], "uint8") for i in labels]
        return LocalizationDataset(images, [[0.2, 0.2, 0.8, 0.8]] * 12, labels, names)

    labels = np.arange(12) % 2
    train = squares(["black", "white"], labels)
    validation = squares(["white", "black"], labels)
    found = []
    for images in (train, validation):
        keras.utils.set_random_seed(0)
        localizer = build_localizer(tiny_backbone(), 2)
        history = train_localizer(localizer, train, images, **QUICK)
        found.append(history["val_label_accuracy"])
    assert found[0] == pytest.approx(found[1])
    grey = LocalizationDataset(
        validation.images, validation.boxes, labels, ["grey", "black"]
    )
    with pytest.raises(ValueError, match="`validation` has images of grey"):
        train_localizer(localizer, train, grey, **QUICK)


@on_tensorflow
def test_numbers_of_numpy(data, tmp_path):
    options = {"head_epochs": np.int64(1), "views": np.int64(1), "verbose": 0}
    options |= {"batch_size": np.int32(8), "fine_tune_epochs": np.int64(0)}
    localizer = two_classes(tiny_backbone(), data)
    train_localizer(localizer, data, cache=tmp_path, seed=np.int64(3), **options)
    with pytest.raises(ValueError, match="`cache` must be the path of a folder"):
        train_localizer(localizer, data, cache="", **options)


def test_no_room_for_negatives():
    data = LocalizationDataset(
        [np.zeros((32, 32, 3), "uint8")] * 4, [[0, 0, 1, 1]] * 4, [0] * 4, ["a"]
    )
    localizer = build_localizer(tiny_backbone(), 1, class_names=["a"], presence=True)
    with pytest.raises(ValueError, match="`train` must hold images without an object"):
        train_localizer(localizer, data, **QUICK)


@on_tensorflow
def test_bfloat16(data):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        localizer = two_classes(tiny_backbone(), data)
        history = train_localizer(localizer, data, data, **QUICK)
        # Pixels are not rounded.
        view = RandomSquareView(32)
        images, *_ = data.to_pydataset(32, 8, augment=view, seed=0)[0]
    finally:
        keras.config.set_dtype_policy(before)
    assert np.isfinite(history["loss"]).all()
    images_32, *_ = data.to_pydataset(32, 8, augment=RandomSquareView(32), seed=0)[0]
    np.testing.assert_array_equal(images, images_32)


def test_too_few_images_to_hold_some_out(data):
    localizer = two_classes(tiny_backbone(), data)
    with pytest.raises(ValueError, match=r"tenth of `train` .*and 4 images"):
        train_localizer(localizer, data[:4], fine_tune_epochs=1, **QUICK)


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.skipif(
    keras.backend.backend() == "jax",
    reason="test_resume kills on JAX, which compiles five processes for minutes here",
)
def test_killed_in_every_phase(tmp_path):
    """A run that was killed three times ends like one that was not, to the bit."""
    results = []
    for moments in (["end"], ["features", "heads", "fine-tuning", "end"]):
        folder = tmp_path / str(len(moments))
        folder.mkdir()
        for moment in moments:
            done = subprocess.run(
                [sys.executable, str(PROCESS), str(folder), moment],
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
                env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"},
            )
            assert (done.returncode == 0) == (moment == "end"), done.stderr[-2000:]
            assert moment == "end" or done.returncode < 0
            assert (folder / "result.npy").exists() == (moment == "end")
        results.append(np.load(folder / "result.npy"))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-6, atol=1e-7)
