"""The images of a call of `train_localizer`, with the localizer's classes."""

from typing import NamedTuple

from keras_localize.datasets import LocalizationDataset, with_hard_negatives
from keras_localize.datasets.dataset_argument import check_dataset
from keras_localize.localizer.class_names import (
    check_known_classes,
    check_used_classes,
)
from keras_localize.localizer.localizer import Localizer

# Share of the training images that is held out where there are no others for a choice.
HELD_OUT = 0.1


class TrainingData(NamedTuple):
    """What trains, what the `val_` values are of, and what the choice is made on."""

    train: LocalizationDataset
    validation: LocalizationDataset | None
    held_out: LocalizationDataset | None


def training_data(
    localizer: Localizer,
    train: LocalizationDataset,
    validation: LocalizationDataset | None,
    with_choice: bool,
) -> TrainingData:
    """Matches the classes, holds images out and adds negatives where these are needed.

    Args:
        localizer: what will be trained.
        train, validation: of `train_localizer`.
        with_choice: whether a choice will be made.

    Raises:
        ValueError: for what is no dataset, unknown classes, no images to choose by,
            or none with room for a negative.
    """
    train = _matched(localizer, train, "train")
    held_out = validation
    if validation is not None:
        held_out = validation = _matched(localizer, validation, "validation")
        if localizer.num_classes is not None and localizer.class_names is None:
            held_out = validation = _as_in_training(validation, train)
    elif with_choice:
        train, held_out = train.split(HELD_OUT, seed=0)
    if held_out is not None and not len(held_out):
        raise ValueError(
            "`validation` must hold images. (Where it is None, a tenth of `train` is "
            f"held out for it.) Received: none, and {len(train)} images in `train`"
        )
    if localizer.presence and (train.presence > 0).all():
        train = _with_negatives(train)
    return TrainingData(train, validation, held_out)


def _matched(
    localizer: Localizer, data: LocalizationDataset, argument: str
) -> LocalizationDataset:
    """The dataset with the localizer's classes in the localizer's order."""
    check_dataset(data, argument)
    check_known_classes(localizer, data, argument)
    if localizer.num_classes is None or localizer.class_names is None:
        return data
    return data.with_class_names(localizer.class_names)


def _as_in_training(
    validation: LocalizationDataset, train: LocalizationDataset
) -> LocalizationDataset:
    """With the class ids of the training images: the localizer has no names."""
    check_used_classes(validation, "validation", train.class_names, "`train`")
    return validation.with_class_names(train.class_names)


def _with_negatives(train: LocalizationDataset) -> LocalizationDataset:
    """With images without an object, which a localizer with presence needs."""
    try:
        return with_hard_negatives(train)
    except ValueError as error:
        raise ValueError(
            "`train` must hold images without an object, because the localizer "
            f"predicts the presence, and none can be cut out of its images: {error}"
        ) from error
