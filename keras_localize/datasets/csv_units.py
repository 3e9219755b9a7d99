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

    A box with a number beyond [-1, 2] is in pixels. Any other is in fractions, unless
    its numbers are whole and one is not 0 or 1: such a box fits both units and does
    not decide. Boxes without an area do not decide either. Without a header, pixels
    are promised.

    Raises:
        AnnotationError: where boxes of both units occur, where none decides, or where
            fractions stand where pixels are promised.
    """
    pixels = fractions = either = None
    for place, box in _boxes(table, columns):
        if not fits_fractions(box):
            pixels = pixels or (place, box)
        elif all(value in (0, 1) for value in box) or any(value % 1 for value in box):
            fractions = fractions or (place, box)
        else:
            either = either or (place, box)
        if pixels and fractions:
            break
    hint = _HINT.format(columns.layout, columns.layout)
    if not columns.header:
        if fractions and not pixels:
            raise AnnotationError(
                table.path,
                "fractions where pixels are expected",
                field=fractions[0],
                expected=f"boxes in pixels, or {hint}",
                received=fractions[1],
            )
        return False
    if pixels and fractions:
        raise AnnotationError(
            table.path,
            "boxes in pixels and in fractions",
            field=fractions[0],
            expected=f"one unit in the whole table, or {hint}",
            received=dict([fractions, pixels]),
        )
    if either and not pixels and not fractions:
        raise AnnotationError(
            table.path,
            "unit of the boxes unclear",
            field=either[0],
            expected=hint,
            received=either[1],
        )
    return fractions is not None


def fits_fractions(box: list[float]) -> bool:
    """Whether the four numbers of a box can be fractions of an image's sides."""
    return all(LOWEST <= value <= HIGHEST for value in box)


def _boxes(table: Table, columns: Columns) -> Iterator[tuple[str, list[float]]]:
    """The boxes that have an area, each with its place in the table."""
    last = max(columns.box)
    for line, cells in table.rows[columns.header :]:
        if last >= len(cells):
            continue
        box = table.numbers([cells[number] for number in columns.box])
        if box is None:
            continue
        x0, y0, x1, y1 = as_corners(box, columns.layout)
        if x0 < x1 and y0 < y1:
            yield f"line {line}", box
