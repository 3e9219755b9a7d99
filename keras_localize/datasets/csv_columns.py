"""Which column of a table holds what: the image, the class, the box, the size."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from keras_localize.checks import check_choice
from keras_localize.datasets.csv_table import Table, is_number
from keras_localize.datasets.errors import AnnotationError
from keras_localize.images.listing import is_image
from keras_localize.types import BoundingBoxFormat

# A column's name, or its number from 0; negative numbers count from the end.
Column: TypeAlias = str | int

# Names are compared without case, spaces and punctuation; the first found is taken.
IMAGE_NAMES = (
    *("filename", "file", "filepath", "image", "imagename", "imagefile", "imagepath"),
    *("imageid", "img", "imgpath", "path"),
)
LABEL_NAMES = (
    *("class", "label", "classname", "labelname", "category", "categoryname"),
    *("name", "classid"),
)
_CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x0", "y0", "x1", "y1"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
)
_SIDES = (("w", "h"), ("width", "height"))
_ORIGINS = (("x", "y"), ("xmin", "ymin"), ("left", "top"))
_CENTERS = (
    *(("cx", "cy"), ("xcenter", "ycenter"), ("centerx", "centery"), ("xc", "yc")),
    *(("xcentre", "ycentre"), ("xmid", "ymid")),
)
_NAMED: tuple[tuple[tuple[str, ...], BoundingBoxFormat], ...] = (
    *((names, "xyxy") for names in _CORNERS),
    *((origin + sides, "xywh") for sides in _SIDES for origin in _ORIGINS),
    *((center + sides, "center_xywh") for sides in _SIDES for center in _CENTERS),
)
# `bbox_x` says more than `x`, so that prefixed names come first.
BOX_NAMES = tuple(
    (tuple(prefix + name for name in names), layout)
    for prefix in ("bbox", "box", "roi", "")
    for names, layout in _NAMED
)
_LAYOUTS = {frozenset(names): (names, layout) for names, layout in BOX_NAMES}
SIZE_NAMES = (("imageheight", "imagewidth"), ("imgheight", "imgwidth"))
SIZE_NAMES += (("height", "width"),)

_COUNTS = {"image": 1, "label": 1, "box": 4, "image_size": 2}


@dataclass(frozen=True)
class Columns:
    """The columns of a table by their numbers, from 0.

    Attributes:
        image: the image's file name.
        label: the class; None: every object is of `only_class`.
        box: the four numbers of the box, in the order of `layout`.
        size: height and width of the image, where the table states them.
        layout: the box's format in pixels, such as "xywh".
        names: what errors call the columns.
        header: whether the first row names the columns.
        only_class: the class of all objects, where no column holds it.
        unclear: what columns `width` and `height` were taken for, `"box"` or
            `"image_size"`, by their names, which do not say it.
    """

    image: int
    label: int | None
    box: tuple[int, ...]
    size: tuple[int, ...] | None
    layout: BoundingBoxFormat
    names: list[str]
    header: bool
    only_class: str = ""
    unclear: str | None = None

    @property
    def image_name(self) -> str:
        """The name of the column of images."""
        return self.names[self.image]

    @property
    def label_name(self) -> str:
        """The name of the column of classes, "" where there is none."""
        return "" if self.label is None else self.names[self.label]


def check_columns(columns: Mapping[str, Any] | None) -> dict[str, tuple[Column, ...]]:
    """The argument `columns` as tuples of names and numbers, or a ValueError."""
    if columns is not None and not isinstance(columns, Mapping):
        raise ValueError(f"`columns` must be a dict. Received: columns={columns!r}")
    checked = {}
    for key, value in (columns or {}).items():
        check_choice(key, tuple(_COUNTS), "columns")
        if key in ("image_size", "label") and value is None:
            checked[key] = ()
            continue
        count = _COUNTS[key]
        single = isinstance(value, str) or not isinstance(value, Iterable)
        members = (value,) if single else tuple(value)
        if (
            (count == 1) != single
            or len(members) != count
            or not all(isinstance(each, (str, int, np.integer)) for each in members)
            or any(isinstance(each, bool) for each in members)
        ):
            what = "a name or a number" if count == 1 else f"{count} names or numbers"
            raise ValueError(
                f'`columns["{key}"]` must be {what} of columns. Received: {value!r}'
            )
        checked[key] = members
    return checked


def find_columns(
    table: Table,
    given: dict[str, tuple[Column, ...]],
    asked: str | None,
    only_class: str | None = None,
) -> Columns:
    """Finds the columns of a table: those given, the others by their names.

    Args:
        table: the table.
        given: the columns that the user names, as `check_columns` gives them.
        asked: `bounding_box_format`, or None: as the names of the columns say.
        only_class: the class of all rows, where the user says that no column has it.

    Raises:
        AnnotationError: for a column that is not there, that cannot be distinguished
            from another, or that is named twice.
    """
    names = table.rows[0][1]
    header = not _numbered(given) or _is_header(names, given)
    if not header:
        names = [f"column {number}" for number in range(len(names))]
    finder = _Finder(table, names)
    for key, columns in given.items():
        finder.take(key, columns)
    found = finder.found
    if "box" not in found:
        finder.guess("box", [names for names, _ in BOX_NAMES])
    box, layout = _box_and_layout(finder, asked, by_hand="box" in given)
    if "image" not in found:
        finder.guess("image", [(name,) for name in IMAGE_NAMES])
    label = found.get("label")
    if "label" not in given:
        label = finder.search([(name,) for name in LABEL_NAMES])
        if label is None:
            raise finder.missing(
                "label",
                "one of the names that `read_csv` documents (where all rows are of one "
                'class, `columns={"label": None}` and `class_names` with its name)',
            )
    elif label is None and only_class is None:
        raise AnnotationError(
            table.path,
            "no column for the label",
            field="`class_names`",
            expected='one name, the class of all rows, with columns={"label": None}',
        )
    if "image_size" in given:
        size = found.get("image_size")
    else:
        size = finder.search(SIZE_NAMES)
    return Columns(
        found["image"][0],
        None if label is None else label[0],
        box,
        size,
        cast(BoundingBoxFormat, layout),
        names,
        header,
        only_class or "",
        unclear=next(
            (
                key
                for key, numbers in (("box", box), ("image_size", size))
                if key not in given and "width" in finder.plain_names(numbers or ())
            ),
            None,
        ),
    )


def plain(name: str) -> str:
    """A column's name without case, spaces and punctuation."""
    return "".join(filter(str.isalnum, name.casefold()))


@dataclass
class _Finder:
    """Finds columns, none of them twice."""

    table: Table
    names: list[str]
    found: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.places: dict[str, list[int]] = {}
        for number, name in enumerate(self.names):
            self.places.setdefault(plain(name), []).append(number)

    def take(self, key: str, columns: Sequence[Column]) -> None:
        """Takes the columns that the user names."""
        if not columns:
            return
        numbers = tuple(self._number(key, column) for column in columns)
        taken = [*self._taken(), *numbers]
        if len(set(taken)) < len(taken):
            raise AnnotationError(
                self.table.path,
                "column named twice",
                field=f'`columns["{key}"]`',
                expected="another column for each",
                received=columns if len(columns) > 1 else columns[0],
            )
        self.found[key] = numbers

    def guess(self, key: str, groups: Sequence[Sequence[str]]) -> None:
        """Takes the first of the known names that is there."""
        numbers = self.search(groups)
        if numbers is None:
            raise self.missing(key, "one of the names that `read_csv` documents")
        self.found[key] = numbers

    def search(self, groups: Iterable[Sequence[str]]) -> tuple[int, ...] | None:
        """The first of the known names whose columns are there, and not taken."""
        taken = self._taken()
        for names in groups:
            places = [self.places.get(name, []) for name in names]
            if not all(places) or _are_points(names, self.places):
                continue
            if taken.isdisjoint(number for place in places for number in place):
                return tuple(self._single(place) for place in places)
        return None

    def plain_names(self, numbers: Sequence[int]) -> tuple[str, ...]:
        return tuple(plain(self.names[number]) for number in numbers)

    def _taken(self) -> set[int]:
        return {number for numbers in self.found.values() for number in numbers}

    def _number(self, key: str, column: Column) -> int:
        if not isinstance(column, str):
            number = int(column) + (len(self.names) if column < 0 else 0)
            if not 0 <= number < len(self.names):
                raise AnnotationError(
                    self.table.path,
                    "no such column",
                    field=f'`columns["{key}"]`',
                    expected=(
                        f"a number below {len(self.names)}"
                        if len(self.names) > 1
                        else "cells separated by commas, semicolons or tabs"
                    ),
                    received=column,
                )
            return number
        exact = [n for n, name in enumerate(self.names) if name == column.strip()]
        places = exact or self.places.get(plain(column), [])
        if not places:
            raise self.missing(key, column)
        return self._single(places)

    def _single(self, places: Sequence[int]) -> int:
        if len(places) > 1:
            raise AnnotationError(
                self.table.path,
                "columns of the same name",
                field=self.names[places[0]],
                expected="one of that name, or numbers of columns in `columns`",
                received=self.names,
            )
        return places[0]

    def missing(self, key: str, expected: str) -> AnnotationError:
        """The error of a column that is not there."""
        line, row = self.table.rows[0]
        if any(is_number(cell) or is_image(Path(cell)) for cell in row):
            return AnnotationError(
                self.table.path,
                "no header",
                field=f"line {line}",
                expected=(
                    f"{expected}; a table without a header needs the numbers of its "
                    'columns, as in `columns={"image": 0, "label": 5, '
                    '"box": (1, 2, 3, 4)}`'
                ),
                received=row,
            )
        return AnnotationError(
            self.table.path,
            f"no column for the {key}",
            expected=f"{expected}, or `columns`",
            received=self.names,
        )


def _box_and_layout(
    finder: _Finder, asked: str | None, by_hand: bool
) -> tuple[tuple[int, ...], str]:
    """The columns of the box in the order of its layout, and the layout.

    Known names say which number is which. A format that contradicts them is an error,
    unless the user names the columns too.
    """
    box = finder.found["box"]
    names = finder.plain_names(box)
    shown = [finder.names[number] for number in box]
    known, named = _LAYOUTS.get(frozenset(names), ((), None))
    asked = asked and asked.removeprefix("rel_")
    if named is not None:
        layout = _agreed(named, asked or named, known)
        if layout is not None:
            return tuple(box[names.index(name)] for name in known), layout
        if not by_hand:
            raise AnnotationError(
                finder.table.path,
                "names of the columns contradict the format",
                field="`bounding_box_format`",
                expected=f'{named}, rel_{named}, or the columns in `columns["box"]`',
                received={asked: shown},
            )
    elif asked is None and any(map(_names_a_side, shown)):
        raise AnnotationError(
            finder.table.path,
            "format of the box unclear",
            field='`columns["box"]`',
            expected='`bounding_box_format`, as in bounding_box_format="xywh"',
            received=shown,
        )
    return box, asked or "xyxy"


def _agreed(named: str, asked: str, names: Sequence[str]) -> str | None:
    """The layout that names and format agree on; `x` and `y` may be a center."""
    center = asked in ("center_xywh", "center_yxhw")
    if named == "xywh" and center and names[0].endswith("x"):
        return "center_xywh"
    agrees = {
        "xyxy": asked in ("xyxy", "yxyx"),
        "xywh": asked == "xywh",
        "center_xywh": center,
    }
    return named if agrees[named] else None


def _numbered(given: Mapping[str, Sequence[Column]]) -> bool:
    """Whether the user gives all columns that must be there, by number."""
    return all(key in given for key in ("image", "label", "box")) and not any(
        isinstance(column, str) for columns in given.values() for column in columns
    )


def _is_header(row: Sequence[str], given: Mapping[str, Sequence[Column]]) -> bool:
    """Whether words stand where the box's numbers should, and no image's name."""

    def cells(key: str) -> list[str]:
        columns = [int(column) for column in given[key]]
        return [row[n] for n in columns if -len(row) <= n < len(row)]

    box = cells("box")
    return (
        len(box) == 4
        and not any(not cell or is_number(cell) for cell in box)
        and not any(is_image(Path(cell)) for cell in cells("image"))
    )


def _names_a_side(name: str) -> bool:
    words = re.split(r"[^a-z]+", name.casefold())
    return not {"w", "h", "bw", "bh"}.isdisjoint(words) or bool(
        re.search("width|height", name.casefold())
    )


def _are_points(names: Sequence[str], places: Mapping[str, Any]) -> bool:
    """Whether `x1 y1 x2 y2` are only two of the points of a polygon."""
    numbered = sum(f"x{number}" in places for number in range(5))
    return names[0] in ("x0", "x1") and numbered > 2
