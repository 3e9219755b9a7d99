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
from keras_localize.boxes import clip, convert, iou
from keras_localize.checks import check_answers, check_bool, check_number
from keras_localize.datasets import LocalizationDataset
from keras_localize.datasets.dataset_argument import check_dataset
from keras_localize.datasets.real_sizes import with_real_sizes
from keras_localize.localizer.conformal import (
    conformal_margin,
    isotonic_knots,
    least_images,
    side_errors,
)
from keras_localize.localizer.localization import Localization
from keras_localize.types import ArrayLike, ImageSize, Tensor
from keras_localize.warn import warn

# Of a class with fewer images beyond its margin the coverage would vary too much.
_LEAST_BEYOND = 10
# The map of the quality follows means of so many images; single ones are noise.
_QUALITY_GROUP = 40
# Channels of each weight that tell whether it was trained.
_DIGEST_CHANNELS = 8
# The margin of a box of quality q is proportional to this minus q. On real images the
# outer boxes are smaller so than with one margin for all; 1.05 to 1.5 differ little.
_QUALITY_SCALE = 1.2
# Wide enough for any image, and still finite in half precision's products.
_WHOLE_IMAGE = 1e6


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How predicted boxes relate to true ones, on images held out from training.

    Made by `Localizer.calibrate`, which keeps one for each combination of
    `flip_average` and `refine`.

    Attributes:
        coverage: the probability with which the outer box should contain the object.
        images: how many images it was made from.
        margin: how far each side of the outer box lies outside of the box, in widths
            (left, right) and heights (top, bottom) of the box; infinite, for the whole
            image, where the images were too few. Where the model predicts a quality q
            (before calibration), this times 1.2 - q: a box of low quality gets more.
        class_margins: class id -> the margin of images with this predicted class;
            empty unless it was made with `per_class=True`.
        quality: (x, y) of the knots of the increasing polyline from the predicted
            quality to the calibrated one; None where the model predicts none.
        weights: a checksum of the model's weights; 0 where it was made from answers
            alone.

    Example:

    >>> calibration = keras_localize.Calibration(
    ...     coverage=0.9, images=50, margin=0.25, class_margins={}, quality=None
    ... )
    >>> answer = keras_localize.Localization(0, "cat", 0.9, (20, 20, 60, 40), None)
    >>> calibration.apply([answer], image_sizes=[(100, 65)])[0].outer_box
    (10.0, 15.0, 65.0, 45.0)
    """

    coverage: float
    images: int
    margin: float
    class_margins: Mapping[int, float]
    quality: tuple[tuple[float, ...], tuple[float, ...]] | None
    weights: int = 0

    def calibrated_quality(self, quality: Tensor) -> Tensor:
        """Predicted quality to the IoU that such boxes have on average.

        Args:
            quality: (N, 1), as the model predicts it, in [0, 1].

        Returns:
            (N, 1) float32 in [0, 1]; `quality` itself where the calibration has none.
        """
        if self.quality is None:
            return quality
        x, y = (np.array(knots, "float64") for knots in self.quality)
        starts, widths, slopes = (
            part.astype("float32")
            for part in (x[:-1], np.diff(x), np.diff(y) / np.diff(x))
        )
        # How far the quality has come along each piece of the polyline.
        along = ops.maximum(ops.subtract(quality, starts), 0.0)
        rises = ops.multiply(ops.minimum(along, widths), slopes)
        return ops.sum(rises, axis=-1, keepdims=True) + float(y[0])

    def outer_boxes(
        self,
        boxes: Tensor,
        image_sizes: ImageSize,
        label: Tensor | None,
        quality: Tensor | None,
    ) -> Tensor:
        """The boxes that contain the objects.

        Args:
            boxes: predicted boxes (N, 4), `xyxy` in pixels of the images.
            image_sizes: (N, 2), (height, width).
            label: (N,) predicted class ids; None where there are no margins by class.
            quality: (N, 1) as the model predicts it; None where it predicts none.

        Returns:
            (N, 4) float32 `xyxy` in pixels, clipped to the images.

        Raises:
            ValueError: without `quality`, if the calibration was made with it.
        """
        boxes = ops.convert_to_tensor(boxes, "float32")
        margin = min(self.margin, _WHOLE_IMAGE)
        margins: Any = margin
        if self.class_margins:
            margins = ops.ones_like(boxes[:, :1]) * margin
            for class_id, own in self.class_margins.items():
                here = ops.equal(label, class_id)[:, None]
                margins = ops.where(here, min(own, _WHOLE_IMAGE), margins)
        if self.quality is not None:
            if quality is None:
                raise ValueError(
                    "The calibration was made from answers with a quality, so each "
                    "answer must have one. Received: quality=None"
                )
            margins = ops.multiply(margins, _scale(quality))
        out = margins * ops.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)
        outer = ops.concatenate([boxes[:, :2] - out, boxes[:, 2:] + out], axis=-1)
        return clip(outer, "xyxy", image_sizes)

    def apply(
        self, localizations: Sequence[Localization | None], image_sizes: ArrayLike
    ) -> list[Localization | None]:
        """Answers with an outer box and calibrated quality.

        Args:
            localizations: N uncalibrated answers, of the model and the options that
                the calibration was made from. What has no box stays as it is.
            image_sizes: (N, 2), (height, width) of the images in pixels.
        """
        answers = list(localizations)
        rows = [i for i, x in enumerate(answers) if x is not None and x.box is not None]
        if not rows:
            return answers
        chosen: list[Any] = [answers[i] for i in rows]
        boxes = np.array([x.box for x in chosen], "float32")
        sizes = np.asarray(image_sizes)[rows]
        label = np.array([-1 if x.label is None else x.label for x in chosen])
        quality: Any = [x.quality for x in chosen]
        column = None
        if quality[0] is not None:
            column = np.array(quality, "float32")[:, None]
            quality = to_numpy(self.calibrated_quality(column))[:, 0].tolist()
        outer = to_numpy(self.outer_boxes(boxes, sizes, label, column)).tolist()
        for i, answer, box, value in zip(rows, chosen, outer, quality):
            answers[i] = answer._replace(outer_box=tuple(box), quality=value)
        return answers

    def to_config(self) -> dict[str, Any]:
        """The attributes as JSON takes them; an infinite margin as None."""
        config = dataclasses.asdict(self)
        margins = {str(k): _or_none(v) for k, v in self.class_margins.items()}
        return {**config, "margin": _or_none(self.margin), "class_margins": margins}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The calibration that `to_config` described."""
        margins = {int(k): _or_inf(v) for k, v in config["class_margins"].items()}
        knots = config["quality"]
        changed = {
            "margin": _or_inf(config["margin"]),
            "class_margins": margins,
            "quality": None if knots is None else (tuple(knots[0]), tuple(knots[1])),
        }
        return cls(**{**config, **changed})


def calibrate_localizations(
    localizations: Sequence[Localization | None],
    dataset: LocalizationDataset,
    coverage: float = 0.9,
    *,
    per_class: bool = False,
) -> Calibration:
    """A calibration from answers that one already has; see `Localizer.calibrate`.

    Args:
        localizations: one answer for each record of `dataset`, in its order. Those
            without a box, and those of images without a true box, are left out:
            localize with `presence_threshold=0`.
        dataset: the truth: images that the model was not trained on.
        coverage: the wanted coverage, in (0, 1).
        per_class: whether each predicted class gets a margin of its own.

    Returns:
        A `Calibration`. Where the images are too few its margin is infinite, with a
        warning.

    Raises:
        ValueError: for a `coverage` that is not in (0, 1), another number of answers,
            or none that has a box.

    Example:

    >>> data = keras_localize.make_synthetic(20)
    >>> sizes = data.image_sizes
    >>> answers = [
    ...     keras_localize.Localization(0, "disc", 0.9, (9, 9, w - 9, h - 9), None)
    ...     for h, w in sizes
    ... ]
    >>> calibration = keras_localize.calibrate_localizations(answers, data, 0.8)
    >>> outer = [a.outer_box for a in calibration.apply(answers, sizes)]
    >>> calibration.images, len(outer)
    (20, 20)
    """
    coverage = check_coverage(coverage)
    check_bool(per_class, "per_class")
    check_answers(localizations)
    if len(localizations) != len(check_dataset(dataset, "dataset")):
        raise ValueError(
            f"`localizations` must be one answer for each of {len(dataset)} images. "
            f"Received: {len(localizations)}"
        )
    counted = {
        i: answer
        for i, answer in enumerate(localizations)
        if answer is not None and answer.box is not None and dataset.weights[i] > 0
    }
    if not counted:
        raise ValueError(
            "`dataset` must have images with boxes, and answers with boxes to them. "
            "Received: none"
        )
    truth, answers = with_real_sizes(dataset[list(counted)]), list(counted.values())
    boxes = np.array([answer.box for answer in answers], "float32")
    true = to_numpy(convert(truth.boxes, "rel_xyxy", "xyxy", truth.image_sizes))
    errors = side_errors(boxes, true)
    knots = None
    if answers[0].quality is not None:
        quality = np.array([answer.quality for answer in answers])
        knots = isotonic_knots(
            quality, to_numpy(iou(true, boxes, "xyxy")), _QUALITY_GROUP
        )
        errors = errors / _scale(quality)
    labels = np.array([answer.label for answer in answers])
    class_margins = {}
    if per_class and answers[0].label is not None:
        least = round(_LEAST_BEYOND / (1 - coverage), 9)  # 100 for 0.9, not more
        for class_id in np.unique(labels):
            own = errors[labels == class_id]
            if len(own) >= least:
                class_margins[int(class_id)] = _margin(own, coverage)
    margin = _margin(errors, coverage)
    if math.isinf(margin):
        warn(
            f"The outer box is the whole image: a coverage of {coverage} needs at "
            f"least {least_images(coverage)} images with a box, and there are "
            f"{len(answers)}.",
        )
    return Calibration(coverage, len(answers), margin, class_margins, knots)


def check_coverage(coverage: Any) -> float:
    """`coverage` as a `float`, or a ValueError unless in (0, 1)."""
    if not 0 < check_number(coverage, "coverage") < 1:
        raise ValueError(f"`coverage` must be in (0, 1). Received: coverage={coverage}")
    return float(coverage)


def _margin(errors: np.ndarray, coverage: float) -> float:
    # The outer box is never smaller than the box.
    return max(conformal_margin(errors, coverage), 0.0)


def _scale(quality: Any) -> Any:
    """How wide the margin is at each quality: split conformal with scaled errors."""
    return _QUALITY_SCALE - quality


def digest_of(weights: Sequence[keras.Variable]) -> int:
    """A number that is another one for other weights, the same on every backend.

    Of each weight some channels are looked at: training changes all of them.
    """
    digest = 0
    for weight in weights:
        some = ops.convert_to_tensor(weight)
        if len(some.shape):
            some = some[..., :_DIGEST_CHANNELS]
        # An export is in float32, whatever the localizer's weights are.
        digest = zlib.crc32(to_numpy(some).astype("float32").tobytes(), digest)
    return digest


def _or_none(margin: float) -> float | None:
    return None if math.isinf(margin) else margin


def _or_inf(margin: float | None) -> float:
    return math.inf if margin is None else margin
