"""Typical code of users. It is never run: tests/test_typing.py checks its types."""

from pathlib import Path
from typing import Unpack, assert_type

import keras
import numpy as np
from PIL import Image

import keras_localize as kl
from keras_localize import boxes, images
from keras_localize.datasets import Record


def read() -> kl.LocalizationDataset:
    data = kl.read_voc("images", Path("annotations"), without_box="negative")
    assert_type(data, kl.LocalizationDataset)
    assert_type(
        kl.read_coco("images", "annotations.json", on_error="skip"),
        kl.LocalizationDataset,
    )
    assert_type(
        kl.read_yolo("images", "labels", class_names="data.yaml", multiple="first"),
        kl.LocalizationDataset,
    )
    assert_type(
        kl.read_csv(
            "images",
            "boxes.csv",
            columns={"image": 0, "label": 5, "box": (1, 2, 3, 4)},
            bounding_box_format="xyxy",
        ),
        kl.LocalizationDataset,
    )
    assert_type(
        kl.load_oxford_pets("pets", labels="species", download=False),
        kl.LocalizationDataset,
    )
    pixels = np.zeros((2, 64, 48, 3), "uint8")
    own = kl.LocalizationDataset(
        pixels,
        boxes=[[0.0, 0.0, 0.5, 0.5], [0.2, 0.2, 1.0, 1.0]],
        labels=[0, 1],
        class_names=["cat", "dog"],
    )
    assert_type(data + own, kl.LocalizationDataset)
    assert_type(data[0], Record)
    assert_type(data["images/1.jpg"], Record)
    assert_type(data[:100], kl.LocalizationDataset)
    assert_type(data[[3, 1]], kl.LocalizationDataset)
    assert_type(data[np.flatnonzero(data.weights)], kl.LocalizationDataset)
    assert_type(len(data), int)
    print(data.summary(), data[0].box.tolist(), data[0].class_name, data.class_names)
    data.save("data.json")
    return kl.LocalizationDataset.load("data.json")


def build(data: kl.LocalizationDataset) -> kl.Localizer:
    backbone = keras.applications.MobileNetV2(
        include_top=False, input_shape=(224, 224, 3)
    )
    localizer = kl.build_localizer(
        backbone,
        num_classes=len(data.class_names),
        class_names=data.class_names,
        head="spatial",
        preprocessing="auto",
        quality=True,
    )
    assert_type(localizer, kl.Localizer)
    return localizer


def train(localizer: kl.Localizer, data: kl.LocalizationDataset) -> None:
    training, validation = data.split(0.2, seed=0)
    localizer.compile()
    history = localizer.fit(
        training.to_tf_data(
            224,
            batch_size=16,
            shuffle=True,
            augment=kl.RandomSquareView(224, zoom=(0.8, 1.5)),
            cache="memory",
            class_weight="balanced",
        ),
        validation_data=validation.to_pydataset(224),
        epochs=20,
        callbacks=[keras.callbacks.EarlyStopping("val_box_iou", patience=3)],
    )
    kl.plot_history(history).savefig("history.png")
    localizer.unfreeze(batch_normalization=True)
    localizer.compile(
        optimizer=keras.optimizers.AdamW(1e-4),
        loss={"label": "sparse_categorical_crossentropy", "box": kl.GIoULoss()},
        weighted_metrics={"label": ["accuracy"], "box": [kl.IoUMetric(0.5)]},
    )
    localizer.save("localizer.keras")


def train_on_cached_features(
    localizer: kl.Localizer, data: kl.LocalizationDataset
) -> None:
    features, heads = localizer.split()
    batches = data.to_tf_data(224, augment=kl.RandomSquareView(224))
    cached = kl.cache_features(features, batches, views=4)
    heads.compile()
    heads.fit(kl.FeatureBatches(*cached), epochs=7)


def use(localizer: kl.Localizer) -> None:
    paths = ["street.jpg", Path("garden.png")]
    answers = localizer.localize(paths, flip_average=True, refine=True)
    assert_type(answers, list[kl.Localization])
    answer = answers[0]
    assert_type(answer.class_name, str | None)
    assert_type(answer.scores, tuple[float, ...] | None)
    if answer.box is not None:
        x0, y0, x1, y1 = answer.box
        assert_type(x0 + y0 + x1 + y1, float)
    # One image, in each of its forms.
    localizer.localize("street.jpg")
    localizer.localize(Path("street.jpg").read_bytes())
    localizer.localize(Image.open("street.jpg"))
    localizer.localize(np.zeros((64, 48, 3), "uint8"))
    with open("street.jpg", "rb") as file:
        localizer.localize(file, batch_size=1)
    # Many images.
    localizer.localize("folder", batch_size=64, verbose=0)
    localizer.localize(np.zeros((2, 64, 48, 3), "uint8"))
    localizer.localize(Path("folder").glob("*.jpg"))
    for skipped in localizer.localize(paths, on_error="skip"):
        assert_type(skipped, kl.Localization | None)
    for source, found in localizer.iter_localize("folder", on_error="skip"):
        if found is not None:
            print(source, found.class_name, found.score, found.quality)


def decode(model: keras.Model, data: kl.LocalizationDataset) -> None:
    outputs = model.predict(data.to_tf_data(224))
    answers = kl.decode_predictions(outputs, data.image_sizes, image_size=224)
    assert_type(answers, list[kl.Localization])


def pass_options(localizer: kl.Localizer, **options: Unpack[kl.LocalizeOptions]):
    return localizer.localize("folder", **options)


def evaluate(localizer: kl.Localizer, data: kl.LocalizationDataset) -> None:
    report = kl.evaluate_localizer(localizer, data, worst=5, refine=True)
    assert_type(report, kl.LocalizationReport)
    assert_type(report.mean_iou, float)
    print(report, report.label_accuracy, report.per_class["cat"].mean_iou)
    answers = localizer.localize(data)
    assert_type(kl.report_localizations(answers, data), kl.LocalizationReport)
    figure = kl.plot_localizations(data, predictions=answers, columns=3)
    figure.savefig("localizations.png")


def export(localizer: kl.Localizer) -> None:
    kl.export_localizer(localizer, "served")
    kl.export_localizer(localizer, Path("localizer.onnx"), format="onnx")


def single_parts(data: kl.LocalizationDataset) -> None:
    inputs = keras.Input((224, 224, 3))
    x = keras.layers.Conv2D(16, 3, strides=8, activation="relu")(inputs)
    box = kl.LocalizationHead(kind="spatial", name="box")(x)
    model = keras.Model(inputs, box)
    model.compile(
        "adam",
        kl.BoxLoss(l1_weight=5.0, overlap="ciou"),
        weighted_metrics=[kl.IoUMetric(), kl.IoUMetric(threshold=0.75, name="iou_75")],
    )
    model.fit(data.to_tf_data(224, targets="box"), epochs=20)
    squares = kl.PadToSquare(224, antialias=True)
    square = squares({"images": np.zeros((1, 64, 48, 3), "uint8")})
    print(square["images"].shape, kl.CIoULoss()(data.boxes, data.boxes))


def compute_with_boxes() -> None:
    truth = np.array([[10.0, 20.0, 50.0, 60.0]])
    relative = boxes.convert(truth, "xyxy", "rel_xyxy", image_size=(64, 48))
    print(boxes.iou(relative, boxes.flip(relative)), boxes.area(relative))
    print(boxes.giou([[0, 0, 1, 1]], [[0, 0, 2, 2]], bounding_box_format="xyxy"))
    square = boxes.to_square(truth, (64, 48), size=224)
    print(boxes.from_square(square, image_size=(64, 48), size=224))


def read_images() -> None:
    print(images.load("street.jpg").shape)
    square, (height, width) = images.letterbox("street.jpg", 224)
    assert_type(height + width, int)
    print(square.shape)
    for path in images.list_images("folder"):
        print(path)
