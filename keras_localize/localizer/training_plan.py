"""How `train_localizer` trains: the defaults as functions of data and network.

docs/benchmarks.md has the measurements behind the numbers here.
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np

from keras_localize.checks import check_positive_int
from keras_localize.layers import RandomSquareView
from keras_localize.localizer.features import image_shape
from keras_localize.localizer.localizer import Localizer
from keras_localize.types import ArrayLike

# Steps of the heads, and views of all images together, that more do not improve.
HEAD_STEPS = 3000
CACHED_VIEWS = 6000
# Share of the views that are crops around the boxes, as `localize(refine=True)` makes.
BOX_CROP = 0.5
# Side of the squares that views are taken from, by that of the views: the detail that a
# magnified view shows. Images that are smaller are not magnified for it.
SOURCE = 1.3
# Factor on the backbone's rate in careful fine-tuning: a short one, and a long one.
SHORT_FACTOR = 0.1
LONG_FACTOR = 0.3
# Share of the heads' epochs, and least number, in which the quality head is trained.
QUALITY_SHARE = 1 / 3
QUALITY_EPOCHS = 3
# Peak of the one-cycle schedule during fine-tuning, a careful and a full one.
CAREFUL_RATE = 1e-3
FULL_RATE = 2e-3
# Weight of the box loss during fine-tuning: with 1 the label overfits, at the cost of
# the box.
BOX_WEIGHT = 2.0
# Images per batch to which full fine-tuning halves larger batches: twice as many steps
# in the same time.
FULL_BATCH = 16
# Steps from which fine-tuning is long.
LONG_STEPS = 800
# Parameters up to which a backbone is small.
SMALL_BACKBONE = 1_000_000


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """Everything that is decided before the training begins.

    Attributes:
        whole: whether all layers are trained from the start, in one phase.
        source_size: side in pixels of the squares that views are taken from.
        views: random views of each image whose features are cached.
        mirror: whether the horizontal flip of every view is cached, too.
        head_epochs: epochs of the heads, or of all layers where `whole`.
        fine_tune_epochs: epochs of fine-tuning.
        batch_size: images per batch.
        head_batch_size: features per batch.
        fine_tune_batch_size: images per batch during fine-tuning.
        batch_normalization: whether it trains during fine-tuning.
        peak_rate: of the one-cycle schedule during fine-tuning.
        backbone_factor: on the rate of the backbone's layers during fine-tuning.
        feature_bytes: size of all cached features.
    """

    whole: bool
    source_size: int
    views: int
    mirror: bool
    head_epochs: int
    fine_tune_epochs: int
    batch_size: int
    head_batch_size: int
    fine_tune_batch_size: int
    batch_normalization: bool
    peak_rate: float
    backbone_factor: float
    feature_bytes: int

    @property
    def quality_epochs(self) -> int:
        """Epochs of the quality head; see `EarlyQuality`."""
        epochs = self.head_epochs
        return _between(min(QUALITY_EPOCHS, epochs), epochs * QUALITY_SHARE, epochs)

    def without_fine_tuning(self) -> "TrainingPlan":
        """The same for features and heads alone."""
        return dataclasses.replace(
            self,
            fine_tune_epochs=0,
            fine_tune_batch_size=self.batch_size,
            batch_normalization=False,
            peak_rate=0.0,
            backbone_factor=1.0,
        )


def plan_training(
    localizer: Localizer,
    *,
    objects: int,
    longest_sides: ArrayLike,
    views: int | None,
    head_epochs: int | None,
    fine_tune_epochs: int,
    batch_size: int,
    augment: Any = None,
) -> TrainingPlan:
    """Decides what was left open.

    Args:
        localizer: what will be trained.
        objects: number of training images that hold an object. They alone train box
            and label, so that epochs and views are chosen for them.
        longest_sides: (images,) the longer side of each training image in pixels.
        views, head_epochs, fine_tune_epochs, batch_size, augment: of
            `train_localizer`.

    Raises:
        ValueError: for arguments that are not positive, or no images.
    """
    images = np.size(longest_sides)
    if images == 0:
        raise ValueError("`train` must hold images. Received: none")
    objects = objects or images
    # Flips that are views of their own are as many more of these.
    mirror = augment is None
    passes = 2 if mirror else 1
    if views is None:
        views = _between(1, CACHED_VIEWS * 2 / passes / objects, 32 // passes)
    views = check_positive_int(views, "views")
    whole = bool(localizer.backbone.trainable_variables)
    head_batch_size = 2 * batch_size
    rows = 1 if whole else passes * views  # for each image
    steps = math.ceil(rows * objects / (batch_size if whole else head_batch_size))
    if head_epochs is None:
        head_epochs = _between(3, HEAD_STEPS / steps, 60)
    head_epochs = check_positive_int(head_epochs, "head_epochs")
    is_long = fine_tune_epochs * math.ceil(images / batch_size) >= LONG_STEPS
    is_small = localizer.backbone.count_params() <= SMALL_BACKBONE
    trains_fully = is_long and is_small
    return TrainingPlan(
        whole=whole,
        source_size=(
            source_side(localizer.image_size, longest_sides)
            if augment is None or takes_larger_squares(augment)
            else localizer.image_size
        ),
        views=views,
        mirror=mirror,
        head_epochs=head_epochs,
        fine_tune_epochs=fine_tune_epochs,
        batch_size=batch_size,
        head_batch_size=head_batch_size,
        fine_tune_batch_size=(
            max(batch_size // 2, min(batch_size, FULL_BATCH))
            if trains_fully
            else batch_size
        ),
        feature_bytes=rows * images * _feature_bytes(localizer),
        # The statistics of batch normalization settle after some hundreds of steps;
        # before that the network is worse than it was. A large network has more to
        # lose, and needs to move less.
        batch_normalization=trains_fully,
        peak_rate=FULL_RATE if trains_fully else CAREFUL_RATE,
        backbone_factor=_backbone_factor(is_long, is_small),
    )


def source_side(size: int, longest_sides: ArrayLike) -> int:
    """Side of the squares that views of `size` are taken from.

    Larger than the views where the images are, so that a magnified view shows their
    detail. Squares larger than half of the images hold little more.

    Args:
        size: side of the views in pixels.
        longest_sides: (images,) the longer side of each image in pixels.
    """
    usual = float(np.median(np.asarray(longest_sides)))
    return max(size, round(min(SOURCE * size, usual)))


def takes_larger_squares(augment: Any) -> bool:
    """Whether it begins with a layer that makes squares of its own size."""
    while isinstance(augment, keras.layers.Pipeline):
        augment = next(iter(augment.layers), None)
    return isinstance(augment, RandomSquareView)


def _between(least: int, value: float, most: int) -> int:
    return max(least, min(round(value), most))


def _feature_bytes(localizer: Localizer) -> int:
    """Bytes of the feature maps of one image, in float16."""
    # The backbone may take images of any size.
    images = keras.KerasTensor((1, *image_shape(localizer.image_size)))
    maps = keras.tree.flatten(localizer.backbone.compute_output_spec(images))
    return sum(2 * math.prod(x.shape[1:]) for x in maps)


def _backbone_factor(is_long: bool, is_small: bool) -> float:
    """Factor on the rate of the backbone's layers."""
    if not is_long:
        return SHORT_FACTOR
    return 1.0 if is_small else LONG_FACTOR
