"""Evaluation of a localizer on the original images of a dataset."""

from typing import Unpack

from keras_localize.checks import check_non_negative_int
from keras_localize.datasets import LocalizationDataset
from keras_localize.datasets.dataset_argument import check_filled
from keras_localize.localizer import LocalizeOptions, Localizer
from keras_localize.localizer.class_names import check_known_classes
from keras_localize.report import LocalizationReport, report_localizations

__all__ = ["evaluate_localizer"]


def evaluate_localizer(
    localizer: Localizer,
    dataset: LocalizationDataset,
    *,
    worst: int = 20,
    batch_size: int = 32,
    **options: Unpack[LocalizeOptions],
) -> LocalizationReport:
    """Localizes all images of a dataset and compares the answers with the truth.

    Boxes are compared in the pixels of the original images. Classes are matched by
    name: the dataset may list them in another order.

    Args:
        localizer: a `Localizer`.
        dataset: a `LocalizationDataset`.
        worst: how many of the images with the lowest IoU to list.
        batch_size: how many images are predicted at a time.
        **options: those of `Localizer.localize`: `flip_average`, `refine`, ...

    Returns:
        A `LocalizationReport`.

    Raises:
        ImageError, ValueError, TypeError: as `Localizer.localize`.
        ValueError: for an empty dataset, or one with a class that the localizer does
            not have; for a localizer without class names, one with more classes.

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
    if not hasattr(localizer, "localize"):
        raise ValueError(
            f"`localizer` must be a Localizer. Received: {type(localizer).__name__}"
        )
    check_filled(dataset, "dataset")
    check_non_negative_int(worst, "worst")
    check_known_classes(localizer, dataset, "dataset")
    answers = localizer.localize(dataset, batch_size, **options)
    return report_localizations(answers, dataset, worst=worst)
