"""What becomes of one annotation: a box in fractions, a label alone, or no record."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keras_localize.datasets.annotation import AnnotatedObject, Annotation, Corners
from keras_localize.datasets.errors import AnnotationError
from keras_localize.datasets.policy import Policy
from keras_localize.images import ImageInfo, turn_box
from keras_localize.images.listing import IMAGE_SUFFIXES

# A tool's rounding is no reason to say that a box was cut.
_TOLERANCE = 1e-6
# EXIF orientations that exchange height and width.
_TRANSPOSED = (5, 6, 7, 8)


@dataclass(frozen=True)
class Decision:
    """What becomes of one annotation.

    Attributes:
        class_name: the record's class.
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
    notes = [*annotation.notes, *_oddities(annotation, info)]
    notes += _check_size(annotation, info, policy)
    boxed = []
    for obj in annotation.objects:
        _check_class(obj, annotation, class_names)
        if obj.corners is not None:
            corners, clipped = _fractions(obj, annotation, info, policy)
            boxed.append((replace(obj, corners=corners, relative=True), clipped))
    if not boxed:
        return _without_box(annotation, policy, notes)
    if len(boxed) > 1:
        if policy.multiple == "error":
            raise AnnotationError(
                annotation.source,
                "several objects",
                expected="one",
                received=len(boxed),
            )
        if policy.multiple == "skip":
            return Decision(skipped="several objects")
        if policy.multiple == "largest":
            boxed.sort(key=lambda item: -_area(item[0].corners))
        notes.append(f"several objects, the {policy.multiple} one taken")
    obj, clipped = boxed[0]
    if clipped:
        notes.append("box clipped to the image")
    return Decision(obj.class_name, obj.corners, tuple(notes))


def _without_box(annotation: Annotation, policy: Policy, notes: list[str]) -> Decision:
    if policy.without_box == "error":
        raise AnnotationError(annotation.source, "without a box")
    if policy.without_box == "skip" or not annotation.objects:
        return Decision(skipped="without a box")
    notes.append("without a box, trains the label alone")
    return Decision(annotation.objects[0].class_name, None, tuple(notes))


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


def _fractions(
    obj: AnnotatedObject, annotation: Annotation, info: ImageInfo, policy: Policy
) -> tuple[Corners, bool]:
    """Corners in fractions of the upright image, and whether they were clipped."""
    assert obj.corners is not None

    def wrong(reason: str, expected: str | None = None) -> AnnotationError:
        return AnnotationError(
            annotation.source,
            reason,
            field=obj.field,
            expected=expected,
            received=obj.corners,
        )

    x0, y0, x1, y1 = obj.corners
    if not all(math.isfinite(value) for value in obj.corners):
        raise wrong("box not finite")
    for low, high, axis in ((x0, x1, "x"), (y0, y1, "y")):
        if low >= high:
            reason = "inverted box" if low > high else "box of zero size"
            raise wrong(reason, f"{axis}min below {axis}max")
    raw = policy.pixels == "raw"
    if not obj.relative:
        height, width = annotation.size or (info.height, info.width)
        if raw and annotation.size is None and info.orientation in _TRANSPOSED:
            height, width = width, height
        x0, y0, x1, y1 = x0 / width, y0 / height, x1 / width, y1 / height
    if raw:
        x0, y0, x1, y1 = turn_box((x0, y0, x1, y1), 1, 1, info.orientation)
    expected = f"within {info.width} x {info.height} (width x height)"
    if max(x0, y0) >= 1 - _TOLERANCE or min(x1, y1) <= _TOLERANCE:
        raise wrong("box outside the image", expected)
    clipped = min(x0, y0) < -_TOLERANCE or max(x1, y1) > 1 + _TOLERANCE
    if clipped and policy.outside == "error":
        raise wrong("box reaches over the border", expected)
    return (max(x0, 0.0), max(y0, 0.0), min(x1, 1.0), min(y1, 1.0)), clipped


def _check_size(annotation: Annotation, info: ImageInfo, policy: Policy) -> list[str]:
    """Notes on a stated size; AnnotationError where its shape is not the image's."""
    if annotation.size is None:
        return []
    height, width = annotation.size
    actual = info.height, info.width
    turned = info.orientation in _TRANSPOSED
    if policy.pixels == "raw" and turned:
        actual = actual[::-1]
    if min(height, width) < 1:
        raise AnnotationError(
            annotation.source,
            "size not positive",
            field=annotation.size_field,
            received={"width": width, "height": height},
        )
    if (height, width) == actual:
        return []
    # One size is a rounded multiple of the other: half a pixel off on either side.
    off = abs(height * actual[1] - width * actual[0])
    if off <= max(height, width, *actual):
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


def _oddities(annotation: Annotation, info: ImageInfo) -> Iterator[str]:
    """What is unusual about an image's file."""
    suffix = Path(annotation.path).suffix.lower()
    actual = "JPEG" if info.format == "MPO" else info.format
    if IMAGE_SUFFIXES.get(suffix) != actual:
        yield f"{actual} named {suffix or 'without a suffix'}"
    if info.mode in ("RGBA", "LA", "PA"):
        yield "transparent, put on black"
    if info.orientation in range(2, 9):
        yield "turned upright by EXIF"
    elif info.orientation != 1:
        yield "EXIF orientation unknown, taken as upright"


def _area(corners: Corners | None) -> float:
    x0, y0, x1, y1 = corners or (0, 0, 0, 0)
    return (x1 - x0) * (y1 - y0)
