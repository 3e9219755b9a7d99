"""Batches as a `tf.data.Dataset`."""

import weakref
from typing import Any

import numpy as np

from keras_localize.datasets.batches import TARGETS, Batches
from keras_localize.datasets.cores import cores


def tf_dataset(batches: Batches) -> Any:
    """`batches` as a tf.data.Dataset that knows its length.

    It has the attribute `set_epoch`; see `_Epochs`.
    """
    import tensorflow as tf

    size = batches.source_size
    rows = batches.batch_size if batches.drop_remainder else None
    # The dataset is built once but iterated once per epoch; this is the only state.
    epochs = _Epochs()
    # TensorFlow never lets go of the Python functions of a dataset. So they must not
    # hold the images; the dataset does, and every dataset and iterator made from it.
    kept = weakref.ref(batches)

    def next_order() -> tuple[np.int64, np.ndarray]:
        epoch = epochs.next()
        return np.int64(epoch), _alive(kept).order(epoch).astype("int64")

    def epoch_indices(_: Any) -> Any:
        epoch, order = tf.numpy_function(next_order, [], [tf.int64, tf.int64])
        epoch.set_shape([])
        order.set_shape([None])
        indices = tf.data.Dataset.from_tensor_slices(order).batch(
            batches.batch_size, drop_remainder=batches.drop_remainder
        )
        return indices.map(lambda chosen: (epoch, chosen))

    def on_host(indices: np.ndarray) -> list[np.ndarray]:
        batches = _alive(kept)
        values, weights = batches.rows(indices)
        return [batches.images(indices), *values.values(), *weights.values()]

    def read(epoch: Any, indices: Any) -> tuple[Any, Any, Any]:
        columns = [*batches.values.values(), *batches.weights.values()]
        images, *parts = tf.numpy_function(
            on_host, [indices], [tf.uint8, *(column.dtype for column in columns)]
        )
        images.set_shape([rows, size, size, 3])
        for part, column in zip(parts, columns):
            part.set_shape([rows, *column.shape[1:]])
        values: dict[str, Any] = dict(zip(TARGETS, parts))
        weights: dict[str, Any] = dict(zip(TARGETS, parts[len(TARGETS) :]))
        if batches.augmentation is not None:
            images = tf.cast(images, tf.float32)
        images, values, weights = batches.augmented(
            tf, images, values, weights, epoch, indices
        )
        return images, *batches.selected(values, weights)

    dataset: Any = (
        tf.data.Dataset.range(1)
        .flat_map(epoch_indices)
        # One more than cores: a batch that waits for its turn occupies a place.
        .map(read, num_parallel_calls=cores() + 1, deterministic=True)
        .apply(tf.data.experimental.assert_cardinality(len(batches)))
        .prefetch(2)
    )
    dataset.set_epoch = epochs.set_epoch
    dataset.batches = batches
    return dataset


def _alive(kept: weakref.ref[Batches]) -> Batches:
    batches = kept()
    if batches is None:
        raise RuntimeError(
            "The dataset that `to_tf_data` returned exists no longer. Keep a reference "
            "to it while its batches are used."
        )
    return batches


class _Epochs:
    """The epoch of each iteration: the one that was set, or else they are counted."""

    def __init__(self) -> None:
        self._count = 0
        self._set: int | None = None

    def set_epoch(self, epoch: int | None) -> None:
        """Says the epoch of all iterations until the next call; None: count on.

        It stays, because under a distribution strategy Keras begins iterations that
        it never uses.
        """
        self._set = epoch

    def next(self) -> int:
        if self._set is not None:
            self._count = self._set
        self._count += 1
        return self._count - 1
