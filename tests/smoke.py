"""Uses the installed package once: make data, build, train, save, load, localize.

    python tests/smoke.py

Needs nothing but the package itself: no test tools, no data, no network.
"""

import os
import tempfile

import keras

import keras_localize as kl


def main():
    data = kl.make_synthetic(16, num_classes=2, min_side=40, max_side=60)
    backbone = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Rescaling(1 / 127.5, offset=-1.0),
            keras.layers.Conv2D(8, 3, strides=4, padding="same", activation="relu"),
            keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
        ]
    )
    localizer = kl.build_localizer(backbone, 2, class_names=data.class_names)
    localizer.compile()
    localizer.fit(data.to_tf_data(32, batch_size=8), verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "localizer.keras")
        localizer.save(path)
        loaded = keras.models.load_model(path)
    answers = loaded.localize(data.images)
    assert answers == localizer.localize(data.images)
    print(f"keras_localize {kl.__version__} on Keras {keras.__version__}: {answers[0]}")


if __name__ == "__main__":
    main()
