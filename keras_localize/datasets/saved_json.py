"""The arguments of a dataset as a JSON file, and back."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from keras_localize.datasets.errors import AnnotationError
from keras_localize.files import replacing
from keras_localize.types import Path as PathLike

T = TypeVar("T")


def write_arguments(path: PathLike, arguments: Mapping[str, Any]) -> None:
    """Writes arguments as an object; the file appears whole or not at all.

    Raises:
        ValueError: for images that are arrays.
        OSError: where it cannot be written.
    """
    for image, name in zip(arguments["images"], arguments["names"]):
        if not isinstance(image, str):
            raise ValueError(
                "`images` must be paths to be saved. "
                f"Received: {type(image).__name__} for {name}"
            )
    with (
        replacing(path) as unfinished,
        open(unfinished, "w", encoding="utf-8") as file,
    ):
        # One after the other: the text of all of them at once would be large.
        separator = "{"
        for key, value in arguments.items():
            text = json.dumps(value, default=np.ndarray.tolist)
            file.write(f"{separator}{json.dumps(key)}: {text}")
            separator = ", "
        file.write("}")


def read_saved(path: PathLike, make: Callable[..., T]) -> T:
    """What `make` makes of the arguments that `write_arguments` wrote.

    Raises:
        AnnotationError: for a file that is missing, or that `make` does not take.
    """
    try:
        return make(**json.loads(Path(path).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise AnnotationError(path, "missing file") from error
    except (
        ArithmeticError,
        AttributeError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise AnnotationError(
            path, "not a saved dataset", received=str(error)
        ) from error
