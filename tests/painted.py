"""Images with a painted rectangle, and the edges that their pixels show.

Every geometry test compares with these. They know nothing of the map, only where the
paint was and where it came out.
"""

import numpy as np


def painted(rng, height, width, least=3):
    """A black image (H, W, 1) with a white rectangle, and its corners (4,)."""
    corners = []
    for side in (width, height):
        extent = rng.integers(min(least, side), side + 1)
        start = rng.integers(0, side - extent + 1)
        corners.append((start, start + extent))
    (x0, x1), (y0, y1) = corners
    image = np.zeros((height, width, 1), "uint8")
    image[y0:y1, x0:x1] = 255
    return image, np.array([x0, y0, x1, y1], "float32")


def edges(image):
    """Where the paint begins and ends, at half brightness between pixel centres."""
    pixels = np.asarray(image, "float64")[..., 0] / 255
    x0, x1 = _crossings(pixels[pixels.sum(1).argmax()])
    y0, y1 = _crossings(pixels[:, pixels.sum(0).argmax()])
    return np.array([x0, y0, x1, y1])


def _crossings(line):
    # The profile is black beyond the border, since paint may reach it.
    line = np.concatenate([[0.0], line, [0.0]])
    centres = np.arange(len(line)) - 0.5
    bright = np.flatnonzero(line >= 0.5)
    first, last = bright[0], bright[-1]
    begin = np.interp(0.5, line[[first - 1, first]], centres[[first - 1, first]])
    end = np.interp(0.5, line[[last + 1, last]], centres[[last + 1, last]])
    return begin, end
