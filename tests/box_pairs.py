"""Pairs of boxes in every relation that two boxes can have."""

import numpy as np


def boxes(rng, n, low=0.05, high=1.0):
    """Upright boxes in [0, 2], sides between `low` and `high`."""
    corner = rng.uniform(0, 1, (n, 2))
    return np.concatenate([corner, corner + rng.uniform(low, high, (n, 2))], -1)


def upright_pairs(rng, n):
    """{relation: (boxes1, boxes2)}, each (n, 4) float32, sides of at least 1e-3."""
    a, b = boxes(rng, n), boxes(rng, n)
    right = (a[:, 2] - b[:, 0])[:, None] * [1, 0, 1, 0]
    inside = a[:, [0, 1, 0, 1]] + np.sort(rng.uniform(0, 1, (n, 2, 2)), 1).reshape(
        n, 4
    ) * np.tile(a[:, 2:] - a[:, :2], 2)
    inside[:, 2:] = np.maximum(inside[:, 2:], inside[:, :2] + 1e-3)
    thin = np.where(rng.uniform(size=(n, 1)) < 0.5, [1e-3, 1], [1, 1e-3])
    tiny = boxes(rng, n, 1e-3, 2e-3)
    near = tiny + rng.uniform(-1e-3, 1e-3, (n, 2))[:, [0, 1, 0, 1]]
    pairs = {
        "random": (a, b),
        "disjoint": (a, b + right + rng.uniform(1e-3, 5, (n, 1)) * [1, 0, 1, 0]),
        "touching": (a, b + right),
        "nested": (a, inside),
        "equal": (a, a),
        "sliver": (a, np.concatenate([b[:, :2], b[:, :2] + thin], -1)),
        "tiny": (tiny, near),
        "tiny and large": (a, tiny),
        "huge": (a * 1e30, b * 1e30),
        "pixels": (a * 640, b * 640),
        "negative": (a - 3, b - 3),
    }
    return {k: _float32(*v) for k, v in pairs.items()}


def degenerate_pairs(rng, n):
    """{relation: (boxes1, boxes2)} where the second box (or both) is no proper box."""
    a, b = boxes(rng, n), boxes(rng, n)
    point = b[:, [0, 1, 0, 1]]
    mixed = np.concatenate([a, b, b * 0, point, b * 1e-30, b * 1e30, -b])
    pairs = {
        "inverted": (a, b[:, [2, 3, 0, 1]]),
        "inverted in x": (a, b[:, [2, 1, 0, 3]]),
        "inverted truth": (a[:, [2, 3, 0, 1]], a[:, [2, 3, 0, 1]]),
        "both inverted": (a[:, [2, 3, 0, 1]], b[:, [2, 3, 0, 1]]),
        "point": (a, point),
        "point inside": (a, ((a[:, :2] + a[:, 2:]) / 2)[:, [0, 1, 0, 1]]),
        "point on a corner": (a, a[:, [0, 1, 0, 1]]),
        "no width": (a, b[:, [0, 1, 0, 3]]),
        "points": (a[:, [0, 1, 0, 1]], point),
        "same point": (point, point),
        "zeros": (a * 0, a * 0),
        "zeros against a box": (a, a * 0),
        "sentinel": (a * 0 - 1, a),
        "tiny": (a * 1e-6, b * 1e-6),
        "minute": (a * 1e-25, b * 1e-25),
        "denormal": (a * 1e-40, b * 1e-40),
        "crossed slivers": (a * [1, 1e-20, 1, 1e-20], b * [1e-20, 1, 1e-20, 1]),
        "anything": (rng.permutation(mixed)[:n], rng.permutation(mixed)[:n]),
        "noise": tuple(
            rng.normal(size=(2, n, 4)) * 10.0 ** rng.uniform(-38, 38, (2, n, 1))
        ),
        "mixed scales": tuple(
            rng.normal(size=(2, n, 4)) * 10.0 ** rng.uniform(-38, 38, (2, n, 4))
        ),
        "largest": (a * 1.7e38, -b * 1.7e38),
        "largest same": (a * 1.7e38, a * 1.7e38),
    }
    return {k: _float32(*v) for k, v in pairs.items()}


def _float32(*pair):
    largest = np.finfo("float32").max
    return tuple(np.clip(boxes, -largest, largest).astype("float32") for boxes in pair)
