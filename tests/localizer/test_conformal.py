"""Split conformal margins and isotonic regression against their definitions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_localize.localizer.conformal import (
    conformal_margin,
    isotonic_knots,
    least_images,
    side_errors,
)

ERRORS = st.lists(st.integers(-20, 20), min_size=1, max_size=60)
PERCENT = st.integers(1, 99)


@given(ERRORS, PERCENT)
def test_the_margin_is_the_ranked_error(errors, percent):
    # ceil((n + 1) * coverage) in exact fractions.
    rank = math.ceil((len(errors) + 1) * Fraction(percent, 100))
    found = conformal_margin(np.array(errors, "float64"), percent / 100)
    if rank > len(errors):
        assert found == math.inf
    else:
        assert found == sorted(errors)[rank - 1]


@given(PERCENT)
def test_least_images(percent):
    least = least_images(percent / 100)
    assert conformal_margin(np.zeros(least), percent / 100) == 0
    if least > 1:
        assert conformal_margin(np.zeros(least - 1), percent / 100) == math.inf


def test_least_images_by_hand():
    assert [least_images(c) for c in (0.5, 0.8, 0.9, 0.95, 0.99)] == [1, 4, 9, 19, 99]


@pytest.mark.parametrize(
    ("true", "error"),
    [
        ((10, 10, 30, 50), 0.0),  # the same box
        ((5, 10, 30, 50), 0.25),  # 5 of 20 to the left
        ((10, 6, 30, 50), 0.1),  # 4 of 40 above
        ((10, 10, 36, 50), 0.3),
        ((10, 10, 30, 70), 0.5),
        ((8, 10, 30, 70), 0.5),  # the worst of two sides
        ((12, 14, 28, 46), -0.1),  # inside, by a tenth at every side
    ],
)
def test_side_errors_by_hand(true, error):
    predicted = np.array([[10, 10, 30, 50]], "float32")
    found = side_errors(predicted, np.array([true], "float32"))
    assert found == pytest.approx([error])


def test_a_box_without_area_counts_in_pixels():
    point = np.array([[5, 5, 5, 5]], "float32")
    assert side_errors(point, np.array([[5, 5, 9, 5]], "float32")) == [4]


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_coverage_over_calibration_sets(coverage):
    """The mean over many calibration sets, for boxes short on one side."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        true = np.tile([10.0, 10, 60, 60], (150, 1))
        predicted = true + rng.normal(0, [1, 1, 8, 2], (150, 4)) - [0, 0, 6, 0]
        errors = side_errors(predicted, true)
        covered.append(np.mean(errors[50:] <= conformal_margin(errors[:50], coverage)))
    rank = math.ceil(51 * coverage)
    # Over sets of 50 the coverage is a beta variable with this mean and spread.
    spread = math.sqrt(rank * (51 - rank) / 51**2 / 52 + 0.25 / 100)
    assert np.mean(covered) == pytest.approx(rank / 51, abs=4 * spread / 20)
    assert np.mean(covered) >= coverage - 4 * spread / 20


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 10)), min_size=1, max_size=14)
)
def test_isotonic_fit_is_the_best(points):
    """Every block is a mean that no split or union of blocks would improve."""
    x, y = (np.array(column) / 12 for column in zip(*points))
    knots, values = isotonic_knots(x, y)
    assert (np.diff(knots) > 0).all() and (np.diff(values) >= 0).all()
    assert min(values) >= 0 and max(values) <= 1
    assert knots[0] == 0 or x.min() == 0
    # The max-min formula of isotonic regression, at every distinct x.
    order = np.unique(x)
    count = range(len(order))

    def mean(low, high):
        return y[(x >= order[low]) & (x <= order[high])].mean()

    best = np.array(
        [max(min(mean(i, j) for j in count[k:]) for i in range(k + 1)) for k in count]
    )
    for level in best:
        block = np.isin(x, order[np.isclose(best, level)])
        # The block's mean is on the polyline.
        assert np.interp(x[block].mean(), knots, values) == pytest.approx(level)


def test_isotonic_fit_keeps_the_order():
    rng = np.random.default_rng(1)
    x = rng.random(300)
    y = np.clip(x**2 + rng.normal(0, 0.1, 300), 0, 1)
    knots, values = isotonic_knots(x, y)
    mapped = np.interp(x, knots, values)
    assert (np.diff(mapped[np.argsort(x)]) > 0).all()
    assert np.abs(mapped - x**2).mean() < 0.04
    assert mapped.mean() == pytest.approx(y.mean(), abs=0.01)
