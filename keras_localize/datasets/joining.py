"""Two datasets into one: united classes, and names that stay different."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_localize.types import Region


def united(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """The class names of both, those of the first first."""
    return tuple(dict.fromkeys([*first, *second]))


def relabeled(
    labels: np.ndarray, class_names: Sequence[str], wanted: Sequence[str]
) -> np.ndarray:
    """Class ids of one list of names as ids of another, by name.

    Args:
        labels: integer array (N,) of ids in `class_names`; -1, no object, stays.
        class_names: what the ids mean.
        wanted: what they shall mean, different names.

    Raises:
        ValueError: for a class with records that `wanted` does not hold, or for a name
            that `wanted` holds twice; it names both lists.
    """
    ids = {name: i for i, name in enumerate(wanted)}
    used = np.unique(labels[labels >= 0])
    missing = [class_names[i] for i in used if class_names[i] not in ids]
    if missing or len(ids) < len(wanted):
        problem = f"{missing} are missing" if missing else "a name occurs twice"
        raise ValueError(
            f"`class_names` must hold each class of the records once; {problem}. "
            f"Received: class_names={list(wanted)} for a dataset of the classes "
            f"{list(class_names)}"
        )
    # The last entry is what -1 finds.
    return np.array([*(ids.get(name, -1) for name in class_names), -1])[labels]


def distinct_names(
    first: tuple[Sequence[str], Sequence[str | np.ndarray | Region]],
    second: tuple[Sequence[str], Sequence[str | np.ndarray | Region]],
) -> tuple[list[str], list[str]]:
    """Names for the records of two datasets, different from each other.

    A name that both have gets the name of its folder in front; what is still the same
    then gets a number behind it.

    Args:
        first: names and images of one dataset.
        second: those of the other.
    """
    common = set(first[0]) & set(second[0])
    taken = set(first[0]) ^ set(second[0])

    def distinct(name: str, image: str | np.ndarray | Region) -> str:
        if name not in common:
            return name
        stem = candidate = _in_folder(name, image)
        number = 1
        while candidate in taken:
            number += 1
            candidate = f"{stem}-{number}"
        taken.add(candidate)
        return candidate

    return list(map(distinct, *first)), list(map(distinct, *second))


def _in_folder(name: str, image: str | np.ndarray | Region) -> str:
    """`folder/name`, where `folder` is the one that holds the named path."""
    if not isinstance(image, str) or name == image:
        return name
    path, below = Path(image), Path(name)
    # Names are often paths below the folder that was read, "cat/1.jpg".
    named = path.parts[-len(below.parts) :] == below.parts
    folder = path.parents[len(below.parts) - 1] if named else path.parent
    return f"{folder.name}/{name}" if folder.name else name
