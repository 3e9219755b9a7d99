"""Whether the boxes of a table are in pixels or in fractions of the image's sides."""

from collections.abc import Iterator

from keras_localize.boxes.formats import as_corners
from keras_localize.datasets.csv_columns import Columns
from keras_localize.datasets.csv_table import Table
from keras_localize.datasets.errors import AnnotationError

# A box in fractions may reach over the border, but not by more than the image.
LOWEST, HIGHEST = -1.0, 2.0

_HINT = 'bounding_box_format="{}" or bounding_box_format="rel_{}"'


def in_fractions(table: Table, columns: Columns) -> bool:
    """Whether the boxes of a table are in fractions, decided for the whole table.

    A box with a number beyond [-1, 2] is in pixels. Any other box with a number that
    is not whole is in fractions. Boxes of whole numbers do not decide, unless there
    are no others and each is the whole image, (0, 0, 1, 1): fractions. Boxes without
    an area never decide. Without a header, pixels are promised.

    Raises:
        AnnotationError: where boxes of both units occur, where none decides, or where
            fractions stand where pixels are promised.
    """
    pixels = fractions = whole = either = None
    for line, box in _boxes(table, columns):
        if min(box) < LOWEST or max(box) > HIGHEST:
            pixels = pixels or (line, box)
        elif any(value % 1 for value in box):
            fractions = fractions or (line, box)
        elif min(box) < 0 or max(box) > 1:
            either = either or (line, box)
        else:
            whole = whole or (line, box)
        if pixels and fractions:
            break
    hint = _HINT.format(columns.layout, columns.layout)
    small = fractions or whole
    if small and not pixels and not columns.header:
        raise AnnotationError(
            table.path,
            "fractions where pixels are expected",
            field=f"line {small[0]}",
            expected=f"boxes in pixels, or {hint}",
            received=small[1],
        )
    if pixels and fractions and columns.header:
        raise AnnotationError(
            table.path,
            "boxes in pixels and in fractions",
            field=f"line {fractions[0]}",
            expected=f"one unit in the whole table, or {hint}",
            received={f"line {line}": box for line, box in (fractions, pixels)},
        )
    if either and not pixels and not fractions and columns.header:
        raise AnnotationError(
            table.path,
            "unit of the boxes unclear",
            field=f"line {either[0]}",
            expected=hint,
            received=either[1],
        )
    return columns.header and not pixels and small is not None


def _boxes(table: Table, columns: Columns) -> Iterator[tuple[int, list[float]]]:
    """The boxes that have an area, each with its line."""
    last = max(columns.box)
    for line, cells in table.rows[columns.header :]:
        if last >= len(cells):
            continue
        box = table.numbers([cells[number] for number in columns.box])
        if box is None:
            continue
        x0, y0, x1, y1 = as_corners(box, columns.layout)
        if x0 < x1 and y0 < y1:
            yield line, box
