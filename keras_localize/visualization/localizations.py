"""Boxes on images."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_localize.arrays import to_numpy
from keras_localize.boxes import convert, iou
from keras_localize.boxes.formats import check_format
from keras_localize.checks import check_answers, check_positive_int
from keras_localize.datasets import LocalizationDataset, Record
from keras_localize.images import ImageError, load
from keras_localize.localizer import Localization
from keras_localize.localizer.class_names import name_of_id
from keras_localize.localizer.predictions import class_probabilities
from keras_localize.localizer.sources import each_source
from keras_localize.markup import PREDICTED_COLOUR, TRUE_COLOUR, printable
from keras_localize.types import ArrayLike, BoundingBoxFormat
from keras_localize.visualization.figure import grid

__all__ = ["plot_localizations"]

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_localizations(
    images: Any,
    predictions: Any = None,
    truth: Any = None,
    *,
    bounding_box_format: BoundingBoxFormat = "rel_xyxy",
    class_names: Sequence[str] | None = None,
    columns: int = 4,
) -> "Figure":
    """Draws predicted (red, dashed) and true (green) boxes on images.

    Above each image stand the predicted class with its score, the true class where
    it is another, and the IoU of the two boxes where there are two; below it the name
    of the file or the record. A calibrated answer's `outer_box` is dotted. If an answer
    has no box because its presence is below the threshold, the title shows the
    presence.

    Args:
        images: N images, as `Localizer.localize` takes them: paths, folders, PIL
            images or arrays (height, width, 3) in [0, 255], one array (N, height,
            width, 3), or a single image; or a `LocalizationDataset`, which brings
            truth and class names along.
        predictions: what was predicted for each: a list of `Localization`, as
            `Localizer.localize` gives it, with boxes in pixels of the image (`None`
            for an image that was skipped); for a single image also one `Localization`
            without a list; or a dict `{"box": (N, 4), "label": ...}`
            as `predict` gives it, the label (N, classes) probabilities, (N, 1) one
            probability, or (N,) class ids; or the boxes alone, (N, 4).
        truth: what is true, in any of these forms, or a `LocalizationDataset`. A box
            without area is not drawn.
        bounding_box_format: format of boxes given as arrays, relative to the
            image shown. See `keras_localize.boxes.convert`.
        class_names: names for class ids.
        columns: images per row.

    Returns:
        A `matplotlib.figure.Figure`; `figure.savefig(path)` writes it.

    Raises:
        ImportError: without matplotlib.
        ValueError: for counts that do not match, or no image.

    Example:

    >>> from keras_localize.datasets import make_synthetic
    >>> from keras_localize.visualization import plot_localizations
    >>> data = make_synthetic(3)
    >>> figure = plot_localizations(data, predictions=data.boxes, columns=3)
    >>> figure.axes[0].get_title().splitlines()[-1]
    'IoU 1.00'
    """
    true_format = bounding_box_format
    if isinstance(images, LocalizationDataset):
        class_names = images.class_names if class_names is None else class_names
        if truth is None:
            truth = {"box": images.boxes, "label": images.labels}
            true_format = "rel_xyxy"
        names, images = images.names, images.images
    else:
        images = list(each_source(images)[0])
        names = [_file_name(image) for image in images]
    check_format(bounding_box_format)
    if len(images) == 0:
        raise ValueError("`images` must hold at least one image. Received: none")
    check_positive_int(columns, "columns")
    predicted = _entries(
        predictions, "predictions", len(images), bounding_box_format, class_names
    )
    true = _entries(truth, "truth", len(images), true_format, class_names)

    figure, axes = grid(len(images), columns, (3, 3.2))
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    styles = {
        "true": {"color": TRUE_COLOUR, "linestyle": "-", "linewidth": 2},
        "predicted": {"color": PREDICTED_COLOUR, "linestyle": "--", "linewidth": 2},
        "outer": {"color": PREDICTED_COLOUR, "linestyle": ":", "linewidth": 1.5},
    }
    drawn: set[str] = set()
    for axis, image, name, guess, fact in zip(axes, images, names, predicted, true):
        axis.set_axis_off()
        below = {"ha": "center", "va": "top", "transform": axis.transAxes}
        small = {"fontsize": 7, "color": "grey", "parse_math": False}
        axis.text(0.5, -0.02, printable(name), **below, **small)
        pixels = _pixels(image, guess.skipped)
        if pixels is None:
            axis.set_title("could not be read", fontsize=9)
            continue
        height, width = pixels.shape[:2]
        # Pixel i covers [i, i + 1), as in boxes.
        axis.imshow(pixels, extent=(0, width, height, 0))
        boxes = {
            "true": fact.corners(height, width),
            "predicted": guess.corners(height, width),
            "outer": guess.outer_box,
        }
        for kind, box in boxes.items():
            if box is None:
                continue
            drawn.add(kind)
            x0, y0, x1, y1 = box
            axis.add_patch(
                Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, **styles[kind])
            )
        # A name may hold a dollar, which would begin a formula.
        title = _title(guess, fact, boxes["true"], boxes["predicted"])
        axis.set_title(title, fontsize=9, parse_math=False)
    handles = [Line2D([], [], label=k, **styles[k]) for k in styles if k in drawn]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


# --- helpers ---


class _Entry(NamedTuple):
    """The prediction or truth of one image: a box, a class name, a score, or none."""

    box: ArrayLike | None = None
    bounding_box_format: BoundingBoxFormat = "xyxy"
    name: str | None = None
    score: float | None = None
    outer_box: tuple[float, ...] | None = None
    presence: float | None = None
    skipped: bool = False

    def corners(self, height: int, width: int) -> tuple[float, ...] | None:
        """(x0, y0, x1, y1) in pixels; None where there is no box to draw."""
        if self.box is None:
            return None
        box = np.asarray(self.box, "float32")
        size = (height, width)
        x0, y0, x1, y1 = to_numpy(
            convert(box, self.bounding_box_format, "xyxy", size)
        ).tolist()
        return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _pixels(image: Any, skipped: bool) -> np.ndarray | None:
    """The image; None for one that was skipped because it cannot be read."""
    try:
        return load(image)
    except ImageError:
        if skipped:
            return None
        raise


def _entries(
    given: Any,
    argument: str,
    count: int,
    bounding_box_format: BoundingBoxFormat,
    class_names: Sequence[str] | None,
) -> list[_Entry]:
    if given is None:
        return [_Entry()] * count
    if hasattr(given, "box"):
        given = [given]
    if isinstance(given, (list, tuple)) and any(_is_pair(each) for each in given):
        check_answers(given, argument)
    if not isinstance(given, dict) and all(
        answer is None or hasattr(answer, "box") for answer in given
    ):
        entries = [_entry(answer, class_names) for answer in given]
        return _counted(entries, argument, count)
    outputs = given if isinstance(given, dict) else {"box": given}
    boxes: Any = [None] * count
    if outputs.get("box") is not None:
        boxes = to_numpy(outputs["box"])
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError(
                f"`{argument}` must have boxes of shape ({count}, 4). "
                f"Received shape: {boxes.shape}"
            )
    elif outputs.get("label") is None:
        raise ValueError(
            f'`{argument}` must hold "box" or "label". '
            f"Received: {', '.join(outputs) or 'nothing'}"
        )
    names, scores = _names_and_scores(outputs.get("label"), class_names, count)
    for part in (boxes, names, scores):
        _counted(part, argument, count)
    return [
        _Entry(box, bounding_box_format, name, score)
        for box, name, score in zip(boxes, names, scores)
    ]


def _is_pair(answer: Any) -> bool:
    """Whether it is a source and its answer, as `iter_localize` gives them."""
    return isinstance(answer, tuple) and len(answer) == 2


def _entry(
    answer: Localization | Record | None, class_names: Sequence[str] | None
) -> _Entry:
    if answer is None:
        return _Entry(skipped=True)
    if isinstance(answer, Record):
        return _Entry(answer.box, "rel_xyxy", answer.class_name)
    name = answer.class_name
    if name is None and answer.label is not None:
        name = _class_name(answer.label, class_names)
    return _Entry(
        answer.box, "xyxy", name, answer.score, answer.outer_box, answer.presence
    )


def _names_and_scores(
    label: ArrayLike | None, class_names: Sequence[str] | None, count: int
) -> tuple[list[str | None], list[float | None]]:
    """Class names and scores from class ids or probabilities."""
    if label is None:
        return [None] * count, [None] * count
    ids = to_numpy(label)
    scores: list[float | None] = [None] * len(ids)
    if ids.ndim == 2:
        probabilities = to_numpy(class_probabilities(ids, class_names))
        ids, scores = probabilities.argmax(axis=1), probabilities.max(axis=1).tolist()
    return [_class_name(int(label), class_names) for label in ids], scores


def _class_name(index: int, class_names: Sequence[str] | None) -> str | None:
    if index < 0:  # an image without an object
        return None
    return name_of_id(index, () if class_names is None else class_names)


def _counted(entries: Any, argument: str, count: int) -> Any:
    if len(entries) != count:
        raise ValueError(
            f"`{argument}` must have one entry per image, {count}. "
            f"Received: {len(entries)}"
        )
    return entries


def _file_name(image: Any) -> str:
    """What is written below an image: nothing for one that is in memory."""
    return os.path.basename(image) if isinstance(image, (str, os.PathLike)) else ""


def _title(
    guess: _Entry,
    fact: _Entry,
    true: tuple[float, ...] | None,
    predicted: tuple[float, ...] | None,
) -> str:
    parts = []
    if guess.box is None and guess.presence is not None:
        parts.append(f"no object (presence {guess.presence:.2f})")
    elif guess.name is not None:
        score = "" if guess.score is None else f" {guess.score:.2f}"
        parts.append(f"{guess.name}{score}")
    if fact.name is not None and fact.name != guess.name:
        parts.append(f"(is {fact.name})" if parts else fact.name)
    lines = [" ".join(parts)] if parts else []
    if true is not None and predicted is not None:
        pair = np.array([true, predicted], "float32")
        value = float(to_numpy(iou(pair[0], pair[1], "xyxy")))
        lines.append(f"IoU {value:.2f}")
    return "\n".join(lines)
