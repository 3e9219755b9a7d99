"""Split conformal prediction for one box, and isotonic regression. In NumPy.

A calibration set, which the model was not trained on, says how far the true boxes reach
beyond the predicted ones. The next image's true box reaches no further than the k-th
smallest of these, k = ceil((n + 1) * coverage), with a probability of at least
`coverage`, if it is exchangeable with the images of the set (arXiv 2107.07511).
"""

import math

import numpy as np


def side_errors(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """How far each true box reaches beyond its predicted one, at its worst side.

    Args:
        predicted: (N, 4) `xyxy` in pixels.
        true: (N, 4), the same.

    Returns:
        (N,): the largest of the four distances, those of left and right in widths of
        the predicted box, those of top and bottom in its heights (each at least one
        pixel). Negative where the predicted box holds the true one.
    """
    predicted, true = predicted.astype("float64"), true.astype("float64")
    sides = np.maximum(predicted[:, 2:] - predicted[:, :2], 1.0)
    low = (predicted[:, :2] - true[:, :2]) / sides
    high = (true[:, 2:] - predicted[:, 2:]) / sides
    return np.concatenate([low, high], axis=1).max(axis=1)


def conformal_margin(errors: np.ndarray, coverage: float) -> float:
    """The ceil((n + 1) * coverage)-th smallest error; infinite if n is too small."""
    # Rounded, since 0.9 * 10 may be a little more than 9.
    rank = math.ceil(round((len(errors) + 1) * coverage, 9))
    return float(np.sort(errors)[rank - 1]) if rank <= len(errors) else math.inf


def least_images(coverage: float) -> int:
    """The least number of errors for which the margin is finite."""
    count = 1
    while math.ceil(round((count + 1) * coverage, 9)) > count:
        count += 1
    return count


def isotonic_knots(
    x: np.ndarray, y: np.ndarray
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The increasing map from x to y with the least squared error, as a polyline.

    Pool-adjacent-violators. The knots are the means of the pooled blocks (centered
    isotonic regression, Oron and Flournoy 2017): the map has no steps, and values that
    differ stay different. Beyond the outer blocks it goes on with the slope of the
    straight line that fits best, to x = 0 and x = 1, within [0, 1].

    Args:
        x: (N,) values in [0, 1], N at least 1.
        y: (N,) values in [0, 1].

    Returns:
        (x of the knots, y of the knots), x strictly and y not strictly increasing.
    """
    x, y = x.astype("float64"), y.astype("float64")
    blocks: list[list[float]] = []  # weight, sum of x, sum of y
    values, places, counts = np.unique(x, return_inverse=True, return_counts=True)
    sums = np.bincount(places, y)
    for value, count, sum_y in zip(values, counts, sums):
        blocks.append([count, count * value, sum_y])
        while len(blocks) > 1 and _mean_y(blocks[-2]) >= _mean_y(blocks[-1]):
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last)]
    knots = [(sum_x / weight, sum_y / weight) for weight, sum_x, sum_y in blocks]
    spread = np.var(x)
    slope = 0.0
    if spread > 0:
        slope = max(float(np.mean((x - x.mean()) * (y - y.mean())) / spread), 0.0)
    (first_x, first_y), (last_x, last_y) = knots[0], knots[-1]
    if first_x > 0:
        knots.insert(0, (0.0, max(first_y - slope * first_x, 0.0)))
    if last_x < 1:
        knots.append((1.0, min(last_y + slope * (1 - last_x), 1.0)))
    return tuple(float(a) for a, _ in knots), tuple(float(b) for _, b in knots)


def _mean_y(block: list[float]) -> float:
    return block[2] / block[0]
