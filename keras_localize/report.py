"""Reports: answers compared with the truth. All figures are computed here."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_localize import figures
from keras_localize.arrays import to_numpy
from keras_localize.boxes import area, convert, iou
from keras_localize.checks import (
    check_answers,
    check_non_negative_int,
    check_positive_int,
)
from keras_localize.datasets import LocalizationDataset
from keras_localize.datasets.dataset_argument import check_filled
from keras_localize.datasets.real_sizes import with_real_sizes
from keras_localize.localizer import Localization
from keras_localize.localizer.class_names import name_of_id
from keras_localize.reporting.plain import plain
from keras_localize.reporting.presented import Presented

__all__ = [
    "ClassReport",
    "ImageReport",
    "LocalizationReport",
    "report_localizations",
]

_OF_BOXES = ("mean_iou", "iou_50", "iou_75", "max_box_acc", "top1_localization")
_OF_SOME_MODELS = ("label_accuracy", "quality_error", "coverage", "outer_growth")
_PRINTED = (
    *("mean_iou", "iou_50", "iou_75", "max_box_acc"),
    *("label_accuracy", "top1_localization", "quality_error", "quality_correlation"),
    *("quality_bin_error", "presence_auroc", "presence_fpr95"),
    *("coverage", "outer_growth"),
)


class ImageReport(NamedTuple):
    """One image: what is true, what was predicted, and how well they agree.

    Attributes:
        name: name of the record.
        iou: IoU of the two boxes; 0 where an object was declared absent or a side of
            the predicted box is not finite, NaN where the image has no true box.
        true_class: name of the true class; `None` where the image has none.
        right: whether the predicted class is the true one; `None` without labels.
        answer: the `Localization`.
    """

    name: str
    iou: float
    true_class: str | None
    right: bool | None
    answer: Localization


@dataclasses.dataclass(frozen=True)
class ClassReport:
    """The figures of one class.

    Attributes:
        images: number of its images.
        with_box: how many of them have a true box.
        mean_iou: in [0, 1]; NaN where no image has a box.
        label_accuracy: in [0, 1]; `None` without labels.
    """

    images: int
    with_box: int
    mean_iou: float
    label_accuracy: float | None


@dataclasses.dataclass(frozen=True, repr=False)
class LocalizationReport(Presented):
    """The figures of a dataset; `print` shows them as a table.

    All figures lie in [0, 1], but for the correlation and the growth. Those of boxes
    count the images that have one, and are NaN where none has. Those of labels count
    the images that have one. Those that the model does not predict are `None`. An
    object that was declared absent counts as IoU 0 and as a wrong label. Skipped
    images count in `skipped` alone.

    Attributes:
        images: number of images that have an answer.
        with_box: how many of them have a true box.
        skipped: number of images that could not be read.
        false_alarms: how many hold no object and got a box.
        mean_iou: mean IoU of predicted and true boxes, in the original images.
        iou_50: share of boxes with an IoU of at least 0.5.
        iou_75: share of boxes with an IoU of at least 0.75.
        max_box_acc: mean of the shares at 0.3, 0.5 and 0.7 (MaxBoxAccV2, arXiv
            2007.04178).
        label_accuracy: share of images whose label is right.
        top1_localization: share of boxes with the label right and an IoU of at least
            0.5; without labels, `iou_50`.
        quality_error: mean of |quality - IoU|.
        quality_bin_error: mean of |mean quality - mean IoU| over ten groups of images
            of similar quality (calibration error, arXiv 2405.20459).
        quality_correlation: Pearson's correlation of quality and IoU, in [-1, 1].
        presence_auroc: area under the ROC curve of the presence: the probability
            that it is higher for an image with an object than for one without.
        presence_fpr95: the false-positive rate of the presence at a true-positive
            rate of 95%.
        coverage: share of the true boxes that lie inside their `outer_box`.
        outer_growth: mean of the area of `outer_box` divided by that of `box`, at least
            1, over the images with a true box.
        per_class: class name -> `ClassReport`.
        confusion: true class name -> predicted class name -> number of images.
        worst: `(name, IoU)` of the images with the lowest IoU, lowest first.
        intervals: figure -> its 95% bootstrap interval over the images.
        per_image: one `ImageReport` for each image that was not skipped.
        dataset: the records of `per_image`, in its order; for pages and tables.
    """

    images: int
    with_box: int
    skipped: int
    false_alarms: int
    mean_iou: float
    iou_50: float
    iou_75: float
    max_box_acc: float
    label_accuracy: float | None
    top1_localization: float
    quality_error: float | None
    quality_bin_error: float | None
    quality_correlation: float | None
    presence_auroc: float | None
    presence_fpr95: float | None
    coverage: float | None
    outer_growth: float | None
    per_class: dict[str, ClassReport]
    confusion: dict[str, dict[str, int]]
    worst: list[tuple[str, float]]
    intervals: dict[str, tuple[float, float]]
    per_image: list[ImageReport] = dataclasses.field(repr=False)
    dataset: LocalizationDataset | None = dataclasses.field(
        default=None, repr=False, compare=False
    )

    def reliability(self, bins: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean quality, mean IoU and number of images, of groups of similar quality.

        Args:
            bins: how many groups of equal size.

        Raises:
            ValueError: for `bins` that are not positive, or a report without quality.
        """
        check_positive_int(bins, "bins")
        return figures.reliability(*self._quality_and_iou(), bins)

    def risk_coverage(self) -> tuple[np.ndarray, np.ndarray]:
        """(share of images kept, their mean IoU), the most trusted images first."""
        return figures.risk_coverage(*self._quality_and_iou())

    def _quality_and_iou(self) -> tuple[np.ndarray, np.ndarray]:
        quality = _floats([row.answer for row in self.per_image], "quality")
        return quality, np.array([row.iou for row in self.per_image])

    def to_dict(self) -> dict[str, Any]:
        """All figures as numbers, text, lists and dicts, as JSON takes them.

        What is NaN or infinite is None.
        """
        return plain(self)

    def __str__(self) -> str:
        lines = [f"{self.images} images, {self.with_box} with a box"]
        if self.skipped:
            lines.append(f"  {self.skipped} images could not be read")
        if self.false_alarms:
            lines.append(f"  {self.false_alarms} boxes on images without an object")
        for name in _PRINTED:
            value = getattr(self, name)
            if value is not None:
                spread = ""
                if name in self.intervals:
                    low, high = self.intervals[name]
                    spread = f"  ({low:.3f} to {high:.3f})"
                lines.append(f"  {name:20} {value:.4f}{spread}")
        for name, one in self.per_class.items():
            line = f"  {name:28} {one.images:5} images  IoU {one.mean_iou:.3f}"
            if one.label_accuracy is not None:
                line += f"  label {one.label_accuracy:.3f}"
            lines.append(line)
        lines += [f"  worst: {name} {value:.3f}" for name, value in self.worst[:5]]
        return "\n".join(lines)


def report_localizations(
    localizations: Sequence[Localization | None],
    dataset: LocalizationDataset,
    *,
    worst: int = 20,
) -> LocalizationReport:
    """Compares answers with the truth of a dataset.

    Args:
        localizations: one answer for each record of `dataset`, in its order, as
            `Localizer.localize(dataset)` gives them; `None` where an image was
            skipped. Classes are compared by name, and by id only where the answers
            have no names.
        dataset: the truth.
        worst: how many of the images with the lowest IoU to list.

    Returns:
        A `LocalizationReport`.

    Raises:
        ValueError: for another number of answers, an empty dataset, or a `worst`
            below 0.

    Example:

    >>> data = keras_localize.make_synthetic(2, num_classes=2)
    >>> whole_image = [(0, 0, width, height) for height, width in data.image_sizes]
    >>> answers = [
    ...     keras_localize.Localization(0, "disc", 0.9, box, None)
    ...     for box in whole_image
    ... ]
    >>> report = keras_localize.report_localizations(answers, data)
    >>> report.label_accuracy, report.confusion
    (0.5, {'disc': {'disc': 1}, 'square': {'disc': 1}})
    """
    check_filled(dataset, "dataset")
    check_non_negative_int(worst, "worst")
    localizations = list(localizations)
    check_answers(localizations)
    if len(localizations) != len(dataset):
        raise ValueError(
            f"`localizations` must be one answer for each of {len(dataset)} images. "
            f"Received: {len(localizations)}"
        )
    kept = np.array([answer is not None for answer in localizations])
    answers = [answer for answer in localizations if answer is not None]
    truth = with_real_sizes(dataset[np.flatnonzero(kept)])
    columns = _columns(answers, truth)
    iou_values, right = columns["mean_iou"], columns["label_accuracy"]
    rows = [
        ImageReport(
            name,
            float(iou_values[i]),
            _class_name(truth, i),
            None if np.isnan(right[i]) else bool(right[i]),
            answers[i],
        )
        for i, name in enumerate(truth.names)
    ]
    means: dict[str, Any] = {k: figures.mean(x) for k, x in columns.items()}
    order = np.argsort(iou_values, kind="stable")  # NaN goes last
    boxed = int((~np.isnan(iou_values)).sum())
    absent = truth.presence == 0
    return LocalizationReport(
        images=len(truth),
        with_box=boxed,
        skipped=int((~kept).sum()),
        false_alarms=sum(
            answer.box is not None for answer, none in zip(answers, absent) if none
        ),
        **{name: means[name] for name in _OF_BOXES},
        **{name: _or_none(means[name]) for name in _OF_SOME_MODELS},
        **_presence(answers, absent),
        quality_bin_error=_bin_error(_floats(answers, "quality"), iou_values),
        quality_correlation=_or_none(
            figures.correlation(_floats(answers, "quality"), iou_values)
        ),
        per_class={
            name: _report_class(columns, truth.labels == label)
            for label, name in enumerate(dataset.class_names)
        },
        confusion=_confusion(rows, dataset.class_names),
        worst=[(rows[i].name, rows[i].iou) for i in order[: min(worst, boxed)]],
        intervals={
            name: figures.bootstrap(column)
            for name, column in columns.items()
            if not np.isnan(means[name])
        },
        per_image=rows,
        dataset=truth,
    )


# --- helpers ---


def _columns(
    answers: list[Localization], truth: LocalizationDataset
) -> dict[str, np.ndarray]:
    true = to_numpy(convert(truth.boxes, "rel_xyxy", "xyxy", truth.image_sizes))
    predicted, outer = _boxes(answers, "box"), _boxes(answers, "outer_box")
    # A box of zeros has IoU 0.
    finite = np.isfinite(predicted).all(axis=1, keepdims=True)
    overlap = to_numpy(iou(true, np.where(finite, predicted, 0), "xyxy"))
    boxed = truth.weights > 0
    # Half a hundredth of a pixel is what float32 may round in a large image.
    low = (outer[:, :2] <= true[:, :2] + 5e-3).all(axis=1)
    high = (outer[:, 2:] >= true[:, 2:] - 5e-3).all(axis=1)
    counts = boxed & ~np.isnan(outer).any(axis=1)
    growth = to_numpy(area(outer)) / np.maximum(to_numpy(area(predicted)), 1.0)
    return figures.columns(
        iou=np.where(boxed, overlap.astype("float64"), np.nan),
        right=_right(answers, truth),
        quality=_floats(answers, "quality"),
        covered=np.where(counts, low & high, np.nan),
        growth=np.where(counts, growth, np.nan),
    )


def _right(answers: list[Localization], truth: LocalizationDataset) -> np.ndarray:
    """1 where the class is the true one, 0 where not, NaN where it does not count."""
    right = np.full(len(answers), np.nan)
    for i, answer in enumerate(answers):
        if truth.labels[i] >= 0 and answer.label is not None:
            same = answer.label == truth.labels[i]
            if answer.class_name is not None:
                same = answer.class_name == _class_name(truth, i)
            # The class of scores that are NaN says nothing.
            certain = answer.score is None or np.isfinite(answer.score)
            right[i] = same and answer.box is not None and certain
    return right


def _class_name(truth: LocalizationDataset, i: int) -> str | None:
    label = truth.labels[i]
    return truth.class_names[label] if label >= 0 else None


def _boxes(answers: list[Localization], name: str) -> np.ndarray:
    """(N, 4) float32, NaN where there is none."""
    boxes = [getattr(answer, name) for answer in answers]
    boxes = [(np.nan,) * 4 if box is None else box for box in boxes]
    return np.array(boxes, "float32").reshape(-1, 4)


def _floats(answers: list[Localization], name: str) -> np.ndarray:
    return np.array([getattr(answer, name) for answer in answers], "float64")


def _presence(answers: list[Localization], absent: np.ndarray) -> dict[str, Any]:
    presence = _floats(answers, "presence")
    positive, negative = presence[~absent], presence[absent]
    if not len(positive) or not len(negative) or np.isnan(presence).any():
        return {"presence_auroc": None, "presence_fpr95": None}
    return {
        "presence_auroc": figures.auroc(positive, negative),
        "presence_fpr95": figures.fpr95(positive, negative),
    }


def _bin_error(quality: np.ndarray, iou_values: np.ndarray) -> float | None:
    promised, reached, counts = figures.reliability(quality, iou_values)
    if not len(counts):
        return None
    return float(np.average(np.abs(promised - reached), weights=counts))


def _report_class(columns: dict[str, np.ndarray], members: np.ndarray) -> ClassReport:
    return ClassReport(
        images=int(members.sum()),
        with_box=int((~np.isnan(columns["mean_iou"][members])).sum()),
        mean_iou=figures.mean(columns["mean_iou"][members]),
        label_accuracy=_or_none(figures.mean(columns["label_accuracy"][members])),
    )


def _confusion(
    rows: list[ImageReport], class_names: Sequence[str]
) -> dict[str, dict[str, int]]:
    confusion: dict[str, Counter] = {name: Counter() for name in class_names}
    for row in rows:
        if row.right is not None and row.true_class is not None:
            predicted = row.answer.class_name or name_of_id(
                row.answer.label, class_names
            )
            if row.answer.box is None:
                predicted = "no object"
            confusion[row.true_class][predicted] += 1
    return {name: dict(counts) for name, counts in confusion.items() if counts}


def _or_none(value: float) -> Any:
    return None if np.isnan(value) else value
