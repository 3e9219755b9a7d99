"""What a step costs beside the bare backbone, and how long until the box is right.

    KERAS_BACKEND=tensorflow python benchmarks/training.py --parts steps
    python benchmarks/training.py --parts cached iou --data-dir DIR

`steps`: a training step of the localizer and of the same backbone under pooled dense
heads, by turns in one run, medians, frozen and trainable. `cached`: seconds for the
features of all images and their horizontal flips, and for one epoch of heads on them.
`iou`: seconds of training until the mean IoU on unseen images reaches --until, for
the heads on cached features (the pass included; one cycle laid over 20 epochs) and for
the notebook's head and loss (dense layer on the flattened map, mean squared error, Adam
1e-3) on the same backbone, both given up after --limit seconds. Prints Markdown.
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
            row = notebook(train, unseen, args)
            print(f"| notebook's head and loss | {row} |", flush=True)


class Arrays:
    """All images of a dataset at once, and their boxes."""

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


class Watch(keras.callbacks.Callback):
    """Times the epochs and stops at the wanted IoU on unseen images, or the limit."""

    def __init__(self, inputs, box_of, unseen, args):
        super().__init__()
        self.inputs, self.box_of, self.unseen, self.args = inputs, box_of, unseen, args
        self.times, self.iou = [], 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.times.append(time.perf_counter() - self.started)
        self.iou = self.unseen.iou(self.box_of(self.inputs))
        done = self.iou >= self.args.until or sum(self.times) >= self.args.limit
        self.model.stop_training = done


def cached(train, unseen, args):
    localizer = kl.build_localizer(mobilenet(args), None)
    features, heads = localizer.split()
    started = time.perf_counter()
    maps, targets, _ = kl.cache_features(
        features, train.to_pydataset(args.image_size, 32), verbose=0
    )
    feature_pass = time.perf_counter() - started
    yield f"features of {2 * len(train)} images", f"{feature_pass:.1f} s"
    heads.compile()
    inputs = features.predict(unseen.images, verbose=0)
    watch = Watch(inputs, lambda x: heads.predict(x, verbose=0)["box"], unseen, args)
    boxes = {"box": targets["box"]}
    heads.fit(maps, boxes, batch_size=64, epochs=20, callbacks=[watch], verbose=0)
    times = watch.times[1:] or watch.times  # the first epoch compiles
    yield "epoch on cached features", f"{np.median(times):.2f} s"
    yield "our heads", reached(watch, feature_pass)


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
    watch = Watch(unseen.images, lambda x: model.predict(x, verbose=0), unseen, args)
    model.fit(
        seen.images, seen.boxes, batch_size=32, epochs=99, callbacks=[watch], verbose=0
    )
    return reached(watch)


def reached(watch, before=0.0):
    epochs, seconds = len(watch.times), before + sum(watch.times)
    return f"IoU {watch.iou:.3f} after {epochs} epochs, {seconds:.0f} s in all"


if __name__ == "__main__":
    main()
