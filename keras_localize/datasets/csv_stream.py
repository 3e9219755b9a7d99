"""A CSV table as columns: read once from start to end, without keeping its cells."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from keras_localize.boxes.formats import as_corners, is_relative
from keras_localize.datasets.annotation import AnnotatedObject
from keras_localize.datasets.annotation_files import image_name
from keras_localize.datasets.csv_columns import Column, Columns, find_columns
from keras_localize.datasets.csv_table import Row, Table
from keras_localize.datasets.csv_units import HIGHEST, LOWEST
from keras_localize.datasets.csv_via import is_via
from keras_localize.datasets.simple_records import Columns as Parts
from keras_localize.datasets.simple_records import are_plain, is_plain

# At a time; of more of them the garbage collector would visit each several times.
_ROWS = 2**10


class ColumnRows:
    """Reads the rows of a table that is there as columns; see `csv_rows.BoxRows`.

    Args:
        parts: what the table holds.
        lines: (M,) the line of each object.
        columns: which of its columns holds what.

    Attributes:
        rows: the rows of the images that were not left out; their cells are the
            image's name and the number of the object.
    """

    image = 0

    def __init__(self, parts: Parts, lines: np.ndarray, columns: Columns) -> None:
        self.parts = parts
        self.lines = lines
        self.columns = columns
        self._kept = np.ones(len(parts.names), bool)

    def class_names(self) -> set[str]:
        """All that the rows have as a class."""
        return set(self.parts.class_names)

    def rename(self, names: dict[str, str]) -> None:
        """Gives classes other names."""
        renamed = [names[name] for name in self.parts.class_names]
        self.parts = self.parts._replace(class_names=renamed)

    def leave_out(self, images: np.ndarray) -> None:
        """Leaves the rows of these images out."""
        self._kept[images] = False

    @property
    def rows(self) -> Iterator[Row]:
        image = self.parts.image
        for number in np.flatnonzero(self._kept[image]).tolist():
            name = self.parts.names[image[number]]
            yield int(self.lines[number]), [name, str(number)]

    def object(self, line: int, cells: list[str]) -> tuple[AnnotatedObject, None]:
        parts, number = self.parts, int(cells[1])
        label = parts.class_names[parts.labels[number]]
        x0, y0, x1, y1 = parts.corners[number].tolist()
        return AnnotatedObject(
            label, (x0, y0, x1, y1), parts.relative, f"line {line}"
        ), None

    def size(self, line: int, cells: list[str]) -> tuple[float, float]:
        height, width = self.parts.sizes[self.parts.image[int(cells[1])]].tolist()
        return height, width


def column_rows(
    path: Path,
    given: dict[str, tuple[Column, ...]],
    bounding_box_format: str | None,
    only_class: str | None,
    max_bytes: int,
) -> ColumnRows | None:
    """The rows of a table as columns, or None where the table is not a plain one.

    A plain one is separated by commas, states the size of every image, has a class
    and four numbers in every row, and its numbers say what their unit is. What is
    wrong with another, `read_table` and `BoxRows` say.

    Args:
        path: the table.
        given: the columns that the user names, as `check_columns` gives them.
        bounding_box_format: the user's, or None.
        only_class: as `find_columns` takes it.
        max_bytes: a larger table is left to `read_table`, which refuses it.
    """
    try:
        if path.stat().st_size > max_bytes:
            return None
        with open(path, encoding="utf-8-sig", newline="") as file:
            return _read(path, file, given, bounding_box_format, only_class)
    except (OSError, ValueError, csv.Error):
        return None


def _read(
    path: Path,
    file: TextIO,
    given: dict[str, tuple[Column, ...]],
    bounding_box_format: str | None,
    only_class: str | None,
) -> ColumnRows | None:
    reader = csv.reader(file, skipinitialspace=True, strict=True)
    first = [cell.strip() for cell in next(reader, [])]
    # Another separator than the comma is found by `read_table`.
    if len(first) < 2 or first[0].startswith("sep=") or {*";\t"} & {*"".join(first)}:
        return None
    head = Table(path, [(reader.line_num, first)], ",", False)
    if is_via(head):
        return None
    found = find_columns(head, given, bounding_box_format, only_class)
    if found.size is None:
        return None
    rows = ((reader.line_num, cells) for cells in reader if cells)
    if not found.header:
        rows = itertools.chain(head.rows, rows)
    images: dict[str, int] = {}
    classes: dict[str, int] = {}
    parts: list[tuple[np.ndarray, ...]] = []
    while chunk := list(itertools.islice(rows, _ROWS)):
        parts.append(_part(chunk, found, images, classes))
    if not parts:
        return None
    lines, image, labels, numbers = (np.concatenate(each) for each in zip(*parts))
    del parts
    values = numbers[:, :4]
    with np.errstate(all="ignore"):
        corners = np.stack(as_corners(values.T, found.layout), axis=1)
    # The images are numbered in the order in which they come first.
    first_rows = np.flatnonzero(np.diff(np.maximum.accumulate(image), prepend=-1))
    found_parts = Parts(
        names=list(images),
        sizes=numbers[first_rows, 4:],
        image=image,
        corners=corners,
        labels=labels,
        class_names=list(classes),
        relative=_in_fractions(values, corners, found, bounding_box_format),
    )
    return ColumnRows(found_parts, lines, found)


def _part(
    chunk: list[Row],
    found: Columns,
    images: dict[str, int],
    classes: dict[str, int],
) -> tuple[np.ndarray, ...]:
    """Some rows as columns; ValueError where they are not plain.

    Args:
        chunk: lines and cells.
        found: what the columns hold.
        images: name -> number; takes up new ones.
        classes: the same.
    """
    assert found.size is not None
    lines, rows = zip(*chunk)
    if set(map(len, rows)) != {len(found.names)}:
        raise ValueError("rows of different lengths")
    columns = list(zip(*rows))
    names = list(map(str.strip, columns[found.image]))
    if not are_plain(names):
        names = [name if is_plain(name) else image_name(name) for name in names]
    labels = [found.only_class] * len(rows)
    if found.label is not None:
        labels = list(map(str.strip, columns[found.label]))
    for label in dict.fromkeys(labels):
        classes.setdefault(label, len(classes))
    if "" in names or "" in labels:
        raise ValueError("a cell is empty")
    chosen = (*found.box, *found.size)
    numbers = np.empty((len(rows), len(chosen)))
    for place, number in enumerate(chosen):
        numbers[:, place] = np.fromiter(map(float, columns[number]), float, len(rows))
    if not np.isfinite(numbers).all():
        raise ValueError("a number is not finite")
    return (
        np.array(lines, "int32"),
        np.array([images.setdefault(n, len(images)) for n in names], "int32"),
        np.array([classes[label] for label in labels], "int32"),
        numbers,
    )


def _in_fractions(
    values: np.ndarray,
    corners: np.ndarray,
    found: Columns,
    bounding_box_format: str | None,
) -> bool:
    """As `csv_units.in_fractions`; ValueError where that has to look closer."""
    if bounding_box_format is not None:
        return is_relative(bounding_box_format)
    has_area = (corners[:, :2] < corners[:, 2:]).all(axis=1)
    pixels = (values.min(axis=1) < LOWEST) | (values.max(axis=1) > HIGHEST)
    fractions = ~pixels & (values % 1 != 0).any(axis=1)
    pixels, fractions = ((kind & has_area).any() for kind in (pixels, fractions))
    if pixels == fractions or (fractions and not found.header):
        raise ValueError("the unit is not clear")
    return bool(fractions)
