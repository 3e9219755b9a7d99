"""Boxes, curves and attention as matplotlib figures.

Figures are made without pyplot: no display is needed, nothing is kept in a global
list, and nothing is written until `figure.savefig(path)` is called. A notebook shows
them by itself.
"""

from keras_localize.visualization.attention import attention_maps, plot_attention
from keras_localize.visualization.gallery import LocalizationGallery
from keras_localize.visualization.history import plot_history
from keras_localize.visualization.localizations import plot_localizations
from keras_localize.visualization.reliability import (
    plot_reliability,
    plot_risk_coverage,
)

__all__ = [
    "LocalizationGallery",
    "attention_maps",
    "plot_attention",
    "plot_history",
    "plot_localizations",
    "plot_reliability",
    "plot_risk_coverage",
]
