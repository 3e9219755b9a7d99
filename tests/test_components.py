"""Single parts in models of one's own, as users import them."""

import keras
import numpy as np
import pytest

import keras_localize as kl


@pytest.fixture
def data():
    return kl.make_synthetic(24, num_classes=2, min_side=40, max_side=60)


def trunk():
    return [
        keras.layers.Rescaling(1 / 127.5, offset=-1.0),
        keras.layers.Conv2D(8, 3, strides=4, padding="same", activation="relu"),
        keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
    ]


def recipe():
    return {
        "optimizer": "adam",
        "loss": {"label": "sparse_categorical_crossentropy", "box": kl.GIoULoss()},
        "weighted_metrics": {
            "label": ["accuracy"],
            "box": [kl.IoUMetric(), kl.IoUMetric(threshold=0.5)],
        },
    }


EXPECTED = {
    "box_iou",
    "box_iou_50",
    "box_loss",
    "label_accuracy",
    "label_loss",
    "loss",
}


def test_in_a_functional_model(data, tmp_path):
    x = images = keras.Input((32, 32, 3))
    for layer in trunk():
        x = layer(x)
    label = keras.layers.GlobalAveragePooling2D()(x)
    label = keras.layers.Dense(2, activation="softmax", name="label")(label)
    box = kl.LocalizationHead(units=16, name="box")(x)
    model = keras.Model(images, {"label": label, "box": box})
    model.compile(**recipe())
    batches = data.to_pydataset(32, batch_size=8)
    history = model.fit(batches, epochs=1, verbose=0).history
    assert set(history) == EXPECTED
    model.save(tmp_path / "mine.keras")
    loaded = keras.models.load_model(tmp_path / "mine.keras")
    images = batches[0][0]
    expected, got = model.predict(images, verbose=0), loaded.predict(images, verbose=0)
    np.testing.assert_allclose(got["box"], expected["box"], atol=1e-6)
    scores = loaded.evaluate(batches, verbose=0, return_dict=True)
    assert scores["box_iou"] == pytest.approx(
        model.evaluate(batches, verbose=0, return_dict=True)["box_iou"], abs=1e-5
    )


def test_in_a_subclassed_model(data):
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.trunk = keras.Sequential(trunk())
            self.pool = keras.layers.GlobalAveragePooling2D()
            self.label = keras.layers.Dense(2, activation="softmax")
            self.box = kl.LocalizationHead(units=16)

        def call(self, images):
            x = self.trunk(images)
            return {"label": self.label(self.pool(x)), "box": self.box(x)}

    model = Mine()
    model.compile(**recipe())
    batches = data.to_pydataset(32, batch_size=8)
    history = model.fit(batches, epochs=1, verbose=0).history
    assert set(history) >= EXPECTED


def test_a_model_of_boxes_alone(data):
    # README's single parts, on batches (images, boxes, weights).
    x = images = keras.Input((32, 32, 3))
    for layer in trunk():
        x = layer(x)
    box = kl.LocalizationHead(units=16, name="box")(x)
    model = keras.Model(images, box)
    model.compile("adam", kl.BoxLoss(), weighted_metrics=[kl.IoUMetric()])
    batches = data.to_pydataset(32, batch_size=24)
    x, targets, weights = batches[0]
    boxes, weights = targets["box"], np.array(weights["box"])
    weights[::2] = 0  # as images without a box have it
    history = model.fit(x, boxes, 8, sample_weight=weights, verbose=0).history
    assert set(history) == {"loss", "iou"}
    scores = model.evaluate(
        x, boxes, sample_weight=weights, verbose=0, return_dict=True
    )
    predicted = model.predict(x, verbose=0)
    iou = keras.ops.convert_to_numpy(kl.boxes.iou(boxes, predicted))
    assert scores["iou"] == pytest.approx(iou[1::2].mean(), abs=1e-5)
    losses = kl.BoxLoss(reduction=None)(boxes, predicted)
    losses = keras.ops.convert_to_numpy(losses)
    assert scores["loss"] == pytest.approx((losses * weights).mean(), rel=1e-4)


def test_pad_to_square_as_a_models_first_layer():
    images = keras.Input((20, 40, 3))
    square = kl.PadToSquare(size=32)(images)
    box = kl.LocalizationHead("pooled")(keras.layers.Conv2D(4, 8, strides=8)(square))
    model = keras.Model(images, box)
    assert model.predict(np.zeros((2, 20, 40, 3)), verbose=0).shape == (2, 4)


def test_the_losses_in_a_loop_of_ones_own():
    # No compile, no fit: a loss is a function of two tensors.
    true = np.array([[0.2, 0.2, 0.6, 0.6]], "float32")
    values = [
        float(kl.BoxLoss()(true, true + shift)) for shift in (0.0, 0.05, 0.2, 0.39)
    ]
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert values == sorted(values)
