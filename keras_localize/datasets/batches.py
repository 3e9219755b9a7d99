"""Indices of records to one batch of arrays.

`to_tf_data` and `to_pydataset` both read from `Batches`, so they yield the same
numbers. Order and draws are functions of (seed, epoch, index): nothing depends on
which thread came first.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from keras_localize.arrays import digest_array
from keras_localize.checks import check_choice, check_positive_int, check_seed
from keras_localize.datasets.augmentation import Augmentation
from keras_localize.datasets.class_weights import ClassWeight, class_weights
from keras_localize.datasets.squares import Squares, square_boxes
from keras_localize.types import Path, Region

Target: TypeAlias = Literal["label", "box", "presence"]
Targets: TypeAlias = Target | Sequence[Target] | None
TARGETS: tuple[Target, ...] = ("label", "box", "presence")


class Records:
    """The attributes of a dataset that batches are made of.

    Attributes:
        images: N paths, arrays or regions.
        boxes: (N, 4) float32 `rel_xyxy` of the image.
        labels: (N,) int32; -1 where the image holds no object.
        class_names: the classes in the order of their ids.
        weights: (N,) float32, of the boxes.
        image_sizes: (N, 2) int64, (height, width).
        presence: (N,) float32; 0 where the image holds no object.
    """

    images: list[str | np.ndarray | Region]
    boxes: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    weights: np.ndarray
    image_sizes: np.ndarray
    presence: np.ndarray


class Batches:
    """The batches of a dataset; see `LocalizationDataset.to_tf_data`."""

    def __init__(
        self,
        dataset: Records,
        size: int,
        batch_size: int = 32,
        *,
        shuffle: bool = False,
        augment: Any = None,
        source_size: int | None = None,
        cache: Path | None = None,
        class_weight: ClassWeight = None,
        seed: int | None = None,
        drop_remainder: bool = False,
        targets: Targets = None,
    ):
        self.class_names = dataset.class_names
        self.size = check_positive_int(size, "size")
        self.batch_size = check_positive_int(batch_size, "batch_size")
        self.shuffle = shuffle
        self.augmentation = None if augment is None else Augmentation(augment, size)
        self.source_size = _source_size(source_size, self.size, augment)
        self.seed = check_seed(seed)
        self.drop_remainder = drop_remainder
        self.single = isinstance(targets, str)
        self.targets = _target_names(targets, bool((dataset.presence == 0).any()))
        self.count = len(dataset.images)
        if drop_remainder and self.count < self.batch_size:
            raise ValueError(
                "`drop_remainder=True` needs at least one whole batch. Received: "
                f"batch_size={batch_size} for {self.count} images"
            )
        self._last_order = -1, np.arange(0)
        sizes = dataset.image_sizes
        self.squares = Squares(dataset.images, self.source_size, cache, sizes)
        boxes = square_boxes(dataset.boxes, sizes, self.source_size)
        boxes[dataset.weights == 0] = 0
        self.values = {
            # An image without an object has label weight 0. Its id is one that losses
            # take: for -1 they give NaN, and 0 * NaN is NaN.
            "label": np.maximum(dataset.labels, 0),
            "box": boxes,
            # Shaped like the model's output, which every loss and metric takes.
            "presence": dataset.presence[:, None],
        }
        self.class_weights = class_weights(
            dataset.labels, dataset.class_names, class_weight
        )
        self.weights = {
            # The last entry is what -1, no object, finds.
            "label": np.append(self.class_weights, np.float32(0))[dataset.labels],
            "box": dataset.weights,
            "presence": np.ones(self.count, "float32"),
        }

    def __len__(self) -> int:
        if self.drop_remainder:
            return self.count // self.batch_size
        return -(-self.count // self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """The records' indices in the order of this epoch."""
        last, indices = self._last_order
        if last != epoch:
            indices = np.arange(self.count)
            if self.shuffle:
                rng = np.random.default_rng([self.seed, epoch])
                indices = rng.permutation(self.count)
            indices = indices[: len(self) * self.batch_size]
            self._last_order = epoch, indices
        return indices

    def fingerprint(self, epoch: int) -> str | None:
        """A text that is the same for the same batches from this epoch on.

        It depends on the images' names, sizes and times of change (of arrays: on the
        pixels), on all targets and weights, and on every argument. None where
        `augment` is a function, whose draws are not known.
        """
        augmentation = ()
        if self.augmentation is not None:
            augmentation = self.augmentation.config()
            if augmentation is None:
                return None
        drawn = self.shuffle or self.augmentation is not None
        digest = hashlib.sha256(self.squares.fingerprint().encode())
        arguments = (self.size, self.batch_size, self.shuffle, self.drop_remainder)
        order = (self.seed, epoch) if drawn else ()
        digest.update(repr((arguments, order, self.targets, self.single)).encode())
        digest.update(repr(augmentation).encode())
        for array in (*self.values.values(), *self.weights.values()):
            digest_array(digest, array)
        return digest.hexdigest()

    def images(self, indices: np.ndarray) -> np.ndarray:
        """uint8 squares (B, source_size, source_size, 3)."""
        return self.squares.batch(indices)

    def rows(
        self, indices: np.ndarray
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Values and weights of all targets, the chosen and the others."""
        return (
            {key: value[indices] for key, value in self.values.items()},
            {key: value[indices] for key, value in self.weights.items()},
        )

    def augmented(
        self,
        xp: Any,
        images: Any,
        values: dict[str, Any],
        weights: dict[str, Any],
        epoch: Any,
        indices: Any,
    ) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """The batch with augmented float32 images, and boxes that went with them.

        Args:
            xp: the module of the arrays, `numpy` or `tensorflow`.
            images: (B, source_size, source_size, 3).
            values: of `rows`.
            weights: of `rows`; all become 0 where the object left the image.
            epoch: integer.
            indices: (B,) of the records.
        """
        if self.augmentation is None:
            return images, values, weights
        same = xp.ones_like(indices)
        seeds = xp.stack([self.seed * same, epoch * same, indices], axis=-1)
        images, box, label, kept = self.augmentation(
            xp, images, values["box"], values["label"], seeds
        )
        if label is not values["label"]:
            of_class = _weights_of(xp, label, self.class_weights)
            weights = {**weights, "label": of_class * values["presence"][:, 0]}
        # An object without a box is taken to be in the view.
        kept = xp.where(weights["box"] > 0, kept, xp.ones_like(kept))
        weights = {name: weight * kept for name, weight in weights.items()}
        return images, {**values, "box": box, "label": label}, weights

    def selected(
        self, values: dict[str, Any], weights: dict[str, Any]
    ) -> tuple[Any, Any]:
        """The targets that were asked for, as a dict each or a single array each."""
        if self.single:
            return values[self.targets[0]], weights[self.targets[0]]
        return (
            {key: values[key] for key in self.targets},
            {key: weights[key] for key in self.targets},
        )

    def batch(self, epoch: int, number: int) -> tuple[np.ndarray, Any, Any]:
        """One batch of NumPy arrays: images, targets, weights."""
        start = number * self.batch_size
        indices = self.order(epoch)[start : start + self.batch_size]
        images, (values, weights) = self.images(indices), self.rows(indices)
        if self.augmentation is not None:
            images = images.astype("float32")
        images, values, weights = self.augmented(
            np, images, values, weights, epoch, indices
        )
        return images, *self.selected(values, weights)


def _weights_of(xp: Any, labels: Any, class_weights: np.ndarray) -> Any:
    """The weights of labels, (B,), which a function gave.

    Raises:
        ValueError: where one is no id of a class; in tf.data an InvalidArgumentError.
    """
    count = len(class_weights)
    message = f"`augment` must return labels from 0 to {count - 1}"
    if xp is not np:
        good = xp.reduce_all((labels >= 0) & (labels < count))
        check = xp.debugging.Assert(good, [f"{message}. Received:", labels])
        # Without it the error may be that of `gather`.
        with xp.control_dependencies([check]):
            return xp.gather(class_weights, xp.identity(labels))
    if not ((labels >= 0) & (labels < count)).all():
        raise ValueError(f"{message}. Received: {labels.tolist()}")
    return class_weights[labels]


def _source_size(source_size: int | None, size: int, augment: Any) -> int:
    if source_size is None:
        return size
    check_positive_int(source_size, "source_size")
    if source_size != size and (augment is None or source_size < size):
        raise ValueError(
            "`source_size` needs an `augment` that makes squares of `size` from larger "
            f"ones. Received: source_size={source_size} with size={size} and "
            f"augment={augment!r}"
        )
    return source_size


def _target_names(targets: Targets, has_negatives: bool) -> tuple[Target, ...]:
    if targets is None:
        return TARGETS if has_negatives else TARGETS[:2]
    names = (targets,) if isinstance(targets, str) else tuple(targets)
    for name in names:
        check_choice(name, TARGETS, "targets")
    if not names or len(set(names)) < len(names):
        raise ValueError(
            "`targets` must be different names, at least one. "
            f"Received: targets={targets!r}"
        )
    return names
