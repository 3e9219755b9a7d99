"""Image files, bytes, arrays and PIL images to upright RGB and letterboxed squares."""

from keras_localize.images.cropping import crop
from keras_localize.images.errors import ImageError
from keras_localize.images.inspection import ImageInfo, inspect
from keras_localize.images.letterboxing import letterbox
from keras_localize.images.listing import list_images
from keras_localize.images.loading import load
from keras_localize.images.orientation import turn_box
from keras_localize.types import Region

__all__ = [
    "ImageError",
    "ImageInfo",
    "Region",
    "crop",
    "inspect",
    "letterbox",
    "list_images",
    "load",
    "turn_box",
]
