"""The model of the exercise's notebook, with its losses and with ours, and our default.

    python benchmarks/notebook.py --data-dir DIR --seeds 0 1 2

Species (cat or dog) and the box of the head; MobileNet with alpha 0.25 at 224 px. The
notebook cuts the network at its last map of stride 16 and trains it as a whole for
three epochs; the label comes from a pooled, the box from a flattened dense layer. The
notebook and the exercise's text give the loss weights in opposite order, so both are
run. Figures are of the validation images, boxes compared in original pixels.
"""

import argparse
import time

import keras
from recipe import figure

import keras_localize as kl

COLUMNS = {"mean IoU": 3, "IoU >= 0.5": 3, "IoU >= 0.75": 3, "accuracy": 3}
COLUMNS["seconds"] = 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    args = parser.parse_args()
    data = kl.load_oxford_pets(args.data_dir, labels="species")
    rows = {}
    for seed in args.seeds:
        train, validation = data.split(0.2, seed=seed)
        for name, make in {
            "the notebook as published": published,
            "the notebook with the weights of the exercise text": as_stated,
            "the same network and epochs, with `BoxLoss`": with_our_loss,
            "keras-localize, frozen": None,
        }.items():
            keras.utils.set_random_seed(seed)
            backbone = keras.applications.MobileNet(
                alpha=0.25,
                include_top=False,
                weights=None if args.weights == "none" else args.weights,
                input_shape=(args.size, args.size, 3),
            )
            started = time.perf_counter()
            if make is None:
                answers = ours(backbone, train, validation, seed)
            else:
                model = notebook(backbone, args.size, *make(args.size))
                answers = trained(model, train, validation, args, seed)
            seconds = time.perf_counter() - started
            report = kl.report_localizations(answers, validation)
            values = [report.mean_iou, report.iou_50, report.iou_75]
            values += [report.label_accuracy, seconds]
            rows.setdefault(name, []).append(values)
            print(seed, name, *(f"{value:.3f}" for value in values), flush=True)
    print(f"| recipe | {' | '.join(COLUMNS)} |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name, seeds in rows.items():
        cells = map(figure, zip(*seeds), COLUMNS.values())
        print(f"| {name} | {' | '.join(cells)} |")


# Each gives the layers of the box, its loss, and the weights of the losses.


def published(size):
    """relu output in pixels; 800 x label loss + MSE in pixels."""
    box = [keras.layers.Dense(4, activation="relu")]
    # Keras wants one form of targets: the MSE in fractions times the squared side.
    box.append(keras.layers.Rescaling(1 / size, name="box"))
    return box, "mse", {"label": 800, "box": size**2}


def as_stated(size):
    """relu output in 0-1; label loss + 800 x MSE."""
    box = [keras.layers.Dense(4, activation="relu", name="box")]
    return box, "mse", {"label": 1, "box": 800}


def with_our_loss(size):
    """Output in pixels with `BoxLoss`; it needs no relu, which may die."""
    box = [keras.layers.Dense(4), keras.layers.Rescaling(1 / size, name="box")]
    return box, kl.BoxLoss(), None


def notebook(backbone, size, box_layers, box_loss, loss_weights):
    """The notebook's model, compiled."""
    backbone.trainable = True
    side = size // 16
    cut = [layer for layer in backbone.layers if layer.output.shape[1] == side][-1]
    trunk = keras.Model(backbone.inputs, cut.output)
    images = keras.Input((size, size, 3), name="images")
    maps = trunk(keras.layers.Rescaling(1 / 127.5, -1)(images))
    label = keras.layers.GlobalAveragePooling2D()(maps)
    label = keras.layers.Dense(1, activation="sigmoid", name="label")(label)
    box = keras.layers.Flatten()(maps)
    for layer in box_layers:
        box = layer(box)
    model = keras.Model(images, {"label": label, "box": box})
    model.compile(
        keras.optimizers.Adam(1e-3),
        loss={"label": "binary_crossentropy", "box": box_loss},
        loss_weights=loss_weights,
    )
    return model


def trained(model, train, validation, args, seed):
    """The answers of the notebook's model for the validation images."""
    squares = train.to_tf_data(args.size, shuffle=True, cache="memory", seed=seed)
    model.fit(squares, epochs=args.epochs, shuffle=False, verbose=0)
    outputs = model.predict(validation.to_tf_data(args.size), verbose=0)
    return kl.decode_predictions(
        outputs, validation.image_sizes, args.size, validation.class_names
    )


def ours(backbone, train, validation, seed):
    localizer = kl.build_localizer(backbone, 1, class_names=train.class_names)
    kl.train_localizer(localizer, train, seed=seed, verbose=0)
    return localizer.localize(validation, verbose=0)


if __name__ == "__main__":
    main()
