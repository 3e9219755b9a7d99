"""The same training on one, two and four devices of this computer, for test_devices.

    python devices_process.py METHOD COUNT ...

`METHOD` reads the batches: `to_tf_data` or `to_pydataset`. `COUNT`: how many devices.
They are virtual: JAX's host platform is divided, TensorFlow's CPU is. The last line
printed is a JSON object: for each number of devices the figures of all trainings.
"""

# ruff: noqa: E402
import contextlib
import json
import os
import sys

COUNT = 4
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={COUNT}"

if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
    # Before anything is computed, which Keras does while it is imported.
    import tensorflow as tf

    [cpu] = tf.config.list_physical_devices("CPU")
    parts = [tf.config.LogicalDeviceConfiguration()] * COUNT
    tf.config.set_logical_device_configuration(cpu, parts)
    # Simplifying the graphs of four replicas would take most of the time.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})

import keras
import numpy as np

import keras_localize as kl


def data():
    """Images with boxes, with labels alone, and without an object."""
    drawn = kl.make_synthetic(
        26, num_classes=2, min_side=40, max_side=60, negatives=0.2, seed=0
    )
    weights = drawn.weights.copy()
    weights[::5] = 0
    weights[1::7] *= 0.5
    return kl.LocalizationDataset(
        drawn.images,
        drawn.boxes,
        drawn.labels,
        drawn.class_names,
        weights,
        presence=drawn.presence,
    )


@contextlib.contextmanager
def on_devices(count):
    """What is built and trained inside is shared between this many devices."""
    if keras.backend.backend() == "jax":
        keras.distribution.set_distribution(
            keras.distribution.DataParallel(
                devices=[f"cpu:{number}" for number in range(count)]
            )
        )
        yield
        keras.distribution.set_distribution(None)
    else:
        names = [f"CPU:{number}" for number in range(count)]
        # Collective operations of two strategies disturb each other in one process.
        reduce = tf.distribute.ReductionToOneDevice()
        with tf.distribute.MirroredStrategy(names, reduce).scope():
            yield


def figures(method):
    """The history and the evaluation of a localizer and of its heads."""
    keras.utils.set_random_seed(0)
    dataset = data()
    backbone = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Rescaling(1 / 127.5, -1),
            keras.layers.Conv2D(4, 8, strides=8),
        ]
    )
    localizer = kl.build_localizer(
        backbone, 2, quality=True, presence=True, dropout=0.0, preprocessing=None
    )
    for name in ("quality", "presence"):
        # Each replica draws its own dropout.
        localizer.get_layer(name).drop.rate = 0.0
    # XLA would take longer for a step of TensorFlow than all steps together.
    compiled = {"jit_compile": keras.backend.backend() == "jax"}
    localizer.compile(**compiled)
    localizer.optimizer.clipnorm = 0.1  # many gradients are clipped
    options = {"batch_size": 8, "drop_remainder": True}
    read = getattr(dataset, method)
    train = read(32, shuffle=True, seed=3, **options)
    found = {**localizer.fit(train, epochs=2, verbose=0).history}
    evaluated = localizer.evaluate(read(32, **options), verbose=0, return_dict=True)
    found |= {f"evaluate_{key}": value for key, value in evaluated.items()}
    features, heads = localizer.split()
    heads.compile(**compiled)
    cached = kl.cache_features(
        features, dataset.to_pydataset(32, 8, drop_remainder=True), verbose=0
    )
    batches = kl.FeatureBatches(*cached, seed=1, **options)
    history = heads.fit(batches, epochs=2, verbose=0).history
    found |= {f"heads_{key}": value for key, value in history.items()}
    return {key: np.ravel(value).tolist() for key, value in found.items()}


def main(method, *counts):
    results = {"1": figures(method)}
    for count in counts:
        with on_devices(int(count)):
            results[count] = figures(method)
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
