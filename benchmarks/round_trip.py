"""How exactly a box returns: the error of `from_square` after `to_square`.

    KERAS_BACKEND=jax python benchmarks/round_trip.py [--boxes 2000]

Image sizes up to 10,000 px (prime and very narrow ones too), several squares, every
format, boxes anywhere in the image. Computed eagerly, compiled (JAX and TensorFlow),
and with one image size per box as a tensor. Errors are in pixels of the original
image, in float32.
"""

import argparse
import typing

import keras
import numpy as np

from keras_localize import boxes
from keras_localize.types import BoundingBoxFormat

LONG = (10000, 9973, 9805, 5003, 3000)
SHORT = (9999, 8666, 997, 7, 1)
SQUARES = (None, 32, 224, 512, 1000)


def compiled(f):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(f)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(f, jit_compile=True, autograph=False)
    return None


def worst(box_format, height, width, size, given):
    """{way of computing: the largest error in pixels}."""
    relative = box_format.startswith("rel_")
    letters = box_format.removeprefix("rel_").removeprefix("center_")
    side = {"x": width, "w": width, "y": height, "h": height}
    sides = np.array([side[letter] for letter in letters], "float64")
    start = (given if relative else given * sides).astype("float32")
    each = np.tile(np.array([[height, width]], "int32"), (len(given), 1))

    def there_and_back(image_size):
        def run(b):
            there = boxes.to_square(b, image_size, size, box_format)
            return boxes.from_square(there, image_size, size, box_format)

        return run

    plain = there_and_back((height, width))
    errors = {}
    runs = {"eager": plain, "compiled": compiled(plain), "sizes": there_and_back(each)}
    for name, run in runs.items():
        if run is not None:
            back = keras.ops.convert_to_numpy(run(keras.ops.convert_to_tensor(start)))
            error = np.abs(back.astype("float64") - start)
            errors[name] = (error * (sides if relative else 1)).max()
    return errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--boxes", type=int, default=2000)
    count = parser.parse_args().boxes
    given = np.random.default_rng(3).random((count, 4))
    print(f"Keras {keras.__version__}, {keras.backend.backend()}; worst error, pixels")
    print("| format | eager | compiled | a size per box |\n|---|---|---|---|")
    for box_format in typing.get_args(BoundingBoxFormat):
        errors = [
            worst(box_format, *image_size, size, given)
            for long in LONG
            for short in SHORT
            for image_size in [(long, min(short, long)), (min(short, long), long)]
            for size in SQUARES
        ]
        cells = [
            f"{max(error[way] for error in errors):.2e}" if way in errors[0] else "-"
            for way in ("eager", "compiled", "sizes")
        ]
        print(f"| {box_format} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
