"""What is in a batch: targets, weights, images, whole batches alone."""

import gc
import weakref

import keras
import numpy as np
import pytest

import keras_localize as kl
from keras_localize.datasets import LocalizationDataset, make_synthetic

METHODS = pytest.mark.parametrize("method", ["to_tf_data", "to_pydataset"])


def with_negatives():
    data = make_synthetic(12, num_classes=2, max_side=100, negatives=0.25)
    # One object without a box.
    data.weights[0] = 0
    assert data.presence[0] == 1
    return LocalizationDataset(
        data.images,
        data.boxes,
        data.labels,
        data.class_names,
        data.weights,
        data.image_sizes,
        presence=data.presence,
    )


def batches(data):
    return [keras.tree.map_structure(np.asarray, tuple(batch)) for batch in data]


@METHODS
def test_targets(method):
    data = with_negatives()
    [(_, values, weights)] = batches(getattr(data, method)(16))
    assert list(values) == list(weights) == ["label", "box", "presence"]
    absent = data.presence == 0
    assert values["presence"].tolist() == data.presence[:, None].tolist()
    assert values["presence"].dtype == "float32" and absent.sum() == 3
    assert weights["presence"].tolist() == [1] * 12
    assert (values["label"][absent] == 0).all() and (
        weights["label"][absent] == 0
    ).all()
    assert (weights["label"][~absent] == 1).all()
    assert (values["box"][absent] == 0).all()
    assert weights["box"].tolist() == data.weights.tolist()

    boxed = data[data.presence == 1]
    [(_, values, weights)] = batches(getattr(boxed, method)(16))
    assert list(values) == list(weights) == ["label", "box"]
    for names in (["box"], ("presence", "label")):
        [(_, some, some_weights)] = batches(getattr(boxed, method)(16, targets=names))
        assert list(some) == list(some_weights) == list(names)
    for name in ("label", "box", "presence"):
        [(_, one, weight)] = batches(getattr(data, method)(16, targets=name))
        [(_, values, weights)] = batches(
            getattr(data, method)(16, targets=["label", "box", "presence"])
        )
        assert np.array_equal(one, values[name])
        assert np.array_equal(weight, weights[name])
    for bad in ("boxes", ["label", "mask"], [], ["box", "box"]):
        with pytest.raises(ValueError, match="`targets`"):
            getattr(data, method)(16, targets=bad)


def test_class_weights_leave_images_without_an_object_out():
    data = with_negatives()
    data = data.to_pydataset(16, class_weight="balanced", targets="label")
    labels, weights = data[0][1], data[0][2]
    there = weights > 0
    assert there.sum() == 9 and np.isclose(weights[there].mean(), 1)
    assert np.isclose(
        weights[there & (labels == 0)].sum(), weights[there & (labels == 1)].sum()
    )


@METHODS
@pytest.mark.parametrize("augment", [None, "flip"])
def test_images_are_uint8_unless_augmented(method, augment):
    layer = keras.layers.RandomFlip("horizontal") if augment else None
    data = make_synthetic(4, max_side=100)
    [(images, _, _)] = batches(getattr(data, method)(16, augment=layer))
    assert images.dtype == ("float32" if augment else "uint8")
    assert images.max() > 100


@METHODS
def test_drop_remainder(method):
    data = make_synthetic(10, max_side=100)
    whole = getattr(data, method)(16, 4, drop_remainder=True, shuffle=True, seed=1)
    rest = getattr(data, method)(16, 4, shuffle=True, seed=1)
    assert len(whole) == 2 and len(rest) == 3
    first, second = batches(whole), batches(rest)
    assert [len(images) for images, _, _ in first] == [4, 4]
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, second))
    if method == "to_tf_data":
        assert whole.element_spec[0].shape == (4, 16, 16, 3)
    with pytest.raises(ValueError, match="`drop_remainder=True`"):
        getattr(data, method)(16, 11, drop_remainder=True)


@METHODS
def test_single_parts_train_on_one_target(method):
    """README's model of single parts."""
    data = make_synthetic(12, max_side=100)
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=4, activation="relu")(inputs)
    box = kl.LocalizationHead(name="box")(x)
    model = keras.Model(inputs, box)
    model.compile("adam", kl.BoxLoss(), weighted_metrics=[kl.IoUMetric()])
    train = getattr(data, method)(32, 4, targets="box", shuffle=True, seed=0)
    history = model.fit(
        train, epochs=2, validation_data=train, verbose=0, shuffle=False
    ).history
    assert history["val_iou"][-1] > 0 and np.isfinite(history["loss"]).all()


@METHODS
def test_presence_is_shaped_for_losses_and_metrics(method):
    """A model with three outputs learns from images without an object, without NaN."""
    data = with_negatives()
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = {
        "label": keras.layers.Dense(2, activation="softmax", name="label")(x),
        "box": keras.layers.Dense(4, activation="sigmoid", name="box")(x),
        "presence": keras.layers.Dense(1, activation="sigmoid", name="presence")(x),
    }
    model = keras.Model(inputs, outputs)
    model.compile(
        "sgd",
        loss={
            "label": "sparse_categorical_crossentropy",
            "box": "mse",
            "presence": keras.losses.BinaryCrossentropy(),
        },
        weighted_metrics={
            "presence": [keras.metrics.BinaryAccuracy(), keras.metrics.AUC(name="auc")]
        },
    )
    batch = getattr(data, method)(16)
    model.fit(batch, verbose=0, shuffle=False)
    found = model.evaluate(batch, verbose=0, return_dict=True)
    assert np.isfinite(list(found.values())).all()
    predicted = model.predict(batch, verbose=0)["presence"][:, 0].astype(float)
    truth = data.presence
    # In float64, by hand.
    entropy = -np.log(np.where(truth == 1, predicted, 1 - predicted)).mean()
    assert np.isclose(found["presence_loss"], entropy, rtol=1e-4)
    accuracy = ((predicted > 0.5) == truth).mean()
    assert np.isclose(found["presence_binary_accuracy"], accuracy)


@pytest.mark.long
@METHODS
def test_uint8_and_float_images_train_the_same(method):
    """Also through a backbone that has no layer which would cast them."""
    data = make_synthetic(8, max_side=100)

    class AsFloat(keras.utils.PyDataset):
        def __init__(self, batches):
            super().__init__()
            self.batches = batches

        def __len__(self):
            return len(self.batches)

        def __getitem__(self, index):
            images, *rest = self.batches[index]
            return images.astype("float32"), *rest

    def trained(batches):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((16, 16, 3))
        x = keras.layers.Conv2D(4, 3, strides=4, activation="tanh")(inputs)
        x = keras.layers.Dense(4, activation="sigmoid")(keras.layers.Flatten()(x))
        model = keras.Model(inputs, x)
        model.compile("adam", kl.BoxLoss(), weighted_metrics=[kl.IoUMetric()])
        history = model.fit(batches, epochs=2, verbose=0, shuffle=False).history
        figures = model.evaluate(batches, verbose=0)
        return history["loss"], figures, model.predict(batches, verbose=0).tolist()

    uint8 = trained(getattr(data, method)(16, 4, targets="box"))
    floats = trained(AsFloat(data.to_pydataset(16, 4, targets="box")))
    for first, second in zip(uint8, floats):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_a_tf_dataset_holds_its_images_and_nothing_else_does():
    tf = pytest.importorskip("tensorflow")
    data = make_synthetic(8, num_classes=2)
    dataset = data.to_tf_data(32, 4, cache="memory")
    squares = weakref.ref(dataset.batches.squares)
    derived = tf.data.Dataset.zip(dataset.map(lambda *x: x).cache(), dataset.repeat())
    iterator = iter(derived)
    del dataset, derived
    gc.collect()
    assert len(list(iterator)) == 2
    assert squares() is not None
    del iterator
    gc.collect()
    assert squares() is None
