"""What a localizer learns from images that it was not trained on."""

import dataclasses
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_localize.arrays import to_numpy
from keras_localize.boxes import clip, iou
from keras_localize.localizer.conformal import (
    conformal_margin,
    isotonic_knots,
    side_errors,
)
from keras_localize.types import ImageSize, Tensor

# Of a class with fewer images beyond its margin the coverage would vary too much.
_LEAST_BEYOND = 10
# Wide enough for any image, and still finite in half precision's products.
_WHOLE_IMAGE = 1e6


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How predicted boxes relate to true ones, on images held out from training.

    Made by `Localizer.calibrate`, which keeps one for each combination of
    `flip_average` and `refine`.

    Attributes:
        coverage: the probability with which the outer box shall hold the object.
        images: how many images it was made from.
        margin: how far each side of the outer box lies outside of the box, in widths
            (left, right) and heights (top, bottom) of the box; infinite, for the whole
            image, where the images were too few.
        class_margins: class id -> the margin of images with this predicted class;
            empty unless it was made with `per_class=True`.
        quality: (x, y) of the knots of the increasing polyline from the predicted
            quality to the calibrated one; None where the model predicts none.
        weights: a number that is another one for a model with other weights.
    """

    coverage: float
    images: int
    margin: float
    class_margins: Mapping[int, float]
    quality: tuple[Sequence[float], Sequence[float]] | None
    weights: int

    def calibrated_quality(self, quality: Tensor) -> Tensor:
        """Predicted quality (N, 1) to the IoU that such boxes have on average."""
        if self.quality is None:
            return quality
        x, y = (np.array(knots, "float64") for knots in self.quality)
        if len(x) < 2:
            return ops.ones_like(quality) * float(y[0])
        widths = np.diff(x)
        slopes = (np.diff(y) / widths).astype("float32")
        along = ops.maximum(quality - x[:-1].astype("float32"), 0.0)
        along = ops.minimum(along, widths.astype("float32"))
        return float(y[0]) + ops.sum(along * slopes, axis=-1, keepdims=True)

    def outer_boxes(
        self, boxes: Tensor, image_sizes: ImageSize, label: Tensor | None
    ) -> Tensor:
        """The boxes that hold the objects.

        Args:
            boxes: predicted boxes (N, 4), `xyxy` in pixels of the images.
            image_sizes: (N, 2), (height, width).
            label: (N,) predicted class ids; None where there are no margins by class.
        """
        margin = min(self.margin, _WHOLE_IMAGE)
        margins: Any = margin
        if self.class_margins:
            margins = ops.ones_like(boxes[:, :1]) * margin
            for class_id, own in self.class_margins.items():
                here = ops.equal(label, class_id)[:, None]
                margins = ops.where(here, min(own, _WHOLE_IMAGE), margins)
        out = margins * ops.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)
        outer = ops.concatenate([boxes[:, :2] - out, boxes[:, 2:] + out], axis=-1)
        return clip(outer, "xyxy", image_sizes)

    def to_config(self) -> dict[str, Any]:
        """The attributes as JSON takes them; an infinite margin as None."""
        config = dataclasses.asdict(self)
        margins = {str(k): _or_none(v) for k, v in self.class_margins.items()}
        return {**config, "margin": _or_none(self.margin), "class_margins": margins}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The calibration that `to_config` described."""
        margins = {int(k): _or_inf(v) for k, v in config["class_margins"].items()}
        margin = _or_inf(config["margin"])
        return cls(**{**config, "margin": margin, "class_margins": margins})


def make_calibration(
    boxes: np.ndarray,
    true: np.ndarray,
    coverage: float,
    *,
    quality: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    weights: int = 0,
) -> Calibration:
    """A calibration from predicted and true boxes.

    Args:
        boxes: (N, 4) predicted, `xyxy` in pixels of the images.
        true: (N, 4) true, the same.
        coverage: the wanted coverage, in (0, 1).
        quality: (N,) predicted quality.
        labels: (N,) predicted class ids, for a margin for each class; None: one
            margin for all. A class with too few images has that of all.
        weights: see `Calibration`.
    """
    errors = side_errors(boxes, true)

    def margin(chosen: np.ndarray) -> float:
        # The outer box is never smaller than the box.
        return max(conformal_margin(chosen, coverage), 0.0)

    class_margins = {}
    least = _LEAST_BEYOND / (1 - coverage)
    for class_id in [] if labels is None else np.unique(labels):
        own = errors[labels == class_id]
        if len(own) >= least:
            class_margins[int(class_id)] = margin(own)
    knots = None
    if quality is not None and len(quality):
        overlap = to_numpy(iou(true.astype("float32"), boxes.astype("float32"), "xyxy"))
        knots = isotonic_knots(quality, overlap)
    return Calibration(
        coverage, len(errors), margin(errors), class_margins, knots, weights
    )


def digest_of(layer: keras.Layer) -> int:
    """A number that is another one for other weights, the same on every backend."""
    digest = 0
    for weight in layer.weights:
        digest = zlib.crc32(to_numpy(weight).tobytes(), digest)
    return digest


def _or_none(margin: float) -> float | None:
    return None if math.isinf(margin) else margin


def _or_inf(margin: float | None) -> float:
    return math.inf if margin is None else margin
