"""The sizes that a dataset's images really have."""

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from keras_localize.datasets.cores import cores
from keras_localize.datasets.dataset import LocalizationDataset
from keras_localize.datasets.validation import check_shape
from keras_localize.images import ImageError, inspect


def with_real_sizes(dataset: LocalizationDataset) -> LocalizationDataset:
    """The dataset with the sizes that its image files have.

    Readers that open no image trust what annotations say, and images may have been
    scaled since then. Boxes in fractions do not change with it, but pixels do. Arrays,
    and images that cannot be read, keep their stated size.

    Raises:
        ImageError: for an image of another shape than stated.
    """

    def look(image: Any) -> tuple[int, int] | None:
        if not isinstance(image, str):
            return None
        try:
            return inspect(image)[:2]
        except ImageError:
            return None

    with ThreadPoolExecutor(cores()) as pool:
        found = list(pool.map(look, dataset.images))
    sizes = dataset.image_sizes.copy()
    for index, size in enumerate(found):
        if size is not None:
            check_shape(dataset.images[index], size, sizes[index])
            sizes[index] = size
    if np.array_equal(sizes, dataset.image_sizes):
        return dataset
    changed = copy.copy(dataset)
    changed.image_sizes = sizes
    return changed
