"""`Localizer.calibrate`, and which calibration an answer gets."""

import dataclasses
from typing import Any, TypeAlias, Unpack

import keras

from keras_localize.datasets import LocalizationDataset
from keras_localize.datasets.dataset_argument import check_dataset
from keras_localize.localizer.calibration import (
    Calibration,
    calibrate_localizations,
    check_coverage,
    digest_of,
)
from keras_localize.localizer.inference import LocalizeOptions, Localizes
from keras_localize.warn import warn

# By (flip_average, refine).
Calibrations: TypeAlias = dict[tuple[bool, bool], Calibration]


class Calibrates(Localizes):
    """The methods of `Localizer` that make it say how far to trust its answers."""

    calibrations: Calibrations
    backbone: keras.Model
    num_classes: int | None
    head: Any
    quality: bool

    def calibrate(
        self,
        dataset: LocalizationDataset,
        coverage: float = 0.9,
        batch_size: int = 32,
        *,
        per_class: bool = False,
        **options: Unpack[LocalizeOptions],
    ) -> Calibration:
        """Learns from held-out images how far its boxes are from the true ones.

        Afterwards each `Localization` has an `outer_box`, and its `quality` is the IoU
        that such boxes have on average. Both hold for these `options` alone: calibrate
        once for each combination of `flip_average` and `refine` that you use. With
        another combination `outer_box` is None and `quality` is the model's own, with
        a warning. The calibration is saved with the model and in its exports.

        *The outer box* is the predicted box, each side moved out by the same share m
        of the box's width or height, and cut at the image's border. For each of the n
        images of `dataset` that have a box, the error is how far the true box reaches
        beyond the predicted one, at its worst side. m is the ceil((n + 1) *
        coverage)-th smallest error. If n is too small for that (below 9 for 0.9), the
        outer box is the whole image, with a warning. Where the model predicts a
        quality q, errors are divided by 1.2 - q and m is multiplied by it: a box of
        low quality gets a wider margin, and the outer boxes are smaller on average.

        What is promised (split conformal prediction, arXiv 2107.07511): the outer box
        of a new image holds its whole object with a probability of at least
        `coverage`, over new images and calibration sets, whatever the model. This is
        an average over all images, and not for each kind of image. It holds if the
        new images are exchangeable with those of `dataset`. What breaks it: images
        that the model was trained on, or by which its epoch was chosen; new images
        from another camera, place or time; training after the calibration (this is
        noticed: `outer_box` is None then).

        *The quality* is mapped by an increasing function, fitted to the IoU by isotonic
        regression.

        Args:
            dataset: images with boxes that the model was not trained on; 200 or more.
                Those without a box are left out. Every object counts, whatever its
                presence.
            coverage: the wanted probability, in (0, 1).
            batch_size: how many images are predicted at a time.
            per_class: whether each class gets a margin of its own, so that the promise
                holds among the images of each predicted class. A class with fewer than
                10 / (1 - coverage) images keeps the margin of all.
            **options: those of `localize`, as you will use them.

        Returns:
            The `Calibration`: `margin`, `class_margins`, `images`, `coverage`.

        Raises:
            ImageError, ValueError, TypeError: as `localize`.
            ValueError: for a `coverage` that is not in (0, 1), or a dataset without
                boxes.

        Example:

        >>> backbone = keras.Sequential(
        ...     [keras.Input((64, 64, 3)), keras.layers.Conv2D(8, 8, strides=8)]
        ... )
        >>> localizer = keras_localize.build_localizer(backbone, 4, preprocessing=None)
        >>> held_out = keras_localize.make_synthetic(40)
        >>> calibration = localizer.calibrate(held_out, coverage=0.8)
        >>> report = keras_localize.evaluate_localizer(localizer, held_out)
        >>> report.coverage >= 0.8
        True
        """
        check_coverage(coverage)
        check_dataset(dataset, "dataset")
        dataset = dataset[dataset.weights > 0]
        options = {**options, "presence_threshold": 0.0}
        answers = [x for _, x in self._uncalibrated(dataset, batch_size, options)]
        calibration = calibrate_localizations(
            answers, dataset, coverage, per_class=per_class
        )
        calibration = dataclasses.replace(calibration, weights=self._digest())
        key = bool(options.get("flip_average")), bool(options.get("refine"))
        self.calibrations = {**self.calibrations, key: calibration}
        return calibration

    def calibration(self, flip_average: bool, refine: bool) -> Calibration | None:
        """The calibration for these options of `localize`.

        None, with a warning, where the model was calibrated for others alone, or
        trained since; None without a warning where it never was.
        """
        if not self.calibrations:
            return None
        calibration = self.calibrations.get((flip_average, refine))
        problem = None
        if calibration is None:
            problem = (
                f"was not calibrated for flip_average={flip_average}, refine={refine}"
            )
        elif calibration.weights != self._digest():
            problem = "has other weights than when it was calibrated"
        if problem is None:
            return calibration
        warn(
            f"The localizer {problem}: there is no `outer_box`, and `quality` is "
            "uncalibrated. Call `calibrate` with the same options.",
        )
        return None

    def _digest(self) -> int:
        # All weights would take long. The backbone's kernels are trained together, or
        # from some layer on to the last; of the label a bias changes with the rest.
        model: Any = self
        kernels = [x for x in self.backbone.weights if len(x.shape) > 1]
        weights = [*self.head.weights, *kernels[:1], *kernels[-1:]]
        if self.quality:
            weights += model.get_layer("quality").weights
        if self.num_classes is not None:
            weights += model.get_layer("label").weights[-1:]
        return digest_of(weights)


def calibrations_config(calibrations: Calibrations) -> list[dict[str, Any]]:
    """All calibrations as JSON takes them."""
    return [
        {"flip_average": flip_average, "refine": refine, **calibration.to_config()}
        for (flip_average, refine), calibration in calibrations.items()
    ]


def calibrations_from_config(configs: list[dict[str, Any]]) -> Calibrations:
    """The calibrations that `calibrations_config` described."""
    calibrations = {}
    for config in configs:
        config = dict(config)
        key = config.pop("flip_average"), config.pop("refine")
        calibrations[key] = Calibration.from_config(config)
    return calibrations
