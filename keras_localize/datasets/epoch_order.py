"""The epoch of a training run, told to the batches whose order depends on it."""

from typing import Any

import keras
import numpy as np

from keras_localize.arrays import to_numpy

# Of a random layer in an epoch; in a longer one it comes to those of the next.
_DRAWS = 2**20


class EpochOrder(keras.callbacks.Callback):
    """Tells batches the epoch of the training run, so that a resumed run is exact.

    Order and draws of the batches of `to_tf_data`, `to_pydataset` and `FeatureBatches`
    are functions of (seed, epoch). By themselves they count how often they were
    iterated, and Keras tells them no epoch. With this callback the epoch is that of
    `fit`: `initial_epoch` and `keras.callbacks.BackupAndRestore` go on with the epoch
    they name, and every other `fit` starts with epoch 0.

    The draws of the model's random layers, such as `Dropout`, start in every epoch at
    a place that depends on (the layer's seed, epoch) alone.

    `Localizer.fit`, and `fit` of the heads, do this by themselves. The callback is for
    other models. There `fit` needs `shuffle=False` with `FeatureBatches`: Keras would
    shuffle the batches once more, in an order that no seed of theirs decides.

    Args:
        *batches: what `fit` is given as `x`, and as `validation_data` if that is
            shuffled or augmented; not what `map`, `take` or another method of
            `tf.data` made of it, which cannot be told.

    Raises:
        ValueError: for batches that cannot be told an epoch.

    Example:

    >>> from keras_localize.datasets import EpochOrder, make_synthetic
    >>> data = make_synthetic(8).to_pydataset(32, targets="box", shuffle=True, seed=0)
    >>> model = keras.Sequential(
    ...     [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(4)]
    ... )
    >>> model.compile(loss="mse")
    >>> options = {"epochs": 3, "callbacks": [EpochOrder(data)], "verbose": 0}
    >>> _ = model.fit(data, **options)
    >>> _ = model.fit(data, initial_epoch=2, **options)
    >>> data.epoch
    3
    """

    def __init__(self, *batches: Any) -> None:
        super().__init__()
        for each in batches:
            if not takes_epochs(each):
                raise ValueError(
                    "`batches` must be what `to_tf_data` or `to_pydataset` gives, or "
                    "FeatureBatches, themselves: what `map` or `take` make of them "
                    f"cannot be told the epoch. Received: {each!r}"
                )
        self.batches = batches

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for each in self.batches:
            each.set_epoch(epoch)
        for variable in self.model.variables:
            # Of Dropout and other random layers. Keras does not save it.
            if variable.name == "seed_generator_state":
                seed, _ = to_numpy(variable)
                count = epoch * _DRAWS % 2**31
                variable.assign(np.array([seed, count], variable.dtype))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        for each in self.batches:
            # A PyDataset counts its epochs in any case.
            if not isinstance(each, keras.utils.PyDataset):
                each.set_epoch(None)


def takes_epochs(batches: Any) -> bool:
    """Whether batches can be told the epoch."""
    return hasattr(batches, "set_epoch")
