"""Cached features to shuffled batches, without a second copy of them."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_localize.checks import check_bool, check_positive_int, check_seed

# One array, or a dict of arrays by output.
ByOutput: TypeAlias = np.ndarray | dict[str, np.ndarray]


class FeatureBatches(keras.utils.PyDataset):
    """Batches for `fit` of what `cache_features` returned.

    `fit` takes the arrays themselves as well, but converts all of them to float32
    first; for many views of many images that is gigabytes. Here they stay as they
    are, in memory or memory-mapped, and only one batch at a time is converted.

    Args:
        maps: list of feature maps (N, H, W, C), float16 or float32.
        targets: dict of arrays of N rows by output, or one such array: label (N,)
            class ids, box (N, 4) `rel_xyxy`, presence (N, 1).
        weights: the same, of sample weights (N,).
        batch_size: rows per batch; the last batch may be smaller.
        shuffle: whether each epoch has a new order.
        seed: the order is a function of (seed, epoch). None: taken from
            `keras.utils.set_random_seed`.
        drop_remainder: leaves out a last batch that is smaller than the others, which
            several devices could not share.
        **kwargs: of `keras.utils.PyDataset`. Several workers are refused: Keras's
            read ahead across the end of an epoch, so that rows would be missing.

    Raises:
        ValueError: for a `batch_size` that is not positive, a `seed` that is no
            integer, several workers, or arrays of different lengths.

    Example:

    >>> maps, targets = [np.zeros((5, 4, 4, 8), "float16")], {"box": np.zeros((5, 4))}
    >>> batches = keras_localize.FeatureBatches(
    ...     maps, targets, {"box": np.ones(5)}, batch_size=2
    ... )
    >>> len(batches), batches[0][0][0].shape
    (3, (2, 4, 4, 8))
    """

    def __init__(
        self,
        maps: Sequence[np.ndarray],
        targets: ByOutput,
        weights: ByOutput,
        batch_size: int = 64,
        shuffle: bool = True,
        seed: int | None = None,
        drop_remainder: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batch_size = check_positive_int(batch_size, "batch_size")
        if self.workers > 1 or self.use_multiprocessing:
            raise ValueError(
                "`workers` must be 1 and `use_multiprocessing` False. Received: "
                f"workers={self.workers}, "
                f"use_multiprocessing={self.use_multiprocessing}"
            )
        self.arrays = (tuple(maps), targets, weights)
        lengths = {len(array) for array in keras.tree.flatten(self.arrays)}
        if len(lengths) != 1:
            raise ValueError(
                "`maps`, `targets` and `weights` must have the same number of rows. "
                f"Received: {sorted(lengths)}"
            )
        self.count = lengths.pop()
        self.shuffle = shuffle
        self.seed = check_seed(seed)
        self.drop_remainder = check_bool(drop_remainder, "drop_remainder")
        if drop_remainder and self.count < self.batch_size:
            raise ValueError(
                "`drop_remainder=True` needs at least one whole batch. Received: "
                f"batch_size={batch_size} for {self.count} rows"
            )
        self.set_epoch(0)

    def __len__(self) -> int:
        if self.drop_remainder:
            return self.count // self.batch_size
        return -(-self.count // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, Any, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        # A memory map is read forwards; the order within a batch changes nothing.
        rows = np.sort(self._order[index * self.batch_size :][: self.batch_size])

        def take(array: np.ndarray) -> np.ndarray:
            chosen = array[rows]
            half = chosen.dtype == "float16"
            return chosen.astype("float32") if half else chosen

        return keras.tree.map_structure(take, self.arrays)

    def release(self) -> None:
        """Releases the arrays. The object cannot be used afterwards.

        On TensorFlow Keras keeps a PyDataset that it was given for as long as the
        process lives, and with it gigabytes of features.
        """
        self.arrays = ((), {}, {})
        self.count = 0

    def on_epoch_end(self) -> None:
        """Moves on to the next epoch's order."""
        self.set_epoch(self.epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """Says the epoch whose order comes next; see `datasets.EpochOrder`."""
        self.epoch = epoch
        self._order = np.arange(self.count)
        if self.shuffle:
            np.random.default_rng([self.seed, self.epoch]).shuffle(self._order)
