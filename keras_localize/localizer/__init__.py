"""The localizer: a backbone, heads, and what a trained model does for its user."""

from keras_localize.localizer.build import build_localizer
from keras_localize.localizer.calibration import Calibration, calibrate_localizations
from keras_localize.localizer.export import export_localizer
from keras_localize.localizer.feature_batches import FeatureBatches
from keras_localize.localizer.feature_cache import cache_features
from keras_localize.localizer.inference import LocalizeOptions
from keras_localize.localizer.localization import Localization
from keras_localize.localizer.localizer import Localizer
from keras_localize.localizer.one_cycle import OneCycleAdamW
from keras_localize.localizer.predictions import decode_predictions
from keras_localize.localizer.train import train_localizer
from keras_localize.localizer.training import LocalizerHeads
from keras_localize.localizer.training_checkpoint import TrainingCheckpoint

__all__ = [
    "Calibration",
    "FeatureBatches",
    "Localization",
    "LocalizeOptions",
    "Localizer",
    "LocalizerHeads",
    "OneCycleAdamW",
    "TrainingCheckpoint",
    "build_localizer",
    "cache_features",
    "calibrate_localizations",
    "decode_predictions",
    "export_localizer",
    "train_localizer",
]
