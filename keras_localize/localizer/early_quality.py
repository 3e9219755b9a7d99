"""Ends the training of the quality head before the heads know their images."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_localize.files import replacing


class EarlyQuality(keras.callbacks.Callback):
    """At the end the quality head has the weights that it had after an early epoch.

    The target of the quality is the IoU of the predicted boxes. The longer the heads
    train, the better these are on the training images alone, and the quality becomes
    too high and follows the IoU less. The other heads receive nothing from this one,
    so they train on.

    Args:
        epoch: the epoch, counted from 1, whose weights are kept.
        path: a file for them, so that an interrupted training can go on; or None.
    """

    def __init__(self, epoch: int, path: Path | None) -> None:
        super().__init__()
        self.epoch = epoch
        self.path = path
        self.weights: list[np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch + 1 != self.epoch:
            return
        weights = self.weights = self.model.get_layer("quality").get_weights()
        if self.path is not None:
            with replacing(self.path) as unfinished, open(unfinished, "wb") as file:
                np.savez(file, *weights)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.weights is None and self.path is not None and self.path.exists():
            with np.load(self.path) as kept:
                self.weights = [kept[name] for name in kept.files]
        if self.weights is not None:
            self.model.get_layer("quality").set_weights(self.weights)
