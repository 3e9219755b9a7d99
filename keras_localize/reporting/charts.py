"""The charts of a report page, as SVG."""

from collections.abc import Sequence

import numpy as np

from keras_localize.curves import Panel, Phase
from keras_localize.markup import escaped

__all__ = ["curves", "histogram", "reliability", "scatter"]

_WIDTH, _HEIGHT = 360, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 14, 42
# More points than these are a cloud that no eye resolves and no browser likes.
_POINTS = 2000


class _Chart:
    """Axes with ticks; marks are added in the units of the data."""

    def __init__(
        self,
        title: str,
        x: tuple[float, float],
        y: tuple[float, float],
        labels: tuple[str, str],
    ) -> None:
        self.x_range, self.y_range = x, y
        self.parts = [
            f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
            f'aria-label="{escaped(title)}" xmlns="http://www.w3.org/2000/svg">'
        ]
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        for value in _ticks(*x):
            self.text(self.x(value), bottom + 15, f"{value:g}", "middle")
        for value in _ticks(*y):
            level = self.y(value)
            self.parts.append(f'<path class="grid" d="M{_LEFT} {level:.1f}H{right}"/>')
            self.text(_LEFT - 6, level + 4, f"{value:g}", "end")
        self.text((_LEFT + right) / 2, _HEIGHT - 6, labels[0], "middle")
        middle = (_TOP + bottom) / 2
        turned = f'transform="rotate(-90 12 {middle:.1f})"'
        self.text(12, middle, labels[1], "middle", turned)

    def x(self, value: float) -> float:
        low, high = self.x_range
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return (
            _HEIGHT
            - _BOTTOM
            - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
        )

    def text(
        self, x: float, y: float, text: str, anchor: str = "start", more: str = ""
    ) -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>'
            f"{escaped(text)}</text>"
        )

    def bar(self, x0: float, x1: float, height: float, note: str) -> None:
        top = self.y(height)
        self.parts.append(
            f'<rect class="bar" x="{self.x(x0) + 1:.1f}" y="{top:.1f}" '
            f'width="{self.x(x1) - self.x(x0) - 2:.1f}" '
            f'height="{_HEIGHT - _BOTTOM - top:.1f}">'
            f"<title>{escaped(note)}</title></rect>"
        )

    def point(self, x: float, y: float, note: str) -> None:
        self.parts.append(
            f'<circle class="point" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="2.5">'
            f"<title>{escaped(note)}</title></circle>"
        )

    def line(self, xs: Sequence[float], ys: Sequence[float], kind: str) -> None:
        """A line through the finite points."""
        points = " ".join(
            f"{self.x(x):.1f},{self.y(y):.1f}"
            for x, y in zip(xs, ys)
            if np.isfinite(x) and np.isfinite(y)
        )
        self.parts.append(f'<polyline class="{kind}" points="{points}"/>')

    def done(self) -> str:
        return "".join([*self.parts, "</svg>"])


def histogram(values: np.ndarray, label: str) -> str:
    """How many values in [0, 1] fall into each of twenty bins."""
    counts, edges = np.histogram(values, bins=20, range=(0, 1))
    chart = _Chart(
        f"Histogram: {label}", (0, 1), (0, max(counts.max(), 1)), (label, "images")
    )
    for low, high, count in zip(edges, edges[1:], counts):
        if count:
            chart.bar(low, high, count, f"{low:.2f} to {high:.2f}: {count} images")
    return chart.done()


def scatter(
    x: np.ndarray, y: np.ndarray, notes: Sequence[str], labels: tuple[str, str]
) -> str:
    """Points in the unit square, and their mean in ten bins as a line."""
    chart = _Chart(f"{labels[1]} against {labels[0]}", (0, 1), (0, 1), labels)
    shown = np.unique(np.linspace(0, len(x) - 1, min(len(x), _POINTS)).astype(int))
    for i in shown:
        chart.point(float(x[i]), float(y[i]), notes[int(i)])
    bins = np.clip((x * 10).astype(int), 0, 9)
    filled = [b for b in range(10) if (bins == b).any()]
    chart.line(
        [x[bins == b].mean() for b in filled],
        [y[bins == b].mean() for b in filled],
        "line",
    )
    return chart.done()


def reliability(predicted: np.ndarray, measured: np.ndarray) -> str:
    """What was measured where so much was predicted, in ten bins, and the diagonal."""
    labels = ("predicted quality", "measured IoU")
    chart = _Chart("Reliability of the quality", (0, 1), (0, 1), labels)
    bins = np.clip((predicted * 10).astype(int), 0, 9)
    for b in range(10):
        members = bins == b
        if members.any():
            mean = float(measured[members].mean())
            note = f"{members.sum()} images: predicted {predicted[members].mean():.3f}"
            chart.bar(b / 10, (b + 1) / 10, mean, f"{note}, measured {mean:.3f}")
    chart.line([0, 1], [0, 1], "line dashed")
    return chart.done()


def curves(panel: Panel, phases: Sequence[Phase]) -> str:
    """The curves of one metric over the epochs, and where phases meet."""
    values = np.concatenate([np.asarray(y, "float64") for _, y in panel.curves])
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    margin = (high - low) * 0.05 or 0.5
    count = max(len(y) for _, y in panel.curves)
    x_range = (1, count) if count > 1 else (0.5, 1.5)
    y_range = (float(low - margin), float(high + margin))
    chart = _Chart(panel.title, x_range, y_range, ("epoch", panel.title))
    for phase in phases:
        left = chart.x(phase.start - 0.5) if phase.start > 1 else _LEFT
        if phase.start > 1:
            chart.parts.append(
                f'<path class="grid" d="M{left:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>'
            )
        chart.text(left + 3, _TOP + 8, phase.name)
    for label, column in panel.curves:
        kind = "line" if label == "training" else "line dashed"
        epochs = list(range(1, len(column) + 1))
        chart.line(epochs, column, kind)
        if len(column) == 1 and np.isfinite(column[0]):
            chart.point(1, column[0], label)
    return chart.done()


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`, about five."""
    step = 10 ** np.floor(np.log10((high - low) / 2))
    while (high - low) / step > 6:
        step *= 2.5 if np.isclose(step / 10 ** np.floor(np.log10(step)), 2) else 2
    first = np.ceil(low / step - 1e-9)
    last = np.floor(high / step + 1e-9)
    # Adding 0 makes a 0 of -0.
    return [float(f"{i * step:.6g}") + 0.0 for i in np.arange(first, last + 1)]
