"""From annotations to a dataset: what is kept, what is left out, and how many."""

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from keras_localize.datasets.annotation import Annotation
from keras_localize.datasets.class_names import (
    ClassNames,
    in_natural_order,
    read_class_names,
)
from keras_localize.datasets.cores import cores
from keras_localize.datasets.dataset import LocalizationDataset
from keras_localize.datasets.decisions import Decision, decide
from keras_localize.datasets.errors import AnnotationError
from keras_localize.datasets.policy import Policy
from keras_localize.datasets.progress import Progress
from keras_localize.images import ImageError, ImageInfo, inspect


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

    @contextmanager
    def record(self, name: str) -> Iterator[None]:
        """Counts one record; `on_error` says what an AnnotationError inside does."""
        self.count += 1
        with self._refusing(name):
            yield

    def keep(self, annotation: Annotation) -> None:
        """Takes the annotation of an image; AnnotationError for a second one."""
        if annotation.name in self._annotations:
            raise AnnotationError(
                annotation.source, "duplicate image", received=annotation.name
            )
        self._annotations[annotation.name] = annotation

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
        if not kept:
            reasons = ", ".join(f"{len(n)} {r}" for r, n in self.skipped.items())
            raise AnnotationError(
                source, "no usable record", received=reasons or "nothing"
            )
        names = self.class_names
        if names is None:
            found = {decision.class_name for *_, decision in kept}
            names = in_natural_order(name for name in found if name is not None)
        ids: dict[str | None, int] = {name: i for i, name in enumerate(names)}
        return LocalizationDataset(
            [annotation.path for annotation, *_ in kept],
            [decision.box or (0, 0, 0, 0) for *_, decision in kept],
            [ids.get(decision.class_name, -1) for *_, decision in kept],
            names,
            [float(decision.box is not None) for *_, decision in kept],
            [(info.height, info.width) for _, info, _ in kept],
            presence=[float(d.class_name is not None) for *_, d in kept],
            names=[annotation.name for annotation, *_ in kept],
            found=self.count,
            skipped=self.skipped,
            handled=self.handled,
        )

    def _inspected(self) -> Iterator[tuple[Annotation, ImageInfo | ImageError]]:
        """Every annotation with what its image's file says, or why it cannot."""
        annotations = list(self._annotations.values())

        def look(annotation: Annotation) -> ImageInfo | ImageError:
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
