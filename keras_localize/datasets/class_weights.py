"""Weights of the labels from weights of the classes."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np

ClassWeight: TypeAlias = (
    Literal["balanced"]
    | Mapping[int, float]
    | Mapping[str, float]
    | Mapping[int | str, float]
    | None
)


def class_weights(
    labels: np.ndarray, class_names: Sequence[str], class_weight: ClassWeight
) -> np.ndarray:
    """One float32 weight per class, (K,), from `class_weight`.

    Args:
        labels: int array (N,) of the records; -1 for no object.
        class_names: the classes in the order of their ids.
        class_weight: None: all 1; `"balanced"`: N / (classes present * records of
            the class), whose mean over the N records with a class is 1; or a dict
            from class id or class name to weight, 1 for a class it does not hold.

    Raises:
        ValueError: for anything else, an unknown class or a negative weight.
    """
    weights = np.ones(len(class_names), "float64")
    if class_weight is None:
        pass
    elif isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(labels[labels >= 0], minlength=len(class_names))
        present = counts > 0
        weights[present] = counts.sum() / (present.sum() * counts[present])
    elif isinstance(class_weight, Mapping):
        ids: dict[int | str, int | str] = {
            name: i for i, name in enumerate(class_names)
        }
        for key, value in class_weight.items():
            index = ids.get(key, key)
            known = isinstance(index, (int, np.integer)) and 0 <= index < len(weights)
            number = isinstance(value, (int, float, np.number))
            if not (known and number and np.isfinite(value) and value >= 0):
                raise ValueError(
                    "`class_weight` must map class ids or names to weights >= 0; "
                    f"there are {len(weights)} classes. "
                    f"Received: {{{key!r}: {value!r}}}"
                )
            weights[index] = value
    else:
        raise ValueError(
            '`class_weight` must be None, "balanced" or a dict from class to weight. '
            f"Received: class_weight={class_weight!r}"
        )
    return weights.astype("float32")
