"""From annotations to a dataset: what is kept, what is left out, and how many."""

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from keras_localize.datasets.annotation import Annotation
from keras_localize.datasets.class_names import (
    ClassNames,
    in_natural_order,
    read_class_names,
)
from keras_localize.datasets.cores import cores
from keras_localize.datasets.dataset import LocalizationDataset
from keras_localize.datasets.decisions import Decision, decide, several_objects
from keras_localize.datasets.errors import AnnotationError
from keras_localize.datasets.policy import Policy
from keras_localize.datasets.progress import Progress
from keras_localize.datasets.simple_records import SimpleRecords
from keras_localize.images import ImageError, ImageInfo, inspect
from keras_localize.images.listing import IMAGE_SUFFIXES


class Collector:
    """Collects the annotations of a reader, and makes the dataset of them.

    A reader opens `record` for every record that it finds, and in it either keeps an
    annotation or raises an AnnotationError:

        with collector.record(name):
            collector.keep(Annotation(...))

    Args:
        policy: what to do with records that are not one image with one good box.
        class_names: the classes; see `read_class_names`. None: the names found, in
            natural order.
    """

    def __init__(self, policy: Policy, class_names: ClassNames | None = None) -> None:
        self.policy = policy
        self.class_names = None
        if class_names is not None:
            self.class_names = read_class_names(class_names)
        self.count = 0
        self.skipped: defaultdict[str, list[str]] = defaultdict(list)
        self.handled: defaultdict[str, list[str]] = defaultdict(list)
        self._annotations: dict[str, Annotation] = {}
        self._positions: dict[str, int] = {}
        self._simple: SimpleRecords | None = None

    @contextmanager
    def record(self, name: str) -> Iterator[None]:
        """Counts one record; `on_error` says what an AnnotationError inside does."""
        self.count += 1
        with self._refusing(name):
            yield

    def keep_simple(self, records: SimpleRecords) -> None:
        """Takes the records that need no decision, once and before all others."""
        self._simple = records
        self._positions = dict(zip(records.names, records.positions.tolist()))
        self.count += len(records.names)
        if records.several.any():
            names = np.array(records.names, object)[records.several]
            self.handled[several_objects(self.policy)] += names.tolist()

    def keep(self, annotation: Annotation, position: int | None = None) -> None:
        """Takes the annotation of an image; AnnotationError for a second one.

        Args:
            annotation: what the reader read.
            position: its place in the file, which decides the order of the dataset.
                None: after all others.
        """
        name = annotation.name
        if name in self._positions:
            raise AnnotationError(annotation.source, "duplicate image", received=name)
        self._positions[name] = len(self._positions) if position is None else position
        self._annotations[name] = annotation

    def skip(self, name: str, reason: str) -> None:
        """Counts a record that is left out."""
        self.count += 1
        self.skipped[reason].append(name)

    def note(self, name: str, note: str) -> None:
        """Counts something that was decided and is no record's own matter."""
        self.handled[note].append(name)

    def dataset(self, source: Path) -> LocalizationDataset:
        """The dataset of all records kept.

        Raises:
            AnnotationError: where there are none; it names `source`.
        """
        kept: list[tuple[Annotation, ImageInfo, Decision]] = []
        for annotation, info in self._inspected():
            with self._refusing(annotation.name):
                if isinstance(info, ImageError):
                    self._refuse_image(annotation, info)
                    continue
                decision = decide(annotation, info, self.policy, self.class_names)
                if decision.skipped:
                    self.skipped[decision.skipped].append(annotation.name)
                    continue
                for note in decision.notes:
                    self.handled[note].append(annotation.name)
                kept.append((annotation, info, decision))
        if not kept and not (self._simple and self._simple.names):
            reasons = ", ".join(f"{len(n)} {r}" for r, n in self.skipped.items())
            raise AnnotationError(
                source, "no usable record", received=reasons or "nothing"
            )
        return self._joined(kept)

    def _joined(
        self, kept: list[tuple[Annotation, ImageInfo, Decision]]
    ) -> LocalizationDataset:
        """The dataset of what was decided and of what was simple."""
        found = {decision.class_name for *_, decision in kept}
        simple = self._simple
        if simple is not None:
            found |= {simple.class_names[i] for i in np.unique(simple.labels)}
        class_names = self.class_names
        if class_names is None:
            class_names = in_natural_order(name for name in found if name is not None)
        ids: dict[str | None, int] = {name: i for i, name in enumerate(class_names)}
        columns: dict[str, Any] = {
            "images": [str(annotation.path) for annotation, *_ in kept],
            "boxes": [decision.box or (0, 0, 0, 0) for *_, decision in kept],
            "labels": [ids.get(decision.class_name, -1) for *_, decision in kept],
            "weights": [float(decision.box is not None) for *_, decision in kept],
            "image_sizes": [(info.height, info.width) for _, info, _ in kept],
            "presence": [float(d.class_name is not None) for *_, d in kept],
            "names": [annotation.name for annotation, *_ in kept],
        }
        if simple is not None:
            columns = _merged(columns, simple, ids, self._positions)
        return LocalizationDataset(
            **columns,
            class_names=class_names,
            found=self.count,
            skipped=self.skipped,
            handled=self.handled,
        )

    def _inspected(self) -> Iterator[tuple[Annotation, ImageInfo | ImageError]]:
        """Every annotation with what its image's file says, or why it cannot."""
        annotations = list(self._annotations.values())

        def look(annotation: Annotation) -> ImageInfo | ImageError:
            if self.policy.trusts_sizes and annotation.states_its_size:
                return _as_stated(annotation)
            try:
                return inspect(annotation.path, decode=self.policy.verify)
            except ImageError as error:
                return error

        with (
            Progress(len(annotations), "checking images") as progress,
            ThreadPoolExecutor(cores()) as pool,
        ):
            for annotation, info in zip(annotations, pool.map(look, annotations)):
                progress.update()
                yield annotation, info

    @contextmanager
    def _refusing(self, name: str) -> Iterator[None]:
        try:
            yield
        except AnnotationError as error:
            if self.policy.on_error == "raise":
                raise
            self.skipped[error.reason].append(name)

    def _refuse_image(self, annotation: Annotation, error: ImageError) -> None:
        """Raises what is wrong with an image, or counts it where it is only damaged."""
        if self.policy.skip_unreadable and error.reason == "unreadable image":
            self.skipped[error.reason].append(annotation.name)
            return
        detail = {"received": error.detail} if error.detail else {}
        raise AnnotationError(annotation.path, error.reason, **detail) from error


def _as_stated(annotation: Annotation) -> ImageInfo:
    """What the annotation says of the image; of all else, what is usual."""
    assert annotation.size is not None
    height, width = annotation.size
    format = IMAGE_SUFFIXES.get(annotation.path.suffix.lower(), "")
    return ImageInfo(int(height), int(width), 1, format, "RGB")


def _merged(
    columns: dict[str, Any],
    simple: SimpleRecords,
    ids: dict[str | None, int],
    positions: dict[str, int],
) -> dict[str, Any]:
    """The arguments of a dataset with simple records in between, in file order."""
    count = len(simple.names)
    labels = np.array([ids.get(name, -1) for name in simple.class_names], "int64")
    arrays = {
        "boxes": simple.boxes,
        "labels": labels[simple.labels],
        "weights": np.ones(count),
        "image_sizes": simple.sizes,
        "presence": np.ones(count),
    }
    lists = {"images": simple.paths, "names": simple.names}
    if not columns["names"]:
        return {**arrays, **lists}
    places = [*simple.positions.tolist(), *(positions[n] for n in columns["names"])]
    order = np.argsort(places, kind="stable")
    merged: dict[str, Any] = {
        key: np.concatenate([array, np.asarray(columns[key])])[order]
        for key, array in arrays.items()
    }
    for key, values in lists.items():
        both = [*values, *columns[key]]
        merged[key] = [both[place] for place in order]
    return merged
