"""The batches that `train_localizer` trains and evaluates on."""

import dataclasses
import functools
from typing import Any

import keras

from keras_localize.datasets import LocalizationDataset
from keras_localize.datasets.augmentation import Augmentation
from keras_localize.datasets.batches import TARGETS, Target
from keras_localize.datasets.class_weights import ClassWeight
from keras_localize.layers import RandomSquareView
from keras_localize.localizer.localizer import Localizer
from keras_localize.localizer.training_plan import BOX_CROP, TrainingPlan

# Bytes. Larger squares are decoded in every epoch.
SQUARES_IN_MEMORY = 2_000_000_000


@dataclasses.dataclass(frozen=True)
class TrainingBatches:
    """The images of one call of `train_localizer`, as batches.

    Attributes:
        localizer: what is trained on them.
        plan: sizes of images and batches.
        train: training images.
        validation: images for the `val_` values, or None.
        seed: of order and views.
        augment: what makes the views; None: the default views.
        class_weight: of the training images; see `LocalizationDataset.to_tf_data`.
    """

    localizer: Localizer
    plan: TrainingPlan
    train: LocalizationDataset
    validation: LocalizationDataset | None
    seed: int
    augment: Any
    class_weight: ClassWeight

    def views(self, batch_size: int | None = None, shuffle: bool = False) -> Any:
        """A random view of each training image in every epoch."""
        return self._make(
            self.train,
            batch_size,
            shuffle=shuffle,
            augment=self.augment or default_view(self.localizer.image_size),
            source_size=self.plan.source_size,
            class_weight=self.class_weight,
        )

    @functools.cached_property
    def validation_squares(self) -> Any:
        """Batches of the validation images, decoded once for all phases."""
        return None if self.validation is None else self.squares(self.validation)

    def squares(self, data: LocalizationDataset) -> Any:
        """The images as they are."""
        return self._make(data)

    def _make(
        self,
        data: LocalizationDataset,
        batch_size: int | None = None,
        source_size: int | None = None,
        **options: Any,
    ) -> Any:
        """Batches of squares, decoded once where they fit into memory."""
        size = self.localizer.image_size
        on_tensorflow = keras.backend.backend() == "tensorflow"
        make = data.to_tf_data if on_tensorflow else data.to_pydataset
        outputs = self.localizer.output_names
        targets: list[Target] = [name for name in TARGETS if name in outputs]
        fits = len(data) * 3 * (source_size or size) ** 2 <= SQUARES_IN_MEMORY
        return make(
            size,
            batch_size or self.plan.batch_size,
            seed=self.seed,
            source_size=source_size,
            cache="memory" if fits else None,
            targets=targets,
            **options,
        )


def default_view(size: int) -> RandomSquareView:
    """Flipped, zoomed, stretched and shifted, or cropped to the box."""
    return RandomSquareView(size, box_crop=BOX_CROP, bounding_box_format="rel_xyxy")


def described(augment: Any, size: int) -> str | None:
    """A text that is the same for the same layers; all functions have one.

    Raises:
        ValueError: for what `to_tf_data` does not take as `augment`.
    """
    if augment is None:
        return None
    config = Augmentation(augment, size).config()
    return "a function" if config is None else repr(config)
