"""Speed of the square's layers compared with Keras's and albumentations'.

    KERAS_BACKEND=tensorflow python benchmarks/square.py [--rounds 60] [--only tf.data]

All turn the same 500 x 375 uint8 images with one box each into squares of 224 px. They
take turns in one process, in many short rounds, so that other work on the machine slows
them alike. A ratio is the median of the rounds' ratios, with the quartiles; above 1
this library is faster. albumentations is optional. "Compiled" is `tf.function` on
TensorFlow and `jax.jit` on JAX; torch has no such rows.

A box adds a few microseconds to an image. The time of an image varies more than that,
with the place of its memory. So four pipelines with a box and four without take turns,
and the lower quartiles of the fastest of each four are compared.
"""

import argparse
import time

import keras
import numpy as np
import tensorflow as tf

from keras_localize.layers import PadToSquare, RandomSquareView

SIZE = 224


def images_and_boxes(count, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 375, 500, 3)).astype("uint8")
    low = rng.uniform(0, 180, (count, 1, 2))
    boxes = np.concatenate([low, low + rng.uniform(20, 180, (count, 1, 2))], axis=-1)
    return images, boxes.astype("float32")


def keras_resizing(antialias=False):
    return keras.layers.Resizing(
        SIZE,
        SIZE,
        pad_to_aspect_ratio=True,
        antialias=antialias,
        bounding_box_format="xyxy",
    )


def keras_chain():
    layers = [
        keras.layers.RandomFlip("horizontal", bounding_box_format="xyxy"),
        keras.layers.RandomZoom(0.2, fill_mode="constant", bounding_box_format="xyxy"),
        keras.layers.RandomTranslation(
            0.1, 0.1, fill_mode="constant", bounding_box_format="xyxy"
        ),
        keras_resizing(),
    ]

    def chain(data):
        for layer in layers:
            data = layer(data)
        return data

    return chain


def in_tf_data(layer, images, boxes, count, with_boxes=True, unknown_sizes=False):
    """A function that maps `count` images one by one.

    `unknown_sizes`: the graph does not know the sizes of the images, as after decoding
    a file, so the geometry of the square is no constant.
    """
    labels = np.zeros(boxes.shape[:2], "int32")
    # Without boxes the same arrays have a name that the layer does not change.
    key = "bounding_boxes" if with_boxes else "carried"
    data = {"images": images, key: {"boxes": boxes, "labels": labels}}
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_tensor_slices(data).repeat()
    if unknown_sizes:
        dataset = dataset.map(
            lambda data: {
                **data,
                "images": tf.raw_ops.PlaceholderWithDefault(
                    input=data["images"], shape=[None, None, 3]
                ),
            }
        )
    dataset = dataset.map(layer, num_parallel_calls=1).with_options(options)
    # One endless iterator: a round does not include its start.
    iterator = iter(dataset)

    def run():
        for _ in range(count):
            next(iterator)

    return run


def in_batches(layer, images, boxes, count, jit):
    """A function that maps `count` images in batches, eagerly or compiled."""
    backend = keras.backend.backend()
    images = keras.ops.convert_to_tensor(images.astype("float32"))
    boxes = keras.ops.convert_to_tensor(boxes)
    labels = keras.ops.zeros(boxes.shape[:2], "int32")

    def mapped(images, boxes):
        # Keras's layers write into the dict that they are given.
        bounding_boxes = {"boxes": boxes, "labels": labels}
        out = layer({"images": images, "bounding_boxes": bounding_boxes})
        return out["images"], out["bounding_boxes"]["boxes"]

    if jit and backend == "tensorflow":
        mapped = tf.function(mapped)
    if jit and backend == "jax":
        import jax

        mapped = jax.jit(mapped)

    def run():
        for _ in range(max(count // len(images), 1)):
            keras.ops.convert_to_numpy(mapped(images, boxes)[0])

    return run


def in_albumentations(images, boxes, count):
    import albumentations as a
    import cv2

    cv2.setNumThreads(1)
    transform = a.Compose(
        [
            a.LongestMaxSize(SIZE),
            a.PadIfNeeded(SIZE, SIZE, border_mode=cv2.BORDER_CONSTANT),
        ],
        bbox_params=a.BboxParams("pascal_voc", label_fields=["labels"]),
    )

    def run():
        for index in range(count):
            at = index % len(images)
            out = transform(image=images[at], bboxes=boxes[at], labels=[0])
            out["image"].astype("float32")

    return run


def pairs(images, boxes, count):
    """{row: makes (our function, the other function)}."""

    def mapped(layer, count=count, **options):
        return in_tf_data(layer, images, boxes, count, **options)

    def batch(layer, jit, count=count):
        return in_batches(layer, images, boxes, count, jit)

    pad, view = PadToSquare(SIZE), RandomSquareView(SIZE)
    smooth, keras_smooth = PadToSquare(SIZE, antialias=True), keras_resizing(True)
    rows = {
        "tf.data: PadToSquare / Keras Resizing": lambda: (
            mapped(pad),
            mapped(keras_resizing()),
        ),
        "tf.data: PadToSquare / Keras Resizing, unknown sizes": lambda: (
            mapped(pad, unknown_sizes=True),
            mapped(keras_resizing(), unknown_sizes=True),
        ),
        "tf.data: the same, antialias": lambda: (mapped(smooth), mapped(keras_smooth)),
        "tf.data: RandomSquareView / Keras chain": lambda: (
            mapped(view, count // 4),
            mapped(keras_chain(), count // 4),
        ),
        "tf.data: PadToSquare / albumentations": lambda: (
            mapped(pad),
            in_albumentations(images, boxes, count),
        ),
    }
    for how, jit in {"eager": False, "compiled": True}.items():
        if jit and keras.backend.backend() == "torch":
            continue
        rows[f"{how}: PadToSquare / Keras Resizing"] = lambda jit=jit: (
            batch(pad, jit),
            batch(keras_resizing(), jit),
        )
        rows[f"{how}: RandomSquareView / Keras chain"] = lambda jit=jit: (
            batch(view, jit),
            batch(keras_chain(), jit),
        )
    return rows


def box_costs(images, boxes, count, copies=4):
    """{row: makes [pipelines with boxes, pipelines without]}."""

    def pipelines(antialias=False, unknown_sizes=False):
        layer = PadToSquare(SIZE, antialias=antialias)
        return [
            [
                in_tf_data(layer, images, boxes, count, with_boxes, unknown_sizes)
                for _ in range(copies)
            ]
            for with_boxes in (True, False)
        ]

    name = "tf.data: an image with its box"
    return {
        name: pipelines,
        f"{name}, antialias": lambda: pipelines(antialias=True),
        f"{name}, unknown sizes": lambda: pipelines(unknown_sizes=True),
    }


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--only", default="", help="rows that begin with this")
    arguments = parser.parse_args()
    count = arguments.count
    print(f"Keras {keras.__version__}, {keras.backend.backend()}; images per second")
    print("| | ours | other | ratio | quartiles |\n|---|---|---|---|---|")
    for name, make in pairs(*images_and_boxes(16), count).items():
        if not name.startswith(arguments.only):
            continue
        try:
            runs = make()
            for run in runs:
                run()
        except Exception as error:  # not installed, or it does not compile
            print(f"| {name} | {type(error).__name__} | | | |", flush=True)
            continue
        times = np.array(
            [[seconds(run) for run in runs] for _ in range(arguments.rounds)]
        )
        low, ratio, high = np.quantile(times[:, 1] / times[:, 0], [0.25, 0.5, 0.75])
        done = (
            count // 4 if name == "tf.data: RandomSquareView / Keras chain" else count
        )
        ours, other = done / np.median(times, axis=0)
        print(
            f"| {name} | {ours:.0f} | {other:.0f} | {ratio:.2f} "
            f"| {low:.2f}-{high:.2f} |",
            flush=True,
        )

    print("\n| microseconds | with a box | without | added by the box |")
    print("|---|---|---|---|")
    for name, make in box_costs(*images_and_boxes(16), count).items():
        if not name.startswith(arguments.only):
            continue
        sides = make()
        rounds = range(arguments.rounds + 1)
        times = [[[seconds(run) for run in runs] for runs in sides] for _ in rounds]
        times = np.quantile(times[1:], 0.25, axis=0).min(axis=1) / count * 1e6
        share = times[0] / times[1] - 1
        print(f"| {name} | {times[0]:.0f} | {times[1]:.0f} | {share:.1%} |", flush=True)


if __name__ == "__main__":
    main()
