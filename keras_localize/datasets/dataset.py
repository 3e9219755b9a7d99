"""What a dataset of pictures with one box each is."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any
from uuid import uuid4

import keras
import numpy as np

from keras_localize.datasets.batches import BatchDataset, Batches, cores, tf_dataset
from keras_localize.datasets.errors import AnnotationError
from keras_localize.images import inspect


@dataclass(frozen=True)
class Record:
    """One picture of a dataset.

    Attributes:
        image: path of the file, or the uint8 array (height, width, 3).
        box: float32 array (4,), rel_xyxy relative to the upright picture; zeros
            where there is none.
        label: class id; -1 where the image holds no object.
        class_name: the class's name; None where the image holds no object.
        weight: weight of the box, usually 1.0; 0.0 where there is no box.
        size: (height, width) of the upright picture in pixels.
        name: what the record is called in errors, summaries and splits.
        presence: 1.0, or 0.0 for an image that holds no object.
    """

    image: Any
    box: np.ndarray
    label: int
    class_name: str | None
    weight: float
    size: tuple[int, int]
    name: str
    presence: float = 1.0

    @property
    def path(self):
        """Path of the file; None for a picture in memory."""
        return self.image if isinstance(self.image, str) else None


@dataclass(frozen=True)
class Summary:
    """What was read and what became of it; `print` shows it as a table.

    Attributes:
        images: number of records in this dataset.
        with_box: how many of them have a box.
        without_box: how many show an object but have no box: they train the label.
        classes: class name -> number of records.
        found: number of records that the reader met, before anything was skipped.
        skipped: reason -> names of the records that were left out.
        handled: reason -> names of the records that are in but needed a decision.
        negatives: how many images hold no object.
    """

    images: int
    with_box: int
    without_box: int
    classes: dict[str, int]
    found: int
    skipped: dict[str, tuple[str, ...]] = field(default_factory=dict)
    handled: dict[str, tuple[str, ...]] = field(default_factory=dict)
    negatives: int = 0

    def __str__(self):
        lines = [
            f"{self.images} images of {self.found} found, "
            f"{self.with_box} with a box, {self.without_box} without"
        ]
        if self.negatives:
            lines[0] += f", {self.negatives} without an object"
        for title, reasons in (("skipped", self.skipped), ("handled", self.handled)):
            for reason, names in reasons.items():
                shown = ", ".join(names[:3]) + (", ..." if names[3:] else "")
                lines.append(f"  {title}: {len(names)} {reason} ({shown})")
        counts = [f"{name} {count}" for name, count in self.classes.items()]
        shown = ", ".join(counts[:8]) + (", ..." if counts[8:] else "")
        lines.append(f"  {len(self.classes)} classes: {shown}")
        return "\n".join(lines)


class LocalizationDataset:
    """Pictures, each with a label and at most one box.

    The readers (`load_oxford_pets`, `read_voc`, ...) make it from files; made by
    hand it takes paths, or arrays for pictures that are already in memory. Nothing is
    decoded before a batch is asked for.

    Args:
        images: N paths, or N arrays of shape (height, width, 3), uint8, RGB.
        boxes: (N, 4) `rel_xyxy`: fractions of the *upright* picture's sides, in
            [0, 1], `x0 < x1` and `y0 < y1`. Zeros where the weight is 0.
        labels: N class ids, from 0; -1 for an image that holds no object.
        class_names: the classes' names in the order of their ids.
        weights: N box weights, finite and not negative: 0 where there is no box,
            else usually 1. None: 1 for all images that hold an object.
        image_sizes: (N, 2) integers, (height, width) of the upright pictures in
            pixels. None: read from the pictures.
        presence: N values: 1, or 0 for an image that holds no object; its label is -1
            and its weight 0. None: 1 for all.
        names: N unique names, by which splits choose and summaries speak. None: the
            paths, or numbers for arrays.
        found, skipped, handled: what a reader has to tell; see `Summary`.

    The arguments are attributes of the same names, as lists of images and names and
    NumPy arrays: boxes, weights and presence float32, labels int32, image_sizes int64.

    Raises:
        ValueError: for shapes that do not fit together, labels outside the classes,
            or boxes that are not boxes; it names the record.

    Example:

    >>> from keras_localize.datasets import LocalizationDataset
    >>> dataset = LocalizationDataset(
    ...     images=[np.zeros((50, 100, 3), "uint8")],
    ...     boxes=[[0.0, 0.0, 0.5, 1.0]],
    ...     labels=[1],
    ...     class_names=["cat", "dog"],
    ... )
    >>> dataset[0].class_name, dataset[0].size
    ('dog', (50, 100))
    >>> images, targets, weights = dataset.to_pydataset(size=64)[0]
    >>> images.shape, targets["box"].tolist()
    ((1, 64, 64, 3), [[0.0, 0.25, 0.5, 0.75]])
    """

    def __init__(
        self,
        images,
        boxes,
        labels,
        class_names,
        weights=None,
        image_sizes=None,
        *,
        presence=None,
        names=None,
        found=None,
        skipped=None,
        handled=None,
    ):
        self.images = [
            str(image) if isinstance(image, PathLike) else image for image in images
        ]
        count = len(self.images)
        self.class_names = tuple(str(name) for name in class_names)
        self.names = _names(names, self.images)
        self.presence = _presence(presence, count)
        self.labels = _labels(labels, self.presence, len(self.class_names), self.names)
        self.weights = _weights(weights, self.presence, self.names)
        self.boxes = _boxes(boxes, self.weights, self.names)
        self.image_sizes = _sizes(image_sizes, self.images)
        self._found = count if found is None else int(found)
        self._skipped = _frozen(skipped)
        self._handled = _frozen(handled)

    def __len__(self):
        return len(self.images)

    def __repr__(self):
        return (
            f"<LocalizationDataset of {len(self)} pictures, "
            f"{len(self.class_names)} classes>"
        )

    def __getitem__(self, index):
        """An int gives one `Record`; a slice, mask or index array a dataset."""
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"record {index} of a dataset of {len(self)}")
            label = int(self.labels[index])
            height, width = self.image_sizes[index]
            return Record(
                image=self.images[index],
                box=self.boxes[index].copy(),
                label=label,
                class_name=None if label < 0 else self.class_names[label],
                weight=float(self.weights[index]),
                size=(int(height), int(width)),
                name=self.names[index],
                presence=float(self.presence[index]),
            )
        if not isinstance(index, slice):
            index = np.asarray(index)
            index = index.astype(int) if index.size == 0 else index
        chosen = np.arange(len(self))[index]
        names = [self.names[i] for i in chosen]
        kept = set(names)
        handled = {
            reason: tuple(name for name in told if name in kept)
            for reason, told in self._handled.items()
        }
        return LocalizationDataset(
            [self.images[i] for i in chosen],
            self.boxes[chosen],
            self.labels[chosen],
            self.class_names,
            self.weights[chosen],
            self.image_sizes[chosen],
            presence=self.presence[chosen],
            names=names,
            handled={reason: told for reason, told in handled.items() if told},
        )

    def split(self, fraction=0.2, seed=0):
        """Splits every class in the same proportion.

        The images that hold no object are split like a class of their own.

        Who goes where depends on the records' names, labels and the seed alone, not
        on the order in which the files were found.

        Args:
            fraction: share of the second part, in (0, 1).
            seed: any integer.

        Returns:
            The pair (the rest, the share of that fraction), both in the order of
            this dataset. The share has round(fraction * N) records, each class
            within one record of its proportion.

        Raises:
            ValueError: for a fraction outside (0, 1).

        Example:

        >>> from keras_localize.datasets import make_synthetic
        >>> train, validation = make_synthetic(20, num_classes=2).split(0.2)
        >>> len(train), len(validation)
        (16, 4)
        """
        if not 0 < fraction < 1:
            raise ValueError(
                f"`fraction` must lie between 0 and 1. Received: fraction={fraction!r}"
            )
        lots = np.array(
            [
                hashlib.sha256(f"{seed}\0{name}".encode()).hexdigest()
                for name in self.names
            ]
        )
        # Label -1, no object, is the last group.
        groups = np.where(self.labels < 0, len(self.class_names), self.labels)
        counts = np.bincount(groups, minlength=len(self.class_names) + 1)
        takes = _shares(counts, fraction)
        share = np.zeros(len(self), bool)
        for group, take in enumerate(takes):
            members = np.flatnonzero(groups == group)
            share[members[np.argsort(lots[members])][:take]] = True
        return self[~share], self[share]

    def save(self, path):
        """Writes the records as JSON: classes, boxes, labels, names, paths, sizes.

        So a split, and the order of the classes that a model learned, can be had
        again without the annotations. Pictures are not copied: paths are written as
        they are. The file appears whole or not at all.

        Args:
            path: the JSON file, replaced if it is there.

        Raises:
            ValueError: for pictures that are arrays in memory.
            OSError: where the file cannot be written.

        Example:

        >>> import keras_localize
        >>> from keras_localize.datasets import LocalizationDataset, make_synthetic
        >>> train, validation = make_synthetic(20, directory="shapes").split(0.2)
        >>> validation.save("validation.json")
        >>> again = LocalizationDataset.load("validation.json")
        >>> again.names == validation.names, again.class_names[:2]
        (True, ('disc', 'square'))
        """
        for image, name in zip(self.images, self.names):
            if not isinstance(image, str):
                raise ValueError(
                    "`images` must be paths to be saved. "
                    f"Received: {type(image).__name__} for {name}"
                )
        content = {
            "images": self.images,
            "boxes": self.boxes.tolist(),
            "labels": self.labels.tolist(),
            "class_names": self.class_names,
            "weights": self.weights.tolist(),
            "presence": self.presence.tolist(),
            "image_sizes": self.image_sizes.tolist(),
            "names": self.names,
            "found": self._found,
            "skipped": self._skipped,
            "handled": self._handled,
        }
        path = Path(path)
        part = path.with_name(f"{path.name}.{uuid4().hex}.part")
        try:
            part.write_text(json.dumps(content), encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path):
        """The dataset that `save` wrote.

        Args:
            path: the JSON file.

        Raises:
            AnnotationError: a ValueError that names the file, where it is missing or
                is not what `save` writes.
        """
        try:
            return cls(**json.loads(Path(path).read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise AnnotationError(path, "missing file") from error
        except (
            ArithmeticError,
            AttributeError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise AnnotationError(
                path, "not a saved dataset", received=str(error)
            ) from error

    def summary(self):
        """What was read, kept, skipped and decided: a `Summary`.

        Of a part of a dataset (a slice, a split) it tells about that part alone;
        what the reader skipped belongs to the whole.
        """
        counts = Counter(self.labels.tolist())
        with_box = int(np.count_nonzero(self.weights))
        negatives = int(np.count_nonzero(self.presence == 0))
        return Summary(
            images=len(self),
            with_box=with_box,
            without_box=len(self) - with_box - negatives,
            classes={name: counts[i] for i, name in enumerate(self.class_names)},
            found=self._found,
            skipped=self._skipped,
            handled=self._handled,
            negatives=negatives,
        )

    def to_tf_data(
        self,
        size,
        batch_size=32,
        *,
        shuffle=False,
        augment=None,
        cache=None,
        class_weight=None,
        seed=None,
    ):
        """Batches for `fit`, `evaluate` and `predict` as a `tf.data.Dataset`.

        Pictures are decoded in parallel, turned upright, centred in a black square
        and scaled to `size`; the boxes go along exactly.

        Args:
            size: side of the square in pixels.
            batch_size: pictures per batch; the last batch may be smaller.
            shuffle: a new order in every epoch.
            augment: a layer such as `RandomSquareView(size)`, or a function, that
                takes and gives a dict `{"images", "bounding_boxes": {"boxes",
                "labels"}}` of a batch, boxes (B, 4) in its `bounding_box_format`
                (`"rel_xyxy"` if it has no such attribute). A record without a box
                passes through with a box of zeros and weight 0.
            cache: `"memory"` keeps the decoded squares as uint8 (size * size * 3
                bytes a picture); the path of a folder keeps them there, found again
                by the next run; None decodes in every epoch.
            class_weight: `"balanced"` or a dict from class id or name to weight;
                multiplies the label weights. (Keras refuses `class_weight` for
                models with two outputs.)
            seed: order and draws are functions of (seed, epoch, index), the same on
                any number of cores; the epoch is how often the dataset has been
                iterated before. None: taken from `keras.utils.set_random_seed`.

        Returns:
            A `tf.data.Dataset` of `(images, {"label", "box"}, {"label", "box"})`:
            images (B, size, size, 3) float32 RGB in [0, 255]; labels (B,) int32;
            boxes (B, 4) float32 `rel_xyxy` of the square; and the two weights, each
            (B,) float32, the box's 0 where there is no box.

        Raises:
            ValueError: for a bad argument.
            tf.errors.OpError: while iterating, for a picture that cannot be
                decoded; the message names the file.

        Example:

        >>> from keras_localize.datasets import make_synthetic
        >>> data = make_synthetic(10).to_tf_data(size=32, batch_size=4)
        >>> images, targets, weights = next(iter(data))
        >>> tuple(images.shape), tuple(targets["box"].shape), weights["box"].shape[0]
        ((4, 32, 32, 3), (4, 4), 4)
        """
        return tf_dataset(
            Batches(self, size, batch_size, shuffle, augment, cache, class_weight, seed)
        )

    def to_pydataset(
        self,
        size,
        batch_size=32,
        *,
        shuffle=False,
        augment=None,
        cache=None,
        class_weight=None,
        seed=None,
        workers=None,
        **kwargs,
    ):
        """The batches of `to_tf_data` as a `keras.utils.PyDataset`.

        The same arguments and the same numbers without TensorFlow's pipeline, for
        the JAX and torch backends. The epoch that draws depend on moves on with
        `on_epoch_end`, which `fit` calls.

        Args:
            size: see `to_tf_data`, as all arguments up to `seed`.
            batch_size: pictures per batch.
            shuffle: a new order in every epoch.
            augment: a layer or function on dicts.
            cache: None, `"memory"` or a folder.
            class_weight: `"balanced"` or a dict.
            seed: seed of order and draws.
            workers: threads that `fit` reads with. None: one per core.
            **kwargs: `use_multiprocessing`, `max_queue_size` of
                `keras.utils.PyDataset`. Processes share no memory cache, and pay
                only where `augment` is slow Python: decoding is free of its lock.

        Returns:
            A `keras.utils.PyDataset`; indexing gives one batch of NumPy arrays.

        Raises:
            ValueError: for a bad argument; for a layer as `augment` in worker
                processes on JAX, which would wait there for ever.
            ImageError: a ValueError, for a picture that cannot be decoded.
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
            self, size, batch_size, shuffle, augment, cache, class_weight, seed
        )
        workers = cores() if workers is None else workers
        return BatchDataset(batches, workers=workers, **kwargs)


# --- what the constructor checks ---


def _presence(presence, count):
    presence = np.ones(count) if presence is None else np.asarray(presence)
    if presence.shape != (count,) or not np.isin(presence, (0, 1)).all():
        raise ValueError(
            f"`presence` must be {count} values 0 or 1, one per image. "
            f"Received: {np.array2string(presence, threshold=10)} "
            f"of shape {presence.shape}"
        )
    return presence.astype("float32")


def _labels(labels, presence, classes, names):
    labels = np.asarray(labels)
    count = len(presence)
    if labels.shape != (count,) or (count and labels.dtype.kind not in "iu"):
        raise ValueError(
            f"`labels` must be {count} integers, one per image. "
            f"Received shape: {labels.shape}, dtype: {labels.dtype}"
        )
    absent = presence == 0
    outside = np.flatnonzero(((labels < 0) | (labels >= classes)) & ~absent)
    if outside.size:
        raise ValueError(
            f"`labels` must lie in [0, {classes}), one per class name; -1 is for "
            f"images of `presence` 0 alone. "
            f"Received: {labels[outside[0]]} for {names[outside[0]]}"
        )
    named = np.flatnonzero(absent & (labels != -1))
    if named.size:
        raise ValueError(
            "`labels` must be -1 where `presence` is 0. "
            f"Received: {labels[named[0]]} for {names[named[0]]}"
        )
    return labels.astype("int32")


def _names(names, images):
    if names is None:
        names = [
            image if isinstance(image, str) else f"{i:08d}"
            for i, image in enumerate(images)
        ]
    names = [str(name) for name in names]
    if len(names) != len(images) or len(set(names)) != len(names):
        repeated = [name for name, n in Counter(names).items() if n > 1]
        raise ValueError(
            f"`names` must be {len(images)} different names. "
            f"Received: {len(names)}, repeated: {repeated[:3]}"
        )
    return names


def _weights(weights, presence, names):
    count = len(presence)
    weights = presence if weights is None else np.asarray(weights, "float64")
    if weights.shape != (count,) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(
            f"`weights` must be {count} finite numbers >= 0, one per image. "
            f"Received shape: {weights.shape}"
        )
    boxed = np.flatnonzero((presence == 0) & (weights > 0))
    if boxed.size:
        raise ValueError(
            "`weights` must be 0 where `presence` is 0. "
            f"Received: {weights[boxed[0]]} for {names[boxed[0]]}"
        )
    return weights.astype("float32")


def _boxes(boxes, weights, names):
    boxes = np.array(boxes, "float32")
    if not len(weights):
        boxes = boxes.reshape(0, 4)
    if boxes.shape != (len(weights), 4):
        raise ValueError(
            f"`boxes` must have shape ({len(weights)}, 4), one box per image. "
            f"Received shape: {boxes.shape}"
        )
    boxes[weights == 0] = 0
    x0, y0, x1, y1 = boxes.T
    good = (np.minimum(x0, y0) >= 0) & (x0 < x1) & (y0 < y1)
    good &= np.maximum(x1, y1) <= 1
    bad = np.flatnonzero(~good & (weights > 0))
    if bad.size:
        raise ValueError(
            "`boxes` must be rel_xyxy with 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1. "
            f"Received: {boxes[bad[0]].tolist()} for {names[bad[0]]}"
        )
    return boxes


def _sizes(image_sizes, images):
    if image_sizes is None:
        image_sizes = [inspect(image)[:2] for image in images]
    sizes = np.asarray(image_sizes, "int64").reshape(-1, 2)
    if len(sizes) != len(images) or (sizes < 1).any():
        raise ValueError(
            f"`image_sizes` must be ({len(images)}, 2), positive (height, width). "
            f"Received shape: {np.shape(image_sizes)}"
        )
    return sizes


def _frozen(reasons):
    return {reason: tuple(names) for reason, names in (reasons or {}).items()}


def _shares(counts, fraction):
    """How many to take of each class: largest remainders, round(fraction N) in all."""
    exact = counts * fraction
    takes = np.floor(exact).astype(int)
    left = round(float(counts.sum() * fraction)) - takes.sum()
    takes[np.argsort(takes - exact, kind="stable")[:left]] += 1
    return takes
