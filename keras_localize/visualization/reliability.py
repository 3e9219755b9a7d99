"""How far predicted quality can be trusted, as matplotlib figures."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from keras_localize.report import LocalizationReport

__all__ = ["plot_reliability", "plot_risk_coverage"]

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_reliability(
    reports: LocalizationReport | Mapping[str, LocalizationReport], bins: int = 10
) -> "Figure":
    """Draws the mean IoU over the mean quality of images of similar quality.

    A quality that means what it says lies on the diagonal; below it is too high.

    Args:
        reports: a report of a model with a quality output, or several by name.
        bins: how many groups of equal size.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: without matplotlib.
        ValueError: for a report without quality.

    Example:

    >>> data = keras_localize.make_synthetic(4)
    >>> answers = [
    ...     keras_localize.Localization(0, "disc", 0.9, (0, 0, 40, 40), quality)
    ...     for quality in (0.2, 0.4, 0.6, 0.8)
    ... ]
    >>> report = keras_localize.report_localizations(answers, data)
    >>> figure = keras_localize.plot_reliability(report, bins=2)
    >>> [round(float(x), 1) for x in figure.axes[0].lines[1].get_xdata()]
    [0.3, 0.7]
    """
    figure, axis = _axis()
    axis.plot([0, 1], [0, 1], color="0.7", label="quality = IoU")
    for name, report in _named(reports).items():
        promised, reached, _ = report.reliability(bins)
        axis.plot(promised, reached, "o-", label=name)
    axis.set_xlabel("mean quality")
    axis.set_ylabel("mean IoU")
    axis.set_aspect("equal")
    axis.legend()
    return figure


def plot_risk_coverage(
    reports: LocalizationReport | Mapping[str, LocalizationReport],
) -> "Figure":
    """Draws the mean IoU of the most trusted images over the share of images kept.

    Args:
        reports: a report of a model with a quality output, or several by name.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: without matplotlib.
        ValueError: for a report without quality.

    Example:

    >>> data = keras_localize.make_synthetic(2)
    >>> answers = [
    ...     keras_localize.Localization(0, "disc", 0.9, (0, 0, 40, 40), quality)
    ...     for quality in (0.2, 0.8)
    ... ]
    >>> report = keras_localize.report_localizations(answers, data)
    >>> figure = keras_localize.plot_risk_coverage(report)
    >>> [float(x) for x in figure.axes[0].lines[0].get_xdata()]
    [0.5, 1.0]
    """
    figure, axis = _axis()
    for name, report in _named(reports).items():
        axis.plot(*report.risk_coverage(), label=name)
    axis.set_xlabel("share of images kept, those of highest quality")
    axis.set_ylabel("their mean IoU")
    axis.legend()
    return figure


# --- helpers ---


def _axis() -> "tuple[Figure, Axes]":
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install matplotlib") from error
    figure = Figure(figsize=(5, 4), layout="constrained")
    axis = figure.subplots()
    axis.grid(alpha=0.3)
    return figure, axis


def _named(
    reports: LocalizationReport | Mapping[str, LocalizationReport],
) -> Mapping[str, LocalizationReport]:
    if isinstance(reports, LocalizationReport):
        reports = {"answers": reports}
    if not isinstance(reports, Mapping):
        raise ValueError(
            "`reports` must be a LocalizationReport, or a dict of several by name. "
            f"Received: {type(reports).__name__}"
        )
    for name, report in reports.items():
        if report.quality_error is None:
            raise ValueError(
                "`reports` must be of answers with a quality, on images with boxes. "
                f"Received: {name} without"
            )
    return reports
