"""The localizer: a backbone, heads, and what a trained model does for its user."""

from keras_localize.localizer.export import export_localizer
from keras_localize.localizer.feature_batches import FeatureBatches
from keras_localize.localizer.feature_cache import cache_features
from keras_localize.localizer.localization import Localization
from keras_localize.localizer.localizer import Localizer, build_localizer
from keras_localize.localizer.training import LocalizerHeads

__all__ = [
    "FeatureBatches",
    "Localization",
    "Localizer",
    "LocalizerHeads",
    "build_localizer",
    "cache_features",
    "export_localizer",
]
