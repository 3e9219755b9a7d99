"""Speed of the square's layers beside Keras's and albumentations', as ratios.

    KERAS_BACKEND=tensorflow python benchmarks/square.py [--rounds 60] [--only tf.data]

All contenders turn the same 500 x 375 uint8 pictures with one box each into squares of
224 in one process. They are timed in turn, in many short rounds; a ratio is the median
of the rounds' ratios to the peer of the same row (with the quartiles), so that what
slows the machine slows both. More than 1: the first is faster. albumentations is
optional.

What a box costs is a few microseconds beside a picture whose time varies more, with
where its memory happens to lie. So four pipelines with a box and four without are timed
in turn, and the lower quartiles of the fastest of either four are compared.
Compiled: `tf.function` on TensorFlow, `jax.jit` on JAX, nothing on torch.
"""

import argparse
import time

import keras
import numpy as np
import tensorflow as tf

from keras_localize.layers import PadToSquare, RandomSquareView

SIZE = 224


def pictures(count, seed=0):
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


def in_tf_data(layer, images, boxes, count, with_boxes=True, open_sizes=False):
    """A function that maps `count` pictures one by one.

    `open_sizes`: the graph does not know the pictures' sizes, as after decoding, so
    that nothing of the square is a constant.
    """
    labels = np.zeros(boxes.shape[:2], "int32")
    # Without boxes the same arrays travel under a name that the layer leaves alone.
    key = "bounding_boxes" if with_boxes else "carried"
    data = {"images": images, key: {"boxes": boxes, "labels": labels}}
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_tensor_slices(data).repeat()
    if open_sizes:
        dataset = dataset.map(
            lambda data: {
                **data,
                "images": tf.raw_ops.PlaceholderWithDefault(
                    input=data["images"], shape=[None, None, 3]
                ),
            }
        )
    dataset = dataset.map(layer, num_parallel_calls=1).with_options(options)
    # One endless iterator: a round does not pay for starting it.
    iterator = iter(dataset)

    def run():
        for _ in range(count):
            next(iterator)

    return run


def in_batches(layer, images, boxes, count, jit):
    """A function that moves `count` pictures in batches, eagerly or compiled."""
    backend = keras.backend.backend()
    images = keras.ops.convert_to_tensor(images.astype("float32"))
    boxes = keras.ops.convert_to_tensor(boxes)
    labels = keras.ops.zeros(boxes.shape[:2], "int32")

    def moved(images, boxes):
        # Keras's layers write into the dict that they are given.
        bounding_boxes = {"boxes": boxes, "labels": labels}
        out = layer({"images": images, "bounding_boxes": bounding_boxes})
        return out["images"], out["bounding_boxes"]["boxes"]

    if jit and backend == "tensorflow":
        moved = tf.function(moved)
    if jit and backend == "jax":
        import jax

        moved = jax.jit(moved)

    def run():
        for _ in range(max(count // len(images), 1)):
            keras.ops.convert_to_numpy(moved(images, boxes)[0])

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
    """{what: (function to time, function of its peer)}, made when asked for."""

    def mapped(layer, count=count, **options):
        return in_tf_data(layer, images, boxes, count, **options)

    def batch(layer, jit, count=count):
        return in_batches(layer, images, boxes, count, jit)

    pad, view = PadToSquare(SIZE), RandomSquareView(SIZE)
    smooth, keras_smooth = PadToSquare(SIZE, antialias=True), keras_resizing(True)
    found = {
        "tf.data: PadToSquare / Keras Resizing": lambda: (
            mapped(pad),
            mapped(keras_resizing()),
        ),
        "tf.data: PadToSquare / Keras Resizing, open sizes": lambda: (
            mapped(pad, open_sizes=True),
            mapped(keras_resizing(), open_sizes=True),
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
        found[f"{how}: PadToSquare / Keras Resizing"] = lambda jit=jit: (
            batch(pad, jit),
            batch(keras_resizing(), jit),
        )
        found[f"{how}: RandomSquareView / Keras chain"] = lambda jit=jit: (
            batch(view, jit),
            batch(keras_chain(), jit),
        )
    return found


def box_costs(images, boxes, count, copies=4):
    """{what: the pipelines with boxes and those without}, made when asked for."""

    def pipelines(antialias=False, open_sizes=False):
        layer = PadToSquare(SIZE, antialias=antialias)
        return [
            [
                in_tf_data(layer, images, boxes, count, with_boxes, open_sizes)
                for _ in range(copies)
            ]
            for with_boxes in (True, False)
        ]

    name = "tf.data: a box beside its picture"
    return {
        name: pipelines,
        f"{name}, antialias": lambda: pipelines(antialias=True),
        f"{name}, open sizes": lambda: pipelines(open_sizes=True),
    }


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--only", default="", help="rows that begin with this")
    arguments = parser.parse_args()
    count = arguments.count
    print(f"Keras {keras.__version__}, {keras.backend.backend()}; pictures per second")
    print("| | ours | peer | ratio | quartiles |\n|---|---|---|---|---|")
    for name, make in pairs(*pictures(16), count).items():
        if not name.startswith(arguments.only):
            continue
        try:
            runs = make()
            for run in runs:
                run()
        except Exception as error:  # not installed, or a peer that does not compile
            print(f"| {name} | {type(error).__name__} | | | |", flush=True)
            continue
        times = np.array(
            [[seconds(run) for run in runs] for _ in range(arguments.rounds)]
        )
        low, ratio, high = np.quantile(times[:, 1] / times[:, 0], [0.25, 0.5, 0.75])
        done = (
            count // 4 if name == "tf.data: RandomSquareView / Keras chain" else count
        )
        ours, peer = done / np.median(times, axis=0)
        print(
            f"| {name} | {ours:.0f} | {peer:.0f} | {ratio:.2f} "
            f"| {low:.2f}-{high:.2f} |",
            flush=True,
        )

    print(
        "\n| microseconds | with a box | without | the box's share |\n|---|---|---|---|"
    )
    for name, make in box_costs(*pictures(16), count).items():
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
