"""Worst and mean edge error of PadToSquare over many random sizes and targets.

    KERAS_BACKEND=jax python benchmarks/painted_sweep.py [--count 500]

Pictures of random sizes with a painted rectangle go to squares of 32 to 512, eagerly
and in `tf.data`; the box is judged by the painted pixels alone (geometry_peers.py).
Boxes of fewer than three output pixels, and pictures of fewer than six output rows or
columns, are not drawn: no reader finds both their edges.
"""

import argparse

import keras
import numpy as np
import tensorflow as tf
from geometry_peers import edges, pictures

from keras_localize.layers import PadToSquare

TARGETS = (32, 47, 64, 96, 129, 160, 224, 320, 400, 512)


def elements(count, size, rng):
    return [
        {"images": image, "bounding_boxes": {"boxes": box}}
        for image, box in pictures(rng, size, count)
    ]


def in_tf_data(layer, elements):
    spec = {
        "images": tf.TensorSpec([None, None, 1]),
        "bounding_boxes": {"boxes": tf.TensorSpec([4])},
    }
    return tf.data.Dataset.from_generator(
        lambda: iter(elements), output_signature=spec
    ).map(layer)


def errors(world, antialias, count):
    found = []
    for size in TARGETS:
        layer = PadToSquare(size, antialias=antialias)
        inputs = elements(-(-count // len(TARGETS)), size, np.random.default_rng(size))
        outputs = map(layer, inputs) if world == "eager" else in_tf_data(layer, inputs)
        for out in outputs:
            image, box = out["images"], out["bounding_boxes"]["boxes"]
            if world == "eager":
                image, box = map(keras.ops.convert_to_numpy, (image, box))
            found.append(np.abs(edges(image) - np.asarray(box)).max())
    return np.array(found)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=500)
    count = parser.parse_args().count
    print(f"Keras {keras.__version__}, {keras.backend.backend()}, errors in output px")
    print("| | antialias | pictures | mean | worst |\n|---|---|---|---|---|")
    for world in ("eager", "tf.data"):
        for antialias in (False, True):
            found = errors(world, antialias, count)
            print(
                f"| {world} | {antialias} | {len(found)} | {found.mean():.3f} | "
                f"{found.max():.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
