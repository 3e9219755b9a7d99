"""The second look: once the object is found, look again from nearer.

A network of a fixed input size sees a small object with few of its pixels. Cut to the
box that was found and some of what is around it, the same network sees it larger, at
the picture's own resolution. Fu et al. trained a network for this ("Look Closer to See
Better", CVPR 2017); one that was trained on `RandomSquareView`s needs no training.
"""

import numpy as np

# The window's side by the box's longer one; docs/localizer.md has what was tried.
CONTEXT = 1.6
# No pixel of a picture is blown up further (unless the whole picture is so small that
# the first look did it, too): there is nothing to see.
MAGNIFICATION = 4


def windows_around(boxes, image_sizes, size):
    """Square windows about boxes, none beyond the picture's padded square.

    Args:
        boxes: (B, 4) `xyxy` in pixels of the pictures. One that is not finite, of a
            model gone wrong, gets the whole square.
        image_sizes: (B, 2) integers, (height, width).
        size: side in pixels of the square that a window will be scaled to.

    Returns:
        float64 (B, 3): x0, y0, side in pixels of the pictures.
    """
    extent = np.float64(image_sizes)[:, ::-1]  # (width, height), as boxes are
    everything = np.concatenate([np.zeros_like(extent), extent], axis=1)
    finite = np.isfinite(boxes).all(axis=1, keepdims=True)
    low, high = np.split(np.where(finite, boxes, everything), 2, axis=1)
    whole = extent.max(axis=1)
    side = np.maximum(CONTEXT * (high - low).max(axis=1), size / MAGNIFICATION)
    side = np.minimum(side, whole)[:, None]
    first = (extent - whole[:, None]) / 2
    corner = np.clip((low + high - side) / 2, first, first + whole[:, None] - side)
    return np.concatenate([corner, side], axis=1)


def out_of_windows(boxes, windows):
    """Boxes (B, 4), `rel_xyxy` in their windows, in pixels of the pictures."""
    return windows[:, [0, 1, 0, 1]] + boxes * windows[:, 2:]
