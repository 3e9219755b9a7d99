"""From the outputs of a model to answers: the only place that decodes them.

`localize`, the exports, the plots, the evaluation, the example and the benchmarks use
these functions. Those on outputs compute with `keras.ops`, so that they also work
inside the graph of an export.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_localize.arrays import to_numpy
from keras_localize.boxes import clip, flip, from_square
from keras_localize.localizer.calibration import Calibration
from keras_localize.localizer.class_names import count_classes
from keras_localize.localizer.localization import Localization
from keras_localize.types import ArrayLike, ImageSize, Tensor


def decode_predictions(
    outputs: Mapping[str, ArrayLike],
    image_sizes: ArrayLike,
    image_size: int,
    class_names: Sequence[str] | None = None,
    presence_threshold: float = 0.5,
) -> list[Localization]:
    """The answers of any model that has a localizer's outputs.

    `Localizer.localize` does all of it, from files to answers. This function serves
    models of your own that were trained on letterboxed squares.

    Args:
        outputs: what `predict` gives for N letterboxed squares: a dict of `"box"`
            (N, 4) `rel_xyxy` of the square and, where the model has them, `"label"`
            (N, classes) probabilities (or (N, 1), the probability of the second of
            two classes), `"quality"` (N, 1) and `"presence"` (N, 1).
        image_sizes: (N, 2) integers, (height, width) of the original images in
            pixels, as in `LocalizationDataset.image_sizes`.
        image_size: side of the squares in pixels.
        class_names: names in the order of the class ids.
        presence_threshold: where the presence is below it, the box is `None`.

    Returns:
        A list of N `Localization`, boxes in pixels of the original images.

    Raises:
        ValueError: where `outputs` has no `"box"`, or the shapes do not fit.

    Example:

    >>> outputs = {"box": [[0.0, 0.25, 0.5, 0.75]], "label": [[0.1, 0.9]]}
    >>> answers = keras_localize.decode_predictions(
    ...     outputs, [(100, 200)], image_size=64, class_names=["cat", "dog"]
    ... )
    >>> answers[0].class_name, answers[0].box
    ('dog', (0.0, 0.0, 100.0, 100.0))
    """
    if "box" not in outputs:
        raise ValueError(
            f'`outputs` must hold "box". Received: {", ".join(outputs) or "nothing"}'
        )
    arrays = {key: to_numpy(value) for key, value in outputs.items()}
    sizes = np.asarray(image_sizes, "int32")
    boxes = to_numpy(to_original(arrays["box"], sizes, image_size))
    return to_localizations(arrays, boxes, class_names, presence_threshold, sizes)


# --- outputs, as tensors or arrays with a leading axis ---


def class_probabilities(label: Tensor, class_names: Sequence[str] | None) -> Tensor:
    """The label output (..., units) as probabilities of all classes.

    Where one unit tells two classes apart, it is the probability of the second one.
    """
    units = label.shape[-1]
    if count_classes(units, class_names) == units:
        return label
    return ops.concatenate([1 - label, label], axis=-1)


def to_original(boxes: Tensor, image_sizes: ImageSize, image_size: int) -> Tensor:
    """Boxes (..., 4), `rel_xyxy` of squares, in pixels of the images, inside them."""
    pixels = from_square(boxes * image_size, image_sizes, image_size, "xyxy")
    return clip(pixels, "xyxy", image_sizes)


def average_flipped(
    outputs: Mapping[str, Tensor], flipped: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The mean of the outputs for images and for their horizontal flips."""
    flipped = {**flipped, "box": flip(flipped["box"])}
    return {key: ops.add(outputs[key], flipped[key]) / 2 for key in outputs}


def join_refined(
    first: Mapping[str, Tensor], refined: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """One answer from the whole image and from the crop around its box.

    The box and its quality are those of the crop. The label's probabilities are the
    mean of both, in which the crop counts twice: it shows the object larger. Whether
    there is an object is seen on the whole image.
    """
    joined = {**first, **refined}
    if "label" in first:
        joined["label"] = (first["label"] + 2 * refined["label"]) / 3
    if "presence" in first:
        joined["presence"] = first["presence"]
    return joined


def calibrated(
    outputs: Mapping[str, Tensor],
    boxes: Tensor,
    class_names: Sequence[str] | None,
    image_sizes: ImageSize,
    calibration: Calibration | None,
) -> dict[str, Tensor]:
    """The outputs with calibrated quality, and with `"outer_box"`, as the boxes are.

    Args:
        outputs: outputs of N images.
        boxes: their boxes (N, 4) in pixels of the original images.
        class_names: names in the order of the class ids, or None.
        image_sizes: (N, 2), (height, width).
        calibration: None: the outputs stay as they are.
    """
    if calibration is None:
        return dict(outputs)
    label = None
    if "label" in outputs:
        label = most_probable(class_probabilities(outputs["label"], class_names))
    quality = outputs.get("quality")
    outer = calibration.outer_boxes(boxes, image_sizes, label, quality)
    changed = {**outputs, "outer_box": outer}
    if quality is not None:
        changed["quality"] = calibration.calibrated_quality(quality)
    return changed


def most_probable(scores: Tensor) -> Tensor:
    """The first of the largest scores, int32, by operations that converters know."""
    ids = ops.arange(0, scores.shape[-1], dtype="float32")
    below = ops.less(scores, ops.max(scores, axis=-1, keepdims=True))
    candidates = ops.where(below, float(scores.shape[-1]), ids)
    return ops.cast(ops.min(candidates, axis=-1), "int32")


def to_localizations(
    outputs: Mapping[str, Tensor],
    boxes: np.ndarray,
    class_names: Sequence[str] | None,
    presence_threshold: float,
    image_sizes: np.ndarray,
    calibration: Calibration | None = None,
) -> list[Localization]:
    """One `Localization` for each row of the outputs.

    Args:
        outputs: outputs of N images, in NumPy or as tensors.
        boxes: their boxes (N, 4) in pixels of the original images.
        class_names: names in the order of the class ids, or None.
        presence_threshold: as in `decode_predictions`.
        image_sizes: (N, 2), (height, width) in pixels.
        calibration: of the quality and the outer boxes, or None.
    """
    outputs = calibrated(outputs, boxes, class_names, image_sizes, calibration)
    scores: list[Any] = [None] * len(boxes)
    quality, presence, outer = scores, scores, scores
    if "label" in outputs:
        probabilities = class_probabilities(outputs["label"], class_names)
        scores = to_numpy(probabilities).tolist()
    if "quality" in outputs:
        quality = np.ravel(to_numpy(outputs["quality"])).tolist()
    if "presence" in outputs:
        presence = np.ravel(to_numpy(outputs["presence"])).tolist()
    if "outer_box" in outputs:
        outer = to_numpy(outputs["outer_box"]).tolist()
    return [
        _localization(*row, class_names, presence_threshold)
        for row in zip(boxes.tolist(), scores, quality, presence, outer, strict=True)
    ]


def _localization(box, scores, quality, presence, outer, class_names, threshold):
    label = class_name = score = None
    if scores is not None:
        label = int(np.argmax(scores))
        score = scores[label]
        class_name = class_names[label] if class_names else None
    absent = presence is not None and presence < threshold
    return Localization(
        label=label,
        class_name=class_name,
        score=score,
        box=None if absent else tuple(box),
        quality=quality,
        scores=None if scores is None else tuple(scores),
        presence=presence,
        outer_box=None if absent or outer is None else tuple(outer),
    )
