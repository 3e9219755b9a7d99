"""Figures without pyplot."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["grid"]


def grid(
    count: int, columns: int, size: tuple[float, float]
) -> tuple["Figure", list[Any]]:
    """A figure with axes in rows.

    Args:
        count: how many axes.
        columns: axes per row at most.
        size: (width, height) of one in inches.

    Returns:
        The figure and its axes.

    Raises:
        ImportError: without matplotlib.
    """
    try:
        importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install matplotlib") from error
    from keras_localize.visualization.notebook_figure import NotebookFigure

    columns = min(columns, count)
    rows = -(-count // columns)
    figure = NotebookFigure(
        figsize=(size[0] * columns, size[1] * rows), layout="constrained"
    )
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axis in axes[count:]:
        axis.remove()
    return figure, axes[:count]
