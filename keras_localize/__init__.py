"""keras-localize: the missing localization kit of Keras 3."""

from keras_localize import boxes
from keras_localize.layers import LocalizationHead
from keras_localize.localizer import Localization, Localizer, build_localizer
from keras_localize.losses import BoxLoss, CIoULoss, DIoULoss, GIoULoss, IoULoss
from keras_localize.metrics import IoUMetric

__version__ = "0.1.0"

__all__ = [
    "BoxLoss",
    "CIoULoss",
    "DIoULoss",
    "GIoULoss",
    "IoULoss",
    "IoUMetric",
    "Localization",
    "LocalizationHead",
    "Localizer",
    "boxes",
    "build_localizer",
]
