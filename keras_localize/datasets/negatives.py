"""Images without an object, cut out of images that hold one."""

import math

import numpy as np

from keras_localize.checks import check_number, check_seed
from keras_localize.datasets.dataset import LocalizationDataset
from keras_localize.datasets.decisions import CROWD, SEVERAL, UNBOXED
from keras_localize.datasets.real_sizes import with_real_sizes
from keras_localize.types import Region
from keras_localize.warn import warn

# Between object and crop, in sides of the object: annotated boxes are not exact.
_GAP = 0.05
# Least side of a crop: as a share of the shorter side of its image, and in pixels.
_LEAST_SHARE = 0.35
_LEAST_PIXELS = 32


def with_hard_negatives(
    dataset: LocalizationDataset, share: float = 0.5, seed: int = 0
) -> LocalizationDataset:
    """Joins a dataset with crops of its own images that do not show the object.

    A model with `presence=True` learns what an image without an object looks like.
    Real images without one are best. Where there are none, these crops serve: squares
    that lie beside the object, in images that leave enough room. They are hard
    negatives (arXiv 1604.03540), since they show the same scenes, and often other
    parts of the same object.

    A square lies to the left or right of the object's box or above or below it, at a
    distance of a twentieth of the box's side. It is as large as the room there, and at
    least 0.35 of the shorter side of its image and 32 pixels. An image of which the
    annotations name other objects, or a crowd, gives none. The crops are of type
    `Region`: nothing is decoded or written before a batch is asked for.

    Args:
        dataset: images with boxes.
        share: how many negatives to make for each image with a box, at most; in
            (0, 1]. Fewer are made where fewer images leave room.
        seed: which images and which squares are taken is a function of it.

    Returns:
        A `LocalizationDataset`: the records of `dataset`, then the negatives, whose
        names are those of their images with the suffix " beside".

    Raises:
        ValueError: for a `share` that is not in (0, 1], or a dataset in which no image
            leaves room for a square.

    Example:

    >>> from keras_localize.datasets import make_synthetic, with_hard_negatives
    >>> dataset = make_synthetic(20)
    >>> both = with_hard_negatives(dataset, share=0.25)
    >>> len(both), both.summary().negatives
    (25, 5)
    """
    share = check_number(share, "share", 0, 1)
    wanted = math.ceil(share * np.count_nonzero(dataset.weights))
    several = {
        name
        for reason, names in dataset.summary().handled.items()
        if reason.startswith((SEVERAL, UNBOXED, CROWD))
        for name in names
    }
    dataset = with_real_sizes(dataset)
    rng = np.random.default_rng(check_seed(seed))
    made = []
    for i in rng.permutation(np.flatnonzero(dataset.weights)):
        if len(made) == wanted:
            break
        name, height_width = dataset.names[i], dataset.image_sizes[i]
        square = _square_beside(dataset.boxes[i], height_width, rng)
        if square is not None and name not in several:
            made.append((dataset.images[i], square, f"{name} beside"))
    if not made:
        raise ValueError(
            "`dataset` must have images in which a square beside the object has room, "
            f"and `share` must be above 0. Received: {dataset!r}, share={share}. Add "
            "images without an object instead"
        )
    if len(made) < wanted:
        warn(
            f"Only {len(made)} of {wanted} negatives could be made: the other images "
            "leave no room for a square beside the object.",
        )
    images, squares, names = zip(*made)
    sides = [x1 - x0 for x0, _, x1, _ in squares]
    return dataset + LocalizationDataset(
        [Region(image, square) for image, square in zip(images, squares)],
        np.zeros((len(made), 4)),
        np.full(len(made), -1),
        dataset.class_names,
        image_sizes=[(side, side) for side in sides],
        presence=np.zeros(len(made)),
        names=names,
    )


def _square_beside(
    box: np.ndarray, image_size: np.ndarray, rng: np.random.Generator
) -> tuple[int, int, int, int] | None:
    """(x0, y0, x1, y1) of a random square free of the box; None without room.

    Args:
        box: `rel_xyxy` of the image.
        image_size: (height, width) in pixels.
        rng: draws which of the sides, and where along it.
    """
    height, width = map(int, image_size)
    gap_x, gap_y = _GAP * (box[2:] - box[:2])
    left = math.floor((box[0] - gap_x) * width)
    top = math.floor((box[1] - gap_y) * height)
    right = math.ceil((box[2] + gap_x) * width)
    bottom = math.ceil((box[3] + gap_y) * height)
    strips = [
        (0, 0, left, height),
        (right, 0, width, height),
        (0, 0, width, top),
        (0, bottom, width, height),
    ]
    least = max(_LEAST_SHARE * min(height, width), _LEAST_PIXELS)
    roomy = [x for x in strips if min(x[2] - x[0], x[3] - x[1]) >= least]
    if not roomy:
        return None
    x0, y0, x1, y1 = roomy[rng.integers(len(roomy))]
    side = min(x1 - x0, y1 - y0)
    x0 += int(rng.integers(x1 - x0 - side + 1))
    y0 += int(rng.integers(y1 - y0 - side + 1))
    return x0, y0, x0 + side, y0 + side
