"""keras-localize: the missing localization kit of Keras 3."""

from keras_localize import boxes
from keras_localize.datasets import (
    AnnotationError,
    LocalizationDataset,
    load_oxford_pets,
    make_synthetic,
    read_coco,
    read_csv,
    read_labelme,
    read_voc,
    read_yolo,
)
from keras_localize.evaluation import LocalizationReport, evaluate_localizer
from keras_localize.layers import LocalizationHead, PadToSquare, RandomSquareView
from keras_localize.localizer import (
    FeatureBatches,
    Localization,
    Localizer,
    LocalizerHeads,
    build_localizer,
    cache_features,
    export_localizer,
)
from keras_localize.losses import BoxLoss, CIoULoss, DIoULoss, GIoULoss, IoULoss
from keras_localize.metrics import IoUMetric
from keras_localize.visualization import plot_history, plot_localizations

__version__ = "0.1.0"

__all__ = [
    "AnnotationError",
    "BoxLoss",
    "CIoULoss",
    "DIoULoss",
    "FeatureBatches",
    "GIoULoss",
    "IoULoss",
    "IoUMetric",
    "Localization",
    "LocalizationDataset",
    "LocalizationHead",
    "LocalizationReport",
    "Localizer",
    "LocalizerHeads",
    "PadToSquare",
    "RandomSquareView",
    "boxes",
    "build_localizer",
    "cache_features",
    "evaluate_localizer",
    "export_localizer",
    "load_oxford_pets",
    "make_synthetic",
    "plot_history",
    "plot_localizations",
    "read_coco",
    "read_csv",
    "read_labelme",
    "read_voc",
    "read_yolo",
]
