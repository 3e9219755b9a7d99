"""Pictures per second of the square's layers against Keras's and albumentations'.

    KERAS_BACKEND=tensorflow python benchmarks/square.py

Every contender turns the same 500 x 375 uint8 pictures with one box each into squares
of 224 in the same process, one after the other, several rounds; the best round counts.
albumentations is optional.
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


def in_tf_data(layer, images, boxes, count, with_boxes=True, threads=1):
    """Pictures per second, mapped one by one."""
    labels = np.zeros(boxes.shape[:2], "int32")
    # Without boxes the same arrays travel under a name that the layer leaves alone.
    key = "bounding_boxes" if with_boxes else "carried"
    data = {"images": images, key: {"boxes": boxes, "labels": labels}}
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_tensor_slices(data).repeat()
    dataset = dataset.map(layer, num_parallel_calls=threads).with_options(options)
    iterator = iter(dataset.take(count + 5))
    for _ in range(5):
        next(iterator)
    start = time.perf_counter()
    for _ in iterator:
        pass
    return count / (time.perf_counter() - start)


def in_batches(layer, images, boxes, count):
    """Pictures per second of eager calls on batches."""
    labels = np.zeros(boxes.shape[:2], "int32")
    bounding_boxes = {"boxes": boxes, "labels": labels}

    def call():
        # Keras's layers write into the dict that they are given.
        data = {
            "images": images.astype("float32"),
            "bounding_boxes": {**bounding_boxes},
        }
        return keras.ops.convert_to_numpy(layer(data)["images"])

    call()
    calls = max(count // len(images), 1)
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return calls * len(images) / (time.perf_counter() - start)


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
    for image, box in zip(images[:5], boxes):
        transform(image=image, bboxes=box, labels=[0])
    start = time.perf_counter()
    for index in range(count):
        at = index % len(images)
        out = transform(image=images[at], bboxes=boxes[at], labels=[0])
        out["image"].astype("float32")
    return count / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--count", type=int, default=200)
    arguments = parser.parse_args()
    images, boxes = pictures(16)
    pad, view = PadToSquare(SIZE), RandomSquareView(SIZE)
    pad_smooth = PadToSquare(SIZE, antialias=True)
    view_smooth = RandomSquareView(SIZE, antialias=True)
    count = arguments.count
    contenders = {
        "tf.data: PadToSquare": lambda: in_tf_data(pad, images, boxes, count),
        "tf.data: PadToSquare, no box": lambda: in_tf_data(
            pad, images, boxes, count, with_boxes=False
        ),
        "tf.data: Keras Resizing": lambda: in_tf_data(
            keras_resizing(), images, boxes, count
        ),
        "tf.data: PadToSquare, antialias": lambda: in_tf_data(
            pad_smooth, images, boxes, count
        ),
        "tf.data: Keras Resizing, antialias": lambda: in_tf_data(
            keras_resizing(antialias=True), images, boxes, count
        ),
        "tf.data: RandomSquareView": lambda: in_tf_data(view, images, boxes, count),
        "tf.data: RandomSquareView, antialias": lambda: in_tf_data(
            view_smooth, images, boxes, count // 4
        ),
        "tf.data: Keras chain": lambda: in_tf_data(
            keras_chain(), images, boxes, count // 4
        ),
        "albumentations: LongestMaxSize, PadIfNeeded": lambda: in_albumentations(
            images, boxes, count
        ),
        "batches: PadToSquare": lambda: in_batches(pad, images, boxes, count // 2),
        "batches: Keras Resizing": lambda: in_batches(
            keras_resizing(), images, boxes, count // 2
        ),
        "batches: RandomSquareView": lambda: in_batches(
            view, images, boxes, count // 2
        ),
        "batches: Keras chain": lambda: in_batches(
            keras_chain(), images, boxes, count // 4
        ),
    }
    best = dict.fromkeys(contenders, 0.0)
    for _ in range(arguments.rounds):
        for name, measure in contenders.items():
            try:
                best[name] = max(best[name], measure())
            except ImportError:
                continue
    print(f"Keras {keras.__version__}, {keras.backend.backend()}, pictures per second")
    for name, speed in best.items():
        print(f"{name:45s} {f'{speed:8.0f}' if speed else 'not installed'}")


if __name__ == "__main__":
    main()
