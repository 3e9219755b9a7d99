"""Plots of reliability: the figures of the report, drawn."""

import numpy as np
import pytest

from keras_localize import (
    Localization,
    make_synthetic,
    plot_reliability,
    plot_risk_coverage,
    report_localizations,
)


@pytest.fixture(scope="module")
def reports():
    data = make_synthetic(40)
    rng = np.random.default_rng(0)
    answers = [
        Localization(0, "disc", 0.9, (0.0, 0.0, float(w), float(h)), rng.random())
        for h, w in data.image_sizes
    ]
    better = [answer._replace(quality=answer.quality / 2) for answer in answers]
    without = [answer._replace(quality=None) for answer in answers]
    made = (report_localizations(x, data) for x in (answers, better, without))
    return dict(zip(("first", "second", "without"), made))


def test_reliability(reports):
    shown = {name: reports[name] for name in ("first", "second")}
    diagonal, *lines = plot_reliability(shown, bins=4).axes[0].lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())
    assert [line.get_label() for line in lines] == ["first", "second"]
    for line, report in zip(lines, shown.values()):
        promised, reached, _ = report.reliability(4)
        np.testing.assert_array_equal(line.get_xdata(), promised)
        np.testing.assert_array_equal(line.get_ydata(), reached)
    error = np.abs(np.subtract(*reports["first"].reliability(10)[:2])).mean()
    assert reports["first"].quality_bin_error == pytest.approx(error)


def test_risk_coverage(reports):
    (line,) = plot_risk_coverage(reports["first"]).axes[0].lines
    share, mean = reports["first"].risk_coverage()
    np.testing.assert_array_equal(line.get_xdata(), share)
    np.testing.assert_array_equal(line.get_ydata(), mean)
    assert mean[-1] == pytest.approx(reports["first"].mean_iou)


def test_a_report_without_quality_is_named(reports):
    for plot in (plot_reliability, plot_risk_coverage):
        with pytest.raises(ValueError, match="Received: without without"):
            plot(reports)
    assert reports["without"].quality_bin_error is None
