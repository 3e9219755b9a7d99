"""What a trained localizer is worth, picture by picture."""

from dataclasses import dataclass

import numpy as np
from keras import ops

from keras_localize.boxes import convert, iou

_MAX_BOX_ACC_THRESHOLDS = (0.3, 0.5, 0.7)


@dataclass(frozen=True)
class ClassReport:
    """The figures of one class; `mean_iou` is NaN where none of it has a box."""

    images: int
    with_box: int
    mean_iou: float
    label_accuracy: float | None


@dataclass(frozen=True)
class LocalizationReport:
    """What `evaluate_localizer` found; `print` shows it as a table.

    All figures are in [0, 1]. Those of boxes count the pictures that have one, and
    are NaN where none has; those of labels count all pictures, and are `None` for a
    model that predicts boxes alone.

    Attributes:
        images: number of pictures.
        with_box: how many of them have a true box.
        mean_iou: mean IoU of predicted and true boxes, in the original pictures.
        iou_50: share of boxes with an IoU of at least 0.5.
        iou_75: share of boxes with an IoU of at least 0.75.
        max_box_acc: mean of the shares at 0.3, 0.5 and 0.7 (MaxBoxAccV2, arXiv
            2007.04178).
        label_accuracy: share of pictures whose label is right.
        top1_localization: share of boxes with the label right and an IoU of at least
            0.5; without labels, `iou_50`.
        per_class: class name -> `ClassReport`.
        worst: `(name, IoU)` of the pictures with the lowest IoU, lowest first.
    """

    images: int
    with_box: int
    mean_iou: float
    iou_50: float
    iou_75: float
    max_box_acc: float
    label_accuracy: float | None
    top1_localization: float
    per_class: dict[str, ClassReport]
    worst: list[tuple[str, float]]

    def __str__(self):
        lines = [f"{self.images} pictures, {self.with_box} with a box"]
        for name in (
            "mean_iou",
            "iou_50",
            "iou_75",
            "max_box_acc",
            "label_accuracy",
            "top1_localization",
        ):
            value = getattr(self, name)
            if value is not None:
                lines.append(f"  {name:18} {value:.4f}")
        for name, one in self.per_class.items():
            label = "" if one.label_accuracy is None else f"  {one.label_accuracy:.3f}"
            lines.append(f"  {name:28} {one.images:5}  IoU {one.mean_iou:.3f}{label}")
        lines += [f"  worst: {name} {value:.3f}" for name, value in self.worst[:5]]
        return "\n".join(lines)


def evaluate_localizer(
    localizer, dataset, batch_size=32, flip_average=False, second_look=False, worst=20
):
    """Measures a localizer on a dataset, as its users will meet it.

    Pictures go through `Localizer.localize`, and boxes are compared in the pixels of
    the original pictures.

    Args:
        localizer: a `Localizer`.
        dataset: a `LocalizationDataset` with the localizer's classes.
        batch_size: pictures at a time.
        flip_average: as in `Localizer.localize`.
        second_look: as in `Localizer.localize`.
        worst: how many of the pictures with the lowest IoU to list.

    Returns:
        A `LocalizationReport`.

    Raises:
        ValueError: for an empty dataset, or one with another number of classes.

    Example:

    >>> data = keras_localize.make_synthetic(8, num_classes=2)
    >>> backbone = keras.Sequential(
    ...     [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 8, strides=8)]
    ... )
    >>> localizer = keras_localize.build_localizer(backbone, 2, preprocessing=None)
    >>> report = keras_localize.evaluate_localizer(localizer, data)
    >>> report.images, 0 <= report.mean_iou <= 1, sorted(report.per_class)
    (8, True, ['disc', 'square'])
    """
    count = localizer.num_classes
    if len(dataset) == 0:
        raise ValueError("`dataset` must hold pictures. Received: an empty dataset")
    if count is not None and max(count, 2) < len(dataset.class_names):
        raise ValueError(
            f"`dataset` must have the localizer's {count} classes. Received: a dataset "
            f"with {len(dataset.class_names)} classes"
        )
    found = localizer.localize(
        dataset.images, batch_size, flip_average=flip_average, second_look=second_look
    )
    boxed = dataset.weights > 0
    true = convert(dataset.boxes, "rel_xyxy", "xyxy", dataset.image_sizes)
    overlap = iou(true, np.array([one.box for one in found], "float32"), "xyxy")
    overlap = ops.convert_to_numpy(overlap)
    right = None
    if count is not None:
        right = np.array([one.label for one in found]) == dataset.labels
    order = np.flatnonzero(boxed)[np.argsort(overlap[boxed], kind="stable")]

    def share(threshold, also=True):
        return _mean(((overlap >= threshold) & also)[boxed])

    def report_class(label):
        members = dataset.labels == label
        return ClassReport(
            images=int(members.sum()),
            with_box=int((members & boxed).sum()),
            mean_iou=_mean(overlap[members & boxed]),
            label_accuracy=None if right is None else _mean(right[members]),
        )

    return LocalizationReport(
        images=len(dataset),
        with_box=int(boxed.sum()),
        mean_iou=_mean(overlap[boxed]),
        iou_50=share(0.5),
        iou_75=share(0.75),
        max_box_acc=_mean([share(t) for t in _MAX_BOX_ACC_THRESHOLDS]),
        label_accuracy=None if right is None else _mean(right),
        top1_localization=share(0.5, True if right is None else right),
        per_class={
            name: report_class(label) for label, name in enumerate(dataset.class_names)
        },
        worst=[(dataset.names[i], float(overlap[i])) for i in order[:worst]],
    )


def _mean(values):
    return float(np.mean(values)) if len(values) else float("nan")
