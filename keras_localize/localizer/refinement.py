"""Crop-and-refine inference: where to crop, and boxes of the crop in the image.

A network of a fixed input size sees a small object with few of its pixels. In a crop
around the predicted box it sees the object larger, at the image's own resolution.
Fu et al. trained a network for this ("Look Closer to See Better", CVPR 2017). A network
that was trained on `RandomSquareView` needs no further training: it has seen objects of
all these sizes.
"""

from typing import Any

import numpy as np

from keras_localize.types import Tensor

# Side of the crop by the longer side of the box.
CONTEXT = 1.6
# Pixels are not magnified further than this, because there is nothing more to see.
# (A smaller image than that is magnified as a whole, as it is without a crop.)
MAGNIFICATION = 4


def windows_around(
    boxes: Tensor, image_sizes: Tensor, size: int, xp: Any = np
) -> Tensor:
    """Square windows around boxes, inside of the images' padded squares.

    Args:
        boxes: (B, 4) `xyxy` in pixels of the images. A box that is not finite gets
            the whole square.
        image_sizes: (B, 2), (height, width), floats.
        size: side in pixels of the square that a window will be scaled to.
        xp: the namespace that computes: `numpy` or `keras.ops`.

    Returns:
        Floats (B, 3): x0, y0, side in pixels of the images.
    """
    # (width, height), as boxes are
    extent = xp.stack([image_sizes[:, 1], image_sizes[:, 0]], axis=1)
    everything = xp.concatenate([xp.zeros_like(extent), extent], axis=1)
    finite = xp.all(xp.isfinite(boxes), axis=1, keepdims=True)
    boxes = xp.where(finite, boxes, everything)
    low, high = boxes[:, :2], boxes[:, 2:]
    whole = xp.max(extent, axis=1, keepdims=True)
    longer = xp.max(high - low, axis=1, keepdims=True)
    side = xp.minimum(xp.maximum(CONTEXT * longer, size / MAGNIFICATION), whole)
    first = (extent - whole) / 2
    corner = xp.maximum((low + high - side) / 2, first)
    corner = xp.minimum(corner, first + whole - side)
    return xp.concatenate([corner, side], axis=1)


def out_of_windows(boxes: Tensor, windows: Tensor, xp: Any = np) -> Tensor:
    """Boxes (B, 4), `rel_xyxy` of their windows, in pixels of the images."""
    corner, side = windows[:, :2], windows[:, 2:]
    return xp.concatenate([corner, corner], axis=1) + boxes * side
