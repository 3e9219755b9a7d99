"""The features of a frozen backbone, computed once."""

import functools
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sized
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import keras
import numpy as np

from keras_localize import types
from keras_localize.arrays import digest_array, to_numpy
from keras_localize.boxes import flip
from keras_localize.checks import check_bool, check_positive_int
from keras_localize.localizer.class_names import check_same_classes
from keras_localize.localizer.feature_batches import ByOutput
from keras_localize.localizer.feature_store import (
    FolderStore,
    MemoryStore,
    Rows,
    Store,
    concatenated,
)
from keras_localize.localizer.flipping import flip_images
from keras_localize.localizer.verbosity import Verbose, resolve_verbose

Cached: TypeAlias = tuple[list[np.ndarray], ByOutput, ByOutput]


def cache_features(
    features: keras.Model,
    batches: Iterable[Any],
    mirror: bool = True,
    verbose: Verbose = "auto",
    *,
    views: int = 1,
    path: types.Path | None = None,
) -> Cached:
    """Computes the features of a frozen backbone for all batches, once.

    Training the heads on them takes seconds, where training through the backbone
    takes minutes. The horizontal flip of each image doubles the data for the price of
    a second pass; `augment=RandomSquareView(...)` in the batches and `views=` add
    more views.

    Args:
        features: the first model of `Localizer.split()`.
        batches: what `LocalizationDataset.to_tf_data` or `to_pydataset` gives, or any
            iterable of `(images, targets, weights)` or `(images, targets)`. Targets
            and weights are dicts by output (`"label"`, `"box"`, `"presence"`, or some
            of these), or one array for a model with one output; a single array of
            targets (B, 4) is taken as boxes. Boxes are `rel_xyxy`.
        mirror: whether to add the horizontal flip of every image.
        verbose: 0: silent; 1: a progress bar; 2: a line at the end; `"auto"`: 1 in a
            terminal, else 2.
        views: passes over `batches`, each an epoch with draws of its own.
        path: a folder that keeps the features, for sets larger than memory: written
            as they come, found again by the next run, and completed by it if this
            one is interrupted. Batches must then come in the same order and with the
            same draws every time: not shuffled and not augmented, or with a `seed`.
            Of several processes one writes and the others wait for it. A complete
            folder is only read. None: all is kept in memory.

    Returns:
        `(maps, targets, weights)`: the list of feature maps, and targets and weights
        in the form that the batches have, all NumPy arrays, as
        `heads.fit(maps, targets, sample_weight=weights)` and `FeatureBatches` take
        them; with `path` the maps are memory maps of the files. Maps are float16,
        which halves the memory, unless the first batch (without `path`: any)
        overflows it. Weights are 1 where the batches have none.

    Raises:
        ValueError: for `batches` without any, that cannot be iterated again, or whose
            `class_names` are not the localizer's in the same order; for a `path` whose
            features are of another model, other images, targets or weights, or other
            arguments; or for a later batch with `path` that overflows the float16 of
            the first.
        OSError: for a `path` that cannot be written; what is there stays good.

    Example:

    >>> backbone = keras.Sequential(
    ...     [keras.Input((64, 64, 3)), keras.layers.Conv2D(8, 8, strides=8)]
    ... )
    >>> localizer = keras_localize.build_localizer(backbone, 4, preprocessing=None)
    >>> features, heads = localizer.split()
    >>> view = keras_localize.RandomSquareView(64, bounding_box_format="rel_xyxy")
    >>> data = keras_localize.make_synthetic(6).to_pydataset(64, augment=view, seed=0)
    >>> maps, targets, _ = keras_localize.cache_features(
    ...     features, data, views=3, path="features", verbose=0
    ... )
    >>> [x.shape for x in maps], targets["box"].shape
    ([(36, 8, 8, 8)], (36, 4))
    """
    check_positive_int(views, "views")
    check_bool(mirror, "mirror")
    check_same_classes(features, batches, "batches")
    # Before anything is iterated: it depends on the epoch. (tf.data's own method
    # `fingerprint` knows nothing of the content.)
    content_fingerprint = getattr(batches, "content_fingerprint", None)
    source = content_fingerprint() if content_fingerprint is not None else None
    count = _count(batches)
    count = None if count is None else count * views
    passes = _passes(batches, views)
    read_first = next(passes, None)
    if read_first is None:
        raise ValueError("`batches` must hold at least one batch. Received none")
    first = read_first()
    rows = _rows(features, first, mirror)
    store: Store = MemoryStore()
    if path is not None:
        about = {"weights": _digest_of_weights(features), "mirror": mirror}
        about |= {"views": views, "batches": count}
        store = FolderStore(Path(path), about, source, rows)
    progress = keras.utils.Progbar(
        count, verbose=resolve_verbose(verbose), unit_name="batch"
    )
    with store.writing():
        if store.complete and store.same_source:
            return _grouped(store.finish())
        number = -1
        readers = itertools.chain([lambda: first], passes)
        for number, read in enumerate(readers):
            if store.complete or number < store.batches:
                if not store.same_source:
                    store.check(number, read().digest())
            else:
                batch = read()
                made = rows if number == 0 else _rows(features, batch, mirror)
                store.append(made, batch.digest())
            progress.add(1)
        return _grouped(store.finish(number + 1))


def _count(batches: Any) -> int | None:
    """The number of batches, if it is known."""
    try:
        return len(batches) if isinstance(batches, Sized) else None
    except TypeError as error:
        # What tf.data and torch say of an unknown length, and tf.data of none.
        if "infinite" in str(error):
            raise ValueError(
                "`batches` must have an end. Received: an infinite dataset"
            ) from error
        return None


class _Batch(NamedTuple):
    """One batch in NumPy; targets and weights by names that are those of rows."""

    images: np.ndarray
    named: Rows

    def digest(self) -> str:
        """A text that is the same for the same batch."""
        digest = hashlib.blake2b(digest_size=16)
        for name, array in {"images": self.images, **self.named}.items():
            digest.update(f"{name} ".encode())
            digest_array(digest, array)
        return digest.hexdigest()


def _passes(batches: Any, views: int) -> Iterator[Callable[[], _Batch]]:
    """For every batch of every pass a function that reads it."""
    for view in range(views):
        if isinstance(batches, keras.utils.PyDataset):
            if view:
                batches.on_epoch_end()
            # It is indexed; plain iteration would not know its end.
            for index in range(len(batches)):
                yield functools.partial(_batch_at, batches, index)
            continue
        empty = True
        for batch in batches:
            empty = False
            yield functools.partial(_as_batch, batch)
        if view and empty:
            raise ValueError(
                f"`views={views}` needs `batches` that can be iterated that often. "
                f"Received nothing in pass {view + 1}"
            )


def _batch_at(batches: Any, index: int) -> _Batch:
    return _as_batch(batches[index])


def _as_batch(batch: Any) -> _Batch:
    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        received = type(batch).__name__
        if isinstance(batch, (tuple, list)):
            received += f" of {len(batch)}"
        raise ValueError(
            "`batches` must give (images, targets, weights) or (images, targets). "
            f"Received: {received}"
        )
    images, targets = to_numpy(batch[0]), _named("targets", batch[1])
    if len(batch) == 3 and batch[2] is not None:
        weights = _named("weights", batch[2])
    else:
        weights = {
            "weights" + name.removeprefix("targets"): np.ones(len(images), "float32")
            for name in targets
        }
    return _Batch(images, targets | weights)


def _named(kind: str, values: Any) -> Rows:
    """`{"box": ...}` as `{"targets.box": ...}`, one array as `{"targets": ...}`."""
    if isinstance(values, dict):
        return {f"{kind}.{name}": to_numpy(value) for name, value in values.items()}
    return {kind: to_numpy(values)}


def _grouped(rows: Rows) -> Cached:
    """The inverse of `_named` for targets and weights; the maps as a list."""

    def group(kind: str) -> ByOutput:
        if kind in rows:
            return rows[kind]
        size = len(kind) + 1
        return {k[size:]: v for k, v in rows.items() if k.startswith(f"{kind}.")}

    maps = [x for key, x in rows.items() if key.startswith("maps.")]
    return maps, group("targets"), group("weights")


def _rows(features: Any, batch: _Batch, mirror: bool) -> Rows:
    """The rows of one batch, and of its horizontal flip."""
    parts = [_maps(features, batch.images) | batch.named]
    if mirror:
        flipped = {
            name: to_numpy(flip(value)) if _holds_boxes(name, value) else value
            for name, value in batch.named.items()
        }
        parts.append(_maps(features, flip_images(batch.images)) | flipped)
    return concatenated(parts)


def _holds_boxes(name: str, value: np.ndarray) -> bool:
    single = name == "targets" and value.ndim == 2 and value.shape[1] == 4
    return name == "targets.box" or single


def _maps(features: Any, images: np.ndarray) -> Rows:
    maps = keras.tree.flatten(features.predict_on_batch(images))
    # Under a strategy of TensorFlow each replica predicts the whole batch.
    return {f"maps.{i}": to_numpy(x)[: len(images)] for i, x in enumerate(maps)}


def _digest_of_weights(features: Any) -> str:
    digest = hashlib.sha256()
    for weight in getattr(features, "weights", ()):
        digest_array(digest, to_numpy(weight))
    return digest.hexdigest()
