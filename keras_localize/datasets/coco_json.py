"""COCO's JSON: its lists, ids and categories."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from keras_localize.datasets.annotation_files import finite, read_json
from keras_localize.datasets.errors import AnnotationError

Entry: TypeAlias = dict[str, Any]
Id: TypeAlias = int | str


class Categories(NamedTuple):
    """The categories of a file.

    Attributes:
        names: category id -> name, in the order of the ids.
        roots: names of the categories that are only the root of the others.
    """

    names: dict[Id, str]
    roots: list[str]


def read_coco_json(path: Path, max_bytes: int) -> Entry:
    """The object that a JSON file holds, or an AnnotationError."""
    content = read_json(path, max_bytes)
    if not isinstance(content, dict):
        raise AnnotationError(
            path,
            "not COCO's JSON",
            expected='an object with "images", "annotations", "categories"',
            received=type(content).__name__,
        )
    return content


def entries(content: Entry, key: str, path: Path) -> list[Entry]:
    """The list of objects at `key`, or an AnnotationError."""
    values = content.get(key)
    if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
        raise AnnotationError(
            path,
            "not COCO's JSON",
            field=key,
            expected="a list of objects",
            received=values,
        )
    return values


def as_id(value: Any) -> Id | None:
    """An id as a dict key, None for what cannot be one.

    Tools write 1 as 1.0 or "1", in one list of a file and not in the other.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        is_number = value.isascii() and value.isdigit() and len(value) < 1000
        return int(value) if is_number and str(int(value)) == value else value
    return value if isinstance(value, int) else None


def number(value: Any, path: Path, place: str) -> float:
    """A finite JSON number as a float, or an AnnotationError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise AnnotationError(path, "not a number", field=place, received=value)
    return finite(value, path, place)


def read_categories(
    content: Entry, used: Iterable[Id | None], path: Path
) -> Categories:
    """The categories of a file.

    A category is a root, and no class, where others name it as their
    `supercategory`, it has none itself, and no annotation uses it: Roboflow writes
    one with the name of the project. A root and a class of the same name are one
    class.

    Args:
        content: the file's content.
        used: the category ids of all annotations.
        path: the file, for errors.
    """
    listed = entries(content, "categories", path)
    above = [entry.get("supercategory") for entry in listed]
    used = set(used)
    names: dict[Id, str] = {}
    roots: dict[Id, str] = {}
    for position, entry in enumerate(listed):
        key, name = as_id(entry.get("id")), entry.get("name")
        is_head = name in above[:position] + above[position + 1 :]
        repeated = name in names.values() and name not in above
        if (
            not isinstance(name, str)
            or not name.strip()
            or key is None
            or key in names
            or key in roots
            or repeated
        ):
            raise AnnotationError(
                path,
                "bad category",
                field=f"categories[{position}]",
                expected="an id and a name, neither used before",
                received=entry,
            )
        is_root = is_head and above[position] in (None, "", "none", name)
        if is_root and key not in used:
            roots[key] = name
        else:
            names[key] = name.strip()
    in_order = sorted(names.items(), key=lambda item: (isinstance(item[0], str), item))
    classes = set(names.values())
    return Categories(
        dict(in_order), [name for name in roots.values() if name not in classes]
    )


def rotation_of(annotation: Entry) -> Any:
    """The attribute `rotation` of a box without a polygon, as CVAT writes it."""
    attributes = annotation.get("attributes")
    if annotation.get("segmentation") or not isinstance(attributes, dict):
        return None
    return attributes.get("rotation")
