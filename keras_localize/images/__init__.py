"""Image files, arrays and PIL images to upright RGB pixels and letterboxed squares."""

from keras_localize.images.decoding import (
    ImageError,
    ImageInfo,
    crop,
    inspect,
    letterbox,
    load,
    turn_box,
)

__all__ = [
    "ImageError",
    "ImageInfo",
    "crop",
    "inspect",
    "letterbox",
    "load",
    "turn_box",
]
