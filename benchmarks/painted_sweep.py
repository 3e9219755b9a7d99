"""Worst and mean edge error of PadToSquare over many random sizes and targets.

    KERAS_BACKEND=jax python benchmarks/painted_sweep.py [--count 500]

Images of random sizes with a painted rectangle become squares of 32 to 512 px, eagerly
and in `tf.data`. The box is compared with the painted pixels (geometry_peers.py).
Boxes of fewer than three output pixels, and images of fewer than six output rows or
columns, are not drawn: both of their edges cannot be measured.
"""

import argparse

import keras
import numpy as np
import tensorflow as tf
from geometry_peers import edges, painted_images

from keras_localize.layers import PadToSquare

TARGETS = (32, 47, 64, 96, 129, 160, 224, 320, 400, 512)


def elements(count, size, rng):
    return [
        {"images": image, "bounding_boxes": {"boxes": box}}
        for image, box in painted_images(rng, size, count)
    ]


def in_tf_data(layer, elements):
    spec = {
        "images": tf.TensorSpec([None, None, 1]),
        "bounding_boxes": {"boxes": tf.TensorSpec([4])},
    }
    return tf.data.Dataset.from_generator(
        lambda: iter(elements), output_signature=spec
    ).map(layer)


def errors(mode, antialias, count):
    """The worst edge error of each image, in output pixels."""
    worst = []
    for size in TARGETS:
        layer = PadToSquare(size, antialias=antialias)
        inputs = elements(-(-count // len(TARGETS)), size, np.random.default_rng(size))
        outputs = map(layer, inputs) if mode == "eager" else in_tf_data(layer, inputs)
        for out in outputs:
            image, box = out["images"], out["bounding_boxes"]["boxes"]
            if mode == "eager":
                image, box = map(keras.ops.convert_to_numpy, (image, box))
            worst.append(np.abs(edges(image) - np.asarray(box)).max())
    return np.array(worst)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=500)
    count = parser.parse_args().count
    print(f"Keras {keras.__version__}, {keras.backend.backend()}, errors in output px")
    print("| | antialias | images | mean | worst |\n|---|---|---|---|---|")
    for mode in ("eager", "tf.data"):
        for antialias in (False, True):
            worst = errors(mode, antialias, count)
            print(
                f"| {mode} | {antialias} | {len(worst)} | {worst.mean():.3f} | "
                f"{worst.max():.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
