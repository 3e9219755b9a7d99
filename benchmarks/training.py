"""What a step costs beside the bare backbone, and how long until the box is right.

    KERAS_BACKEND=tensorflow python benchmarks/training.py --parts steps
    python benchmarks/training.py --parts cached iou --data-dir DIR

`steps`: a training step of the localizer and of the same backbone under pooled dense
heads, by turns in one run, medians, frozen and trainable. `cached`: seconds for the
features of all pictures and their mirror images, and for one epoch of heads on them.
`iou`: seconds of training until the mean IoU on unseen pictures reaches --until, for
the heads on cached features (the pass included) and for the notebook's head and loss
(dense layer on the flattened map, mean squared error, Adam 1e-3) on the same backbone,
both given up after --limit seconds. Prints Markdown.
"""

import argparse
import time

import keras
import numpy as np
from families import overhead, peer

import keras_localize as kl


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", default=["steps"])
    parser.add_argument("--data-dir")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--until", type=float, default=0.7)
    parser.add_argument("--limit", type=float, default=120.0)
    args = parser.parse_args()

    keras.utils.set_random_seed(0)
    print(f"| on {keras.backend.backend()} | |\n|---|---|")
    if "steps" in args.parts:
        localizer = kl.build_localizer(mobilenet(args, weights=None), 37)
        for trainable in (True, False):
            name = "trainable" if trainable else "frozen"
            cell = overhead(localizer, peer(localizer), trainable, args)
            print(f"| step, backbone {name} | {cell} |", flush=True)
    if {"cached", "iou"} & {*args.parts}:
        data = kl.load_oxford_pets(args.data_dir)
        train, unseen = data[data.weights > 0].split(0.2)
        unseen = Arrays(unseen, args)
        for row in cached(train, unseen, args):
            print(f"| {' | '.join(row)} |", flush=True)
        if "iou" in args.parts:
            seconds, iou = notebook(train, unseen, args)
            print(f"| notebook's head and loss | IoU {iou:.3f} in {seconds:.0f} s |")


class Arrays:
    """All pictures of a dataset at once, and their boxes."""

    def __init__(self, data, args):
        batches = data.to_pydataset(args.image_size, 32)
        batches = [batches[i] for i in range(len(batches))]
        self.images = np.concatenate([images for images, _, _ in batches])
        self.boxes = np.concatenate([targets["box"] for _, targets, _ in batches])

    def iou(self, boxes):
        return float(keras.ops.convert_to_numpy(kl.boxes.iou(self.boxes, boxes)).mean())


def mobilenet(args, weights="imagenet"):
    shape = (args.image_size, args.image_size, 3)
    return keras.applications.MobileNet(
        alpha=0.25, include_top=False, weights=weights, input_shape=shape
    )


def cached(train, unseen, args):
    localizer = kl.build_localizer(mobilenet(args), None)
    features, heads = localizer.split()
    started = time.perf_counter()
    maps, targets, _ = kl.cache_features(
        features, train.to_pydataset(args.image_size, 32), verbose=0
    )
    feature_pass = time.perf_counter() - started
    maps_unseen = features.predict(unseen.images, verbose=0)
    yield f"features of {2 * len(train)} pictures", f"{feature_pass:.1f} s"
    heads.compile()
    times, iou = [], 0.0
    while iou < args.until and sum(times) < args.limit:
        started = time.perf_counter()
        heads.fit(maps, {"box": targets["box"]}, batch_size=64, verbose=0)
        times.append(time.perf_counter() - started)
        iou = unseen.iou(heads.predict(maps_unseen, verbose=0)["box"])
    # The first epoch compiles.
    yield "epoch on cached features", f"{np.median(times[1:] or times):.2f} s"
    total = feature_pass + sum(times)
    yield "our heads", f"IoU {iou:.3f} in {total:.0f} s, the feature pass included"


def notebook(train, unseen, args):
    backbone = mobilenet(args)
    x = keras.layers.Flatten()(backbone.outputs[0])
    scaled = keras.Input((args.image_size, args.image_size, 3))
    trunk = keras.Model(backbone.inputs, keras.layers.Dense(4)(x))
    model = keras.Model(
        scaled, trunk(keras.layers.Rescaling(1 / 127.5, offset=-1)(scaled))
    )
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    seen = Arrays(train, args)
    seconds = iou = 0.0
    while iou < args.until and seconds < args.limit:
        started = time.perf_counter()
        model.fit(seen.images, seen.boxes, batch_size=32, verbose=0)
        seconds += time.perf_counter() - started
        iou = unseen.iou(model.predict(unseen.images, verbose=0))
    return seconds, iou


if __name__ == "__main__":
    main()
