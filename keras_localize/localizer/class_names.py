"""How many classes a label output tells apart, and what they are called."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_localize.checks import check_positive_int
from keras_localize.datasets import LocalizationDataset
from keras_localize.datasets.class_names import composed

ClassNames = Sequence[str] | Mapping[int, str]


def count_classes(units: int, class_names: Sequence[str] | None) -> int:
    """Number of classes that a label output of `units` units tells apart.

    One unit is a sigmoid between two classes, unless a single name says that there is
    one class only.
    """
    if units == 1 and (class_names is None or len(class_names) == 2):
        return 2
    return units


def check_num_classes(num_classes: Any) -> int | None:
    """`num_classes` as an int or None; ValueError for anything else."""
    return (
        None if num_classes is None else check_positive_int(num_classes, "num_classes")
    )


def check_class_names(
    num_classes: int | None, class_names: ClassNames | None
) -> tuple[str, ...] | None:
    """`class_names` as a tuple in the order of the ids, or None.

    Raises:
        ValueError: for what is neither a list of different names nor a dict from id
            to name, ids that are not 0 to N - 1, or another number of names.
    """
    if class_names is None:
        return None
    if isinstance(class_names, Mapping):
        class_names = _in_order(class_names)
    if isinstance(class_names, str) or not isinstance(
        class_names, (Sequence, np.ndarray)
    ):
        raise ValueError(
            "`class_names` must be a list of names or a dict from class id to name. "
            f"Received: class_names={class_names!r}"
        )
    # Composed, as the readers give them: equal names are equal strings.
    names = tuple(composed(str(name)) for name in class_names)
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ValueError(
            f"`class_names` must differ from each other. Received {repeated[0]!r} twice"
        )
    allowed = (1, 2) if num_classes == 1 else (num_classes,)
    if num_classes is not None and len(names) not in allowed:
        raise ValueError(
            f"`class_names` must be {' or '.join(map(str, allowed))} names for "
            f"num_classes={num_classes}. Received: {len(names)} names"
        )
    return names


def check_same_classes(model: Any, data: Any, argument: str) -> None:
    """Refuses batches whose class ids mean other classes than the model's.

    Args:
        model: its `class_names`, if it has any, say what the ids mean.
        data: the same; batches that do not say it are taken as they are.
        argument: what the error calls `data`.
    """
    own, given = (getattr(x, "class_names", None) for x in (model, data))
    if own is None or given is None:
        return
    if tuple(given) != tuple(own[: len(given)]):
        raise ValueError(
            f"`{argument}` must have the model's classes in the same order: "
            f"{', '.join(own)} (LocalizationDataset.with_class_names gives them "
            f"this order). Received: {', '.join(given)}"
        )


def check_known_classes(
    localizer: Any, dataset: LocalizationDataset, argument: str
) -> None:
    """Refuses a dataset with images of a class that the localizer does not know.

    Args:
        localizer: its `num_classes` and `class_names` say what it knows.
        dataset: the images.
        argument: what the error calls `{argument}`.
    """
    if localizer.num_classes is None:
        return
    if localizer.class_names is None:
        count = max(localizer.num_classes, 2)
        if len(dataset.class_names) > count:
            raise ValueError(
                f"`{argument}` must have the localizer's {count} classes. Received: "
                f"a dataset with {len(dataset.class_names)} classes"
            )
        return
    check_used_classes(dataset, argument, localizer.class_names, "the localizer")


def check_used_classes(
    dataset: LocalizationDataset, argument: str, known: Sequence[str], by: str
) -> None:
    """Refuses a dataset with images of a class that is none of `known`.

    Args:
        dataset: the images.
        argument: what the error calls `dataset`.
        known: names of classes.
        by: what the error says knows these.
    """
    used = {dataset.class_names[label] for label in set(dataset.labels) if label >= 0}
    missing = sorted(used.difference(known))
    if missing:
        raise ValueError(
            f"`{argument}` has images of {', '.join(missing)}, which {by} "
            f"does not know. Its classes: {', '.join(known)}. "
            f"Received: a dataset with the classes {', '.join(dataset.class_names)}"
        )


def _in_order(names: Mapping[int, str]) -> list[str]:
    if sorted(names, key=str) != sorted(range(len(names)), key=str):
        raise ValueError(
            f"`class_names` must have the ids 0 to {len(names) - 1} as keys. Received: "
            f"class_names={dict(names)!r}"
        )
    return [names[label] for label in range(len(names))]


def name_of_id(label: int | None, class_names: Sequence[str]) -> str:
    """The name of a class id, as answers without class names have it alone."""
    if label is not None and 0 <= label < len(class_names):
        return str(class_names[label])
    return f"class {label}"
