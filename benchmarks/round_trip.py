"""How far a box comes home from where it left: `from_square` after `to_square`.

    KERAS_BACKEND=jax python benchmarks/round_trip.py [--boxes 2000]

Pictures of up to 10,000 pixels (primes and thin ones among them), several squares,
every format, coordinates anywhere in the picture; eagerly, compiled (JAX and
TensorFlow), and with one size per box as a tensor. Errors in pixels of the original
picture, float32.
"""

import argparse

import keras
import numpy as np

from keras_localize import boxes
from keras_localize.boxes.formats import FORMATS

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
    """The largest error in pixels of each way of computing."""
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
    found = {}
    runs = {"eager": plain, "compiled": compiled(plain), "sizes": there_and_back(each)}
    for name, run in runs.items():
        if run is not None:
            back = keras.ops.convert_to_numpy(run(keras.ops.convert_to_tensor(start)))
            error = np.abs(back.astype("float64") - start)
            found[name] = (error * (sides if relative else 1)).max()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--boxes", type=int, default=2000)
    count = parser.parse_args().boxes
    given = np.random.default_rng(3).random((count, 4))
    print(f"Keras {keras.__version__}, {keras.backend.backend()}; worst error, pixels")
    print("| format | eager | compiled | a size per box |\n|---|---|---|---|")
    for box_format in FORMATS:
        found = [
            worst(box_format, *picture, size, given)
            for long in LONG
            for short in SHORT
            for picture in [(long, min(short, long)), (min(short, long), long)]
            for size in SQUARES
        ]
        cells = [
            f"{max(f[way] for f in found):.2e}" if way in found[0] else "-"
            for way in ("eager", "compiled", "sizes")
        ]
        print(f"| {box_format} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
