"""A call of `train_localizer` that kills itself, for test_train.

    python train_process.py FOLDER MOMENT

Of the moments `features`, `heads`, `fine-tuning` and `end` the process survives `end`
alone; it then writes `FOLDER/result.npy`.
"""

import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np
from tiny_backbone import tiny_backbone

import keras_localize as kl
from keras_localize.localizer import feature_store

HEAD_EPOCHS = 5


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


class Die(keras.callbacks.Callback):
    """Dies in the last epoch of the heads or the second of the rest, between batches.

    That is after the epoch whose weights the quality head keeps.
    """

    def __init__(self, moment):
        super().__init__()
        self.moment = moment

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        phase = "fine-tuning" if isinstance(self.model, kl.Localizer) else "heads"
        last = HEAD_EPOCHS - 1 if phase == "heads" else 1
        if phase == self.moment and self.epoch == last and batch == 1:
            die()


def main(folder, moment):
    keras.utils.set_random_seed(0)
    data = kl.make_synthetic(24, num_classes=2, min_side=40, max_side=60, seed=0)
    train, validation = data.split(0.25)
    localizer = kl.build_localizer(
        tiny_backbone(), 2, class_names=data.class_names, quality=True, dropout=0.3
    )
    if moment == "features":
        append, calls = feature_store.FolderStore.append, []

        def append_or_die(*args):
            calls.append(append(*args))
            if len(calls) == 3:
                die()

        feature_store.FolderStore.append = append_or_die
    history = kl.train_localizer(
        localizer,
        train,
        validation,
        head_epochs=HEAD_EPOCHS,
        views=2,
        fine_tune_epochs=3,
        batch_size=4,
        cache=folder / "cache",
        seed=3,
        callbacks=[Die(moment)],
        verbose=0,
    )
    figures = [history[name] for name in sorted(history) if "loss" in name]
    weights = [keras.ops.convert_to_numpy(x).ravel() for x in localizer.weights]
    np.save(folder / "result.npy", np.concatenate([*weights, *figures]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
