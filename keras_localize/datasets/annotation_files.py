"""Safe access to annotation files: what they hold and what they name is not trusted."""

import json
import math
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from keras_localize import types
from keras_localize.datasets.errors import AnnotationError
from keras_localize.images.listing import files_below, is_image

# Bytes that an annotation file of many images may have, unless the user says another
# number; COCO's own largest has 450 MB.
TABLE_LIMIT = 2**30
# The same for a file that describes a single image.
RECORD_LIMIT = 2**24


def existing_folder(path: types.Path, argument: str) -> Path:
    """`path` as a Path, or an AnnotationError that names `argument`."""
    path = Path(path)
    if not path.is_dir():
        reason = "not a folder" if path.exists() else "missing folder"
        raise AnnotationError(path, reason, field=f"`{argument}`")
    return path


def annotation_files(folder: Path, suffix: str) -> list[Path]:
    """Files below a folder with a suffix such as ".xml", in either case, sorted.

    Hidden files and those that a system left there are no annotations; see
    `keras_localize.images.listing.is_stray`.
    """
    return [path for path in files_below(folder) if path.suffix.lower() == suffix]


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """The bytes of a file, or an AnnotationError: missing, or more than `max_bytes`."""
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise AnnotationError(
                path,
                "file too large",
                expected=f"at most {max_bytes} bytes (`max_bytes`)",
                received=size,
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise AnnotationError(path, "missing file") from error
    except OSError as error:
        raise AnnotationError(path, "unreadable file", received=str(error)) from error


def read_text(path: Path, max_bytes: int) -> str:
    """The text of a UTF-8 file, with or without a byte order mark."""
    try:
        return read_bytes(path, max_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(path, "not UTF-8 text", received=str(error)) from error


def read_json(path: Path, max_bytes: int) -> Any:
    """What a JSON file holds, or an AnnotationError."""
    text = read_text(path, max_bytes)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(path, "not JSON", received=str(error)) from error


def image_name(text: str) -> str:
    """One name for one image: `./a.jpg` is `a.jpg`, and `\\` is `/`."""
    return PurePosixPath(text.replace("\\", "/")).as_posix() if text else text


def relative_name(path: Path, folder: Path) -> str:
    """A file's path below `folder`, with forward slashes."""
    return path.relative_to(folder).as_posix()


def leaves_folder(name: str) -> bool:
    """Whether a relative name of any system is absolute or goes up, as `../a`."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or bool(PureWindowsPath(name).drive)


def base_stem(stem: str) -> str:
    """The last part of a name, without an image's suffix: `train/a.jpg` is `a`.

    An annotation file and an image with the same one may belong together.
    """
    path = PurePosixPath(stem)
    return path.stem if is_image(Path(path)) else path.name


def inside(folder: Path, name: str, source: Path | str, place: str) -> Path:
    """`folder / name`, or an AnnotationError where the name leaves the folder.

    Args:
        folder: the folder that `name` is relative to.
        name: a file name as an annotation gives it.
        source: the annotation file, for the error.
        place: the part of it that holds the name, for the error.
    """
    if not name.strip():
        raise AnnotationError(source, "missing file name", field=place, received=name)
    path = PurePosixPath(name.replace("\\", "/"))
    if "\0" in name or leaves_folder(name) or path == PurePosixPath("."):
        raise AnnotationError(
            source,
            "file name leaves its folder",
            field=place,
            expected="a name inside the images' folder",
            received=name,
        )
    return folder / path


def finite(value: Any, source: Path | str, place: str) -> float:
    """`value` as a float, or an AnnotationError: not a number, or not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise AnnotationError(
            source, "not a number", field=place, received=value
        ) from error
    if not math.isfinite(number):
        raise AnnotationError(source, "not finite", field=place, received=value)
    return number
