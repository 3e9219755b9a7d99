"""A `fit` that goes on where an interrupted one was."""

import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_localize.arrays import to_numpy
from keras_localize.files import replacing
from keras_localize.localizer.training import LocalizationModel

# One list of values for each logged name, one value for each epoch.
History = dict[str, list[Any]]


def resumable_fit(
    model: LocalizationModel,
    folder: Path | None,
    x: Any,
    *,
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
    **options: Any,
) -> History:
    """`model.fit`, whose state is kept in a folder after every epoch.

    Where the folder holds the state of an interrupted call, the epochs that are
    missing are trained; where it holds all epochs, the model gets the final weights
    at once.

    Args:
        model: a compiled model.
        folder: where the state is kept, or None.
        x: the batches.
        epochs: number of epochs, those of interrupted calls included.
        callbacks: of `fit`. Their own state is not kept.
        **options: of `fit`.

    Returns:
        The history of all epochs, those of interrupted calls included.
    """
    if folder is None:
        options = {"callbacks": callbacks, **options}
        return model.fit(x, epochs=epochs, **options).history
    keeper = _KeepState(folder)
    if keeper.epochs < epochs and not keeper.stopped:
        model.fit(
            x,
            epochs=epochs,
            initial_epoch=keeper.epochs,
            callbacks=[*callbacks, keeper],
            **options,
        )
    else:
        keeper.restore(model)
    return keeper.history


def joined(first: History, second: History) -> History:
    """One history after the other; NaN where a phase has no value of a name."""

    def values(history: History, name: str) -> list[Any]:
        return history.get(name, [math.nan] * len(history["phase"]))

    names = dict.fromkeys([*first, *second])
    return {name: values(first, name) + values(second, name) for name in names}


class _KeepState(keras.callbacks.Callback):
    """Keeps weights, state of the optimizer and history after every epoch.

    `state.json` names the file of the weights that belong to it. It is replaced after
    that file is complete: whenever the process ends, both fit together.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.path = folder / "state.json"
        self.epochs = 0
        self.stopped = False
        self.history: History = {}
        self.weights: str | None = None
        self.random_states: list[list[int]] = []
        if self.path.exists():
            state = json.loads(self.path.read_text(encoding="utf-8"))
            self.epochs, self.stopped = state["epochs"], state["stopped"]
            self.history, self.weights = state["history"], state["weights"]
            self.random_states = state["random_states"]

    def restore(self, model: keras.Model) -> None:
        """Gives the model the kept weights and state of the optimizer, if any."""
        if self.weights is not None:
            model.optimizer.build(model.trainable_variables)
            model.load_weights(self.folder / self.weights)
            for variable, value in zip(_random_states(model), self.random_states):
                variable.assign(np.array(value, "uint32"))

    # After the callback of the one-cycle schedule, which is the first: the state of
    # the optimizer holds the cycle.
    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.restore(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        self.epochs = epoch + 1
        self._keep()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        # Another callback may have stopped the training, or have changed the weights.
        self.stopped = True
        self._keep()

    def _keep(self) -> None:
        old, name = self.weights, f"epoch_{self.epochs}.weights.h5"
        if self.stopped:
            name = f"end_{name}"
        with replacing(self.folder / name) as unfinished:
            self.model.save_weights(unfinished)
        self.weights = name
        state = {
            "epochs": self.epochs,
            "stopped": self.stopped,
            "weights": name,
            "random_states": [to_numpy(x).tolist() for x in _random_states(self.model)],
            "history": self.history,
        }
        with replacing(self.path) as unfinished:
            unfinished.write_text(json.dumps(state), encoding="utf-8")
        if old not in (None, name):
            (self.folder / str(old)).unlink(missing_ok=True)


def _random_states(model: keras.Model) -> list[keras.Variable]:
    """The state of dropout and the like, which a file of weights does not hold."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]
