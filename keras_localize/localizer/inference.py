"""From images of any kind to answers: everything that happens around `predict`.

An option of inference is declared in `LocalizeOptions`, checked in `_resolve` and used
in `_Pipeline`: all in this file. Whoever passes options on takes them by
`Unpack[LocalizeOptions]`.
"""

import contextlib
import itertools
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, TypedDict, Unpack, overload

import keras
import numpy as np

from keras_localize.arrays import to_numpy
from keras_localize.boxes import clip
from keras_localize.checks import (
    check_bool,
    check_choice,
    check_number,
    check_positive_int,
)
from keras_localize.images import ImageError, crop, letterbox
from keras_localize.images.opening import readable_again
from keras_localize.localizer.calibration import Calibration
from keras_localize.localizer.flipping import flip_images
from keras_localize.localizer.localization import Localization
from keras_localize.localizer.predictions import (
    average_flipped,
    join_refined,
    to_localizations,
    to_original,
)
from keras_localize.localizer.refinement import out_of_windows, windows_around
from keras_localize.localizer.sources import Images, each_source, unchanging
from keras_localize.localizer.verbosity import Verbose, check_verbose, resolve_verbose
from keras_localize.warn import warn

# Decoding is done by C code that leaves Python's lock; more threads than this bring
# little, because the prediction uses the cores too.
_THREADS = 4
_NAMED = 5
# One prediction of a model at a time: Keras keeps the state of one on the model.
_PREDICTING: "weakref.WeakKeyDictionary[Any, threading.Lock]"
_PREDICTING = weakref.WeakKeyDictionary()


class _Options(TypedDict, total=False):
    flip_average: bool
    refine: bool
    presence_threshold: float
    verbose: Verbose


class LocalizeOptions(_Options, total=False):
    """The options of `Localizer.localize`, which describes them."""

    # Apart, because it decides about the type of the answers.
    on_error: Literal["raise", "skip"]


_DEFAULTS: LocalizeOptions = {
    "flip_average": False,
    "refine": False,
    "on_error": "raise",
    "presence_threshold": 0.5,
    "verbose": "auto",
}


class Localizes:
    """The methods of `Localizer` that answer for images."""

    @overload
    def localize(
        self,
        images: Images,
        batch_size: int = 32,
        *,
        on_error: Literal["raise"] = "raise",
        **options: Unpack[_Options],
    ) -> list[Localization]: ...

    @overload
    def localize(
        self, images: Images, batch_size: int = 32, **options: Unpack[LocalizeOptions]
    ) -> list[Localization | None]: ...

    def localize(
        self, images: Images, batch_size: int = 32, **options: Unpack[LocalizeOptions]
    ) -> Any:
        """Finds the object in images of any size.

        Args:
            images: one image, a folder, or an iterable of these. An image is a
                path, encoded bytes, an open binary file, a PIL image, or an array
                (H, W, 3), uint8 or float in [0, 255]. A folder is read as by
                `keras_localize.images.list_images`. A `LocalizationDataset` and an
                array (N, H, W, 3) are iterables of images.
            batch_size: how many images are predicted at a time.
            flip_average: whether to predict for the horizontal flip of each image
                too and to average (test-time augmentation): slightly better boxes
                for a second prediction. Default: False.
            refine: crop-and-refine inference: predict again on a square crop of 1.6
                times the predicted box, at the image's own resolution. The box and
                its quality are those of the crop, the label's probabilities the mean
                of both, in which the crop counts twice. It helps where objects are
                small in their images and where the model was trained on views of
                several sizes (`RandomSquareView`); it costs a second prediction and a
                second decoding. The presence is that of the first prediction. Default:
                False.
            on_error: for an image that cannot be read: `"raise"` (the default) an
                error, or `"skip"` it: `None` stands in its place, and one warning
                counts and names such images.
            presence_threshold: in [0, 1], default 0.5. Where a model predicts whether
                there is an object: below this probability the box is `None`.
            verbose: 1: a progress bar; 0: none; 2: one line at the end; `"auto"`, the
                default: a progress bar in a terminal if there are several batches.

        Any number of threads may call it at once, as in a server: images are decoded
        in parallel, and one batch at a time is predicted.

        Returns:
            A list of `Localization` in the order of the images, boxes in pixels of
            the original images.

        Raises:
            ImageError: a ValueError that names the image that cannot be read.
            ValueError: for a bad option, or a folder without images.
            TypeError: for an unknown option.

        Example:

        >>> backbone = keras.Sequential(
        ...     [keras.Input((64, 64, 3)), keras.layers.Conv2D(8, 8, strides=8)]
        ... )
        >>> localizer = keras_localize.build_localizer(
        ...     backbone, 2, class_names=["cat", "dog"], preprocessing=None
        ... )
        >>> image = np.zeros((100, 200, 3), "uint8")
        >>> answer = localizer.localize([image], flip_average=True)[0]
        >>> answer.class_name in ("cat", "dog"), len(answer.box)
        (True, 4)
        """
        answers = self.iter_localize(images, batch_size, **options)
        return [answer for _, answer in answers]

    def iter_localize(
        self, images: Images, batch_size: int = 32, **options: Unpack[LocalizeOptions]
    ) -> Iterator[tuple[Any, Localization | None]]:
        """As `localize`, one answer at a time, for any number of images.

        Images are read while earlier ones are predicted, and only a few batches are
        in memory. What a generator gives may be closed or filled anew before the next:
        its open PIL images are decoded at once, one after another. Paths and bytes
        are decoded by several threads.

        Args:
            images: as in `localize`; iterables are read as far as needed.
            batch_size: how many images are predicted at a time.
            **options: those of `localize`.

        Returns:
            An iterator of `(source, Localization or None)` in the order of the
            images, where `source` is the image as it was given (of a folder: the
            path of the file).

        Raises:
            ImageError, ValueError, TypeError: as `localize`.

        Example:

        >>> backbone = keras.Sequential(
        ...     [keras.Input((64, 64, 3)), keras.layers.Conv2D(8, 8, strides=8)]
        ... )
        >>> localizer = keras_localize.build_localizer(backbone, 2, preprocessing=None)
        >>> _ = keras_localize.make_synthetic(2, directory="drawn")
        >>> for path, answer in localizer.iter_localize("drawn"):
        ...     print(path.name, len(answer.box))
        synthetic_0_000000.png 4
        synthetic_0_000001.png 4
        """
        batch_size = check_positive_int(batch_size, "batch_size")
        resolved = _resolve(options)
        calibration = self.calibration(resolved["flip_average"], resolved["refine"])
        return _Pipeline(self, batch_size, resolved, calibration).run(images)

    def calibration(self, flip_average: bool, refine: bool) -> Calibration | None:
        """What was calibrated for these options; a localizer overrides it."""
        return None

    def _uncalibrated(
        self, images: Images, batch_size: int, options: LocalizeOptions
    ) -> Iterator[tuple[Any, Localization | None]]:
        """As `iter_localize`, with the quality that the model predicts itself."""
        batch_size = check_positive_int(batch_size, "batch_size")
        return _Pipeline(self, batch_size, _resolve(options), None).run(images)


class _Read(NamedTuple):
    """One decoded image; `error` instead where it cannot be read.

    `image` is the source in a form that can be read again.
    """

    source: Any
    image: Any
    square: Any
    size: tuple[int, int] | None
    error: ImageError | None = None


class _Pipeline:
    """Reads ahead, predicts in batches, answers in order."""

    def __init__(
        self,
        localizer: Any,
        batch_size: int,
        options: dict[str, Any],
        calibration: Calibration | None,
    ) -> None:
        self.localizer = localizer
        self.calibration = calibration
        self.batch_size = batch_size
        self.flip_average = options["flip_average"]
        self.refine = options["refine"]
        self.skip = options["on_error"] == "skip"
        self.threshold = options["presence_threshold"]
        self.verbose = options["verbose"]

    def run(self, images: Any) -> Iterator[tuple[Any, Localization | None]]:
        sources, count = each_source(images)
        # In a list, all images are there at once.
        keep = unchanging if count is None else lambda source: source
        kept = ((source, keep(source)) for source in sources)
        skipped: list[str] = []
        progress, done = self._progress(count), 0
        ahead = 2 * self.batch_size
        with (
            ThreadPoolExecutor(_THREADS) as pool,
            contextlib.closing(_map_ahead(pool, self._read, kept, ahead)) as reads,
        ):
            while batch := list(itertools.islice(reads, self.batch_size)):
                answers = iter(
                    self._answer([r for r in batch if r.square is not None], pool)
                )
                for read in batch:
                    answer = read.error or next(answers)
                    if isinstance(answer, ImageError):
                        skipped.append(str(answer))
                        answer = None
                    yield read.source, answer
                done += len(batch)
                progress.update(done)
        if count is None and done:
            progress.target = done
            progress.update(done, finalize=True)
        if skipped:
            shown = "; ".join(skipped[:_NAMED]) + ("; ..." if skipped[_NAMED:] else "")
            warn(
                f"{len(skipped)} images could not be read and were skipped: {shown}",
            )

    def _read(self, source_and_image: tuple[Any, Any]) -> _Read:
        source, image = source_and_image
        try:
            if isinstance(image, ImageError):
                raise image
            image = readable_again(image) if self.refine else image
            return _Read(source, image, *letterbox(image, self.localizer.image_size))
        except ImageError as error:
            if not self.skip:
                raise
            return _Read(source, None, None, None, error)

    def _crop(self, read: _Read, window: Any) -> tuple[np.ndarray, ImageError | None]:
        try:
            return crop(read.image, window, self.localizer.image_size), None
        except ImageError as error:  # it could be read a moment ago
            if not self.skip:
                raise
            return read.square, error

    def _answer(
        self, batch: list[_Read], pool: ThreadPoolExecutor
    ) -> list[Localization | ImageError]:
        if not batch:
            return []
        size = self.localizer.image_size
        image_sizes = np.array([read.size for read in batch], "int32")
        outputs = self._predict([read.square for read in batch])
        boxes = to_numpy(to_original(outputs["box"], image_sizes, size))
        if not np.isfinite(boxes).all():
            warn(
                "The localizer predicts boxes that are not finite: NaN or infinity is "
                "among its weights, as after a training that diverged."
            )
        errors: list[ImageError | None] = [None] * len(batch)
        if self.refine:
            windows = windows_around(boxes, image_sizes.astype("float64"), size)
            crops, errors = map(list, zip(*pool.map(self._crop, batch, windows)))
            refined = self._predict(crops)
            boxes = out_of_windows(refined["box"], windows).astype("float32")
            boxes = to_numpy(clip(boxes, "xyxy", image_sizes))
            outputs = join_refined(outputs, refined)
        answers = to_localizations(
            outputs,
            boxes,
            self.localizer.class_names,
            self.threshold,
            image_sizes,
            self.calibration,
        )
        return [error or answer for error, answer in zip(errors, answers)]

    def _predict(self, squares: list[np.ndarray]) -> dict[str, np.ndarray]:
        """The model's outputs for squares, averaged with those of their flips."""
        # Few different batch sizes: each may be compiled anew.
        count = min(self.batch_size, 1 << (len(squares) - 1).bit_length())
        batch = np.stack([*squares, *[squares[-1]] * (count - len(squares))])
        if keras.config.image_data_format() == "channels_first":
            batch = batch.transpose(0, 3, 1, 2)
        with _PREDICTING.setdefault(self.localizer, threading.Lock()):
            outputs = self.localizer.predict_on_batch(batch)
            if self.flip_average:
                flipped = self.localizer.predict_on_batch(flip_images(batch))
                outputs = average_flipped(outputs, flipped)
        return {key: to_numpy(x)[: len(squares)] for key, x in outputs.items()}

    def _progress(self, count: int | None) -> Any:
        several = count is None or count > self.batch_size
        verbose = resolve_verbose(
            self.verbose, in_terminal=1 if several else 0, elsewhere=0
        )
        return keras.utils.Progbar(count, verbose=verbose, unit_name="image")


def _resolve(options: LocalizeOptions) -> dict[str, Any]:
    """All options with their defaults, checked."""
    unknown = [name for name in options if name not in _DEFAULTS]
    if unknown:
        raise TypeError(
            f"localize() got an unexpected option {unknown[0]!r}; there are "
            f"{', '.join(_DEFAULTS)}"
        )
    resolved: dict[str, Any] = {**_DEFAULTS, **options}
    check_choice(resolved["on_error"], ("raise", "skip"), "on_error")
    check_number(resolved["presence_threshold"], "presence_threshold", 0, 1)
    check_bool(resolved["flip_average"], "flip_average")
    check_bool(resolved["refine"], "refine")
    check_verbose(resolved["verbose"])
    return resolved


def _map_ahead(
    pool: ThreadPoolExecutor, function: Callable, items: Iterable, ahead: int
) -> Generator[Any]:
    """`map` in the pool's threads, in order, at most `ahead` items early."""
    items, waiting = iter(items), deque()
    try:
        waiting.extend(
            pool.submit(function, item) for item in itertools.islice(items, ahead)
        )
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(
                pool.submit(function, item) for item in itertools.islice(items, 1)
            )
    finally:  # after an error, or where the caller stops early
        for future in waiting:
            future.cancel()
