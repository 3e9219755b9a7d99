"""An argument that must be a dataset."""

from typing import Any

from keras_localize.datasets.dataset import LocalizationDataset


def check_dataset(value: Any, argument: str) -> LocalizationDataset:
    """`value`, or a ValueError that names `argument` where it is no dataset."""
    if not isinstance(value, LocalizationDataset):
        raise ValueError(
            f"`{argument}` must be a LocalizationDataset, not the batches that are "
            f"made of one. Received: {type(value).__name__}"
        )
    return value


def check_filled(value: Any, argument: str) -> LocalizationDataset:
    """As `check_dataset`, and a ValueError for a dataset without images too."""
    if len(check_dataset(value, argument)) == 0:
        raise ValueError(f"`{argument}` must hold images. Received: an empty dataset")
    return value
