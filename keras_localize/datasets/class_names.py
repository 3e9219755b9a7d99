"""Names of the classes: from a list, a dict, a names file or a `data.yaml`."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from keras_localize import types
from keras_localize.datasets.annotation_files import RECORD_LIMIT, read_text
from keras_localize.datasets.errors import AnnotationError

# What the readers take: the names in the order of their ids, or where they stand.
ClassNames: TypeAlias = Iterable[str] | Mapping[int, str] | types.Path

_NUMBER = re.compile(r"\d{1,999}(\.\d{1,99})?", re.ASCII)
_NO_NAMES_FILE = (".json", ".xml", ".csv", ".pbtxt")


def read_class_names(class_names: ClassNames) -> list[str]:
    """The classes' names in the order of their ids.

    Args:
        class_names: the names in order; a dict id -> name; the path of a text file
            with one name per line; or the path of a YAML file (`.yaml`, `.yml`) whose
            `names` is a list or a dict. YAML needs the extra `yaml`. Ids count from 0
            and leave none out.

    Returns:
        The names, in Unicode's composed form (NFC).

    Raises:
        ValueError: for ids with gaps, for a name that stands twice, for no name at
            all; as an AnnotationError that names the file where there is one.

    Example:

    >>> from keras_localize.datasets.class_names import read_class_names
    >>> read_class_names({1: "dog", 0: "cat"})
    ['cat', 'dog']
    """
    source = "`class_names`"
    names: Any = class_names
    if isinstance(class_names, (str, PathLike)):
        source = str(class_names)
        names = _from_file(Path(class_names))
    names = ordered_names(names, source)
    if not names:
        raise AnnotationError(source, "bad class names", expected="at least one name")
    return names


def ordered_names(
    names: Iterable[str] | Mapping[int, str], source: str = "`class_names`"
) -> list[str]:
    """Names as a list in the order of their ids, composed.

    Args:
        names: the names in order, or a dict id -> name.
        source: what errors call them.

    Raises:
        AnnotationError: a ValueError; for one text, a set, ids with gaps, and for a
            name that is empty or stands twice.
    """
    if isinstance(names, Mapping):
        names = _in_order(names, source)
    if isinstance(names, (str, bytes, set, frozenset)):
        raise AnnotationError(
            source, "names without an order", expected="a list", received=names
        )
    if not isinstance(names, Iterable):
        raise AnnotationError(
            source, "no class names", expected="a list or a dict", received=names
        )
    names = [composed(str(name).strip()) for name in names]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if "" in names or repeated:
        raise AnnotationError(
            source,
            "bad class names",
            expected="none empty, none twice",
            received=repeated or names,
        )
    return names


def in_natural_order(names: Iterable[str]) -> list[str]:
    """Sorted names; numbers such as 2 or 2.0 come first, by their value.

    >>> from keras_localize.datasets.class_names import in_natural_order
    >>> in_natural_order(["10", "dog", "2", "cat", "3.0"])
    ['2', '3.0', '10', 'cat', 'dog']
    """

    def key(name: str) -> tuple[bool, Fraction, str]:
        is_number = _NUMBER.fullmatch(name) is not None
        return not is_number, Fraction(name if is_number else 0), name

    return sorted(names, key=key)


def composed(text: str) -> str:
    """Text in Unicode's composed form, so that equal names are equal strings."""
    return unicodedata.normalize("NFC", text)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YOLO `data.yaml` with `names`; every value in it is text, as it stands there.

    Raises:
        AnnotationError: for what is not such a file, or where PyYAML is missing.
    """
    try:
        import yaml
    except ImportError as error:
        raise AnnotationError(
            path,
            "YAML needs the package PyYAML",
            expected="`pip install pyyaml`, or the names as a list",
        ) from error
    text = read_text(path, RECORD_LIMIT)
    try:
        # The base loader leaves `no` and `1.0` as they stand and runs nothing.
        content = yaml.load(text, yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise AnnotationError(path, "not YAML", received=str(error)) from error
    names = content.get("names") if isinstance(content, dict) else None
    values = list(names.values()) if isinstance(names, dict) else names
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise AnnotationError(
            path,
            "no class names",
            field="names",
            expected="a list, or a map from ids to names",
            received=names,
        )
    count = content.get("nc", str(len(values)))
    if count != str(len(values)):
        raise AnnotationError(
            path,
            "number of classes is not that of the names",
            field="nc",
            expected=len(values),
            received=count,
        )
    return content


def _from_file(path: Path) -> list[str] | dict[Any, str]:
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return read_yaml(path)["names"]
    if suffix in _NO_NAMES_FILE:
        raise AnnotationError(
            path,
            "not a file of class names",
            expected="a text file with one name per line, or a data.yaml",
        )
    # An id is the number of a line: an empty one in between would shift the others,
    # and is an error.
    return read_text(path, RECORD_LIMIT).rstrip().splitlines()


def _in_order(names: Mapping[Any, str], source: str) -> list[str]:
    """The values of a dict id -> name, whose ids must be 0, 1, 2, ..."""
    try:
        by_id = {int(key): name for key, name in names.items()}
    except (TypeError, ValueError) as error:
        raise AnnotationError(
            source, "class id not a number", received=list(names)
        ) from error
    if sorted(by_id) != list(range(len(names))):
        raise AnnotationError(
            source,
            "class ids with gaps",
            expected=f"0 to {len(names) - 1}, each once",
            received=list(names),
        )
    return [by_id[i] for i in range(len(names))]
