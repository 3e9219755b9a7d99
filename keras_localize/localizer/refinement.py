"""Crop-and-refine inference: where to crop, and boxes of the crop in the image.

A network of a fixed input size sees a small object with few of its pixels. In a crop
around the predicted box it sees the object larger, at the image's own resolution.
Fu et al. trained a network for this ("Look Closer to See Better", CVPR 2017). A network
that was trained on `RandomSquareView` needs no further training: it has seen objects of
all these sizes.
"""

import numpy as np

# Side of the crop by the longer side of the box; docs/benchmarks.md has what was tried.
CONTEXT = 1.6
# Pixels are not magnified further than this, because there is nothing more to see.
# (A smaller image than that is magnified as a whole, as it is without a crop.)
MAGNIFICATION = 4


def windows_around(boxes: np.ndarray, image_sizes: np.ndarray, size: int) -> np.ndarray:
    """Square windows around boxes, inside of the images' padded squares.

    Args:
        boxes: (B, 4) `xyxy` in pixels of the images. A box that is not finite gets
            the whole square.
        image_sizes: (B, 2) integers, (height, width).
        size: side in pixels of the square that a window will be scaled to.

    Returns:
        float64 (B, 3): x0, y0, side in pixels of the images.
    """
    extent = np.asarray(image_sizes, "float64")[
        :, ::-1
    ]  # (width, height), as boxes are
    everything = np.concatenate([np.zeros_like(extent), extent], axis=1)
    finite = np.isfinite(boxes).all(axis=1, keepdims=True)
    low, high = np.split(np.where(finite, boxes, everything), 2, axis=1)
    whole = extent.max(axis=1)
    side = np.maximum(CONTEXT * (high - low).max(axis=1), size / MAGNIFICATION)
    side = np.minimum(side, whole)[:, None]
    first = (extent - whole[:, None]) / 2
    corner = np.clip((low + high - side) / 2, first, first + whole[:, None] - side)
    return np.concatenate([corner, side], axis=1)


def out_of_windows(boxes: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Boxes (B, 4), `rel_xyxy` of their windows, in pixels of the images."""
    return windows[:, [0, 1, 0, 1]] + boxes * windows[:, 2:]
