"""The rows of a table whose columns hold one box each."""

from keras_localize.boxes.formats import as_corners, is_relative
from keras_localize.datasets.annotation import AnnotatedObject
from keras_localize.datasets.csv_columns import Columns
from keras_localize.datasets.csv_table import Table, cell_at
from keras_localize.datasets.csv_units import in_fractions
from keras_localize.datasets.errors import AnnotationError


class BoxRows:
    """Reads the rows of a table.

    Args:
        table: the table.
        columns: what its columns hold.
        bounding_box_format: the user's, or None: decided by the numbers.

    Attributes:
        rows: the rows, without the header.
        image: the number of the column that names the image.
    """

    def __init__(
        self, table: Table, columns: Columns, bounding_box_format: str | None
    ) -> None:
        self.table = table
        self.columns = columns
        if bounding_box_format is None:
            self.relative = in_fractions(table, columns)
        else:
            self.relative = is_relative(bounding_box_format)
        self.rows = table.rows[columns.header :]
        self.image = columns.image
        self._renamed: dict[str, str] = {}
        if not self.rows:
            raise AnnotationError(table.path, "empty table", expected="rows")

    def class_names(self) -> set[str]:
        """All that the rows have as a class."""
        label = self.columns.label
        if label is None:
            return {self.columns.only_class}
        return {cell_at(cells, label) for _, cells in self.rows} - {""}

    def rename(self, names: dict[str, str]) -> None:
        """Gives classes other names."""
        self._renamed = names

    def object(
        self, line: int, cells: list[str]
    ) -> tuple[AnnotatedObject | None, str | None]:
        """The object of a row, None if it has neither class nor box; and a note."""
        columns, place = self.columns, f"line {line}"
        width = len(columns.names)
        if any(cells[width:]):
            raise AnnotationError(
                self.table.path,
                "more cells than columns",
                field=place,
                expected=(
                    f"{width}; a cell that holds the separator needs quotes, decimal "
                    "commas need another separator"
                ),
                received=cells,
            )
        box = [cell_at(cells, number) for number in columns.box]
        last = max(columns.box)
        if columns.label is None:
            label = columns.only_class if any(box) else ""
        else:
            cell = cell_at(cells, columns.label)
            label = self._renamed.get(cell, cell)
            last = max(last, columns.label)
        if not label and not any(box) and len(cells) > last:
            return None, None
        if not label:
            raise AnnotationError(
                self.table.path,
                "missing label",
                field=f"{place}: {columns.label_name}",
                received=label,
            )
        if not any(box):
            return AnnotatedObject(label, field=place), None
        values = self._numbers(box, columns.box, place)
        corners = as_corners(values, columns.layout)
        return AnnotatedObject(label, corners, self.relative, place), None

    def size(self, line: int, cells: list[str]) -> tuple[float, float] | None:
        """The (height, width) that a row states, or None."""
        if self.columns.size is None:
            return None
        size = [cell_at(cells, number) for number in self.columns.size]
        if not all(size):
            return None
        height, width = self._numbers(size, self.columns.size, f"line {line}")
        return height, width

    def _numbers(
        self, cells: list[str], columns: tuple[int, ...], place: str
    ) -> list[float]:
        numbers = self.table.numbers(cells)
        if numbers is not None:
            return numbers
        return [  # raises the error of the first that is wrong
            self.table.number(cell, f"{place}: {self.columns.names[number]}")
            for cell, number in zip(cells, columns)
        ]
