"""The records of a large file that need no decision, all at once.

Readers make an `Annotation` of each record, and `decide` looks at each: a million of
them take minutes. Most records of most files are simple: an image that is there under
its own name, in a stated size, and good boxes. These are found here by columns.
Whatever is not simple goes the way of `Annotation`, which says what is wrong with it.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_localize.datasets.class_names import composed
from keras_localize.datasets.decisions import FRACTIONS, MAX_SIDE, TOLERANCE
from keras_localize.datasets.image_folder import ImageFolder
from keras_localize.datasets.policy import Policy
from keras_localize.datasets.validation import all_different

_STEP = 2**15
# Such as `a/b.jpg`.
_PLAIN = re.compile(r"(?:(?!\.\.?/)[^/\\:\0]+/)*(?!\.\.?$)[^/\\:\0]*[^/\\:\0\s]")


class Columns(NamedTuple):
    """The images of a file and their objects.

    Attributes:
        names: N file names of images.
        sizes: (N, 2) float64, the stated (height, width); NaN where there is none.
        image: (M,) integers in [0, N), the image of each object; in the file's order.
        corners: (M, 4) float64, half-open, in pixels, or fractions where `relative`;
            NaN for an object that is not simple.
        labels: (M,) integers in [0, C); -1 for an object that is not simple.
        class_names: C names.
        relative: whether `corners` are fractions.
    """

    names: list[str]
    sizes: np.ndarray
    image: np.ndarray
    corners: np.ndarray
    labels: np.ndarray
    class_names: list[str]
    relative: bool = False


class SimpleRecords(NamedTuple):
    """Records as `LocalizationDataset` takes them.

    Attributes:
        positions: (K,) the places of their images in the file, ascending.
        names: K names.
        paths: K paths.
        boxes: (K, 4) float64, in fractions of the image.
        labels: (K,) indices of the class names.
        class_names: the names, composed.
        sizes: (K, 2) integers, (height, width).
        several: (K,) whether the image has several objects.
    """

    positions: np.ndarray
    names: list[str]
    paths: list[str]
    boxes: np.ndarray
    labels: np.ndarray
    class_names: list[str]
    sizes: np.ndarray
    several: np.ndarray


def is_plain(name: str) -> bool:
    """Whether a file name is its own normal form, and leads into the folder."""
    return _PLAIN.fullmatch(name) is not None


def are_plain(names: Sequence[str]) -> bool:
    """Whether many names are plain, all of them; False where that is not sure."""
    text = "\n".join(["", *names, ""])
    return text.count("\n") == len(names) + 1 and not any(
        part in text
        for part in ("\\", ":", "\0", "//", "/.", "\n.", "\n/", "/\n", "\n\n", " \n")
    )


def simple_records(
    columns: Columns,
    folder: ImageFolder,
    policy: Policy,
    class_names: Sequence[str] | None,
) -> SimpleRecords:
    """The simple records among those of a file; see `decide` for what others need.

    Args:
        columns: the file.
        folder: where its images lie.
        policy: one that trusts stated sizes.
        class_names: the classes that there are; None: every name is one.
    """
    count = len(columns.names)
    # What is not finite is not simple.
    with np.errstate(all="ignore"):
        boxes, good = _in_fractions(columns)
    names = [composed(name) for name in columns.class_names]
    known = [class_names is None or name in class_names for name in names]
    # The last entry is what -1 finds.
    good &= np.array([*known, False])[columns.labels]
    objects = np.bincount(columns.image, minlength=count)
    simple = objects == np.bincount(columns.image[good], minlength=count)
    simple &= objects >= 1
    if policy.multiple not in ("largest", "first"):
        simple &= objects == 1
    sizes = columns.sizes
    simple &= ((sizes >= 1) & (sizes < MAX_SIDE)).all(axis=1)
    simple &= (sizes == np.floor(sizes)).all(axis=1)
    if not all_different(columns.names):
        uses = Counter(columns.names)
        simple &= [uses[name] == 1 for name in columns.names]
    # As `str(folder / name)`.
    beginning = str(folder.path / "x")[:-1]
    simple &= _are_files(columns.names, beginning)
    positions = np.flatnonzero(simple)
    chosen = _chosen(columns.image, boxes, policy, count)[positions]
    kept = [columns.names[position] for position in positions.tolist()]
    return SimpleRecords(
        positions=positions,
        names=kept,
        paths=[beginning + name.replace("/", os.sep) for name in kept],
        boxes=boxes[chosen],
        labels=columns.labels[chosen],
        class_names=names,
        sizes=sizes[positions].astype("int64"),
        several=objects[positions] > 1,
    )


def _are_files(names: Sequence[str], beginning: str) -> np.ndarray:
    """Which names are plain, and files behind `beginning`.

    Folders are listed, which is faster than to ask for every file.
    """
    found = np.zeros(len(names), bool)
    in_folder: dict[str, list[int]] = {}
    for start in range(0, len(names), _STEP):
        part = names[start : start + _STEP]
        sure = are_plain(part)
        for position, name in enumerate(part, start):
            if sure or is_plain(name):
                in_folder.setdefault(name.rpartition("/")[0], []).append(position)
    for folder, positions in in_folder.items():
        length = len(folder) + 1 if folder else 0
        try:
            with os.scandir(beginning + folder or ".") as entries:
                files = {entry.name for entry in entries if entry.is_file()}
        except OSError:
            continue
        for position in positions:
            found[position] = names[position][length:] in files
    return found


def _in_fractions(columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Every box in fractions of its image, and whether nothing is special about it."""
    corners = columns.corners
    x0, y0, x1, y1 = corners.T
    good = np.isfinite(corners).all(axis=1) & (x0 < x1) & (y0 < y1)
    boxes = corners
    if not columns.relative:
        sizes = columns.sizes[columns.image]
        good &= (np.maximum(x1, y1) > FRACTIONS) | (sizes.min(axis=1) / 4 <= FRACTIONS)
        good &= np.maximum(x1 - x0, y1 - y0) >= 1
        boxes = corners / sizes[:, [1, 0, 1, 0]]
    good &= (boxes.min(axis=1) >= -TOLERANCE) & (boxes.max(axis=1) <= 1 + TOLERANCE)
    good &= boxes[:, :2].max(axis=1) < 1 - TOLERANCE
    good &= boxes[:, 2:].min(axis=1) > TOLERANCE
    boxes = np.clip(boxes, 0, 1)
    stored = boxes.astype("float32")
    good &= (stored[:, :2] < stored[:, 2:]).all(axis=1)
    return boxes, good


def _chosen(
    image: np.ndarray, boxes: np.ndarray, policy: Policy, count: int
) -> np.ndarray:
    """Which object of each image is taken; of one without any, any."""
    if policy.multiple == "largest":
        x0, y0, x1, y1 = boxes.T
        order = np.lexsort((-((x1 - x0) * (y1 - y0)), image))
    else:
        order = np.argsort(image, kind="stable")
    chosen = np.zeros(count, "int64")
    # Backwards, so that the first of each image is written last.
    chosen[image[order[::-1]]] = order[::-1]
    return chosen
