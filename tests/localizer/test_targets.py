"""Targets: bad arrays are refused; a bad label in a stream makes its loss NaN."""

import keras
import numpy as np
import pytest
from tiny_backbone import tiny_backbone

from keras_localize import (
    IoUMetric,
    build_localizer,
    make_synthetic,
    train_localizer,
)
from keras_localize.boxes import iou
from keras_localize.localizer.label_accuracy import LabelAccuracy
from keras_localize.localizer.label_loss import LabelCrossentropy
from keras_localize.localizer.targets import check_targets

GOOD = np.tile(np.array([0.1, 0.2, 0.6, 0.7], "float32"), (4, 1))


def boxes(row, *values):
    changed = GOOD.copy()
    changed[row] = values
    return changed


@pytest.mark.parametrize(
    "targets, classes, message",
    [
        ({"label": np.array([0, 3, 1, 2])}, 3, r"\[0, 3\).*3 at index 1"),
        ({"label": np.array([0.0, 1.0, -1.0])}, 3, "-1.0 at index 2"),
        ({"label": np.array([[0], [2]])}, 2, r"\[0, 2\).*2 at index 1"),
        ({"label": np.zeros((4, 5))}, 3, r"one-hot \(N, 3\).*\(4, 5\)"),
        ({"label": np.array(["cat", "dog"])}, 2, "numbers"),
        ({"label": np.array([0.0, np.nan])}, 2, "nan at index 1"),
        ({"label": np.array([0.0, 0.5])}, 2, "whole numbers.*0.5 at index 1"),
        ({"label": np.zeros(3), "box": GOOD}, 2, "same images.*3.*4"),
        ({"box": boxes(2, 20, 30, 120, 200)}, 3, r"rel_xyxy.*120.*index 2.*\[0, 1\]"),
        ({"box": boxes(1, 0.5, 0.5, 0.2, 0.3)}, 3, "index 1, x1 < x0"),
        ({"box": boxes(3, 0, 0, np.nan, 1)}, None, "nan.*index 3"),
        ({"box": np.zeros((4, 2, 4))}, 3, r"one box per image.*\(4, 2, 4\)"),
    ],
)
def test_bad_targets_are_refused(targets, classes, message):
    with pytest.raises(ValueError, match=message):
        check_targets(targets, None, classes)


@pytest.mark.parametrize(
    "targets, weight, classes",
    [
        ({"label": np.array([0, 2, 1])}, None, 3),
        ({"label": np.array([True, False])}, None, 2),
        ({"label": np.eye(3)}, None, 3),
        ({"label": np.array([9]), "box": GOOD}, None, None),  # box only
        ({"box": boxes(0, 0, 0, 1.0005, 1)}, None, 3),  # rounding
        ({"box": boxes(0, 0, 0, 0, 0)}, None, 3),
        ({"box": boxes(0, -1, -1, -1, 500)}, {"box": np.array([0, 1, 1, 1])}, 3),
        ({"label": np.array([-1, 0, 9])}, {"label": np.array([0, 1, 0])}, 3),
        (
            {
                "presence": np.array([[0], [1], [1], [1]]),
                "label": np.array([-1, 0, 1, 2]),
                "box": boxes(0, *[np.nan] * 4),
            },
            None,
            3,
        ),
    ],
)
def test_good_targets_are_accepted(targets, weight, classes):
    check_targets(targets, weight, classes)


def test_fit_and_evaluate_check_before_they_start(batch):
    localizer = build_localizer(tiny_backbone(), 3)
    localizer.compile()
    x, y, w = batch
    wrong = {**y, "label": y["label"] + 1}
    pixels = {**y, "box": y["box"] * 32}
    for bad, message in ((wrong, "`label`"), (pixels, "`box`")):
        with pytest.raises(ValueError, match=message):
            localizer.fit(x, bad, sample_weight=w, verbose=0)
        with pytest.raises(ValueError, match=message):
            localizer.fit(x, y, validation_data=(x, bad, w), verbose=0)
        with pytest.raises(ValueError, match=message):
            localizer.evaluate(x, bad, sample_weight=w, verbose=0)
        tensors = {key: keras.ops.convert_to_tensor(v) for key, v in bad.items()}
        with pytest.raises(ValueError, match=message):
            localizer.fit(keras.ops.convert_to_tensor(x), tensors, verbose=0)


class Stream(keras.utils.PyDataset):
    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.batch


def test_a_wrong_label_in_a_stream_is_nan_and_changes_no_weight(batch):
    localizer = build_localizer(tiny_backbone(), 3)
    localizer.compile()  # compiled: the check must live in the graph
    x, y, w = batch
    y = {**y, "label": np.where(np.arange(8) == 5, 3, y["label"])}
    scores = localizer.fit(Stream((x, y, w)), verbose=0).history
    assert np.isnan(scores["label_loss"]) and np.isfinite(scores["box_loss"])
    assert all(np.isfinite(weight).all() for weight in localizer.get_weights())


@pytest.mark.parametrize("classes, ids", [(3, [0, 3, -1, 2]), (1, [0, 2, -1, 1])])
def test_only_the_wrong_label_is_nan(classes, ids):
    p = np.full((4, classes), 1 / max(classes, 2), "float32")
    values = LabelCrossentropy(reduction=None)(np.array(ids), p)
    values = keras.ops.convert_to_numpy(values)
    expected = np.log(max(classes, 2))
    np.testing.assert_allclose(values, [expected, np.nan, np.nan, expected], rtol=1e-5)


@pytest.mark.parametrize("kind", ["to_tf_data", "to_pydataset"])
def test_batches_of_other_classes_are_refused(kind):
    train = make_synthetic(8, num_classes=3)
    disc, square, ring = train.class_names
    other = train.with_class_names([square, disc, ring])
    localizer = build_localizer(tiny_backbone(), 3, class_names=train.class_names)
    localizer.compile()

    def batches(data):
        return getattr(data, kind)(32, 4)

    message = f"same order: {disc}, {square}, {ring}.*Received: {square}, {disc}"
    for call in (
        lambda: localizer.fit(batches(other), verbose=0),
        lambda: localizer.fit(batches(train), validation_data=batches(other)),
        lambda: localizer.evaluate(batches(other), verbose=0),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    # The same classes, in the model's order again.
    same = other.with_class_names(train.class_names)
    scores = localizer.evaluate(batches(same), verbose=0, return_dict=True)
    assert scores == pytest.approx(
        localizer.evaluate(batches(train), verbose=0, return_dict=True)
    )


# --- every form in which Keras takes targets ---


def scores(model, x, y, w=None):
    return model.evaluate(x, y, sample_weight=w, verbose=0, return_dict=True)


@pytest.fixture
def localizer():
    localizer = build_localizer(tiny_backbone(), 3, quality=True)
    localizer.compile()
    return localizer


def ordered(localizer, by_output):
    """In the order of the outputs that have targets."""
    return [by_output[n] for n in localizer.output_names if n != "quality"]


def test_lists_and_positional_arguments_are_the_dicts(localizer, batch):
    x, y, w = batch
    expected = scores(localizer, x, y, w)
    y_list, w_list = ordered(localizer, y), ordered(localizer, w)
    assert scores(localizer, x, y_list, w_list) == pytest.approx(expected)
    assert scores(localizer, x, y, w_list) == pytest.approx(expected)
    for targets, weights in ((y, w), (y_list, w_list), (tuple(y_list), tuple(w_list))):
        # x, y, batch_size, verbose, sample_weight
        found = localizer.evaluate(x, targets, 8, 0, weights)
        assert found[0] == pytest.approx(expected["loss"])
        found = localizer.test_on_batch(x, targets, weights, return_dict=True)
        assert found["loss"] == pytest.approx(expected["loss"], abs=1e-5)
        localizer.evaluate(x, targets, 4, 0, weights, None, None)
    found = localizer.evaluate(Stream((x, y, w)), verbose=0, return_dict=True)
    assert found == pytest.approx(expected)


@pytest.mark.long
def test_fit_in_every_form_learns_the_same(batch):
    x, y, w = batch
    found = []
    for form in ("dict", "list", "positional", "stream", "train_on_batch"):
        keras.utils.set_random_seed(0)
        localizer = build_localizer(tiny_backbone(), 3, quality=True, dropout=0.0)
        # Without the dropout of the quality, which draws in every form anew.
        localizer.get_layer("quality").drop.rate = 0.0
        localizer.compile(keras.optimizers.SGD(0.01))
        y_list, w_list = ordered(localizer, y), ordered(localizer, w)
        options = {"shuffle": False, "verbose": 0}
        if form == "dict":
            localizer.fit(x, y, sample_weight=w, batch_size=8, **options)
        elif form == "list":
            localizer.fit(
                x, y_list, 8, validation_data=(x, y_list, w_list),
                sample_weight=w_list, **options,
            )  # fmt: skip
        elif form == "positional":
            # batch_size, epochs, verbose, callbacks, validation_split,
            # validation_data, shuffle, class_weight, sample_weight
            localizer.fit(x, y, 8, 1, 0, None, 0.0, (x, y, w), False, None, w)
        elif form == "stream":
            localizer.fit(Stream((x, y, w)), **options)
        else:
            localizer.train_on_batch(x, y_list, w_list)
        found.append(localizer.predict(x, verbose=0)["box"])
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-5)


def test_one_array_for_one_output(batch):
    x, y, w = batch
    localizer = build_localizer(tiny_backbone(), None, quality=True)
    localizer.compile()
    expected = scores(localizer, x, {"box": y["box"]}, {"box": w["box"]})
    assert scores(localizer, x, y["box"], w["box"]) == pytest.approx(expected)
    assert scores(localizer, x, [y["box"]], [w["box"]]) == pytest.approx(expected)
    found = localizer.evaluate(x, y["box"], 8, 0, w["box"])
    assert found[0] == pytest.approx(expected["loss"])
    found = localizer.test_on_batch(x, y["box"], w["box"], return_dict=True)
    assert found["loss"] == pytest.approx(expected["loss"], abs=1e-5)
    localizer.fit(x, y["box"], sample_weight=w["box"], verbose=0)
    localizer.train_on_batch(x, y["box"], w["box"])


def test_targets_without_an_output_are_ignored(batch):
    x, y, w = batch
    localizer = build_localizer(tiny_backbone(), None)
    localizer.compile()
    expected = scores(localizer, x, {"box": y["box"]}, {"box": w["box"]})
    more = {**y, "presence": np.ones((8, 1)), "colour": np.zeros(8)}
    weights = {**w, "presence": np.ones(8)}
    assert scores(localizer, x, more, weights) == pytest.approx(expected)
    localizer.fit(x, more, sample_weight=weights, verbose=0)
    localizer.fit(Stream((x, more, weights)), verbose=0)
    localizer.train_on_batch(x, more, weights)


@pytest.mark.long
def test_weights_for_some_outputs_alone(localizer, batch):
    x, y, w = batch
    expected = scores(localizer, x, y, w)  # the label's weights are 1
    assert scores(localizer, x, y, {"box": w["box"]}) == pytest.approx(expected)
    localizer.fit(x, y, sample_weight={"box": w["box"]}, verbose=0)
    localizer.train_on_batch(x, y, {"label": w["label"]})


def test_one_array_of_weights_is_for_every_output(localizer, batch):
    x, y, w = batch
    expected = scores(localizer, x, y, dict.fromkeys(y, w["box"]))
    assert scores(localizer, x, y, w["box"]) == pytest.approx(expected)


def test_a_missing_target_is_named(localizer, batch):
    x, y, _ = batch
    with pytest.raises(ValueError, match=r"target for each of .*label.*: box"):
        localizer.fit(x, {"box": y["box"]}, verbose=0)
    with pytest.raises(ValueError, match=r"a dict with the keys .*: 3 for 2 outputs"):
        localizer.fit(x, [y["box"], y["label"], y["label"]], verbose=0)


@pytest.mark.parametrize(
    "weights, message",
    [
        ({"bbox": np.ones(8)}, r"`sample_weight` must have keys .*box.*: bbox"),
        ({"box": np.ones(5)}, r"`sample_weight` .*\(8,\).*\(5,\) for box"),
        ({"label": np.ones((8, 2))}, r"`sample_weight` .*\(8, 2\) for label"),
        (np.ones(7), r"`sample_weight` .*\(8,\).*\(7,\)"),
    ],
)
def test_bad_weights_are_refused(weights, message, localizer, batch):
    x, y, _ = batch
    with pytest.raises(ValueError, match=message):
        localizer.fit(x, y, sample_weight=weights, verbose=0)


@pytest.mark.parametrize("argument, value", [("loss", "mse"), ("loss_weights", 2.0)])
def test_a_loss_of_no_output_is_refused(argument, value, localizer):
    with pytest.raises(ValueError, match=rf"`{argument}` .*label.*: boxes"):
        localizer.compile(**{argument: {"boxes": value}})


def test_what_an_image_without_an_object_holds_does_not_count(batch):
    """The label -1 of a dataset, and no box."""
    x, y, _ = batch
    presence = np.array([1, 0] * 4)
    localizer = build_localizer(tiny_backbone(), 3, presence=True)
    localizer.compile()
    expected = scores(localizer, x, {**y, "presence": presence})
    assert np.isfinite(expected["loss"])
    absent = {
        "presence": presence,
        "label": np.where(presence, y["label"], -1),
        "box": np.where(presence[:, None], y["box"], np.nan),
    }
    assert scores(localizer, x, absent) == pytest.approx(expected)
    localizer.train_on_batch(x, absent)
    assert all(np.isfinite(weight).all() for weight in localizer.get_weights())


def test_a_target_of_weight_0_may_hold_anything(batch):
    x, y, _ = batch
    localizer = build_localizer(tiny_backbone(), 3, quality=True)
    localizer.compile()
    weight = {"label": np.array([1.0] * 7 + [0]), "box": np.array([0.0] + [1] * 7)}
    expected = localizer.evaluate(x, y, 8, 0, weight, return_dict=True)
    box = np.where(np.arange(8)[:, None] == 0, np.nan, y["box"])
    given = {"box": box, "label": y["label"]}
    found = localizer.evaluate(x, given, 8, 0, weight, return_dict=True)
    assert found == pytest.approx(expected)
    localizer.train_on_batch(
        x, {**given, "label": y["label"] - 9 * (weight["label"] == 0)}, weight
    )
    assert all(np.isfinite(weight).all() for weight in localizer.get_weights())


def test_names_of_what_a_box_and_its_quality_log(batch):
    x, y, _ = batch
    localizer = build_localizer(tiny_backbone(), None, quality=True)
    localizer.compile()
    values = localizer.evaluate(x, {"box": y["box"]}, verbose=0, return_dict=True)
    assert {"box_iou", "box_mse"} < set(values)


def test_a_metric_of_the_quality(batch):
    """The quality against the IoU of the predicted boxes; an image without a box
    does not count."""
    x, y, _ = batch
    localizer = build_localizer(tiny_backbone(), 3, quality=True)
    localizer.compile(weighted_metrics={"quality": ["mae"], "box": [IoUMetric()]})
    weight = {"label": np.ones(8), "box": np.array([1.0, 0, 1, 1, 0, 1, 1, 1])}
    found = localizer.predict(x, verbose=0)
    error = np.abs(iou(y["box"], found["box"]) - found["quality"][:, 0])
    values = localizer.evaluate(x, y, verbose=0, sample_weight=weight, return_dict=True)
    expected = np.average(error, weights=weight["box"])
    assert values["quality_mae"] == pytest.approx(expected, abs=1e-5)
    localizer.train_on_batch(x, y, weight)


@pytest.mark.parametrize("scale, offset", [(255, 0), (127.5, -1), (0.1, 0)])
def test_images_in_another_range_are_warned_of(scale, offset, localizer, batch):
    x, y, _ = batch
    with pytest.warns(UserWarning, match=r"images in \[0, 255\]") as caught:
        localizer.evaluate(x / scale + offset, y, verbose=0)
    assert __file__ in {one.filename for one in caught}
    for good in (x, x.astype("uint8"), np.zeros_like(x)):
        localizer.evaluate(good, y, verbose=0)


@pytest.mark.parametrize("names", [["a", "b"], ["a"]])
def test_one_unit_counts_one_hot_labels_as_class_ids(names, batch):
    """Keras would compare two columns with one unit: an accuracy of 0.5 for ever."""
    localizer = build_localizer(tiny_backbone(), 1, class_names=names)
    localizer.compile(run_eagerly=keras.backend.backend() == "tensorflow")
    x, y, _ = batch
    ids = y["label"] % len(names)
    one_hot = np.eye(len(names), dtype="float32")[ids]
    given = {"ids": ids, "one-hot": one_hot}
    values = {
        name: localizer.evaluate(x, {**y, "label": label}, verbose=0, return_dict=True)
        for name, label in given.items()
    }
    assert values["one-hot"] == pytest.approx(values["ids"], rel=1e-5)

    def stream():
        yield x, {**y, "label": one_hot}

    value = localizer.evaluate(stream(), steps=1, verbose=0, return_dict=True)
    assert value == pytest.approx(values["ids"], rel=1e-5)


def test_channels_first_is_refused_by_name(backbone):
    data = make_synthetic(4, num_classes=2, max_side=100)
    keras.config.set_image_data_format("channels_first")
    try:
        network = keras.Sequential(
            [keras.Input((3, 32, 32)), keras.layers.Conv2D(4, 8, strides=8)]
        )
        localizer = build_localizer(
            network, 2, class_names=data.class_names, preprocessing=None
        )
        localizer.compile()
        with pytest.raises(ValueError, match="channels_last"):
            localizer.fit(data.to_pydataset(32))
        with pytest.raises(ValueError, match="channels_last"):
            train_localizer(localizer, data, verbose=0)
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("kinds", [("one-hot", "ids"), ("ids", "one-hot")])
def test_the_accuracy_of_both_kinds_of_labels_in_one_model(kinds, batch):
    """Keras decides at the first batch which kind there is."""
    x, y, _ = batch
    given = {"ids": y["label"], "one-hot": np.eye(3, dtype="float32")[y["label"]]}
    localizer = build_localizer(tiny_backbone(), 3)
    localizer.compile()
    first, second = ({**y, "label": given[kind]} for kind in kinds)
    history = localizer.fit(x, first, validation_data=(x, second), verbose=0).history
    found = localizer.predict(x, verbose=0)["label"].argmax(axis=1)
    accuracy = (found == y["label"]).mean()
    assert history["val_label_accuracy"] == [pytest.approx(accuracy)]
    for targets in (first, second):
        logs = localizer.evaluate(x, targets, verbose=0, return_dict=True)
        assert logs["label_accuracy"] == pytest.approx(accuracy)


def test_accuracy_against_counts(rng):
    pred = rng.dirichlet(np.ones(4), 40).astype("float32")
    ids, weight = rng.integers(0, 4, 40), rng.uniform(0, 1, 40)
    for true in (ids, ids[:, None], np.eye(4)[ids], ids.astype("float32")):
        metric = LabelAccuracy(4)
        metric.update_state(true[:25], pred[:25], sample_weight=weight[:25])
        metric.update_state(true[25:], pred[25:], sample_weight=weight[25:])
        expected = np.average(pred.argmax(axis=1) == ids, weights=weight)
        assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
    # One unit: the probability of the second class.
    unit, ids = rng.uniform(0, 1, (40, 1)).astype("float32"), ids % 2
    soft = np.where(ids, 0.9, 0.1)[:, None]
    for true in (ids, ids[:, None], np.eye(2)[ids], soft):
        metric = LabelAccuracy.from_config(LabelAccuracy(2).get_config())
        metric.update_state(true, unit)
        expected = ((unit[:, 0] > 0.5) == ids).mean()
        assert float(metric.result()) == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("form", ["dict", "list"])
def test_an_output_without_a_loss_needs_no_target(form, batch):
    x, y, _ = batch
    localizer = build_localizer(tiny_backbone(), 3, presence=True)
    box_head = localizer.head.get_weights()
    losses = {"label": "sparse_categorical_crossentropy", "box": None, "presence": None}
    if form == "list":
        losses = [losses[name] for name in localizer.output_names]
    localizer.compile(loss=losses)
    labels = {"label": y["label"]}
    start = localizer.evaluate(x, labels, verbose=0, return_dict=True)
    history = localizer.fit(x, labels, epochs=20, verbose=0).history
    assert "label_accuracy" in history
    # No more than the weight decay.
    for before, after in zip(box_head, localizer.head.get_weights()):
        np.testing.assert_allclose(before, after, rtol=1e-3)
    logs = localizer.evaluate(x, y, verbose=0, return_dict=True)
    assert "box_iou" not in logs and logs["loss"] < start["loss"]
    # A metric needs the target.
    localizer.compile(loss=losses, metrics={"box": [IoUMetric()]})
    logs = localizer.evaluate(x, y, verbose=0, return_dict=True)
    assert logs["box_iou"] > 0
    with pytest.raises(ValueError, match="`y` must have a target for each"):
        localizer.fit(x, {"label": y["label"]}, verbose=0)
    localizer.compile()
    with pytest.raises(ValueError, match="`y` must have a target for each"):
        localizer.fit(x, {"label": y["label"]}, verbose=0)
    # The quality needs the box.
    localizer = build_localizer(tiny_backbone(), 3, quality=True)
    localizer.compile(loss={"box": None})
    with pytest.raises(ValueError, match="`y` must have a target for each"):
        localizer.fit(x, {"label": y["label"]}, verbose=0)


@pytest.mark.parametrize("params", [{}, {"epochs": 2, "steps": 1}])
def test_a_list_of_callbacks_of_keras(params, batch):
    """Whatever epochs and steps it was made with, it trains as its callbacks do."""
    x, y, w = batch
    localizer = build_localizer(tiny_backbone(), 3)
    start = localizer.get_weights()
    nan = keras.callbacks.TerminateOnNaN()

    def train(callbacks):
        keras.utils.set_random_seed(0)
        localizer.set_weights(start)
        localizer.compile()
        options = {"sample_weight": w, "batch_size": 2, "epochs": 3, "verbose": 0}
        localizer.fit(x, y, callbacks=callbacks, **options)
        return localizer.get_weights()

    expected = train([nan])
    listed = keras.callbacks.CallbackList(
        [nan], model=localizer, add_history=True, **params
    )
    for _ in range(2):
        for one, other in zip(train(listed), expected):
            np.testing.assert_array_equal(one, other)
        assert len(listed.callbacks) == 2


def test_a_target_of_none_is_one_that_is_missing(batch):
    x, y, _ = batch
    localizer = build_localizer(tiny_backbone(), 3, presence=True)
    localizer.compile(loss={"presence": None})
    y = {"label": y["label"], "box": y["box"]}
    expected = localizer.evaluate(x, y, verbose=0, return_dict=True)
    assert expected["box_iou"] > 0
    in_order = [{**y, "presence": None}[name] for name in localizer.output_names]
    for targets in ({**y, "presence": None}, in_order):
        found = localizer.evaluate(x, targets, verbose=0, return_dict=True)
        assert found == pytest.approx(expected)
    localizer.compile()
    with pytest.raises(ValueError, match="`y` must have a target for each"):
        localizer.evaluate(x, {**y, "presence": None}, verbose=0)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_labels_alone_with_a_quality(batch):
    x, y, _ = batch
    localizer = build_localizer(tiny_backbone(), 3, quality=True)
    localizer.compile(loss={"box": None, "quality": None})
    history = localizer.fit(x, {"label": y["label"]}, verbose=0).history
    assert set(history) == {"loss", "label_accuracy"}
