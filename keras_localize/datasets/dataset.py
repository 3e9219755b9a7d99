"""The dataset: images with a label and at most one box each."""

import difflib
import functools
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np

from keras_localize import types
from keras_localize.checks import check_positive_int
from keras_localize.datasets import validation
from keras_localize.datasets.batch_source import BatchSource
from keras_localize.datasets.class_names import composed, ordered_names
from keras_localize.datasets.errors import UnknownNameError
from keras_localize.datasets.joining import distinct_names, relabeled, united
from keras_localize.datasets.overview import overview
from keras_localize.datasets.record import Record
from keras_localize.datasets.saved_json import read_saved, write_arguments
from keras_localize.datasets.selection import selected
from keras_localize.datasets.splitting import stratified
from keras_localize.datasets.summary import Reasons, Summary, as_reasons, joined_reasons
from keras_localize.types import ArrayLike


class LocalizationDataset(BatchSource):
    """Images, each with a label and at most one box.

    The readers (`load_oxford_pets`, `read_voc`, ...) make it from files; made by
    hand it takes paths, or arrays for images that are already in memory. Nothing is
    decoded before a batch is asked for.

    Args:
        images: N paths, arrays of shape (height, width, 3), uint8, RGB, or
            rectangles of these (`keras_localize.images.Region`).
        boxes: (N, 4) `rel_xyxy`: fractions of the *upright* image's sides, in
            [0, 1], `x0 < x1` and `y0 < y1`. Zeros where the weight is 0.
        labels: N class ids, from 0; -1 for an image that holds no object.
        class_names: the classes' names in the order of their ids, or a dict from id
            to name.
        weights: N box weights, finite and not negative: 0 where there is no box,
            else usually 1. None: 1 for all images that hold an object.
        image_sizes: (N, 2) integers, (height, width) of the upright images in
            pixels. None: read from the images.
        presence: N values: 1, or 0 for an image that holds no object; its label is -1
            and its weight 0. None: 1 for all.
        names: N unique names, which splits, summaries and indexing use. None: the
            paths, or numbers for arrays.
        found, skipped, handled: what a reader reports; see `Summary`.

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
        images: Iterable[types.Path | np.ndarray | types.Region],
        boxes: ArrayLike,
        labels: ArrayLike,
        class_names: Iterable[str] | Mapping[int, str],
        weights: ArrayLike | None = None,
        image_sizes: ArrayLike | None = None,
        *,
        presence: ArrayLike | None = None,
        names: Iterable[str] | None = None,
        found: int | None = None,
        skipped: Mapping[str, Sequence[str]] | None = None,
        handled: Mapping[str, Sequence[str]] | None = None,
    ):
        self.images = validation.as_images(images)
        count = len(self.images)
        self.class_names = tuple(ordered_names(class_names))
        self.names = validation.as_names(names, self.images)
        self.presence = validation.as_presence(presence, count)
        self.labels = validation.as_labels(
            labels, self.presence, len(self.class_names), self.names
        )
        self.weights = validation.as_weights(weights, self.presence, self.names)
        self.boxes = validation.as_boxes(boxes, self.weights, self.names)
        self.image_sizes = validation.as_sizes(image_sizes, self.images)
        self._found = count if found is None else int(found)
        self._skipped = as_reasons(skipped)
        self._handled = as_reasons(handled)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return (
            f"<LocalizationDataset of {len(self)} images, "
            f"{len(self.class_names)} classes>"
        )

    def _repr_html_(self) -> str:
        return overview(self.summary(), itertools.islice(self, 8))

    def __iter__(self) -> Iterator[Record]:
        return map(self._record, range(len(self)))

    @overload
    def __getitem__(self, index: int | np.integer | str) -> Record: ...
    @overload
    def __getitem__(
        self,
        index: slice | np.ndarray | Sequence[int] | Sequence[bool] | list[str],
    ) -> "LocalizationDataset": ...
    def __getitem__(self, index: Any) -> "Record | LocalizationDataset":
        """One record, or a part of the dataset.

        Args:
            index: an int or a name for a `Record`; a slice, a mask, integers or names
                for a `LocalizationDataset` of these records.

        Raises:
            IndexError: for a number outside the dataset.
            ValueError: for a record that occurs twice, or another kind of index.
            UnknownNameError: a KeyError and a ValueError, for an unknown name.
        """
        chosen = selected(index, len(self), self._position)
        if isinstance(chosen, int):
            return self._record(chosen)
        names = [self.names[i] for i in chosen]
        kept = set(names)
        return LocalizationDataset(
            [self.images[i] for i in chosen],
            self.boxes[chosen],
            self.labels[chosen],
            self.class_names,
            self.weights[chosen],
            self.image_sizes[chosen],
            presence=self.presence[chosen],
            names=names,
            handled={
                reason: [name for name in listed if name in kept]
                for reason, listed in self._handled.items()
            },
        )

    def __radd__(self, other: object) -> "LocalizationDataset":
        """For `sum`, which begins with 0."""
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def _arguments(self) -> dict[str, Any]:
        """The constructor's arguments for this dataset."""
        return {
            "images": self.images,
            "boxes": self.boxes,
            "labels": self.labels,
            "class_names": self.class_names,
            "weights": self.weights,
            "image_sizes": self.image_sizes,
            "presence": self.presence,
            "names": self.names,
            "found": self._found,
            "skipped": self._skipped,
            "handled": self._handled,
        }

    def _record(self, index: int) -> Record:
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

    @functools.cached_property
    def _positions(self) -> dict[str, int]:
        composed_too = {composed(name): i for i, name in enumerate(self.names)}
        return composed_too | {name: i for i, name in enumerate(self.names)}

    def _position(self, name: str) -> int:
        index = self._positions.get(name, self._positions.get(composed(name)))
        if index is None:
            near = difflib.get_close_matches(name, self.names, n=3, cutoff=0.5)
            hint = f"; near names: {', '.join(near)}" if near else ""
            raise UnknownNameError(
                f"no record of this name in a dataset of {len(self)}{hint}. "
                f"Received: {name!r}"
            )
        return index

    def __add__(self, other: "LocalizationDataset") -> "LocalizationDataset":
        """The records of both, this dataset's first.

        The classes are united by name, those of this dataset first. A record's name
        that both have becomes `folder/name`, after the folder that it lies in; what
        is still the same gets a number.
        """
        if not isinstance(other, LocalizationDataset):
            return NotImplemented
        class_names = united(self.class_names, other.class_names)
        names, other_names = distinct_names(
            (self.names, self.images), (other.names, other.images)
        )
        labels = [
            relabeled(part.labels, part.class_names, class_names)
            for part in (self, other)
        ]
        return LocalizationDataset(
            [*self.images, *other.images],
            np.concatenate([self.boxes, other.boxes]),
            np.concatenate(labels),
            class_names,
            np.concatenate([self.weights, other.weights]),
            np.concatenate([self.image_sizes, other.image_sizes]),
            presence=np.concatenate([self.presence, other.presence]),
            names=[*names, *other_names],
            found=self._found + other._found,
            skipped=joined_reasons(self._skipped, other._skipped),
            handled=joined_reasons(self._renamed(names), other._renamed(other_names)),
        )

    def _renamed(self, names: Sequence[str]) -> Reasons:
        """What was handled, by other names of the records."""
        renamed = dict(zip(self.names, names))
        return {
            reason: tuple(renamed.get(name, name) for name in listed)
            for reason, listed in self._handled.items()
        }

    def with_class_names(
        self, class_names: Iterable[str] | Mapping[int, str]
    ) -> "LocalizationDataset":
        """The same records with the classes in another order, matched by name.

        Args:
            class_names: names in the order of their new ids, or a dict id -> name:
                every class that this dataset has records of, and any others.

        Raises:
            ValueError: for a class with records that is missing, or a name that occurs
                twice; it names both lists.

        Example:

        >>> from keras_localize.datasets import make_synthetic
        >>> dataset = make_synthetic(4, num_classes=2)
        >>> again = dataset.with_class_names(["square", "star", "disc"])
        >>> [x.class_name for x in again] == [x.class_name for x in dataset]
        True
        """
        class_names = tuple(ordered_names(class_names))
        labels = relabeled(self.labels, self.class_names, class_names)
        changed = {"labels": labels, "class_names": class_names}
        return LocalizationDataset(**{**self._arguments(), **changed})

    def split(
        self, fraction: float = 0.2, seed: int = 0
    ) -> tuple["LocalizationDataset", "LocalizationDataset"]:
        """Splits every class in the same proportion.

        The images that hold no object are split like a class of their own. Which part
        a record goes to depends on the records' names, labels and the seed alone, not
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
        # Label -1, no object, comes after all classes.
        groups = np.where(self.labels < 0, len(self.class_names), self.labels)
        share = stratified(groups, self.names, fraction, seed)
        return self[~share], self[share]

    def shard(
        self, index: int, count: int, drop_remainder: bool = False
    ) -> "LocalizationDataset":
        """The share of one process of several: every `count`-th record from `index`.

        Batches need another seed in each process, or all have the same random views.

        Args:
            index: the number of the process, from 0.
            count: how many processes there are.
            drop_remainder: leaves out the last records so that all shares have as many
                batches: processes that train together wait for each other at each.

        Raises:
            ValueError: for an index outside [0, count), or a count below 1.

        Example:

        >>> from keras_localize.datasets import make_synthetic
        >>> dataset = make_synthetic(7)
        >>> [len(dataset.shard(index, 2)) for index in range(2)]
        [4, 3]
        """
        check_positive_int(count, "count")
        if not isinstance(index, (int, np.integer)) or not 0 <= index < count:
            raise ValueError(
                f"`index` must be an integer in [0, {count}), the number of a "
                f"process. Received: index={index!r}"
            )
        longest = len(self) // count if drop_remainder else len(self)
        return self[np.arange(index, len(self), count)[:longest]]

    def save(self, path: types.Path) -> None:
        """Writes the records as JSON: classes, boxes, labels, names, paths, sizes.

        A split, and the order of the classes that a model learned, can be loaded
        again without the annotations. Images are not copied: paths are written as
        they are. The file appears whole or not at all.

        Args:
            path: the JSON file, replaced if it is there.

        Raises:
            ValueError: for images that are arrays in memory, or regions.
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
        write_arguments(path, self._arguments())

    @classmethod
    def load(cls, path: types.Path) -> "LocalizationDataset":
        """The dataset that `save` wrote.

        Args:
            path: the JSON file.

        Raises:
            AnnotationError: a ValueError that names the file, where it is missing or
                is not what `save` writes.
        """
        return read_saved(path, cls)

    def summary(self) -> Summary:
        """What was read, kept, skipped and decided.

        The summary of a part of a dataset (a slice, a split) is about that part
        alone; what the reader skipped belongs to the whole.
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
