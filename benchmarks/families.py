"""Every model of keras.applications as a localizer: taps, parameters, step overhead.

    KERAS_BACKEND=tensorflow python benchmarks/families.py --rows all
    KERAS_BACKEND=torch python benchmarks/families.py --rows small --steps 5

Prints Markdown. `--rows all` builds every constructor without weights and lists its
maps and parameters. `--rows small`, one small model per family, also proves that it
trains a step, is saved, loads and predicts the same, and times a training step beside
a peer that gives the same outputs (the bare backbone, global average pooling, two
dense layers): the two by turns in one run, medians. `--only NAME ...` picks rows.
"""

import argparse
import pathlib
import tempfile
import time
import warnings

import keras
import numpy as np

import keras_localize as kl

SMALL = {
    "MobileNet": {"alpha": 0.25},
    "MobileNetV2": {},
    "MobileNetV3Small": {},
    "NASNetMobile": {},
    "EfficientNetB0": {},
    "EfficientNetV2B0": {},
    "DenseNet121": {},
    "VGG16": {},
    "Xception": {},
    "InceptionV3": {},
    "ResNet50": {},
    "ResNet50V2": {},
    "ConvNeXtTiny": {},
    "InceptionResNetV2": {},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", choices=["all", "small"], default="small")
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5, help="0: no timing")
    args = parser.parse_args()

    every = [name for name in dir(keras.applications) if name[0].isupper()]
    rows = SMALL if args.rows == "small" else {key: {} for key in every}
    head = ["model", "parameters", "maps of the box head", "added"]
    if args.rows == "small":
        head += ["trains, comes back", "overhead, trainable", "frozen"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for name in args.only or rows:
        try:
            row = describe(name, SMALL.get(name, {}) if args.only else rows[name], args)
        except ValueError as error:  # NASNet on torch: Keras refuses it
            row = [name, f"not built: {str(error).partition('.')[0]}"]
        print(f"| {' | '.join(row)} |", flush=True)
        keras.utils.clear_session()


def describe(name, options, args):
    backbone = getattr(keras.applications, name)(
        include_top=False,
        weights=None,
        input_shape=(args.image_size, args.image_size, 3),
        **options,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an unknown scaling would warn
        localizer = kl.build_localizer(backbone, 37)
    names = {id(each.output): each.name for each in backbone.operations}
    taps = ", ".join(
        f"`{names[id(x)]}` {x.shape[1]} x {x.shape[2]} x {x.shape[3]}"
        for x in localizer.backbone.outputs
    )
    label = " ".join([name, *(f"{k} {v}" for k, v in options.items())])
    added = localizer.count_params() - backbone.count_params()
    row = [
        label,
        f"{backbone.count_params() / 1e6:.1f} M",
        taps,
        f"{added / 1e3:.0f} k",
    ]
    if args.rows == "all":
        return row
    row.append("yes" if comes_back(localizer, args) else "NO")
    for trainable in (True, False):
        row.append(overhead(localizer, peer(localizer), trainable, args))
    return row


def some_batch(args):
    rng = np.random.default_rng(0)
    images = rng.integers(
        0, 256, (args.batch_size, args.image_size, args.image_size, 3)
    )
    corner = rng.uniform(0, 0.5, (args.batch_size, 2))
    boxes = np.concatenate([corner, corner + 0.4], axis=1)
    labels = rng.integers(0, 37, args.batch_size)
    return images.astype("uint8"), {"label": labels, "box": boxes.astype("float32")}


def comes_back(localizer, args):
    images, targets = some_batch(args)
    localizer.compile()
    loss = localizer.fit(images[:2], {k: v[:2] for k, v in targets.items()}, verbose=0)
    expected = localizer.predict_on_batch(images[:2])
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "localizer.keras"
        localizer.save(path)
        found = keras.models.load_model(path).predict_on_batch(images[:2])
    return np.isfinite(loss.history["loss"]).all() and all(
        np.allclose(found[key], expected[key], atol=1e-6) for key in expected
    )


def peer(localizer):
    """The same backbone and outputs, with the heads that everybody writes first."""
    images = keras.Input((localizer.image_size, localizer.image_size, 3))
    scaling = localizer.preprocessing or (lambda x: x)
    final = keras.tree.flatten(localizer.backbone(scaling(images)))[-1]
    x = keras.layers.GlobalAveragePooling2D()(final)
    outputs = {
        "label": keras.layers.Dense(37, activation="softmax", name="label")(x),
        "box": keras.layers.Dense(4, activation="sigmoid", name="box")(x),
    }
    return keras.Model(images, outputs)


def overhead(localizer, bare, trainable, args):
    """Median step of the localizer over that of its peer, and the latter in ms."""
    if not args.steps:
        return ""
    images, targets = some_batch(args)
    localizer.backbone.trainable = trainable
    losses = {"label": "sparse_categorical_crossentropy", "box": kl.BoxLoss()}
    for model in (localizer, bare):
        model.compile("sgd", losses)
        model.train_on_batch(images, targets)
    times = ([], [])
    for step in range(args.steps):
        order = (0, 1) if step % 2 else (1, 0)
        for which in order:
            started = time.perf_counter()
            (localizer, bare)[which].train_on_batch(images, targets)
            times[which].append(time.perf_counter() - started)
    ours, theirs = np.median(times, axis=1)
    return f"{100 * (ours / theirs - 1):+.1f}% of {theirs * 1e3:.0f} ms"


if __name__ == "__main__":
    main()
