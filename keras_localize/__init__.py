"""keras-localize: the missing localization kit of Keras 3."""

__version__ = "0.1.0"
