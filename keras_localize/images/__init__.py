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
from keras_localize.images.listing import list_images

__all__ = [
    "ImageError",
    "ImageInfo",
    "crop",
    "inspect",
    "letterbox",
    "list_images",
    "load",
    "turn_box",
]
