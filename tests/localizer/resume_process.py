"""Training that may be killed and started again, for test_resume.

    python resume_process.py FOLDER

Run in an empty folder, it trains to the end and writes `result.npy`. Run again after it
was killed, it goes on.
"""

import sys
import time
from pathlib import Path

import keras
import numpy as np

import keras_localize as kl

EPOCHS = 12


class Step(keras.callbacks.Callback):
    """Writes down that a step was taken, and lasts long enough to be killed in."""

    def __init__(self, folder):
        super().__init__()
        self.file = folder / "steps"

    def on_train_batch_end(self, batch, logs=None):
        with open(self.file, "a") as file:
            file.write("x")
        time.sleep(0.01)


def main(folder):
    """Trains to the end, from where an earlier run in this folder was stopped."""
    keras.utils.set_random_seed(0)
    data = kl.make_synthetic(20, num_classes=2, min_side=40, max_side=60, seed=0)
    view = kl.RandomSquareView(32, bounding_box_format="rel_xyxy")
    on_tensorflow = keras.backend.backend() == "tensorflow"
    kind = data.to_tf_data if on_tensorflow else data.to_pydataset
    batches = kind(32, 4, shuffle=True, augment=view, seed=5)
    # It was used before, which must not matter.
    for _ in range(time.time_ns() % 3):
        next(iter(batches)) if on_tensorflow else batches.on_epoch_end()
    backbone = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 8, strides=8)]
    )
    localizer = kl.build_localizer(
        backbone, 2, quality=True, dropout=0.3, preprocessing=None
    )
    localizer.compile()
    checkpoint = kl.TrainingCheckpoint(folder / "checkpoint")
    localizer.fit(
        batches,
        epochs=EPOCHS,
        initial_epoch=checkpoint.epochs,
        verbose=0,
        callbacks=[checkpoint, Step(folder)],
    )
    weights = [keras.ops.convert_to_numpy(w).ravel() for w in localizer.weights]
    history = checkpoint.history
    figures = [history[key][-1] for key in sorted(history)]
    np.save(folder / "result.npy", np.concatenate([*weights, figures]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
