"""The measurements behind the rules of `train_localizer`.

    python benchmarks/training_rules.py --data pets --data-dir DIR --box-crop 0 0.5 0.7
    python benchmarks/training_rules.py --data pets --data-dir DIR --head-epochs 7 14
    python benchmarks/training_rules.py --data pets --data-dir DIR --epochs 3
    python benchmarks/training_rules.py --data pets --data-dir DIR --unseen 3 25
    python benchmarks/training_rules.py --data drawn --kept 3 25

MobileNet with alpha 0.25 at 224 px, or the network of `--backbone`, a `.keras` file; on
the heads of pets, on airplanes, faces and motorcycles, or on drawn images. A quarter of
the training images evaluates; the validation images are not used. `--box-crop` compares
shares of box crops among the views of the heads, `--head-epochs` how long these train,
`--source-size` squares that views are taken from. `--epochs` compares ways of
fine-tuning, after the last of these heads: whether batch normalization trains, the
rates of backbone and heads, and the weight of the box loss; `--batch-size` is for it.

`--unseen` is a check of `train_localizer` as it is, with these `fine_tune_epochs`: the
quarter is given for its choice, and the validation images, which it does not see,
evaluate. With `--kept` all training images train, and the validation images choose and
evaluate.
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np
from tutorial import load

import keras_localize as kl

SIZE = 224
# name: (batch normalization trains, peak rate, factor on the rate of the backbone,
# weight of the box loss)
WAYS = {
    "batch norm trains": (True, 1e-3, 1.0, 1.0),
    "batch norm trains, rate 2e-3": (True, 2e-3, 1.0, 1.0),
    "batch norm trains, rate 2e-3, box twice": (True, 2e-3, 1.0, 2.0),
    "batch norm trains, rate 4e-3, box twice": (True, 4e-3, 1.0, 2.0),
    "batch norm trains, backbone at 0.3": (True, 1e-3, 0.3, 1.0),
    "batch norm fixed": (False, 1e-3, 1.0, 1.0),
    "batch norm fixed, all at 0.3": (False, 3e-4, 1.0, 1.0),
    "batch norm fixed, backbone at 0.1": (False, 1e-3, 0.1, 1.0),
    "batch norm fixed, backbone at 0.1, box twice": (False, 1e-3, 0.1, 2.0),
}
SHARES = (0.3, 0.5, 0.7, 1.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", choices=["pets", "caltech", "drawn"], default="pets")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--box-crop", type=float, nargs="+", default=[0.5])
    parser.add_argument("--head-epochs", type=int, nargs="+", default=[14])
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--source-size", type=int, default=SIZE)
    parser.add_argument("--unseen", type=int, nargs="+")
    parser.add_argument("--kept", type=int, nargs="+")
    parser.add_argument("--backbone", type=Path)
    args = parser.parse_args()
    training, validation = read(args).split(0.2, seed=args.seed)
    train, held_out = training.split(0.25, seed=args.seed + 100)
    columns = ("mean IoU", "IoU >= 0.9", "label")
    columns += tuple(f"refined: {name}" for name in columns)
    print(f"| | {' | '.join(columns)} |")
    print("|---" * 7 + "|")
    if args.unseen:
        whole_call(train, held_out, validation, args.unseen, args)
    if args.kept:
        whole_call(training, validation, validation, args.kept, args)
    if args.unseen or args.kept:
        return
    localizer = None
    for share in args.box_crop:
        cached = features(train, share, args)
        for epochs in args.head_epochs:
            keras.utils.set_random_seed(args.seed)
            localizer = make_localizer(train, args)
            _, heads = localizer.split()
            heads.compile()
            batches = kl.FeatureBatches(*cached, seed=args.seed)
            heads.fit(batches, epochs=epochs, verbose=0)
            row(f"{epochs} epochs, box crops {share:g}", localizer, held_out)
    if args.epochs and localizer is not None:
        fine_tunings(localizer, train, held_out, args)


def read(args):
    if args.data == "pets":
        return kl.load_oxford_pets(args.data_dir)
    if args.data == "caltech":
        return load(args.data_dir)
    return kl.make_synthetic(1500, num_classes=4, seed=args.seed)


def make_localizer(data, args):
    if args.backbone:
        backbone = keras.saving.load_model(args.backbone)
    else:
        shape = (SIZE, SIZE, 3)
        backbone = keras.applications.MobileNet(
            alpha=0.25, include_top=False, input_shape=shape
        )
    names = data.class_names
    return kl.build_localizer(
        backbone, len(names), class_names=names, image_size=SIZE, quality=True
    )


def squares(data, share, args, **options):
    view = kl.RandomSquareView(SIZE, box_crop=share)
    options |= {"seed": args.seed, "source_size": args.source_size}
    return data.to_tf_data(SIZE, augment=view, **options)


def features(train, share, args):
    """Features of four views, of which this share are crops around the box."""
    frozen, _ = make_localizer(train, args).split()
    batches = squares(train, share, args)
    return kl.cache_features(frozen, batches, views=4, verbose=0)


def fine_tunings(localizer, train, held_out, args):
    before = localizer.get_weights()
    share = args.box_crop[-1]
    options = {"batch_size": args.batch_size, "shuffle": True, "cache": "memory"}
    batches = squares(train, share, args, **options)
    for name in args.ways:
        norm, rate, factor, box = WAYS[name]
        keras.utils.set_random_seed(args.seed)
        localizer.set_weights(before)
        localizer.unfreeze(batch_normalization=norm)
        backbone = {id(x) for x in localizer.backbone.trainable_variables}
        factors = [
            factor if id(x) in backbone else 1.0 for x in localizer.trainable_variables
        ]
        optimizer = kl.OneCycleAdamW(rate, factors, weight_decay=0.01, clipnorm=10)
        localizer.compile(optimizer, loss_weights={"box": box})
        localizer.fit(batches, epochs=args.epochs, verbose=0)
        after = localizer.get_weights()
        for share in SHARES:
            mean = [(1 - share) * b + share * a for b, a in zip(before, after)]
            localizer.set_weights(mean)
            row(
                f"{args.epochs} epochs, {name}: {share:g} of after", localizer, held_out
            )


def whole_call(train, choice, data, fine_tune_epochs, args):
    """Frozen and fine-tuned, with the same heads, as `train_localizer` keeps it."""
    with tempfile.TemporaryDirectory() as folder:
        for epochs in (0, *fine_tune_epochs):
            keras.utils.set_random_seed(args.seed)
            localizer = make_localizer(train, args)
            history = kl.train_localizer(
                localizer,
                train,
                choice,
                fine_tune_epochs=epochs,
                cache=folder,
                seed=args.seed,
                verbose=0,
            )
            kept = [one["name"] for one in history.get("choice", []) if one["kept"]]
            row(", ".join([f"{epochs} epochs", *kept]), localizer, data)


def row(name, localizer, data):
    cells = []
    for options in ({}, {"refine": True}):
        report = kl.evaluate_localizer(localizer, data, verbose=0, **options)
        above = np.mean([one.iou >= 0.9 for one in report.per_image])
        values = report.mean_iou, above, report.label_accuracy
        cells += [f"{value:.4f}" for value in values]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
