"""The CSV of VGG Image Annotator: a row for each region, its shape in a JSON cell."""

import json
import math
from typing import Any

from keras_localize.datasets.annotation import AnnotatedObject, Corners, hull
from keras_localize.datasets.annotation_files import finite
from keras_localize.datasets.csv_columns import LABEL_NAMES, Columns, plain
from keras_localize.datasets.csv_table import Table, cell_at
from keras_localize.datasets.errors import AnnotationError

_NOTES = {
    "polygon": "box around a polygon",
    "polyline": "box around a polygon",
    "circle": "box around an ellipse",
    "ellipse": "box around an ellipse",
}
_SHAPE, _ATTRIBUTES = "region_shape_attributes", "region_attributes"


def is_via(table: Table) -> bool:
    """Whether the first row is the header of VGG Image Annotator, version 1 or 2."""
    names = table.rows[0][1]
    return _SHAPE in names and _ATTRIBUTES in names


class ViaRows:
    """Reads the rows of such a table; see `csv_rows.BoxRows`.

    Args:
        table: the table.
        attribute: the region's attribute that holds its class. None: the only one
            that occurs, or the first of `LABEL_NAMES` that does.
        only_class: the class of all regions where none has an attribute, or None.

    Attributes:
        columns: the image's column, as other tables have it.
    """

    def __init__(
        self, table: Table, attribute: str | None, only_class: str | None = None
    ) -> None:
        names = table.rows[0][1]
        plain_names = [plain(name) for name in names]
        if "filename" not in plain_names:
            raise AnnotationError(
                table.path,
                "no column for the image",
                expected="filename",
                received=names,
            )
        self.table = table
        self.rows = table.rows[1:]
        self.image = plain_names.index("filename")
        self.columns = Columns(self.image, None, (), None, "xyxy", names, header=True)
        self._shape, self._attributes = names.index(_SHAPE), names.index(_ATTRIBUTES)
        found = self._found_attributes()
        self.attribute = attribute or self._guess_attribute(found)
        # Where a region has an attribute, one without it is an error.
        self._only_class = only_class if not (attribute or found) else None

    def object(
        self, line: int, cells: list[str]
    ) -> tuple[AnnotatedObject | None, str | None]:
        """The region of a row, None for an image without one; and a note."""
        place = f"line {line}: {_SHAPE}"
        shape = self._json(cells, self._shape, place)
        if not shape:
            return None, None
        attributes = f"line {line}: {_ATTRIBUTES}"
        values = self._json(cells, self._attributes, attributes)
        label = self._only_class or _label(values.get(self.attribute))
        if not label:
            raise AnnotationError(
                self.table.path,
                "missing label",
                field=attributes,
                expected=f"{self.attribute}, or another one as `columns['label']`",
                received=values,
            )
        corners = self._corners(shape, place)
        note = _NOTES.get(shape["name"])
        return AnnotatedObject(label, corners, field=place), note

    def size(self, line: int, cells: list[str]) -> None:
        """The table does not state the images' sizes."""

    def _corners(self, shape: dict[str, Any], place: str) -> Corners | None:
        """The smallest box around a shape; None for a point."""

        def numbers(*keys: str) -> list[float]:
            return [self._number(shape.get(key), place) for key in keys]

        kind = shape.get("name")
        if kind == "rect":
            x, y, width, height = numbers("x", "y", "width", "height")
            return x, y, x + width, y + height
        if kind == "circle":
            return _around_ellipse(*numbers("cx", "cy", "r", "r"))
        if kind == "ellipse":
            angle = numbers("theta") if "theta" in shape else []
            return _around_ellipse(*numbers("cx", "cy", "rx", "ry"), *angle)
        if kind in ("polygon", "polyline"):
            return hull(zip(*(self._points(shape, axis, place) for axis in "xy")))
        if kind == "point":
            return None
        raise AnnotationError(
            self.table.path,
            "unknown shape",
            field=place,
            expected="rect, circle, ellipse, polygon, polyline or point",
            received=kind,
        )

    def _points(self, shape: dict[str, Any], axis: str, place: str) -> list[float]:
        values = shape.get(f"all_points_{axis}")
        if not isinstance(values, list) or not values:
            raise AnnotationError(
                self.table.path,
                "malformed shape",
                field=place,
                expected=f"a list all_points_{axis}",
                received=shape,
            )
        return [self._number(value, place) for value in values]

    def _number(self, value: Any, place: str) -> float:
        # JSON has a decimal point whatever the table's decimal mark.
        return finite(
            None if isinstance(value, bool) else value, self.table.path, place
        )

    def _json(self, cells: list[str], column: int, place: str) -> dict[str, Any]:
        text = cell_at(cells, column)
        try:
            content = json.loads(text or "{}")
        except (ValueError, RecursionError) as error:
            raise AnnotationError(
                self.table.path, "not JSON", field=place, received=text
            ) from error
        if not isinstance(content, dict):
            raise AnnotationError(
                self.table.path,
                "not JSON",
                field=place,
                expected="an object in braces",
                received=text,
            )
        return content

    def _found_attributes(self) -> list[str]:
        found: dict[str, None] = {}
        for _, cells in self.rows:
            try:
                found.update(dict.fromkeys(self._json(cells, self._attributes, "")))
            except AnnotationError:
                continue
        return list(found)

    def _guess_attribute(self, found: list[str]) -> str:
        by_name = {plain(key): key for key in reversed(found)}
        known = [by_name[name] for name in LABEL_NAMES if name in by_name]
        if len(found) == 1 or not found:
            return next(iter(found), LABEL_NAMES[0])
        if known:
            return known[0]
        raise AnnotationError(
            self.table.path,
            "no attribute for the label",
            field=_ATTRIBUTES,
            expected='its name, as in columns={"label": "species"}',
            received=found,
        )


def _label(value: Any) -> str:
    """A text, a number, or the one choice that is ticked; else empty."""
    if isinstance(value, dict):
        ticked = [key for key, on in value.items() if on]
        return ticked[0].strip() if len(ticked) == 1 else ""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value).strip()
    return ""


def _around_ellipse(
    x: float, y: float, radius: float, other: float, angle: float = 0.0
) -> Corners:
    """The box of an ellipse, turned by `angle` in radians."""
    cosine, sine = math.cos(angle), math.sin(angle)
    half_width = math.hypot(radius * cosine, other * sine)
    half_height = math.hypot(radius * sine, other * cosine)
    return x - half_width, y - half_height, x + half_width, y + half_height
