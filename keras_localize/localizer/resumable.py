"""A `fit` that goes on where an interrupted one was."""

import math
from pathlib import Path
from typing import Any

import keras

from keras_localize.localizer.training import LocalizationModel
from keras_localize.localizer.training_checkpoint import TrainingCheckpoint

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
    checkpoint = TrainingCheckpoint(folder)
    if not checkpoint.finished:
        # After the last epoch too: what callbacks do at the end is still to be done.
        model.fit(
            x,
            epochs=epochs,
            initial_epoch=checkpoint.epochs,
            callbacks=[*callbacks, checkpoint],
            **options,
        )
    else:
        checkpoint.restore(model)
    return checkpoint.history


def joined(first: History, second: History) -> History:
    """One history after the other; NaN where a phase has no value of a name."""

    def values(history: History, name: str) -> list[Any]:
        return history.get(name, [math.nan] * len(history["phase"]))

    names = dict.fromkeys([*first, *second])
    return {name: values(first, name) + values(second, name) for name in names}
