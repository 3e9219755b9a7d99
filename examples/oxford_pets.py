"""Where is the pet, and what is it? The Oxford-IIIT Pet exercise, all of it.

    python examples/oxford_pets.py --demo                      # nothing to download
    python examples/oxford_pets.py                             # downloads the data
    python examples/oxford_pets.py --data-dir DIR --labels species
    python examples/oxford_pets.py --data-dir DIR --recipe notebook

The script follows the exercise: 1. get the data, 2. letterbox the images and move the
boxes along, 3. put two heads on a pretrained network, 4. train, with the IoU beside
accuracy and MSE, 5. evaluate, and look at the results.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import keras
import numpy as np

import keras_localize as kl
from keras_localize.files import replacing

FIGURES = ["mean_iou", "iou_50", "iou_75", "label_accuracy", "species_accuracy"]
FIGURES += ["quality_error", "quality_correlation"]
NAMES = "keras.applications name, with :alpha where it has one (MobileNet:0.25)"


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


def batches(data, args, **kwargs):
    """Black-padded squares of the backbone's size, with boxes, labels and weights."""
    on_tensorflow = keras.backend.backend() == "tensorflow"
    make = data.to_tf_data if on_tensorflow else data.to_pydataset
    return make(args.image_size, args.batch_size, seed=args.seed, **kwargs)


# --- Part 3: a backbone, two heads ------------------------------------------------


def make_backbone(args):
    """A network of keras.applications without its top; for the demo, a small one."""
    shape = (args.image_size, args.image_size, 3)
    if args.demo:
        return small_backbone(shape)
    name, _, alpha = args.backbone.partition(":")
    options = {"alpha": float(alpha)} if alpha else {}
    weights = None if args.weights == "none" else args.weights
    network = getattr(keras.applications, name)
    try:
        return network(include_top=False, weights=weights, input_shape=shape, **options)
    except Exception as error:  # Keras raises a bare one where a download fails
        raise ValueError(
            f"The backbone could not be made: {error}\nWithout a network: --weights "
            "takes a file or none, and --demo needs no weights."
        ) from error


def small_backbone(shape):
    """Four strided steps, small enough to learn from scratch on a CPU."""
    x = images = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(x)
    for filters in (16, 32, 64, 128):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(
            x
        )
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
        y = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        y = keras.layers.Conv2D(filters, 1, use_bias=False)(y)
        y = keras.layers.BatchNormalization()(y)
        x = keras.layers.ReLU()(keras.layers.Add()([x, y]))
    return keras.Model(images, x, name="small_backbone")


def make_localizer(args, class_names):
    """Two heads on the backbone, which stays frozen where it is pretrained."""
    return kl.build_localizer(
        make_backbone(args),
        num_classes=len(class_names),
        class_names=class_names,
        quality=args.quality,
        trainable_backbone=args.demo or args.weights == "none",
    )


# --- Part 4: training -------------------------------------------------------------


def phases(localizer, args):
    """Ours: the heads on cached features, then, if asked for, the whole network."""
    if localizer.backbone.trainable:
        return [("default", train_whole)]
    if args.fine_tune:
        return [("default, frozen", train_heads), ("default, fine-tuned", fine_tune)]
    return [("default", train_heads)]


def train_heads(localizer, args, train, validation):
    """Runs the frozen backbone once, then trains the heads on its features."""
    features, heads = localizer.split()
    views = batches(train, args, augment=random_view(args))
    train_features = kl.cache_features(features, views, views=args.views)
    validation_features = kl.cache_features(
        features, batches(validation, args), mirror=False
    )
    heads.compile()
    started = time.perf_counter()
    history = heads.fit(
        kl.FeatureBatches(*train_features, seed=args.seed),
        validation_data=validation_features,
        epochs=args.epochs,
        shuffle=False,  # the batches are shuffled already
        verbose=args.verbose,
    ).history
    print(f"the heads trained for {time.perf_counter() - started:.0f} s")
    return history


def random_view(args):
    """Each image flipped, zoomed, stretched and shifted at random."""
    return kl.RandomSquareView(args.image_size, bounding_box_format="rel_xyxy")


def train_whole(localizer, args, train, validation):
    """Trains a small network from scratch, on images as they are."""
    squares = batches(train, args, shuffle=True, cache="memory")
    return fit(localizer, squares, validation, args, args.epochs)


def fine_tune(localizer, args, train, validation):
    """Trains all layers, batch normalization too, on a new view in every epoch.

    The boxes get better and the breeds worse. The average with the weights from
    before is good at both (WiSE-FT, arXiv 2109.01903).
    """
    before = localizer.get_weights()
    localizer.unfreeze(batch_normalization=True)
    views = random_view(args)
    squares = batches(train, args, shuffle=True, cache="memory", augment=views)
    history = fit(localizer, squares, validation, args, args.fine_tune)
    after = localizer.get_weights()
    localizer.set_weights([0.3 * b + 0.7 * a for b, a in zip(before, after)])
    return history


def fit(localizer, squares, validation, args, epochs):
    localizer.compile()
    return localizer.fit(
        squares,
        validation_data=batches(validation, args, cache="memory"),
        epochs=epochs,
        shuffle=False,  # the batches are shuffled already
        verbose=args.verbose,
    ).history


def train_notebook(args, train, validation, weighting):
    """The model of the exercise's notebook, with its losses or with ours.

    The network is cut at its last map of stride 16 and trains as a whole; the label
    comes from a pooled, the box from a flattened dense layer.
    """
    keras.utils.set_random_seed(args.seed)
    localizer = make_localizer(args, train.class_names)  # for its scaling of pixels
    backbone = localizer.backbone
    backbone.trainable = True
    side = args.image_size // 16
    cut = [layer for layer in backbone.layers if layer.output.shape[1] == side][-1]
    trunk = keras.Model(backbone.inputs, cut.output)

    images = keras.Input((args.image_size, args.image_size, 3), name="images")
    scale = localizer.preprocessing
    x = trunk(scale(images) if scale else images)
    label = keras.layers.GlobalAveragePooling2D()(x)
    species = len(train.class_names) == 2
    label = keras.layers.Dense(
        1 if species else len(train.class_names),
        activation="sigmoid" if species else "softmax",
        name="label",
    )(label)
    label_loss = "binary_crossentropy" if species else "sparse_categorical_crossentropy"

    box = keras.layers.Flatten()(x)
    if weighting == "as stated":  # relu output in 0-1; label + 800 x MSE
        box = keras.layers.Dense(4, activation="relu", name="box")(box)
        box_loss, loss_weights = "mse", {"label": 1, "box": 800}
    elif weighting == "as run":  # relu output in pixels; 800 x label + pixel MSE
        box = keras.layers.Dense(4, activation="relu")(box)
        box = keras.layers.Rescaling(1 / args.image_size, name="box")(box)
        box_loss, loss_weights = "mse", {"label": 800, "box": args.image_size**2}
    else:  # the same in pixels with the custom loss; it needs no relu, which may die
        box = keras.layers.Dense(4)(box)
        box = keras.layers.Rescaling(1 / args.image_size, name="box")(box)
        box_loss, loss_weights = kl.BoxLoss(), None

    model = keras.Model(images, {"label": label, "box": box})
    model.compile(
        keras.optimizers.Adam(1e-3),
        loss={"label": label_loss, "box": box_loss},
        loss_weights=loss_weights,
        weighted_metrics={
            "label": ["accuracy"],
            "box": [kl.IoUMetric(), keras.metrics.MeanSquaredError(name="mse")],
        },
    )
    history = model.fit(
        batches(train, args, shuffle=True, cache="memory"),
        validation_data=batches(validation, args, cache="memory"),
        epochs=3,
        shuffle=False,
        verbose=args.verbose,
    ).history
    return model, history


# --- Part 5: evaluate and look ----------------------------------------------------


def constant_box(train, validation, args):
    """The mean box of the training images: what every model must beat."""
    size = args.image_size
    boxes = kl.boxes.to_square(train.boxes, train.image_sizes, size, "rel_xyxy")
    mean = keras.ops.convert_to_numpy(boxes)[train.weights > 0].mean(axis=0)
    outputs = {"box": np.tile(mean, (len(validation), 1))}
    return kl.decode_predictions(outputs, validation.image_sizes, size)


def predict(model, validation, args):
    """The answers of any model on squares with the outputs "label" and "box"."""
    outputs = model.predict(batches(validation, args), verbose=0)
    return kl.decode_predictions(
        outputs, validation.image_sizes, args.image_size, validation.class_names
    )


def species_of_breeds(data, args):
    """Species of each breed and of each image; None where the labels are no breeds."""
    if args.demo or args.labels != "breed":
        return None
    options = {"verify": False, "on_error": "skip"}
    species = kl.load_oxford_pets(args.data_dir, labels="species", **options)
    table = np.zeros(len(data.class_names), int)
    for name, label in zip(data.names, data.labels):
        table[label] = species[name].label
    return species, table


def species_accuracy(answers, data, species, table):
    """Cat or dog: the one whose breeds have the higher probability together."""
    truth = species[[species.names.index(name) for name in data.names]]
    grouped = np.eye(2)[table]
    answers = [
        answer._replace(label=int(label), class_name=truth.class_names[label])
        for answer in answers
        for label in [np.argmax(answer.scores @ grouped)]
    ]
    return kl.report_localizations(answers, truth).label_accuracy


def figures(answers, data, species=None):
    """The figures of a report, for the table."""
    report = kl.report_localizations(answers, data).to_dict()
    if species and report["label_accuracy"] is not None:
        report["species_accuracy"] = species_accuracy(answers, data, *species)
    chosen = {name: report.get(name) for name in FIGURES}
    return {name: value for name, value in chosen.items() if value is not None}


def per_image(answers, data):
    """Name, IoU and quality of each image, to study the answers further."""
    rows = kl.report_localizations(answers, data).per_image
    return [
        {"name": row.name, "iou": row.iou, "quality": row.answer.quality}
        for row in rows
        if not np.isnan(row.iou)
    ]


def print_table(recipes):
    names = [*FIGURES, "seconds"]
    columns = [c for c in names if any(c in scores for scores in recipes.values())]
    print("\n" + f"{'recipe':38}" + "".join(f"{name:>20}" for name in columns))
    for name, scores in recipes.items():
        cells = [f"{scores[c]:.4f}" if c in scores else "-" for c in columns]
        print(f"{name:38}" + "".join(f"{cell:>20}" for cell in cells))


def save(path, write):
    """Writes a file, whole or not at all."""
    with replacing(path) as unfinished:
        write(unfinished)
    print(f"wrote {path}")


def write_outputs(output, model, history, answers, validation, report):
    """The model, its curves, images with predicted and true boxes, all figures."""
    rows = [",".join(["epoch", *history])]
    for epoch, values in enumerate(zip(*history.values())):
        rows.append(",".join([str(epoch), *(f"{v:.6g}" for v in values)]))
    shown = np.unique(np.linspace(0, len(validation) - 1, 16).astype(int))
    figure = kl.plot_localizations(validation[shown], [answers[i] for i in shown])
    save(output / "model.keras", model.save)
    save(output / "history.csv", lambda path: path.write_text("\n".join(rows) + "\n"))
    save(output / "curves.png", kl.plot_history(history).savefig)
    save(output / "predictions.png", figure.savefig)
    text = json.dumps(report, indent=2) + "\n"
    save(output / "report.json", lambda path: path.write_text(text))


def run(args):
    keras.utils.set_random_seed(args.seed)
    train, validation = load_data(args)
    print(f"training on {len(train)} images, validating on {len(validation)}")
    species = species_of_breeds(train, args)
    recipes = {
        "constant box": figures(constant_box(train, validation, args), validation)
    }

    def add(name, answers, started=None):
        recipes[name] = figures(answers, validation, species)
        if started is not None:
            recipes[name]["seconds"] = time.perf_counter() - started

    kept = None
    if args.recipe == "notebook":
        for weighting in ("as run", "as stated", "with our BoxLoss"):
            started = time.perf_counter()
            model, history = train_notebook(args, train, validation, weighting)
            name, answers = f"notebook, {weighting}", predict(model, validation, args)
            add(name, answers, started)
            kept = kept or (name, model, history, answers)
    started = time.perf_counter()
    localizer = make_localizer(args, train.class_names)
    name, history, answers = "default", {}, []
    for name, train_on in phases(localizer, args):
        more = train_on(localizer, args, train, validation)
        history = {key: history.get(key, []) + more[key] for key in more}
        answers = localizer.localize(validation, args.batch_size)
        add(name, answers, started)
        for option in ("flip_average", "refine"):
            options = {option: True}
            refined = localizer.localize(validation, args.batch_size, **options)
            add(f"{name}, {option}", refined)
    kept = kept or (name, localizer, history, answers)

    print_table(recipes)
    name, model, history, answers = kept
    report = {
        "recipe": name,
        "settings": vars(args),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "counts": {
            part: {"images": len(data), "with_box": int((data.weights > 0).sum())}
            for part, data in (("training", train), ("validation", validation))
        },
        "metrics": recipes[name],
        "recipes": recipes,
        "history": history,
        "per_image": per_image(answers, validation),
    }
    write_outputs(Path(args.output), model, history, answers, validation, report)


# --- The command line -------------------------------------------------------------


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--demo", action="store_true", help="drawn images, nothing is downloaded")
    add("--data-dir", help="folder with images/ and annotations/; else a download")
    add("--labels", choices=["breed", "species"], default="breed")
    add("--backbone", default="MobileNetV2", help=NAMES)
    add("--weights", default="imagenet", help="imagenet, none, or a weights file")
    add("--recipe", choices=["default", "notebook"], default="default")
    add(
        "--fine-tune",
        type=positive,
        metavar="EPOCHS",
        nargs="?",
        const=25,
        help="train the backbone too, after the heads (25 epochs)",
    )
    add("--quality", action="store_true", help="also predict the IoU of the box")
    add("--image-size", type=positive, help="side of the squares (224; demo: 96)")
    add("--epochs", type=positive, help="epochs of the heads (7; demo: 12)")
    add("--views", type=positive, default=4, help="random views cached per image")
    add("--batch-size", type=positive, default=32)
    add("--limit", type=positive, help="use only so many images")
    add("--seed", type=int, default=0)
    add("--output", default="runs/oxford_pets", help="folder for what is written")
    args = parser.parse_args()
    name = args.backbone.partition(":")[0]
    if not callable(getattr(keras.applications, name, None)):
        parser.error(f"argument --backbone: {name!r} is not in keras.applications")
    args.image_size = args.image_size or (96 if args.demo else 224)
    args.epochs = args.epochs or (12 if args.demo else 7)
    args.verbose = 1 if sys.stdout.isatty() else 2
    try:  # now, and not after the training
        Path(args.output).mkdir(parents=True, exist_ok=True)
        (probe := Path(args.output) / "unfinished").write_text("")
        probe.unlink()
    except OSError as error:
        parser.error(f"argument --output: cannot write there: {error}")
    return args


def positive(text):
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"must be a positive integer, not {text}")
    return value


if __name__ == "__main__":
    arguments = parse_arguments()
    try:
        run(arguments)
    except kl.datasets.DownloadError as error:
        sys.exit(
            f"{error}\nWithout a network: --demo needs no data, and --data-dir takes "
            "a copy of the data set."
        )
    except ValueError as error:  # the message names what was wrong
        sys.exit(f"error: {error}")
