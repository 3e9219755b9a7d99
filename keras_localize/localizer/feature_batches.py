"""Cached features to shuffled batches, without a second copy of them."""

import random

import keras
import numpy as np


class FeatureBatches(keras.utils.PyDataset):
    """What `cache_features` gave, in batches for `fit`.

    `fit` takes the arrays themselves as well, but turns all of them into float32
    first; for many views of many pictures that is gigabytes. Here they stay as they
    are, in memory or memory-mapped, and a batch at a time is taken out.

    Args:
        maps: list of arrays of N rows.
        targets: dict of arrays of N rows.
        weights: dict of arrays of N rows.
        batch_size: rows per batch; the last batch may be smaller.
        shuffle: a new order in every epoch.
        seed: the order is a function of (seed, epoch). None: taken from
            `keras.utils.set_random_seed`.
        **kwargs: of `keras.utils.PyDataset`.

    Raises:
        ValueError: for a `batch_size` that is not positive.

    Example:

    >>> maps, targets = [np.zeros((5, 4, 4, 8), "float16")], {"box": np.zeros((5, 4))}
    >>> batches = keras_localize.FeatureBatches(
    ...     maps, targets, {"box": np.ones(5)}, batch_size=2
    ... )
    >>> len(batches), batches[0][0][0].shape
    (3, (2, 4, 4, 8))
    """

    def __init__(
        self, maps, targets, weights, batch_size=64, shuffle=True, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(
                "`batch_size` must be a positive integer. Received: "
                f"batch_size={batch_size!r}"
            )
        self.arrays = (tuple(maps), dict(targets), dict(weights))
        self.count = len(maps[0])
        self.batch_size = batch_size
        self.shuffle = shuffle
        # Python's generator is the one that keras.utils.set_random_seed governs.
        self.seed = random.randrange(2**31) if seed is None else int(seed)
        self.epoch = -1
        self.on_epoch_end()

    def __len__(self):
        return -(-self.count // self.batch_size)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        # Sorted rows read a memory map forwards; within a batch order is nothing.
        rows = np.sort(self._order[index * self.batch_size :][: self.batch_size])

        def take(x):
            x = x[rows]
            return x.astype("float32") if x.dtype == "float16" else x

        return keras.tree.map_structure(take, self.arrays)

    def on_epoch_end(self):
        """Draws the next epoch's order."""
        self.epoch += 1
        self._order = np.arange(self.count)
        if self.shuffle:
            np.random.default_rng([self.seed, self.epoch]).shuffle(self._order)
