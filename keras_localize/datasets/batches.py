"""Squares to batches, for tf.data and for `keras.utils.PyDataset`.

Both are built on `Batches`, so they yield the same numbers. Every random draw is a
function of (seed, epoch, index): nothing depends on which thread came first.
"""

import inspect
import itertools
import os
import random

import keras
import numpy as np

from keras_localize.boxes.formats import (
    from_corners,
    is_relative,
    to_corners,
    to_fractions,
    to_pixels,
)
from keras_localize.datasets.squares import Squares, square_boxes


class Batches:
    """What to_tf_data and to_pydataset share: indices in, one batch out."""

    def __init__(
        self, dataset, size, batch_size, shuffle, augment, cache, class_weight, seed
    ):
        _check_positive_int(size, "size")
        _check_positive_int(batch_size, "batch_size")
        if augment is not None and not callable(augment):
            raise ValueError(
                "`augment` must be a layer or a function on dicts "
                '{"images", "bounding_boxes"}. '
                f"Received: augment={augment!r}"
            )
        self.size = size
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.augment = augment
        self.augment_takes_seed = (
            augment is not None and "seed" in inspect.signature(augment).parameters
        )
        # Python's generator is the one that keras.utils.set_random_seed governs.
        self.seed = random.randrange(2**31) if seed is None else int(seed)
        self.squares = Squares(dataset.images, size, cache)
        # An image without an object has label weight 0. Its id is one that losses
        # take: for -1 they give NaN, and 0 * NaN is NaN.
        self.labels = np.maximum(dataset.labels, 0)
        self.boxes = square_boxes(dataset.boxes, dataset.image_sizes, size)
        self.boxes[dataset.weights == 0] = 0
        self.box_weights = dataset.weights
        self.label_weights = label_weights(
            dataset.labels, dataset.class_names, class_weight
        )

    def __len__(self):
        return -(-len(self.labels) // self.batch_size)

    def order(self, epoch):
        """The records' indices in the order of this epoch."""
        count = len(self.labels)
        if not self.shuffle:
            return np.arange(count)
        return np.random.default_rng([self.seed, epoch]).permutation(count)

    def targets(self, indices):
        """Labels, boxes, label weights, box weights of the records at `indices`."""
        return (
            self.labels[indices],
            self.boxes[indices],
            self.label_weights[indices],
            self.box_weights[indices],
        )


def tf_dataset(batches):
    """`batches` as a tf.data.Dataset that knows its length."""
    import tensorflow as tf

    size = batches.size
    epochs = itertools.count()

    # The dataset is built once but iterated once per epoch; this is the only state.
    def next_order():
        epoch = next(epochs)
        return np.int64(epoch), batches.order(epoch).astype("int64")

    def epoch_indices(_):
        epoch, order = tf.numpy_function(next_order, [], [tf.int64, tf.int64])
        epoch.set_shape([])
        order.set_shape([None])
        indices = tf.data.Dataset.from_tensor_slices(order).batch(batches.batch_size)
        return indices.map(lambda chosen: (epoch, chosen))

    def read(epoch, indices):
        images, label, box, label_weight, box_weight = tf.numpy_function(
            lambda chosen: (batches.squares.batch(chosen), *batches.targets(chosen)),
            [indices],
            [tf.uint8, tf.int32, tf.float32, tf.float32, tf.float32],
        )
        images.set_shape([None, size, size, 3])
        box.set_shape([None, 4])
        for vector in (label, label_weight, box_weight):
            vector.set_shape([None])
        images = tf.cast(images, tf.float32)
        if batches.augment is not None:
            images, box = augmented(
                tf, tf.convert_to_tensor, batches, images, box, label, epoch, indices
            )
        return (
            images,
            {"label": label, "box": box},
            {"label": label_weight, "box": box_weight},
        )

    return (
        tf.data.Dataset.range(1)
        .flat_map(epoch_indices)
        .map(read, num_parallel_calls=cores(), deterministic=True)
        .apply(tf.data.experimental.assert_cardinality(len(batches)))
        .prefetch(2)
    )


class BatchDataset(keras.utils.PyDataset):
    """`Batches` for Keras's own loop, without TensorFlow.

    `epoch` counts the calls of `on_epoch_end`.
    """

    def __init__(self, batches, **kwargs):
        super().__init__(**kwargs)
        self.batches = batches
        self.epoch = 0
        self._order = (0, batches.order(0))

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        batches = self.batches
        if not -len(self) <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        start = index % len(self) * batches.batch_size
        epoch, order = self._order
        indices = order[start : start + batches.batch_size]
        images = batches.squares.batch(indices).astype("float32")
        label, box, label_weight, box_weight = batches.targets(indices)
        if batches.augment is not None:
            to_numpy = keras.ops.convert_to_numpy
            images, box = augmented(
                np, to_numpy, batches, images, box, label, epoch, indices
            )
        return (
            images,
            {"label": label, "box": box},
            {"label": label_weight, "box": box_weight},
        )

    def on_epoch_end(self):
        """Moves on to the next epoch's order and draws."""
        self.epoch += 1
        self._order = (self.epoch, self.batches.order(self.epoch))


def augmented(xp, convert, batches, images, box, label, epoch, indices):
    """One batch through the user's layer, in the format that the layer speaks.

    `xp` makes the layer's inputs, TensorFlow or NumPy; `convert` takes its outputs.
    """
    augment = batches.augment
    spoken = getattr(augment, "bounding_box_format", "rel_xyxy")

    def side(pictures):
        return 1 if is_relative(spoken) else pictures.shape[1]

    corners = to_corners(box, "rel_xyxy")
    corners = to_pixels(corners, side(images), side(images))
    data = {
        "images": images,
        "bounding_boxes": {"boxes": from_corners(xp, corners, spoken), "labels": label},
    }
    options = {}
    if batches.augment_takes_seed:
        same = xp.ones_like(indices)
        seeds = [batches.seed * same, epoch * same, indices]
        options["seed"] = xp.stack(seeds, axis=-1)
    data = augment(data, **options)
    images = convert(data["images"])
    corners = to_corners(convert(data["bounding_boxes"]["boxes"]), spoken)
    corners = to_fractions(corners, side(images), side(images))
    return images, from_corners(xp, corners, "rel_xyxy")


def label_weights(labels, class_names, class_weight):
    """One float32 weight per record from `class_weight`.

    Args:
        labels: int array (N,); -1, no object, has weight 0.
        class_names: the classes in the order of their ids.
        class_weight: None: all 1; `"balanced"`: N / (classes present * records of
            the class), whose mean over the records is 1; or a dict from class id or
            class name to weight, 1 for a class it does not hold.
    """
    weights = np.ones(len(class_names), "float64")
    if class_weight is None:
        pass
    elif isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(labels[labels >= 0], minlength=len(class_names))
        present = counts > 0
        weights[present] = counts.sum() / (present.sum() * counts[present])
    elif isinstance(class_weight, dict):
        ids = {name: i for i, name in enumerate(class_names)}
        for key, value in class_weight.items():
            index = ids.get(key, key)
            known = isinstance(index, (int, np.integer)) and 0 <= index < len(weights)
            if not known or not np.isfinite(value) or value < 0:
                raise ValueError(
                    "`class_weight` must map class ids or names to weights >= 0; "
                    f"there are {len(weights)} classes. "
                    f"Received: {{{key!r}: {value!r}}}"
                )
            weights[index] = value
    else:
        raise ValueError(
            '`class_weight` must be None, "balanced" or a dict from class to weight. '
            f"Received: class_weight={class_weight!r}"
        )
    return np.append(weights, 0.0)[labels].astype("float32")


def cores():
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


def _check_positive_int(value, argument):
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(
            f"`{argument}` must be a positive integer. Received: {argument}={value!r}"
        )
