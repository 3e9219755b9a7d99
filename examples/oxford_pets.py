"""Where is the pet, and what is it? The Oxford-IIIT Pet exercise, all of it.

    python examples/oxford_pets.py --demo                      # nothing to download
    python examples/oxford_pets.py                             # downloads the data
    python examples/oxford_pets.py --data-dir DIR --labels species --fine-tune

The script follows the exercise: 1. get the data, 2. letterbox the images and move the
boxes along, 3. put two heads on a pretrained network, 4. train, with the IoU beside
accuracy and MSE, 5. evaluate, and look at the results.
"""

import argparse
import importlib.util
import itertools
import json
import sys
import time
from pathlib import Path

import keras
import numpy as np

import keras_localize as kl
from keras_localize.files import replacing

FIGURES = ["mean_iou", "iou_50", "iou_75", "label_accuracy", "species_accuracy"]
FIGURES += ["quality_error", "quality_correlation", "seconds"]
NETWORKS = (
    "keras.applications name (MobileNet:0.25: alpha), .keras file, KerasHub preset"
)


# --- Parts 1 and 2: images, boxes, labels ---------------------------------------


def load_data(args):
    """Training and validation data; images without a box have box weight 0."""
    if args.demo:
        count = args.limit or 2400
        data = kl.make_synthetic(count, num_classes=4, seed=args.seed)
        fresh = kl.make_synthetic(min(count, 400), num_classes=4, seed=args.seed + 1)
        return data, fresh
    data = kl.load_oxford_pets(args.data_dir, labels=args.labels)
    print(data.summary())
    if args.limit:
        chosen = np.random.default_rng(args.seed).permutation(len(data))[: args.limit]
        data = data[np.sort(chosen)]
    return data.split(0.2, seed=args.seed)


# --- Part 3: a backbone, two heads ------------------------------------------------


def make_localizer(args, class_names):
    """Two heads on the backbone, which stays frozen where it is pretrained."""
    return kl.build_localizer(
        make_backbone(args),
        num_classes=len(class_names),
        class_names=class_names,
        image_size=args.image_size,
        quality=args.quality,
        trainable_backbone=args.demo or args.weights == "none",
    )


def make_backbone(args):
    """A network without its top; for the demo, a small one."""
    shape = (args.image_size, args.image_size, 3)
    if args.demo:
        return small_backbone(shape)
    if args.backbone.endswith(".keras"):
        return keras.models.load_model(args.backbone)
    name, _, alpha = args.backbone.partition(":")
    application = getattr(keras.applications, name, None)
    if not callable(application):
        hub = importlib.util.find_spec("keras_hub") and importlib.import_module(
            "keras_hub"
        )
        if not hub:
            raise ValueError(f"--backbone: no {NETWORKS} is called {args.backbone!r}")
        return hub.models.Backbone.from_preset(args.backbone)
    options = {"alpha": float(alpha)} if alpha else {}
    weights = None if args.weights == "none" else args.weights
    try:
        return application(
            include_top=False, weights=weights, input_shape=shape, **options
        )
    except Exception as error:  # Keras raises a bare one where a download fails
        hint = "Without a network: --weights takes a file or none."
        raise ValueError(f"The backbone could not be made: {error}\n{hint}") from error


def small_backbone(shape):
    """Four strided steps, small enough to learn from scratch on a CPU."""
    x = images = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(x)
    how = {"padding": "same", "use_bias": False}
    for filters in (16, 32, 64, 128):
        x = keras.layers.Conv2D(filters, 3, strides=2, **how)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
        y = keras.layers.DepthwiseConv2D(3, **how)(x)
        y = keras.layers.Conv2D(filters, 1, **how)(y)
        y = keras.layers.BatchNormalization()(y)
        x = keras.layers.ReLU()(keras.layers.Add()([x, y]))
    return keras.Model(images, x, name="small_backbone")


# --- Part 5: evaluate and look ----------------------------------------------------


def species_of_breeds(data, args):
    """Species of each image and of each breed; None where the labels are no breeds."""
    if args.demo or args.labels != "breed":
        return None
    species = kl.load_oxford_pets(args.data_dir, labels="species", on_error="skip")
    table = np.zeros(len(data.class_names), int)
    for name, label in zip(data.names, data.labels):
        table[label] = species[name].label
    return species, table


def figures(answers, data, species=None):
    """The figures of a report, for the table."""
    report = kl.report_localizations(answers, data).to_dict()
    if species and report["label_accuracy"] is not None:
        # Cat or dog: the one whose breeds have the higher probability together.
        records, table = species
        truth = records[[records.names.index(name) for name in data.names]]
        grouped = np.array([one.scores for one in answers]) @ np.eye(2)[table]
        accuracy = np.mean(grouped.argmax(axis=1) == truth.labels)
        report["species_accuracy"] = float(accuracy)
    return {name: report[name] for name in FIGURES if report.get(name) is not None}


def write_outputs(output, localizer, history, answers, validation, report):
    """The model, its curves, images with predicted and true boxes, all figures."""
    shown = slice(None, None, -(-len(validation) // 16))
    figure = kl.plot_localizations(validation[shown], answers[shown])
    rows = [["epoch", *history], *zip(itertools.count(), *history.values())]
    table = "".join(",".join(map(str, row)) + "\n" for row in rows)
    for name, write in {
        "model.keras": localizer.save,
        "history.csv": lambda path: path.write_text(table),
        "curves.png": kl.plot_history(history).savefig,
        "predictions.png": figure.savefig,
        "report.json": lambda path: path.write_text(json.dumps(report, indent=2)),
    }.items():
        with replacing(output / name) as unfinished:
            write(unfinished)
        print(f"wrote {output / name}")


def run(args):
    keras.utils.set_random_seed(args.seed)
    train, validation = load_data(args)
    print(f"training on {len(train)} images, validating on {len(validation)}")
    localizer = make_localizer(args, train.class_names)

    # --- Part 4: training ---
    started = time.perf_counter()
    history = kl.train_localizer(
        localizer,
        train,
        validation,
        head_epochs=args.epochs,
        views=args.views,
        fine_tune_epochs=args.fine_tune or 0,
        batch_size=args.batch_size,
        cache=args.cache,
        seed=args.seed,
    )
    seconds = time.perf_counter() - started
    choice = history.pop("choice", [])

    species = species_of_breeds(train, args)
    recipe = history["phase"][-1]
    answers = localizer.localize(validation)
    recipes = {recipe: {**figures(answers, validation, species), "seconds": seconds}}
    for option in ("flip_average", "refine"):
        more = localizer.localize(validation, **{option: True})
        recipes[f"{recipe}, {option}"] = figures(more, validation, species)
    for name, scores in recipes.items():
        print(f"{name:26}", *(f"{key} {scores[key]:.4f}" for key in scores))

    rows = kl.report_localizations(answers, validation).per_image
    report = {
        "recipe": recipe,
        "settings": vars(args),
        "counts": {"training": len(train), "validation": len(validation)},
        "metrics": recipes[recipe],
        "recipes": recipes,
        "history": history,
        "choice": choice,
        "per_image": [
            {"name": row.name, "iou": row.iou, "quality": row.answer.quality}
            for row in rows
            if not np.isnan(row.iou)
        ],
    }
    write_outputs(Path(args.output), localizer, history, answers, validation, report)


# --- The command line -------------------------------------------------------------


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--demo", action="store_true", help="drawn images, nothing is downloaded")
    add("--data-dir", help="folder with images/ and annotations/; else a download")
    add("--labels", choices=["breed", "species"], default="breed")
    add("--backbone", default="MobileNetV2", help=NETWORKS)
    add("--weights", default="imagenet", help="imagenet, none, or a weights file")
    how = {"type": positive, "metavar": "EPOCHS", "nargs": "?", "const": 25}
    add("--fine-tune", **how, help="train the backbone too, after the heads (25)")
    add("--quality", action="store_true", help="also predict the IoU of the box")
    add("--image-size", type=positive, help="side of the squares (224; demo: 96)")
    add("--epochs", type=positive, help="epochs of the heads (auto)")
    add("--views", type=positive, help="random views cached per image (auto)")
    add("--batch-size", type=positive, default=32)
    add("--limit", type=positive, help="use this many images")
    add("--seed", type=int, default=0)
    add("--cache", help="folder that makes the run resumable")
    add("--output", default="runs/oxford_pets", help="output folder")
    args = parser.parse_args()
    args.image_size = args.image_size or (96 if args.demo else 224)
    for name, folder in (("output", args.output), ("cache", args.cache)):
        try:  # now, and not after the training
            if folder is not None:
                Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"argument --{name}: cannot write there: {error}")
    return args


def positive(text):
    if (value := int(text)) <= 0:
        raise argparse.ArgumentTypeError(f"must be a positive integer, not {text}")
    return value


if __name__ == "__main__":
    arguments = parse_arguments()
    try:
        run(arguments)
    except (kl.datasets.DownloadError, ImportError, ValueError) as error:
        sys.exit(f"error: {error}\n(--demo needs neither data nor a network.)")
