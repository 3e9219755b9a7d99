"""A CSV file as rows of cells: encoding, separator, quotes, decimal marks."""

import csv
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from keras_localize.datasets.annotation_files import finite, read_text
from keras_localize.datasets.errors import AnnotationError

# A row's line in the file, from 1, and its cells.
Row: TypeAlias = tuple[int, list[str]]

# The first of them wins a tie: in `0,5;1,5` the comma is a decimal mark.
_SEPARATORS = ("\t", ";", ",")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")


@dataclass(frozen=True)
class Table:
    """The rows of a CSV file, its header among them if there is one.

    Attributes:
        path: the file.
        rows: the rows that are not empty; cells have no space around them.
        separator: what stands between two cells.
        decimal_comma: whether numbers have a comma as their decimal mark.
    """

    path: Path
    rows: list[Row]
    separator: str
    decimal_comma: bool

    def number(self, cell: str, place: str) -> float:
        """A cell as a finite number, or an AnnotationError that names `place`."""
        if self.decimal_comma and "." in cell:
            raise AnnotationError(
                self.path,
                "decimal point among decimal commas",
                field=place,
                expected="one decimal mark in the whole table",
                received=cell,
            )
        if self.separator == "," and _DECIMAL_COMMA.fullmatch(cell):
            raise AnnotationError(
                self.path,
                "decimal comma in a table separated by commas",
                field=place,
                expected="a decimal point, or a table separated by semicolons or tabs",
                received=cell,
            )
        text = cell.replace(",", ".") if self.decimal_comma else cell
        return finite(text, self.path, place)

    def numbers(self, cells: list[str]) -> list[float] | None:
        """Cells as finite numbers, or None where `number` raises for one of them."""
        if self.decimal_comma:
            if any("." in cell for cell in cells):
                return None
            cells = [cell.replace(",", ".") for cell in cells]
        try:
            numbers = [float(cell) for cell in cells]
        except ValueError:
            return None
        return numbers if all(map(math.isfinite, numbers)) else None


def read_table(path: Path, max_bytes: int) -> Table:
    """Reads a CSV file: UTF-8, separated by comma, semicolon or tab.

    The separator is the one that cuts the first line into the most cells, or the
    one that a first line like Excel's `sep=;` names.

    Raises:
        AnnotationError: for a file that is missing, empty, too large, or no CSV.
    """
    text = read_text(path, max_bytes)
    stated = re.match(r"sep=([,;|\t])\r?\n", text)
    if stated:
        separator = stated[1]
        # The line stays, empty: errors count lines.
        text = text[stated.end() - 1 :]
    else:
        separator = _separator(text)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        skipinitialspace=True,
        strict=True,  # else an open quote takes the rest of the file as one cell
    )
    rows: list[Row] = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise AnnotationError(
            path, "not CSV", field=f"line {reader.line_num}", received=str(error)
        ) from error
    if not rows:
        raise AnnotationError(path, "empty table", expected="rows")
    decimal_comma = separator != "," and any(
        _DECIMAL_COMMA.fullmatch(cell) for _, cells in rows for cell in cells
    )
    return Table(path, rows, separator, decimal_comma)


def cell_at(cells: list[str], number: int) -> str:
    """A cell of a row, "" where the row is shorter."""
    return cells[number] if number < len(cells) else ""


def is_number(cell: str) -> bool:
    """Whether a cell holds a number, with whichever decimal mark."""
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _separator(text: str) -> str:
    start = re.search(r"\S[^\r\n]*", text)
    line = [start[0]] if start else [""]

    def cells(separator: str) -> int:
        # Cells of one line cannot be too many, but one of them can be too long.
        try:
            return len(next(csv.reader(line, delimiter=separator)))
        except csv.Error:
            return 0

    return max(_SEPARATORS, key=cells)
