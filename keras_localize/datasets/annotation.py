"""One image and what its annotation says, before anything is decided."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

# A note that readers give.
ROTATED = "box around a rotated rectangle"

# (x0, y0, x1, y1), half-open.
Corners: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class AnnotatedObject:
    """One object of an image.

    Attributes:
        class_name: name of its class.
        corners: its box, half-open, in pixels of `Annotation.size` (of the image,
            where that is None), or in fractions where `relative`. None: the
            annotation names the object and gives no box.
        relative: whether `corners` are fractions of the image's sides.
        field: the part of the file that it was read from.
    """

    class_name: str
    corners: Corners | None = None
    relative: bool = False
    field: str | None = None


@dataclass(frozen=True)
class Annotation:
    """One image and what its annotation says.

    Attributes:
        name: name of the record: the image's path below its folder.
        path: the image file.
        source: the annotation file, as errors name it.
        objects: its objects in the order of the file.
        size: the (height, width) that the annotation states, or None.
        size_field: the part of the file that states it.
        notes: what the reader had to decide; `summary()` counts it as handled.
        complete: False where the reader left objects out, such as crowd regions:
            without another object the image is then no image without an object.
    """

    name: str
    path: Path
    source: str
    objects: list[AnnotatedObject]
    size: tuple[float, float] | None = None
    size_field: str = "size"
    notes: list[str] = field(default_factory=list)
    complete: bool = True

    @property
    def states_its_size(self) -> bool:
        """Whether `size` is one that an image can have."""
        return self.size is not None and all(
            side >= 1 and side % 1 == 0 for side in self.size
        )


def hull(points: Iterable[Sequence[float]]) -> Corners:
    """The smallest box that holds all points (x, y); there must be one."""
    xs, ys = zip(*points)
    return min(xs), min(ys), max(xs), max(ys)


def turned(corners: Corners, rotation: object, notes: list[str]) -> Corners:
    """The smallest box that holds a box turned about its centre.

    Args:
        corners: the box before it was turned.
        rotation: the box's attribute of this name, as CVAT writes it: degrees. What is
            no number turns nothing.
        notes: takes up that the box was turned.
    """
    degrees = degrees_of(rotation)
    if not degrees:
        return corners
    notes.append(ROTATED)
    x0, y0, x1, y1 = corners
    x, y, width, height = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
    cosine = abs(math.cos(math.radians(degrees)))
    sine = abs(math.sin(math.radians(degrees)))
    half_width = (width * cosine + height * sine) / 2
    half_height = (width * sine + height * cosine) / 2
    return x - half_width, y - half_height, x + half_width, y + half_height


def degrees_of(rotation: object) -> float:
    """The attribute `rotation` of a box as a number, 0 for what is none."""
    try:
        degrees = float(str(rotation))
    except ValueError:
        return 0.0
    return degrees if math.isfinite(degrees) else 0.0
