"""Figures against their definitions, written down in the slowest way."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_localize import figures

# Few different values, so that ties are frequent.
PROBABILITIES = st.lists(st.integers(0, 6).map(lambda i: i / 6), min_size=1)


@given(PROBABILITIES, PROBABILITIES)
def test_auroc_counts_pairs(positive, negative):
    pairs = [*itertools.product(positive, negative)]
    expected = sum((p > n) + (p == n) / 2 for p, n in pairs) / len(pairs)
    found = figures.auroc(np.array(positive), np.array(negative))
    assert found == pytest.approx(expected)


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=70),
    st.lists(st.integers(0, 60), min_size=1),
)
def test_fpr95_is_that_of_the_best_threshold(positive, negative):
    def rate(values, threshold):
        return sum(value >= threshold for value in values) / len(values)

    # In integers, since 0.95 is no float.
    good = [
        t
        for t in positive
        if 100 * sum(value >= t for value in positive) >= 95 * len(positive)
    ]
    expected = min(rate(negative, t) for t in good)
    found = figures.fpr95(np.array(positive), np.array(negative))
    assert found == pytest.approx(expected)


def test_fpr95_by_hand():
    positive = np.arange(1, 21) / 20  # 19 of 20 reach 0.1
    assert figures.fpr95(positive, np.array([0.05, 0.07, 0.1, 0.9])) == 0.5


def test_intervals_cover_the_true_mean():
    rng = np.random.default_rng(1)
    covered, widths = 0, []
    for _ in range(100):
        column = (rng.random(80) < 0.7).astype(float)
        low, high = figures.bootstrap(np.append(column, np.nan))
        assert low <= column.mean() <= high
        covered += low <= 0.7 <= high
        widths.append(high - low)
    assert 88 <= covered <= 100
    # The normal approximation of a share.
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.sqrt(0.21 / 80), rel=0.1)


def test_interval_of_one_value_and_of_none():
    assert figures.bootstrap(np.array([0.3, np.nan])) == (0.3, 0.3)
    assert np.isnan(figures.bootstrap(np.array([np.nan]))).all()
    assert np.isnan(figures.mean(np.array([])))


def test_a_narrower_level_lies_inside():
    column = np.random.default_rng(0).random(50)
    wide, narrow = figures.bootstrap(column, 0.95), figures.bootstrap(column, 0.5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@given(
    st.lists(
        st.tuples(
            st.one_of(st.just(np.nan), st.floats(0, 1)), st.sampled_from([0, 1, np.nan])
        ),
        min_size=1,
        max_size=20,
    )
)
def test_columns_row_by_row(rows):
    iou, right = (np.array(column, "float64") for column in zip(*rows))
    quality, covered = np.full(len(rows), 0.5), np.full(len(rows), np.nan)
    columns = figures.columns(iou, right, quality, covered, covered)
    for i, (overlap, correct) in enumerate(rows):
        row = {name: column[i] for name, column in columns.items()}
        if np.isnan(overlap):
            expected = dict.fromkeys(
                ("iou_50", "iou_75", "max_box_acc", "top1_localization"), np.nan
            )
        else:
            shares = [overlap >= t for t in (0.3, 0.5, 0.7)]
            expected = {
                "iou_50": overlap >= 0.5,
                "iou_75": overlap >= 0.75,
                "max_box_acc": sum(shares) / 3,
                "top1_localization": overlap >= 0.5 and correct != 0,
                "quality_error": abs(0.5 - overlap),
            }
        for name, value in expected.items():
            np.testing.assert_allclose(row[name], value, err_msg=name)


def test_correlation():
    a, b = np.array([0, 1, 2, np.nan, 5]), np.array([1, 3, 5, 7, np.nan])
    assert figures.correlation(a, b) == pytest.approx(1)
    assert figures.correlation(a, -b) == pytest.approx(-1)
    assert np.isnan(figures.correlation(a, np.ones(5)))
    assert np.isnan(figures.correlation(a[:1], b[:1]))


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1),
    st.integers(1, 12),
)
def test_reliability_groups_all_images(rows, bins):
    quality, iou = (np.array(column) for column in zip(*rows))
    promised, reached, counts = figures.reliability(quality, iou, bins)
    assert len(counts) == min(bins, len(rows)) and np.ptp(counts) <= 1
    assert counts.sum() == len(rows)
    assert (np.diff(promised) >= -1e-12).all()
    for means, values in ((promised, quality), (reached, iou)):
        assert np.average(means, weights=counts) == pytest.approx(values.mean())


def test_reliability_by_hand():
    quality, iou = np.array([0.9, 0.1, np.nan, 0.3, 0.7]), np.array([1, 0, 1, 0.4, 0.6])
    promised, reached, counts = figures.reliability(quality, iou, 2)
    assert promised == pytest.approx([0.2, 0.8]) and counts.tolist() == [2, 2]
    assert reached == pytest.approx([0.2, 0.8])
    assert len(figures.reliability(quality * np.nan, iou)[0]) == 0


def test_risk_coverage_by_hand():
    quality, iou = np.array([0.2, 0.9, 0.5, np.nan]), np.array([0.3, 0.8, 0.7, 0.1])
    share, mean = figures.risk_coverage(quality, iou)
    assert share == pytest.approx([1 / 3, 2 / 3, 1])
    assert mean == pytest.approx([0.8, 0.75, 0.6])
