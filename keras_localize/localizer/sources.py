"""What a user calls "images", one image at a time."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageFile

from keras_localize.datasets import LocalizationDataset
from keras_localize.images import ImageError, list_images, load
from keras_localize.images.opening import content
from keras_localize.types import ImageSource

# One image, a folder, a dataset, or any iterable of these.
Images: TypeAlias = ImageSource | LocalizationDataset | Iterable[Any]


def each_source(images: Images) -> tuple[Iterator[Any], int | None]:
    """The images of anything that `localize` takes, and how many if that is known.

    Raises:
        ValueError: for a folder without images.
    """
    if _is_folder(images):
        files = _files(images)
        return iter(files), len(files)
    if _is_one(images):
        return iter([images]), 1
    if isinstance(images, LocalizationDataset):
        images = images.images
    if not isinstance(images, Iterable) or isinstance(images, Mapping):
        raise ValueError(
            "`images` must be an image, a folder, a dataset or an iterable of these. "
            "Of batches with targets, give the dataset that they were made of. "
            f"Received: {type(images).__name__}"
        )
    return _flat(images), _count(images)


def unchanging(image: Any) -> Any:
    """The image as it is now, or the `ImageError` of one that cannot be read.

    What gives the images may use one object for all of them, or close each before it
    gives the next: an array or a stream that is filled anew, the frames of an animation
    in PIL, a file that is open within a `with` alone.
    """
    if isinstance(image, np.ndarray):
        return image.copy()
    if isinstance(image, (bytearray, memoryview)):
        return bytes(image)
    if hasattr(image, "clone"):  # a tensor of torch
        return image.detach().clone()
    try:
        if isinstance(image, ImageFile.ImageFile):
            return load(image)
        if hasattr(image, "read"):
            return content(image)
    except ImageError as error:
        return error
    return image.copy() if isinstance(image, Image.Image) else image


def _flat(images: Iterable[Any]) -> Iterator[Any]:
    for one in images:
        if _is_folder(one):
            yield from _files(one)
        elif _is_one(one):
            yield one
        else:
            # A dataset or another list among them; text and bytes end above.
            yield from each_source(one)[0]


def _is_one(images: Any) -> bool:
    """Whether this is a single image, readable or not."""
    single = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)
    if isinstance(images, single) or hasattr(images, "read"):
        return True
    shape = getattr(images, "shape", None)
    if shape is not None:
        # Along one axis stand paths, or images of several sizes.
        return len(shape) not in (1, 4)
    return not isinstance(images, (Iterable, LocalizationDataset))


def _is_folder(images: Any) -> bool:
    return isinstance(images, (str, os.PathLike)) and os.path.isdir(images)


def _files(folder: Any) -> list[Path]:
    files = list_images(folder)
    if not files:
        raise ValueError(
            f"`images` must hold images. Received: {folder}, a folder without any"
        )
    return files


def _count(images: Any) -> int | None:
    # Another iterable with a length may be read once only, or decode what it gives.
    if not isinstance(images, (list, tuple, np.ndarray)):
        return None
    plain = all(_is_one(one) and not _is_folder(one) for one in images)
    return len(images) if plain else None
