"""One line of a YOLO file: a box, perhaps with a confidence, a polygon or keypoints."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from keras_localize.datasets.annotation import Corners, hull
from keras_localize.datasets.annotation_files import finite
from keras_localize.datasets.errors import AnnotationError

Task: TypeAlias = Literal["auto", "detect", "segment", "pose"]

# A box with keypoints may reach this far over the image, a keypoint over its box.
_SLACK = 0.02


def read_line(
    line: str, path: Path, place: str, num_classes: int
) -> tuple[int, list[float]]:
    """The class id of a line and the numbers that follow, at least four."""
    parts = line.split()
    if len(parts) < 5:
        raise malformed(line, path, place)
    label = finite(parts[0], path, place)
    if label != int(label) or not 0 <= label < num_classes:
        raise AnnotationError(
            path,
            "unknown class",
            field=place,
            expected=f"an id in 0 to {num_classes - 1}",
            received=parts[0],
        )
    return int(label), [finite(part, path, place) for part in parts[1:]]


def malformed(line: object, path: Path, place: str) -> AnnotationError:
    """The error of a line that is of none of the known kinds."""
    return AnnotationError(
        path,
        "malformed line",
        field=place,
        expected="class x_center y_center width height",
        received=line,
    )


def corners(
    values: Sequence[float], task: Task, path: Path, place: str
) -> tuple[Corners, str | None]:
    """The box of a line, in fractions, and a note where the line is more than a box.

    Args:
        values: the numbers after the class.
        task: `"detect"`: a box, and perhaps a confidence, the id of a track, or both;
            `"segment"`: a polygon, and perhaps a confidence or the id of a track;
            `"pose"`: a box and anything behind it; `"auto"`: a box or a polygon, by
            the count of the numbers.
        path: the file, for the error.
        place: the line, for the error.
    """
    count = len(values)
    if count == 4:
        return _box(values), None
    if count == 5 and task != "segment":
        if 0 <= values[4] <= 1:
            return _box(values), "confidence left out"
        if _is_track(values[4]):
            return _box(values), "id of a track left out"
    if task == "detect" and _has_track(values):
        return _box(values), "confidence and id of a track left out"
    if task == "pose":
        return _box(values), "box of a pose, keypoints left out"
    if task != "detect" and count >= 6:
        if count % 2 == 0:
            return hull(_pairs(values)), "box around a polygon"
        inside = max(values[:-1]) <= 1 + _SLACK
        if 0 <= values[-1] <= 1 or (inside and _is_track(values[-1])):
            return hull(_pairs(values[:-1])), "box around a polygon"
    raise malformed(values, path, place)


def are_poses(lines: Iterable[Sequence[float]]) -> bool | None:
    """Whether the lines that are more than a box are boxes with keypoints.

    A box with a confidence and the id of a track has as many numbers as a triangle.

    One line alone does not say: a polygon that was cut at the border has zeros and
    ones where a pose has flags, and a pose without flags has as many numbers as some
    polygon. Predicted keypoints have a confidence in place of the flag, and a
    confidence and the id of a track may follow the last one. But poses all have the
    same number of keypoints, which lie in their boxes; polygons differ in length, and
    read as poses most of them reach out of their boxes or of the image.

    Args:
        lines: the numbers after the class, of all lines.

    Returns:
        True, False for polygons, or None if they may be more than one of these.
    """
    longer = [values for values in lines if len(values) >= 6]
    if not longer:
        return False
    if len({len(values) for values in longer}) > 1:
        return None if sum(map(_has_flags, longer)) > len(longer) / 2 else False
    if all(map(_has_track, longer)):
        return None
    flagged = sum(map(_has_flags, longer))
    if flagged == len(longer):
        return True
    inside = max(
        sum(_keypoints_lie_inside(values, size, end) for values in longer)
        for size in (2, 3)
        for end in (0, 1, 2)
    )
    return None if max(flagged, inside) > len(longer) / 2 else False


def end_in_tracks(lines: Iterable[Sequence[float]]) -> bool:
    """Whether a confidence and the id of a track end all polygons.

    These are as many numbers as a point. All polygons end so, and not all with an id
    of 1, which is the lower border.
    """
    longer = [values for values in lines if len(values) >= 6]
    return all(
        len(values) >= 8
        and len(values) % 2 == 0
        and 0 <= values[-2] <= 1
        and _is_track(values[-1])
        for values in longer
    ) and any(values[-1] > 1 for values in longer)


def _box(values: Sequence[float]) -> Corners:
    x, y, width, height = values[:4]
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _is_track(value: float) -> bool:
    """Whether a number may be the id of a track, as Ultralytics counts them."""
    return value >= 1 and value == int(value)


def _has_track(values: Sequence[float]) -> bool:
    """Whether the numbers may be a box, a confidence and the id of a track."""
    return (
        len(values) == 6
        and 0 <= values[4] <= 1
        and _is_track(values[5])
        and _is_in_image(_box(values))
    )


def _pairs(values: Sequence[float]) -> list[tuple[float, float]]:
    return list(zip(values[::2], values[1::2]))


def _has_flags(values: Sequence[float]) -> bool:
    """Whether after a box every third number is a keypoint's flag: 0, 1 or 2."""
    flags = values[6::3]
    return (
        len(values) >= 7
        and (len(values) - 4) % 3 == 0
        and all(flag in (0, 1, 2) for flag in flags)
        and _is_in_image(_box(values))
    )


def _keypoints_lie_inside(values: Sequence[float], size: int, end: int) -> bool:
    """Whether the numbers may be a box with keypoints that lie in it.

    Args:
        values: the numbers.
        size: of a keypoint: 2, or 3 with a confidence.
        end: 1 for a confidence or the id of a track behind the keypoints, 2 for both.
    """
    box, points = _box(values), values[4 : len(values) - end]
    # A single keypoint with an end would be seen in too many polygons.
    if not points or len(points) % size or (end and len(points) == size):
        return False
    *confidences, last = values[len(values) - end :] or (0,)
    if size == 3:
        confidences += points[2::3]
    x0, y0, x1, y1 = box
    return (
        _is_in_image(box)
        and (0 <= last <= 1 or _is_track(last))
        and all(0 <= each <= 1 or each == 2 for each in confidences)
        and all(
            (x, y) == (0, 0)  # a keypoint that is not labelled
            or (x0 - _SLACK <= x <= x1 + _SLACK and y0 - _SLACK <= y <= y1 + _SLACK)
            for x, y in zip(points[::size], points[1::size])
        )
    )


def _is_in_image(box: Corners) -> bool:
    return min(box) >= -_SLACK and max(box) <= 1 + _SLACK
