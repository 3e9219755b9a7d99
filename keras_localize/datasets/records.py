"""From what a reader found to a dataset: the policies, each named and counted.

A reader turns its files into `Found`; everything that can be wrong with a picture, a
size or a box is decided here, the same for every format.
"""

import math
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from keras_localize.datasets.batches import cores
from keras_localize.datasets.dataset import LocalizationDataset
from keras_localize.datasets.errors import AnnotationError
from keras_localize.datasets.progress import Progress
from keras_localize.images import ImageError, inspect, turn_box

PICTURE_SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".ppm": "PPM",
    ".pgm": "PPM",
}

# A tool's rounding is no reason to say that a box was cut.
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Box:
    """One object: its class, and its corners where it has them.

    `corners` is (x0, y0, x1, y1), half-open, in pixels of `Found.size` (or of the
    picture), or in fractions where `relative`. `field` says where it was read.
    """

    class_name: str
    corners: tuple | None
    relative: bool = False
    field: str | None = None


@dataclass(frozen=True)
class Found:
    """One picture and what its annotation says; `size` is (height, width) or None."""

    name: str
    path: Path
    source: str
    objects: list
    size: tuple | None = None
    size_field: str = "size"
    notes: list = field(default_factory=list)


@dataclass(frozen=True)
class Policy:
    """What to do with the records that are not one picture with one good box.

    Attributes:
        without_box: `"skip"`, `"keep"` (weight 0: the label is trained) or
            `"error"`.
        multiple: `"largest"`, `"first"`, `"skip"` or `"error"`.
        outside: `"clip"` a box that reaches over the border, or `"error"`.
        on_error: `"raise"` or `"skip"`.
        pixels: `"upright"` or `"raw"`: whether boxes were drawn on the picture as
            viewers show it, or on the stored pixels before EXIF turns them.
        verify: decode every picture once, so that no damaged one is met later.
        skip_unreadable: damaged pictures are skipped even where errors raise.
    """

    without_box: str = "skip"
    multiple: str = "largest"
    outside: str = "clip"
    on_error: str = "raise"
    pixels: str = "upright"
    verify: bool = True
    skip_unreadable: bool = False

    def __post_init__(self):
        for argument, choices in (
            ("without_box", ("skip", "keep", "error")),
            ("multiple", ("largest", "first", "skip", "error")),
            ("outside", ("clip", "error")),
            ("on_error", ("raise", "skip")),
            ("pixels", ("upright", "raw")),
        ):
            check_choice(getattr(self, argument), choices, argument)


class Collector:
    """Takes what a reader finds, one by one, and makes the dataset of it."""

    def __init__(self, policy, class_names=None):
        self.policy = policy
        self.class_names = None if class_names is None else list(class_names)
        self.count = 0
        self.skipped = defaultdict(list)
        self.handled = defaultdict(list)
        self._found = {}

    def read(self, name, parse):
        """Counts a record and keeps `parse()`, a Found, unless it is an error."""
        self.count += 1
        try:
            found = parse()
            if found.name in self._found:
                raise AnnotationError(
                    found.source, "duplicate picture", received=found.name
                )
        except AnnotationError as error:
            self._refuse(name, error)
        else:
            self._found[found.name] = found

    def skip(self, name, reason):
        """Counts a record that is left out."""
        self.count += 1
        self.skipped[reason].append(name)

    def dataset(self, source):
        """The dataset of all records kept; `source` is named where there are none."""
        kept = []
        for found, info in self._inspected():
            try:
                if isinstance(info, ImageError):
                    detail = {"received": info.detail} if info.detail else {}
                    raise AnnotationError(found.path, info.reason, **detail) from info
                record = self._decide(found, info)
            except AnnotationError as error:
                self._refuse(found.name, error)
            else:
                if record is not None:
                    kept.append((found, info, *record))
        if not kept:
            told = ", ".join(f"{len(n)} {r}" for r, n in self.skipped.items())
            raise AnnotationError(
                source, "no usable record", received=told or "nothing"
            )
        names = self.class_names
        if names is None:
            names = sorted({chosen.class_name for _, _, chosen, _ in kept})
        ids = {name: i for i, name in enumerate(names)}
        return LocalizationDataset(
            [found.path for found, *_ in kept],
            [box or (0, 0, 0, 0) for *_, box in kept],
            [ids[chosen.class_name] for _, _, chosen, _ in kept],
            names,
            [float(box is not None) for *_, box in kept],
            [(info.height, info.width) for _, info, *_ in kept],
            names=[found.name for found, *_ in kept],
            found=self.count,
            skipped=self.skipped,
            handled=self.handled,
        )

    def _inspected(self):
        everything = list(self._found.values())

        def look(found):
            try:
                return inspect(found.path, decode=self.policy.verify)
            except ImageError as error:
                return error

        label = "checking pictures"
        with (
            Progress(len(everything), label) as progress,
            ThreadPoolExecutor(cores()) as pool,
        ):
            for found, info in zip(everything, pool.map(look, everything)):
                progress.update()
                yield found, info

    def _refuse(self, name, error):
        unreadable = error.reason == "unreadable picture"
        if self.policy.on_error == "raise" and not (
            unreadable and self.policy.skip_unreadable
        ):
            raise error
        self.skipped[error.reason].append(name)

    def _decide(self, found, info):
        """(object, its box relative to the upright picture or None), or None."""
        policy = self.policy
        notes = [*found.notes, *_oddities(found, info)]
        if found.size is not None:
            notes += _check_size(found, info, policy)
        boxed = []
        for thing in found.objects:
            if self.class_names is not None and (
                thing.class_name not in self.class_names
            ):
                raise AnnotationError(
                    found.source,
                    "unknown class",
                    field=thing.field,
                    expected=f"one of {', '.join(self.class_names[:50])}",
                    received=thing.class_name,
                )
            if thing.corners is not None:
                corners, clipped = _relative(found, info, thing, policy)
                boxed.append((thing, corners, clipped))
        if not boxed:
            if policy.without_box == "error":
                raise AnnotationError(found.source, "without a box")
            if policy.without_box == "skip" or not found.objects:
                self.skipped["without a box"].append(found.name)
                return None
            self._note(found, [*notes, "without a box, trains the label alone"])
            return found.objects[0], None
        if len(boxed) > 1:
            if policy.multiple == "error":
                raise AnnotationError(
                    found.source,
                    "several objects",
                    expected="one",
                    received=len(boxed),
                )
            if policy.multiple == "skip":
                self.skipped["several objects"].append(found.name)
                return None
            if policy.multiple == "largest":
                size = info.width, info.height
                boxed.sort(key=lambda item: -_area(item[1], *size))
            notes.append(f"several objects, the {policy.multiple} one taken")
        thing, corners, clipped = boxed[0]
        if clipped:
            notes.append("box clipped to the picture")
        self._note(found, notes)
        return thing, corners

    def _note(self, found, notes):
        for note in notes:
            self.handled[note].append(found.name)


# --- for the readers ---


def check_choice(value, choices, argument):
    """Raises the ValueError that names `argument` unless `value` is a choice."""
    if value not in choices:
        quoted = ", ".join(f'"{choice}"' for choice in choices)
        raise ValueError(
            f"`{argument}` must be one of {quoted}. Received: {argument}={value!r}"
        )


def existing_folder(path, argument):
    """`path` as a Path, or the AnnotationError of a missing folder."""
    path = Path(path)
    if not path.is_dir():
        reason = "not a folder" if path.exists() else "missing folder"
        raise AnnotationError(path, reason, field=f"`{argument}`")
    return path


def read_bytes(path, limit=2**28):
    """The file's bytes; AnnotationError where it is missing or beyond `limit`."""
    try:
        size = path.stat().st_size
        if size > limit:
            raise AnnotationError(
                path, "file too large", expected=f"at most {limit} bytes", received=size
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise AnnotationError(path, "missing file") from error
    except OSError as error:
        raise AnnotationError(path, "unreadable file", received=str(error)) from error


def read_text(path):
    """The file's text in UTF-8, with or without a byte order mark."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(path, "not UTF-8 text", received=str(error)) from error


def inside(folder, name, source, place):
    """`folder / name`, refused where a name from an annotation leaves the folder."""
    if not name.strip():
        raise AnnotationError(source, "missing file name", field=place, received=name)
    path = PurePosixPath(name.replace("\\", "/"))
    if (
        "\0" in name
        or path.is_absolute()
        or ".." in path.parts
        or PureWindowsPath(name).drive
        or path == PurePosixPath(".")
    ):
        raise AnnotationError(
            source,
            "file name leaves its folder",
            field=place,
            expected="a name inside the pictures' folder",
            received=name,
        )
    return folder / path


def picture_name(text):
    """One name for one picture: `./a.jpg` is `a.jpg`, `\\` is `/`."""
    return PurePosixPath(text.replace("\\", "/")).as_posix() if text else text


def pictures_below(folder):
    """Paths of all picture files by their name without suffix: stem -> [path]."""
    pictures = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file():
            stem = relative_name(path.with_suffix(""), folder)
            pictures.setdefault(stem, []).append(path)
    return pictures


def finite(text, source, place):
    """`text` as a float; AnnotationError where it is none, or not finite."""
    try:
        value = float(text)
    except (TypeError, ValueError, OverflowError) as error:
        raise AnnotationError(
            source, "not a number", field=place, received=text
        ) from error
    if not math.isfinite(value):
        raise AnnotationError(source, "not finite", field=place, received=text)
    return value


def relative_name(path, folder):
    """A picture's name: its path below `folder`, with forward slashes."""
    return path.relative_to(folder).as_posix()


# --- helpers ---


def _relative(found, info, thing, policy):
    """Corners in fractions of the upright picture, and whether they were cut."""
    place = thing.field
    x0, y0, x1, y1 = thing.corners
    if not all(math.isfinite(value) for value in thing.corners):
        raise AnnotationError(
            found.source, "box not finite", field=place, received=thing.corners
        )
    for low, high, axis in ((x0, x1, "x"), (y0, y1, "y")):
        if low >= high:
            raise AnnotationError(
                found.source,
                "inverted box" if low > high else "box of zero size",
                field=place,
                expected=f"{axis}min below {axis}max",
                received=thing.corners,
            )
    raw = policy.pixels == "raw"
    if not thing.relative:
        height, width = found.size or (info.height, info.width)
        if raw and found.size is None and info.orientation in (5, 6, 7, 8):
            height, width = width, height
        x0, y0, x1, y1 = x0 / width, y0 / height, x1 / width, y1 / height
    if raw:
        x0, y0, x1, y1 = turn_box((x0, y0, x1, y1), 1, 1, info.orientation)
    if max(x0, y0) >= 1 - _TOLERANCE or min(x1, y1) <= _TOLERANCE:
        raise AnnotationError(
            found.source,
            "box outside the picture",
            field=place,
            expected=f"within {info.width} x {info.height} (width x height)",
            received=thing.corners,
        )
    cut = min(x0, y0) < -_TOLERANCE or max(x1, y1) > 1 + _TOLERANCE
    if cut and policy.outside == "error":
        raise AnnotationError(
            found.source,
            "box reaches over the border",
            field=place,
            expected=f"within {info.width} x {info.height} (width x height)",
            received=thing.corners,
        )
    return (max(x0, 0.0), max(y0, 0.0), min(x1, 1.0), min(y1, 1.0)), cut


def _check_size(found, info, policy):
    """Notes on a declared size; AnnotationError where its shape is another."""
    height, width = found.size
    actual = info.height, info.width
    turned = info.orientation in (5, 6, 7, 8)
    if policy.pixels == "raw" and turned:
        actual = actual[::-1]
    if min(height, width) < 1:
        raise AnnotationError(
            found.source,
            "size not positive",
            field=found.size_field,
            received={"width": width, "height": height},
        )
    if (height, width) == actual:
        return []
    # One size is a rounded multiple of the other: half a pixel off on either side.
    off = abs(height * actual[1] - width * actual[0])
    if off <= max(height, width, *actual):
        return ["declared size differs from the picture's, same shape"]
    hint = ""
    if turned and (height, width) == actual[::-1]:
        hint = ' (it is that of the stored pixels: use pixels="raw")'
        if policy.pixels == "raw":
            hint = ' (it is that of the upright picture: use pixels="upright")'
    raise AnnotationError(
        found.source,
        "size differs from the picture's",
        field=found.size_field,
        expected=f"{actual[1]} x {actual[0]} (width x height) of {found.path}{hint}",
        received={"width": width, "height": height},
    )


def _oddities(found, info):
    suffix = Path(found.path).suffix.lower()
    named = PICTURE_SUFFIXES.get(suffix)
    actual = "JPEG" if info.format == "MPO" else info.format
    if named != actual:
        yield f"{actual} named {suffix or 'without a suffix'}"
    if info.mode in ("RGBA", "LA", "PA"):
        yield "transparent, put on black"
    if info.orientation in range(2, 9):
        yield "turned upright by EXIF"
    elif info.orientation != 1:
        yield "EXIF orientation unknown, taken as upright"


def _area(corners, width, height):
    x0, y0, x1, y1 = corners
    return (x1 - x0) * width * (y1 - y0) * height
