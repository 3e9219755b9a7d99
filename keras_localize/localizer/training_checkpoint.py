"""A callback that keeps the state of a training whole, whenever the process ends."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_localize import types
from keras_localize.arrays import to_numpy
from keras_localize.files import replacing


class TrainingCheckpoint(keras.callbacks.Callback):
    """Keeps the state of a training after every epoch, so that it can be resumed.

    The state is everything that the next epoch depends on: the weights, the state of
    the optimizer, the random state of layers such as `Dropout`, and the number of
    epochs. It is replaced in one step: a process that is killed at any moment leaves
    the state of one whole epoch. (`keras.callbacks.BackupAndRestore` writes weights
    and epoch one after the other, and keeps no random state.)

    Pass `initial_epoch=checkpoint.epochs` to `fit`. When `fit` begins, the model gets
    the state that is kept. With the same data in the same order, the resumed training
    ends with the same weights; for batches of this library that are shuffled or
    augmented, `Localizer.fit` and `datasets.EpochOrder` see to the order.

    Works with every Keras model. `train_localizer(cache=...)` uses it by itself.

    Args:
        folder: where the state is kept; made if it does not exist. Use one folder for
            one training.

    Attributes:
        epochs: number of epochs that are trained.
        finished: whether `fit` came to its end. It may have been ended by a callback,
            such as `EarlyStopping`.
        history: one list of values for each logged name, those of interrupted calls
            included.

    Raises:
        ValueError: for a folder whose state cannot be read.

    Example:

    >>> def train():
    ...     keras.utils.set_random_seed(0)
    ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    ...     model.compile(optimizer="adam", loss="mse")
    ...     checkpoint = keras_localize.TrainingCheckpoint("training")
    ...     model.fit(
    ...         np.ones((8, 2)),
    ...         np.ones((8, 1)),
    ...         epochs=3,
    ...         initial_epoch=checkpoint.epochs,
    ...         callbacks=[checkpoint],
    ...         verbose=0,
    ...     )
    ...     return checkpoint
    >>> train().epochs
    3
    >>> len(train().history["loss"])  # the state is there: nothing is trained again
    3
    """

    def __init__(self, folder: types.Path) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.epochs = 0
        self.finished = False
        self.history: dict[str, list[Any]] = {}
        self._weights: str | None = None
        self._random_states: list[list[int]] = []
        if self._path.exists():
            self._read()

    @property
    def _path(self) -> Path:
        return self.folder / "state.json"

    def _read(self) -> None:
        try:
            state = json.loads(self._path.read_text(encoding="utf-8"))
            self.epochs, self.finished = state["epochs"], state["finished"]
            self.history, self._weights = state["history"], state["weights"]
            self._random_states = state["random_states"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                "`folder` must hold nothing, or the state that a TrainingCheckpoint "
                f"has written. {self._path} cannot be read: {error!r}"
            ) from error

    def restore(self, model: keras.Model) -> None:
        """Gives the model the state that is kept, if any."""
        if self._weights is not None:
            model.optimizer.build(model.trainable_variables)
            model.load_weights(self.folder / self._weights)
            for variable, value in zip(_random_states(model), self._random_states):
                variable.assign(np.array(value, "uint32"))

    # After the callback of the one-cycle schedule, which is the first: the state of
    # the optimizer holds the cycle.
    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.restore(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        self.epochs, self.finished = epoch + 1, False
        self._keep()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        # Another callback may have stopped the training, or have changed the weights.
        self.finished = True
        self._keep()

    def _keep(self) -> None:
        old, name = self._weights, f"epoch_{self.epochs}.weights.h5"
        if self.finished:
            name = f"end_{name}"
        # The file of the state names the file of the weights that belong to it, and is
        # replaced when that is complete.
        with replacing(self.folder / name) as unfinished:
            self.model.save_weights(unfinished)
        self._weights = name
        state = {
            "epochs": self.epochs,
            "finished": self.finished,
            "weights": name,
            "random_states": [to_numpy(x).tolist() for x in _random_states(self.model)],
            "history": self.history,
        }
        with replacing(self._path) as unfinished:
            unfinished.write_text(json.dumps(state), encoding="utf-8")
        if old not in (None, name):
            (self.folder / str(old)).unlink(missing_ok=True)


def _random_states(model: keras.Model) -> list[keras.Variable]:
    """The state of dropout and the like, which a file of weights does not hold."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]
