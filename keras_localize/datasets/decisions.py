"""What becomes of one annotation: a box, a label alone, no object, or no record."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_localize.datasets.annotation import AnnotatedObject, Annotation, Corners
from keras_localize.datasets.class_names import composed
from keras_localize.datasets.errors import AnnotationError
from keras_localize.datasets.policy import Policy
from keras_localize.images import ImageInfo, turn_box
from keras_localize.images.listing import IMAGE_SUFFIXES
from keras_localize.images.orientation import is_transposed

# A tool's rounding is no reason to say that a box was cut.
TOLERANCE = 1e-6
# Pixels: a box that ends nearer to the first corner was written in fractions, unless
# the image has only a few pixels.
FRACTIONS = 1.5
# Pixels: no image has sides from this on.
MAX_SIDE = 2**31
# Notes on images that show more objects than the one whose box is taken.
SEVERAL = "several objects"
UNBOXED = "other objects without a box"
CROWD = "crowd or ignored region left out"
CLIPPED = "box clipped to the image"
# Fractions: no rounding and no border explains a coordinate beyond this.
_PIXELS = 2


@dataclass(frozen=True)
class Decision:
    """What becomes of one annotation.

    Attributes:
        class_name: the record's class; None where the image holds no object.
        box: its box, in fractions of the upright image; None where it has none.
        notes: what had to be decided; `summary()` counts it as handled.
        skipped: why there is no record, or None where there is one.
    """

    class_name: str | None = None
    box: Corners | None = None
    notes: tuple[str, ...] = ()
    skipped: str | None = None


def decide(
    annotation: Annotation,
    info: ImageInfo,
    policy: Policy,
    class_names: Sequence[str] | None,
) -> Decision:
    """Decides what becomes of an annotation.

    Args:
        annotation: what the reader read.
        info: what the image's file says.
        policy: what the user wants.
        class_names: the classes that there are; None: every name is one.

    Raises:
        AnnotationError: for what is wrong, and for what `policy` calls an error.
    """
    notes = [*annotation.notes, *_unusual(annotation, info)]
    notes += _check_size(annotation, info, policy)
    objects = [
        replace(obj, class_name=composed(obj.class_name)) for obj in annotation.objects
    ]
    boxed = []
    for obj in objects:
        _check_class(obj, annotation, class_names)
        if obj.corners is not None:
            boxed.append(_in_fractions(obj, annotation, info, policy))
    if not boxed:
        return _without_box(annotation, objects, policy, notes)
    if len(boxed) < len(objects):
        notes.append(UNBOXED)
    if len(boxed) > 1:
        if policy.multiple == "error":
            raise AnnotationError(
                annotation.source,
                SEVERAL,
                expected="one",
                received=len(boxed),
            )
        if policy.multiple == "skip":
            return Decision(skipped=SEVERAL)
        if policy.multiple == "largest":
            boxed.sort(key=lambda item: -_area(item[1]))
        notes.append(several_objects(policy))
    obj, box, of_box = boxed[0]
    return Decision(obj.class_name, box, (*notes, *of_box))


def same_shape(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether two sizes are the same but for scale and rounding."""
    # One is a rounded multiple of the other: half a pixel off on either side.
    off = abs(first[0] * second[1] - first[1] * second[0])
    return off <= max(*first, *second)


def several_objects(policy: Policy) -> str:
    """The note on an image of whose objects one was taken."""
    return f"{SEVERAL}, the {policy.multiple} one taken"


def _without_box(
    annotation: Annotation,
    objects: list[AnnotatedObject],
    policy: Policy,
    notes: list[str],
) -> Decision:
    if policy.without_box == "error":
        raise AnnotationError(annotation.source, "without a box")
    if policy.without_box == "keep" and objects:
        note = "without a box, trains the label alone"
        return Decision(objects[0].class_name, None, (*notes, note))
    # A class without a box says that there is an object.
    if policy.without_box == "negative" and not objects and annotation.complete:
        return Decision(None, None, (*notes, "without an object"))
    return Decision(skipped="without a box")


def _check_class(
    obj: AnnotatedObject, annotation: Annotation, class_names: Sequence[str] | None
) -> None:
    if class_names is not None and obj.class_name not in class_names:
        raise AnnotationError(
            annotation.source,
            "unknown class",
            field=obj.field,
            expected=f"one of {', '.join(class_names[:50])}",
            received=obj.class_name,
        )


def _in_fractions(
    obj: AnnotatedObject, annotation: Annotation, info: ImageInfo, policy: Policy
) -> tuple[AnnotatedObject, Corners, list[str]]:
    """An object, its box in fractions of the upright image, and notes on the box."""
    assert obj.corners is not None
    within = f"within {info.width} x {info.height} (width x height)"

    def wrong(reason: str, expected: str | None = within) -> AnnotationError:
        return AnnotationError(
            annotation.source,
            reason,
            field=obj.field,
            expected=expected,
            received=obj.corners,
        )

    x0, y0, x1, y1 = obj.corners
    if not all(math.isfinite(value) for value in obj.corners):
        raise wrong("box not finite", None)
    for low, high, axis in ((x0, x1, "x"), (y0, y1, "y")):
        if low >= high:
            reason = "inverted box" if low > high else "box of zero size"
            raise wrong(reason, f"{axis}min below {axis}max")
    notes = []
    raw = policy.pixels == "raw"
    if obj.relative:
        if max(map(abs, obj.corners)) > _PIXELS:
            raise wrong("box not in fractions", "fractions of the image's sides")
    else:
        height, width = annotation.size or (info.height, info.width)
        if raw and annotation.size is None and is_transposed(info.orientation):
            height, width = width, height
        if max(x1, y1) <= FRACTIONS < min(height, width) / 4:
            raise wrong("box within one pixel", f"pixels, not fractions, {within}")
        if max(x1 - x0, y1 - y0) < 1:
            notes.append("box smaller than a pixel")
        x0, y0, x1, y1 = x0 / width, y0 / height, x1 / width, y1 / height
    if raw:
        x0, y0, x1, y1 = turn_box((x0, y0, x1, y1), 1, 1, info.orientation)
    if max(x0, y0) >= 1 - TOLERANCE or min(x1, y1) <= TOLERANCE:
        raise wrong("box outside the image")
    if min(x0, y0) < -TOLERANCE or max(x1, y1) > 1 + TOLERANCE:
        if policy.outside == "error":
            raise wrong("box reaches over the border")
        notes.append(CLIPPED)
    box = max(x0, 0.0), max(y0, 0.0), min(x1, 1.0), min(y1, 1.0)
    # Datasets hold float32.
    low_x, low_y, high_x, high_y = map(np.float32, box)
    if low_x >= high_x or low_y >= high_y:
        raise wrong("box of zero size", "sides of which float32 can tell the ends")
    return obj, box, notes


def _check_size(annotation: Annotation, info: ImageInfo, policy: Policy) -> list[str]:
    """Notes on a stated size; AnnotationError where its shape is not the image's."""
    if annotation.size is None:
        return []
    height, width = annotation.size
    actual = info.height, info.width
    turned = is_transposed(info.orientation)
    if policy.pixels == "raw" and turned:
        actual = actual[::-1]
    if not (min(height, width) >= 1 and max(height, width) < MAX_SIDE):
        raise AnnotationError(
            annotation.source,
            "size not positive" if min(height, width) < 1 else "size too large",
            field=annotation.size_field,
            received={"width": width, "height": height},
        )
    if (height, width) == actual:
        return []
    if same_shape((height, width), actual):
        return ["stated size differs from the image's, same shape"]
    hint = ""
    if turned and (height, width) == actual[::-1]:
        hint = ' (it is that of the stored pixels: use pixels="raw")'
        if policy.pixels == "raw":
            hint = ' (it is that of the upright image: use pixels="upright")'
    raise AnnotationError(
        annotation.source,
        "size differs from the image's",
        field=annotation.size_field,
        expected=(
            f"{actual[1]} x {actual[0]} (width x height) of {annotation.path}{hint}"
        ),
        received={"width": width, "height": height},
    )


def _unusual(annotation: Annotation, info: ImageInfo) -> Iterator[str]:
    """What is unusual about an image's file."""
    suffix = Path(annotation.path).suffix.lower()
    actual = "JPEG" if info.format == "MPO" else info.format
    if actual and IMAGE_SUFFIXES.get(suffix) != actual:
        yield f"{actual} named {suffix or 'without a suffix'}"
    if info.mode in ("RGBA", "LA", "PA"):
        yield "transparent, put on black"
    if info.orientation in range(2, 9):
        yield "turned upright by EXIF"
    elif info.orientation != 1:
        yield "EXIF orientation unknown, taken as upright"


def _area(box: Corners) -> float:
    x0, y0, x1, y1 = box
    return (x1 - x0) * (y1 - y0)
