"""The features of a frozen backbone, computed once."""

import functools
import json
import os
import sys
from pathlib import Path

import keras
import numpy as np

from keras_localize.arrays import to_numpy
from keras_localize.boxes import flip
from keras_localize.checks import check_positive_int
from keras_localize.files import replacing
from keras_localize.localizer.flipping import flip_images


def cache_features(
    features, batches, mirror=True, verbose="auto", *, views=1, path=None
):
    """Runs a frozen backbone over a dataset once, and keeps what it gives.

    Training the heads on the result takes seconds where training through the
    backbone takes minutes. The mirrored view of each picture doubles the data for
    the price of a second pass; `augment=RandomSquareView(...)` in the batches and
    `views=` give as many more as wanted.

    Args:
        features: the first model of `Localizer.split()`.
        batches: what `LocalizationDataset.to_tf_data` or `to_pydataset` gives, or any
            iterable of `(images, {"label", "box"}, {"label", "box"})`.
        mirror: whether the mirror image of every picture is added.
        verbose: 0 for silence, 1 for a progress bar, 2 for a line at the end;
            `"auto"`: 1 in a terminal, else 2.
        views: passes over `batches`, each an epoch with draws of its own.
        path: a folder that keeps the features, for sets larger than memory: written
            as they come, found again by the next run, and completed by it if this
            one is interrupted. Batches must then come in the same order and with the
            same draws every time: not shuffled and not augmented, or with a `seed`.
            None: all is kept in memory.

    Returns:
        `(maps, targets, weights)`: the list of feature maps, the dict of targets
        and the dict of weights, all NumPy arrays, as
        `heads.fit(maps, targets, sample_weight=weights)` takes them; with `path`
        memory maps of the files. Maps are float16, which halves the memory, unless
        the first batch (without `path`: any) overflows it.

    Raises:
        ValueError: for `batches` without any, or that cannot be iterated again; for
            a `path` whose features are of another model, other data or other
            arguments, told by the first batch; or for a later batch with `path` that
            overflows the float16 of the first.
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
    count = len(batches) * views if hasattr(batches, "__len__") else None
    if verbose == "auto":
        verbose = 1 if sys.stdout.isatty() else 2
    progress = keras.utils.Progbar(count, verbose=verbose, unit_name="batch")
    store = None
    for number, get in enumerate(_passes(batches, views)):
        if store is None:
            rows = _rows(features, get(), mirror)
            store = _Memory() if path is None else _Folder(Path(path))
            store.open(rows, {"mirror": mirror, "views": views, "batches": count})
        if store.complete:
            break
        if number >= store.batches:
            store.append(rows if number == 0 else _rows(features, get(), mirror))
        progress.add(1)
    if store is None:
        raise ValueError("`batches` must hold at least one batch. Received none")
    return _grouped(store.arrays())


def _passes(batches, views):
    """For every batch of every pass a function that gives it."""
    for view in range(views):
        if isinstance(batches, keras.utils.PyDataset):
            if view:
                batches.on_epoch_end()
            # It is indexed; plain iteration would not know its end.
            for index in range(len(batches)):
                yield functools.partial(batches.__getitem__, index)
            continue
        empty = True
        for batch in batches:
            empty = False
            yield functools.partial(tuple, batch)
        if view and empty:
            raise ValueError(
                f"`views={views}` needs `batches` that can be iterated that often. "
                f"Received nothing in pass {view + 1}"
            )


def _rows(features, batch, mirror):
    """One batch, and its mirror image, as a flat dict of arrays."""
    images, targets, weights = batch
    images = np.asarray(images)
    targets = {key: np.asarray(value) for key, value in targets.items()}
    weights = {key: np.asarray(value) for key, value in weights.items()}
    parts = [_flat(features, images, targets, weights)]
    if mirror:
        targets = {**targets, "box": to_numpy(flip(targets["box"]))}
        parts.append(_flat(features, flip_images(images), targets, weights))
    return _concatenated(parts)


def _flat(features, images, targets, weights):
    maps = keras.tree.flatten(features.predict_on_batch(images))
    rows = {f"maps.{i}": np.asarray(x) for i, x in enumerate(maps)}
    rows |= {f"targets.{key}": value for key, value in targets.items()}
    return rows | {f"weights.{key}": value for key, value in weights.items()}


def _grouped(arrays):
    def group(name):
        size = len(name) + 1
        return {k[size:]: v for k, v in arrays.items() if k.startswith(f"{name}.")}

    return list(group("maps").values()), group("targets"), group("weights")


def _concatenated(dicts):
    return {key: np.concatenate([each[key] for each in dicts]) for key in dicts[0]}


def _halved(rows):
    """Maps in float16 where they fit into it."""
    return {
        key: x.astype("float16")
        if key.startswith("maps.") and np.abs(x).max(initial=0) < 6e4
        else x
        for key, x in rows.items()
    }


class _Memory:
    complete = False
    batches = 0

    def __init__(self):
        self.kept = []

    def open(self, rows, arguments):
        pass

    def append(self, rows):
        self.kept.append(_halved(rows))

    def arrays(self):
        return _concatenated(self.kept)


class _Folder:
    """One raw file per array, appended to; `done` has a line for every whole batch.

    The line, the number of rows so far, is written last: what lies behind it in the
    files is of an interrupted run and is written over.
    """

    def __init__(self, path):
        self.path = path

    def open(self, rows, arguments):
        rows = _halved(rows)
        layout = {key: [x.dtype.name, list(x.shape[1:])] for key, x in rows.items()}
        about = {"arguments": arguments, "layout": layout}
        self.path.mkdir(parents=True, exist_ok=True)
        self.layout = layout
        self.batches, self.rows, self.complete = 0, 0, False
        header = self.path / "about.json"
        if header.exists():
            self._continue(rows, about, header)
        else:
            with replacing(header) as unfinished:
                unfinished.write_text(json.dumps(about, indent=1))

    def append(self, rows):
        for key, x in rows.items():
            dtype, _ = self.layout[key]
            if dtype == "float16" and np.abs(x).max(initial=0) >= 6e4:
                raise ValueError(
                    f"`features` must stay within float16, as in the first batch, to "
                    f"be kept in {self.path}. Received: {np.abs(x).max()} in {key}"
                )
            self._write(key, x.astype(dtype))
        self.rows += len(rows[key])
        self.batches += 1
        with open(self.path / "done", "a") as file:
            file.write(f"{self.rows}\n")

    def arrays(self):
        if not self.complete:
            with open(self.path / "done", "a") as file:
                file.write("complete\n")
        arrays = {key: self._map(key, self.rows) for key in self.layout}
        # Only the maps are large.
        return {
            k: x if k.startswith("maps.") else np.array(x) for k, x in arrays.items()
        }

    def _continue(self, rows, about, header):
        try:
            same = json.loads(header.read_text()) == about
        except ValueError:
            same = False
        done = self.path / "done"
        text = done.read_text() if done.exists() else ""
        lines = text[: text.rfind("\n") + 1].split()
        self.complete = lines[-1:] == ["complete"]
        counts = [int(line) for line in lines if line.isdigit()]
        # Written again without a line that was cut off.
        if not self.complete:
            done.write_text("".join(f"{count}\n" for count in counts))
        if counts and same:
            self.batches, self.rows = len(counts), counts[-1]
            first = {key: self._map(key, counts[0]) for key in self.layout}
            same = all(_close(x, first[key]) for key, x in rows.items())
        if not same:
            raise ValueError(
                f"`path` must be a new folder, or one with features of the same "
                f"model, data and arguments. Received: path={str(self.path)!r}, "
                "whose first batch is another"
            )

    def _file(self, key):
        return self.path / f"{key}.raw"

    def _map(self, key, count):
        dtype, shape = self.layout[key]
        file = self._file(key)
        wanted = count * np.dtype(dtype).itemsize * int(np.prod(shape))
        if not file.exists() or os.path.getsize(file) < wanted:
            raise ValueError(f"`path` is damaged: {file} is shorter than it should be")
        return np.memmap(file, dtype, "r", shape=(count, *shape))

    def _write(self, key, x):
        file = self._file(key)
        file.touch()
        with open(file, "r+b") as handle:
            handle.seek(self.rows * x[:1].nbytes)
            handle.write(np.ascontiguousarray(x).data)


def _close(x, y):
    """Equal but for what another thread count or float16 does to a sum."""
    scale = max(np.abs(y).max(initial=0).astype("float64"), 1e-6)
    return x.shape == y.shape and np.abs(x - y.astype(x.dtype)).max() <= 1e-2 * scale
