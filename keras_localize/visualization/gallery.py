"""The same images after every epoch."""

import os
from typing import Any, Unpack

import keras
import numpy as np

from keras_localize.checks import check_positive_int
from keras_localize.datasets import LocalizationDataset
from keras_localize.datasets.dataset_argument import check_filled
from keras_localize.files import replacing
from keras_localize.localizer import LocalizeOptions, Localizer
from keras_localize.types import Path
from keras_localize.visualization.figure import grid
from keras_localize.visualization.localizations import plot_localizations

__all__ = ["LocalizationGallery"]


class LocalizationGallery(keras.callbacks.Callback):
    """Draws the boxes of the same images after every epoch, one file each.

    The files are `epoch_0001.png`, `epoch_0002.png`, ... in `folder`. A second `fit`
    with the same callback goes on counting. Each file appears whole or not at all.

    Args:
        dataset: a `LocalizationDataset`, for instance that of the validation.
        folder: where the files are written; made where it is missing.
        count: how many images, evenly spread over the dataset.
        columns: images per row.
        every: draws after each so many epochs.
        localizer: the `Localizer` that answers; None: the model that is trained. Give
            it where `LocalizerHeads` are trained, which share its weights.
        **options: those of `Localizer.localize`.

    Raises:
        ImportError: without matplotlib.
        ValueError: for an empty dataset, a count that is not positive, or a trained
            model that is no `Localizer`.

    Example:

    >>> import os
    >>> data = keras_localize.make_synthetic(4, num_classes=2)
    >>> backbone = keras.Sequential(
    ...     [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 8, strides=8)]
    ... )
    >>> localizer = keras_localize.build_localizer(backbone, 2, preprocessing=None)
    >>> localizer.compile()
    >>> gallery = keras_localize.LocalizationGallery(data, "gallery", count=2)
    >>> history = localizer.fit(
    ...     data.to_pydataset(32), epochs=2, callbacks=[gallery], verbose=0
    ... )
    >>> sorted(os.listdir("gallery"))
    ['epoch_0001.png', 'epoch_0002.png']
    """

    def __init__(
        self,
        dataset: LocalizationDataset,
        folder: Path,
        *,
        count: int = 8,
        columns: int = 4,
        every: int = 1,
        localizer: Localizer | None = None,
        **options: Unpack[LocalizeOptions],
    ) -> None:
        super().__init__()
        check_filled(dataset, "dataset")
        count = min(check_positive_int(count, "count"), len(dataset))
        chosen = np.linspace(0, len(dataset) - 1, count).round().astype(int)
        self.dataset = dataset[np.unique(chosen)]
        self.folder = folder
        self.columns = check_positive_int(columns, "columns")
        self.every = check_positive_int(every, "every")
        self.localizer = localizer
        self.options = options
        self.epochs = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Tries everything, so that what is wrong is known before the first epoch."""
        self._localizer().localize(self.dataset[:1], **self.options)
        os.makedirs(self.folder, exist_ok=True)
        grid(1, 1, (1, 1))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes one file, if it is the turn of this epoch."""
        # A second `fit` begins with epoch 0 again, a resumed one with a later one.
        self.epochs = max(self.epochs, epoch) + 1
        if self.epochs % self.every:
            return
        answers = self._localizer().localize(self.dataset, **self.options)
        figure = plot_localizations(self.dataset, answers, columns=self.columns)
        figure.suptitle(f"epoch {self.epochs}")
        path = f"{self.folder}/epoch_{self.epochs:04d}.png"
        with replacing(path) as unfinished:
            figure.savefig(unfinished)

    def _localizer(self) -> Localizer:
        localizer = self.localizer or self.model
        if not isinstance(localizer, Localizer):
            raise ValueError(
                "`localizer` must be given where the model that is trained is no "
                f"Localizer. Received: localizer={self.localizer!r} and a model of "
                f"type {type(self.model).__name__}"
            )
        return localizer
