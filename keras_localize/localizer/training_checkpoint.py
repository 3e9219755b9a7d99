"""A callback that keeps the state of a training whole, whenever the process ends."""

import contextlib
import json
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_localize import types
from keras_localize.arrays import to_numpy
from keras_localize.files import naming, replacing

# What reading a file raises that holds something else, or not all of it.
_UNREADABLE = (
    AttributeError,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


class TrainingCheckpoint(keras.callbacks.Callback):
    """Keeps the state of a training after every epoch, so that it can be resumed.

    The state is that of the model and its optimizer: every variable of both, the
    random state of layers such as `Dropout` among them, and the number of epochs. It
    is one file, replaced in one step: a process that is killed at any moment leaves
    the state of one whole epoch. (`keras.callbacks.BackupAndRestore` writes weights
    and epoch one after the other, and keeps no random state.)

    Pass `initial_epoch=checkpoint.epochs` to `fit`. When `fit` begins, the model gets
    the state that is kept. With the same data in the same order, the resumed training
    ends with the same weights; for batches of this library that are shuffled or
    augmented, `Localizer.fit` and `datasets.EpochOrder` see to the order.

    Put it last in the list of callbacks: it keeps what those before it have made of
    the weights and of the rate. What they remember themselves is not kept:
    `EarlyStopping`, `ReduceLROnPlateau` and `ModelCheckpoint(save_best_only=True)`
    begin anew.

    Works with every Keras model that is compiled with an optimizer.
    `train_localizer(cache=...)` uses it by itself.

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
        ValueError: for a folder whose state cannot be read; in `fit`, where the state
            is that of another model or optimizer, or of another number of epochs than
            `initial_epoch`.
        OSError: in `fit`, before the first epoch, where the folder cannot be written.

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
        if self._file.exists():
            with self._opened() as file:
                state = json.loads(str(file["state"]))
                self.epochs, self.finished = state["epochs"], state["finished"]
                self.history = state["history"]

    @property
    def _file(self) -> Path:
        return self.folder / "state.npz"

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            # NumPy leaves a file open that it cannot read.
            with open(self._file, "rb") as content, np.load(content) as file:
                yield file
        except _UNREADABLE as error:
            raise ValueError(
                "`folder` must hold nothing, or the state that a TrainingCheckpoint "
                f"has written. {self._file} cannot be read: {error!r}"
            ) from error

    def restore(self, model: keras.Model) -> None:
        """Gives the model the state that is kept, if any.

        A model that is not compiled gets its own variables alone.

        Raises:
            ValueError: where the state is that of another model or optimizer.
        """
        if not self._file.exists():
            return
        parts = _variables(model)
        with self._opened() as file:
            kept = {
                part: [file[name] for name in file.files if name.startswith(part)]
                for part in parts
            }
        # All of it is checked before any of it is assigned.
        for part, variables in parts.items():
            shapes = [tuple(variable.shape) for variable in variables]
            if shapes != [value.shape for value in kept[part]]:
                raise ValueError(
                    "`folder` must hold the state of the same model and optimizer. "
                    f"{self._file} does not fit {part.rstrip('/')}: it holds "
                    f"{len(kept[part])} variables, expected {len(variables)} of the "
                    "same shapes"
                )
        for part, variables in parts.items():
            for variable, value in zip(variables, kept[part]):
                variable.assign(value)

    # After the callback of the one-cycle schedule, which is the first: the state of
    # the optimizer holds the cycle.
    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if getattr(self.model, "optimizer", None) is None:
            raise ValueError(
                "TrainingCheckpoint needs a model that is compiled with an optimizer. "
                f"Received: {self.model.name!r}"
            )
        # After the first epoch it would be late.
        self.folder.mkdir(parents=True, exist_ok=True)
        with naming(self.folder), tempfile.TemporaryFile(dir=self.folder):
            self.restore(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.epochs not in (0, epoch):
            raise ValueError(
                f"`initial_epoch` must be {self.epochs}, the number of epochs that are "
                f"kept in {self.folder}: initial_epoch=checkpoint.epochs. Another "
                f"training needs another folder. Received: initial_epoch={epoch}"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for name, value in (logs or {}).items():
            # Other callbacks log what they like.
            self.history.setdefault(name, []).append(np.asarray(value).tolist())
        self.epochs, self.finished = epoch + 1, False
        self._keep()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        # Another callback may have stopped the training, or have changed the weights.
        self.finished = True
        self._keep()

    def _keep(self) -> None:
        state = {
            "epochs": self.epochs,
            "finished": self.finished,
            "history": self.history,
        }
        arrays: dict[str, Any] = {
            f"{part}{i}": _storable(variable)
            for part, variables in _variables(self.model).items()
            for i, variable in enumerate(variables)
        }
        with replacing(self._file) as unfinished:
            np.savez(unfinished, state=json.dumps(state, default=str), **arrays)


def _variables(model: keras.Model) -> dict[str, list[keras.Variable]]:
    """All variables that training changes, by the beginning of their names.

    A file of weights lacks some of them, such as the random state of layers, and Keras
    merges those of LoRA into others in it.
    """
    parts = {"model/": model.variables}
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None:
        # A LossScaleOptimizer that is built again gets variables again.
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        parts[f"{type(optimizer).__name__}/"] = optimizer.variables
    return parts


def _storable(variable: keras.Variable) -> np.ndarray:
    values = to_numpy(variable)
    # NumPy's files do not know bfloat16 and float8; float32 holds them exactly.
    return values.astype("float32") if values.dtype.kind == "V" else values
