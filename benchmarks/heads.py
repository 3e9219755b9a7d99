"""Box heads and losses compared on the same frozen features of real images.

    python benchmarks/heads.py --data-dir DIR --designs all --seeds 0 1 --inner
    python benchmarks/heads.py --data-dir DIR --heads spatial flatten pooled \
        --losses box giou diou ciou l1 mse --seeds 0 1 2

The features of each image, of its flip and of `--views` random views are computed once.
Every head trains on the same number of views, two of each image in an epoch.

`--designs` changes one thing at a time in the head. `--inner` trains these heads on
three quarters of the training images and evaluates them on the last quarter, so that
the choice among them does not use the validation images. Without it they are evaluated
on the validation images. Prints a table of docs/benchmarks.md: mean over the seeds and
half their range, with and without averaging the boxes of the flipped image.
"""

import argparse
import time

import keras
import numpy as np
from keras import layers, ops

import keras_localize as kl

LOSSES = {
    "box": kl.BoxLoss,
    "giou": kl.GIoULoss,
    "diou": kl.DIoULoss,
    "ciou": kl.CIoULoss,
    "iou": kl.IoULoss,
    "l1": keras.losses.MeanAbsoluteError,
    "mse": keras.losses.MeanSquaredError,
}

# What differs from the library's head: three strides, an attention for each side, the
# finer map averaged, one context convolution of 3 x 3, 128 units.
DESIGNS = {
    "as in the library": {},
    "one attention for all sides": {"sides": 1},
    "strides 16 and 32": {"strides": (16, 32)},
    "stride 32 alone": {"strides": (32,)},
    "finer map by a strided kernel": {"finer": "strided"},
    "locations of stride 8": {"location_stride": 8},
    "no context convolution": {"context_convs": 0},
    "two context convolutions, residual": {"context_convs": 2},
    "context convolution of 5 x 5": {"kernel": 5},
    "64 units": {"units": 64},
    "256 units": {"units": 256},
    "batch normalisation": {"norm": True},
    "dropout 0.2": {"dropout": 0.2},
    "pooled context added": {"context": True},
    "distances as distributions": {"bins": 17},
    "flips only": {"views": 0},
}


class Expected(layers.Layer):
    """Logits of attention and distances, (B, H, W, sides + 4 or 4 * bins), to boxes."""

    def __init__(self, sides, bins, **kwargs):
        super().__init__(**kwargs)
        self.sides, self.bins = sides, bins

    def call(self, raw):
        height, width, channels = raw.shape[1:]
        raw = ops.reshape(raw, (-1, height * width, channels))
        attention = ops.softmax(raw[..., : self.sides], axis=1)
        distance = raw[..., self.sides :]
        if self.bins:  # Generalized Focal Loss, arXiv 2006.04388
            at = np.linspace(0, 1, self.bins, dtype="float32")
            logits = ops.reshape(distance, (-1, height * width, 4, self.bins))
            start = ops.convert_to_tensor(-8 * np.abs(at - 0.18))
            at = ops.convert_to_tensor(at)
            distance = ops.sum(ops.softmax(logits + start) * at, axis=-1)
        else:
            distance = 0.18 * ops.softplus(distance + 0.54)
        x, y = np.meshgrid(
            (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
        )
        centers = np.stack([x, y, x, y], axis=-1).reshape(-1, 4).astype("float32")
        sign = ops.convert_to_tensor([-1.0, -1.0, 1.0, 1.0])
        sides = ops.convert_to_tensor(centers) + sign * distance
        return ops.sum(attention * sides, axis=1)


def design(
    maps,
    strides=(8, 16, 32),
    sides=4,
    finer="averaged",
    location_stride=16,
    context_convs=1,
    kernel=3,
    units=128,
    norm=False,
    dropout=0.0,
    context=False,
    bins=0,
):
    """One head as a graph: the maps of strides 8, 16, 32 to boxes."""
    chosen = {s: x for s, x in zip((8, 16, 32), maps) if s in strides}
    location_stride = max(min(location_stride, max(chosen)), min(chosen))
    side = chosen[location_stride].shape[1]
    total = 0
    for stride, x in chosen.items():
        step = max(location_stride // stride, 1)
        if finer == "averaged" and step > 1:
            x, step = layers.AveragePooling2D(step)(x), 1
        x = layers.Conv2D(units, step, step)(x)
        if stride > location_stride:
            x = ops.image.resize(x, (side, side), "bilinear")
        total = total + x
    if context:
        pooled = layers.GlobalAveragePooling2D(keepdims=True)(maps[-1])
        total = total + layers.Conv2D(units, 1)(pooled)

    def activated(x):
        x = layers.BatchNormalization(momentum=0.95)(x) if norm else x
        return layers.ReLU()(x)

    x = activated(total)
    for _ in range(context_convs):
        y = layers.Dropout(dropout)(x) if dropout else x
        y = activated(layers.SeparableConv2D(units, kernel, padding="same")(y))
        x = x + y if context_convs > 1 else y
    start = keras.initializers.RandomNormal(stddev=0.01)
    point = layers.Conv2D(sides + 4 * (bins or 1), 1, kernel_initializer=start)
    return Expected(sides, bins)(point(x))


def main():
    args = parse_arguments()
    data = kl.load_oxford_pets(args.data_dir)
    train, validation = data[data.weights > 0].split(0.2)
    name, _, alpha = args.backbone.partition(":")
    backbone = getattr(keras.applications, name)(
        include_top=False,
        input_shape=(args.image_size, args.image_size, 3),
        **({"alpha": float(alpha)} if alpha else {}),
    )
    features, _ = kl.build_localizer(backbone, None).split()
    train_views = views_of(features, train, args.views, args)
    other_views = views_of(features, validation, 0, args)

    candidates = {}
    for head in args.heads:
        for loss in args.losses:

            def build(maps, head=head):
                return kl.LocalizationHead(head, name="box")(maps)

            candidates[f"{head} | {loss}"] = build, loss, args.views
    for name in DESIGNS if "all" in args.designs else args.designs:
        options = dict(DESIGNS[name])
        views = options.pop("views", args.views)

        def build(maps, options=options):
            return design(maps, **options)

        candidates[f"{name} | {args.losses[0]}"] = build, args.losses[0], views

    columns = ["mean IoU", "at 0.5", "at 0.75", "flip-averaged", "at 0.75"]
    print(f"| head | loss | {' | '.join(columns)} | parameters | seconds |")
    print("|---" * (len(columns) + 4) + "|")
    for name, (build, loss, views) in candidates.items():
        rows = []
        for seed in args.seeds:
            if args.inner:
                inner, outer = train.split(0.25, seed=1000 + seed)
                place = {name: i for i, name in enumerate(train.names)}
                chosen = [place[name] for name in inner.names]
                held_out = [place[name] for name in outer.names]
                validation_views = train_views
            else:
                chosen, held_out = range(len(train)), range(len(validation))
                validation_views = other_views
            keras.utils.set_random_seed(seed)
            model = make(build, train_views)
            started = time.perf_counter()
            loss_fn, train_rows = LOSSES[loss](), np.array(chosen)
            fit(model, loss_fn, train_views, train_rows, views, seed, args)
            seconds = time.perf_counter() - started
            measured = measure(model, validation_views, np.array(held_out))
            rows.append([*measured, seconds])
        mean, spread = np.mean(rows, axis=0), np.ptp(rows, axis=0)
        figures = [f"{m:.3f} ±{s / 2:.3f}" for m, s in zip(mean[:5], spread)]
        cells = [name, *figures, f"{model.count_params():,}", f"{mean[5]:.0f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


def views_of(features, data, random_views, args):
    """Per view of all images (plain, flipped, random ones): (maps, boxes)."""
    plain = data.to_pydataset(args.image_size)
    maps, targets, _ = kl.cache_features(features, plain, verbose=0)
    # Each batch is followed by its flip.
    starts = range(0, len(data), 32)
    sizes = [min(32, len(data) - start) for start in starts]
    views = []
    for flipped in (0, 1):
        rows = np.concatenate(
            [
                2 * start + flipped * size + np.arange(size)
                for start, size in zip(starts, sizes)
            ]
        )
        views.append(([x[rows] for x in maps], targets["box"][rows]))
    draw = kl.RandomSquareView(args.image_size, bounding_box_format="rel_xyxy")
    batches = data.to_pydataset(args.image_size, augment=draw, seed=0)
    for _ in range(random_views):
        maps, targets, _ = kl.cache_features(features, batches, mirror=False, verbose=0)
        batches.on_epoch_end()
        views.append((maps, targets["box"]))
    return views


def make(build, views):
    inputs = [keras.Input(x.shape[1:]) for x in views[0][0]]
    return keras.Model(inputs, build(inputs))


def fit(model, loss, views, chosen, random_views, seed, args):
    """Two views of each image in an epoch, trained as by `compile()`."""
    rng = np.random.default_rng(seed)
    count = 2 + random_views
    steps = args.epochs * -(-2 * len(chosen) // 64)
    warmup = max(steps // 8, 1)
    cycle = keras.optimizers.schedules.CosineDecay(
        args.rate / 10, steps - warmup, warmup_target=args.rate, warmup_steps=warmup
    )
    optimizer = keras.optimizers.AdamW(cycle, weight_decay=0.01, clipnorm=10.0)
    model.compile(optimizer, loss)
    for _ in range(args.epochs):
        view = rng.random((len(chosen), count)).argsort(axis=1)[:, :2].ravel()
        image = np.repeat(chosen, 2)
        order = rng.permutation(len(view))
        for start in range(0, len(order), 64):
            rows = list(zip(view[order[start:][:64]], image[order[start:][:64]]))
            maps = [
                np.stack([views[v][0][i][p] for v, p in rows]).astype("float32")
                for i in range(len(views[0][0]))
            ]
            boxes = np.stack([views[v][1][p] for v, p in rows])
            model.train_on_batch(maps, boxes)


def measure(model, views, chosen):
    """Mean IoU and shares, plain and with the flipped image's box averaged in."""
    (plain, true), (flipped, _) = views[:2]
    true = true[chosen]
    box = model.predict([x[chosen] for x in plain], verbose=0)
    of_flipped = model.predict([x[chosen] for x in flipped], verbose=0)
    averaged = (box + ops.convert_to_numpy(kl.boxes.flip(of_flipped))) / 2
    found = [ops.convert_to_numpy(kl.boxes.iou(true, b)) for b in (box, averaged)]
    one, two = found
    return (
        one.mean(),
        (one >= 0.5).mean(),
        (one >= 0.75).mean(),
        two.mean(),
        (two >= 0.75).mean(),
    )


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--data-dir", required=True)
    add("--backbone", default="MobileNet:0.25")
    add("--image-size", type=int, default=224)
    add("--heads", nargs="*", default=[], choices=["spatial", "pooled", "flatten"])
    add("--losses", nargs="+", default=["box"], choices=LOSSES)
    add("--designs", nargs="*", default=[], choices=[*DESIGNS, "all"])
    add(
        "--inner",
        action="store_true",
        help="train and evaluate inside the training part",
    )
    add("--views", type=int, default=6, help="random views of each image")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--epochs", type=int, default=40)
    add("--rate", type=float, default=2e-3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
