"""The two ways to read a dataset: a `tf.data.Dataset` and a `keras.utils.PyDataset`."""

from typing import TYPE_CHECKING, Any

import keras

from keras_localize import types
from keras_localize.datasets.batches import Batches, Records, Targets
from keras_localize.datasets.class_weights import ClassWeight
from keras_localize.datasets.pydataset import BatchDataset
from keras_localize.datasets.tf_data import tf_dataset

if TYPE_CHECKING:
    import tensorflow as tf


class BatchSource(Records):
    """What `LocalizationDataset` inherits: its records as batches."""

    def to_tf_data(
        self,
        size: int,
        batch_size: int = 32,
        *,
        shuffle: bool = False,
        augment: Any = None,
        source_size: int | None = None,
        cache: types.Path | None = None,
        class_weight: ClassWeight = None,
        seed: int | None = None,
        drop_remainder: bool = False,
        targets: Targets = None,
    ) -> "tf.data.Dataset":
        """Batches for `fit`, `evaluate` and `predict` as a `tf.data.Dataset`.

        Images are decoded in parallel, turned upright, centred in a black square and
        scaled to `size`; the boxes are moved with the pixels, exactly.

        Args:
            size: side of the square in pixels.
            batch_size: images per batch; the last batch may be smaller.
            shuffle: a new order in every epoch.
            augment: one of Keras's augmentation layers or a `keras.layers.Pipeline`
                of them; or a layer such as `RandomSquareView(size)`, or a function,
                that takes and gives a dict `{"images", "bounding_boxes": {"boxes",
                "labels"}}` of a batch, boxes (B, 4) in its `bounding_box_format`
                (`"rel_xyxy"` if it has no such attribute). Boxes are cut off at the
                border; an image whose object left it has weight 0. See
                `keras_localize.datasets.keras_augmentation.KERAS_LAYERS` for which of
                Keras's layers are taken and why others are not.
            source_size: side in pixels of the squares that `augment` gets; it must
                give squares of `size`, as `RandomSquareView(size)` does. A larger one
                than `size` keeps the detail that magnified views show. None: `size`.
            cache: `"memory"` keeps the decoded squares as uint8 (three bytes a pixel
                of `source_size`); the path of a folder keeps them there, found again
                by the next run; None decodes in every epoch.
            class_weight: `"balanced"` or a dict from class id or name to weight;
                multiplies the label weights. (Keras refuses `class_weight` for
                models with two outputs.)
            seed: order and draws are functions of (seed, epoch, index), the same on
                any number of threads. In `Localizer.fit`, and with the callback
                `EpochOrder`, the epoch is that of the training run; else it is how
                often the dataset has been iterated before. Keras's layers draw once
                per batch, from the first index of it; their own `seed` is not used.
                None: taken from `keras.utils.set_random_seed`.
            drop_remainder: leaves out a last batch that is smaller than the others.
            targets: which of "label", "box" and "presence" the batches have. None:
                label and box, and presence where images hold no object. One name as
                a string gives arrays in place of the dicts, for a model with one
                output.

        Returns:
            A `tf.data.Dataset` of `(images, targets, weights)`, the latter two dicts
            of the same names. It has the attribute `class_names`, which
            `Localizer.fit` and `evaluate` compare with the model's, and the method
            `set_epoch(epoch)`, which `EpochOrder` calls. Images are (B, size, size, 3)
            RGB in [0, 255], uint8, or float32 with `augment`. `"label"`: (B,) int32, 0
            where there is no object; `"box"`: (B, 4) float32 `rel_xyxy` of the square,
            zeros where there is none; `"presence"`: (B, 1) float32, 1 or 0. The
            weights are (B,) float32: of label and box 0 where there is none, of
            presence 1.

        Raises:
            ValueError: for a bad argument.
            tf.errors.OpError: while iterating, for an image that cannot be
                decoded; the message names the file.

        Example:

        >>> from keras_localize.datasets import make_synthetic
        >>> data = make_synthetic(10).to_tf_data(size=32, batch_size=4)
        >>> images, targets, weights = next(iter(data))
        >>> tuple(images.shape), tuple(targets["box"].shape), weights["box"].shape[0]
        ((4, 32, 32, 3), (4, 4), 4)
        """
        batches = Batches(
            self,
            size,
            batch_size,
            shuffle=shuffle,
            augment=augment,
            source_size=source_size,
            cache=cache,
            class_weight=class_weight,
            seed=seed,
            drop_remainder=drop_remainder,
            targets=targets,
        )
        dataset = tf_dataset(batches)
        # As Keras's own `image_dataset_from_directory` does.
        dataset.class_names = list(batches.class_names)
        return dataset

    def to_pydataset(
        self,
        size: int,
        batch_size: int = 32,
        *,
        shuffle: bool = False,
        augment: Any = None,
        source_size: int | None = None,
        cache: types.Path | None = None,
        class_weight: ClassWeight = None,
        seed: int | None = None,
        drop_remainder: bool = False,
        targets: Targets = None,
        workers: int | None = None,
        **kwargs: Any,
    ) -> BatchDataset:
        """The batches of `to_tf_data` as a `keras.utils.PyDataset`.

        The same arguments and the same numbers without TensorFlow's pipeline, for
        the JAX and torch backends. The epoch that order and draws depend on moves on
        with `on_epoch_end`, which `fit` calls; `set_epoch(epoch)` sets it, as
        `Localizer.fit` and the callback `EpochOrder` do. In `fit` the order is that of
        `shuffle` here; `fit`'s own `shuffle` changes nothing.

        Args:
            size: see `to_tf_data`, as all arguments up to `targets`.
            batch_size: images per batch.
            shuffle: a new order in every epoch.
            augment: a layer, a Pipeline or a function on dicts.
            source_size: side of the squares that `augment` gets.
            cache: None, `"memory"` or a folder.
            class_weight: `"balanced"` or a dict.
            seed: seed of order and draws.
            drop_remainder: leaves out a smaller last batch.
            targets: names of targets, or one name.
            workers: threads that read ahead in `fit`, `evaluate` and `predict`. None:
                one per core. They end with the epoch.
            **kwargs: `max_queue_size`, how many batches are read ahead (10), and
                `use_multiprocessing`, for processes in place of threads. Processes
                share no memory cache, and pay only where `augment` is slow Python:
                decoding runs in parallel in threads too.

        Returns:
            A `keras.utils.PyDataset`; indexing gives one batch of NumPy arrays.

        Raises:
            ValueError: for a bad argument; for a layer as `augment` in worker
                processes on JAX, which would wait there for ever.
            ImageError: a ValueError, for an image that cannot be decoded.

        Example:

        >>> from keras_localize.datasets import make_synthetic
        >>> batches = make_synthetic(10).to_pydataset(size=32, batch_size=4)
        >>> images, targets, weights = batches[0]
        >>> len(batches), images.shape, targets["box"].shape
        (3, (4, 32, 32, 3), (4, 4))
        """
        forked = kwargs.get("use_multiprocessing", False)
        on_jax = isinstance(augment, keras.layers.Layer) and (
            keras.config.backend() == "jax"
        )
        if forked and on_jax:
            raise ValueError(
                "`use_multiprocessing=True` does not go with a layer as `augment` on "
                "JAX, which does not run in a forked process; threads do. "
                f"Received: augment={augment!r}"
            )
        batches = Batches(
            self,
            size,
            batch_size,
            shuffle=shuffle,
            augment=augment,
            source_size=source_size,
            cache=cache,
            class_weight=class_weight,
            seed=seed,
            drop_remainder=drop_remainder,
            targets=targets,
        )
        return BatchDataset(batches, workers, **kwargs)
