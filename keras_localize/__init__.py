"""keras-localize: the missing localization kit of Keras 3."""

from keras_localize import boxes, images
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
    write_coco,
    write_csv,
    write_yolo,
)
from keras_localize.evaluation import evaluate_localizer
from keras_localize.layers import LocalizationHead, PadToSquare, RandomSquareView
from keras_localize.localizer import (
    Calibration,
    FeatureBatches,
    Localization,
    LocalizeOptions,
    Localizer,
    LocalizerHeads,
    build_localizer,
    cache_features,
    calibrate_localizations,
    decode_predictions,
    export_localizer,
    train_localizer,
)
from keras_localize.losses import BoxLoss, CIoULoss, DIoULoss, GIoULoss, IoULoss
from keras_localize.metrics import IoUMetric
from keras_localize.report import LocalizationReport, report_localizations
from keras_localize.version import __version__ as __version__
from keras_localize.visualization import (
    LocalizationGallery,
    plot_attention,
    plot_history,
    plot_localizations,
    plot_reliability,
    plot_risk_coverage,
)

__all__ = [
    "AnnotationError",
    "BoxLoss",
    "CIoULoss",
    "Calibration",
    "DIoULoss",
    "FeatureBatches",
    "GIoULoss",
    "IoULoss",
    "IoUMetric",
    "Localization",
    "LocalizationDataset",
    "LocalizationGallery",
    "LocalizationHead",
    "LocalizationReport",
    "LocalizeOptions",
    "Localizer",
    "LocalizerHeads",
    "PadToSquare",
    "RandomSquareView",
    "boxes",
    "build_localizer",
    "cache_features",
    "calibrate_localizations",
    "decode_predictions",
    "evaluate_localizer",
    "export_localizer",
    "images",
    "load_oxford_pets",
    "make_synthetic",
    "plot_attention",
    "plot_history",
    "plot_localizations",
    "plot_reliability",
    "plot_risk_coverage",
    "read_coco",
    "read_csv",
    "read_labelme",
    "read_voc",
    "read_yolo",
    "report_localizations",
    "train_localizer",
    "write_coco",
    "write_csv",
    "write_yolo",
]
