"""Training curves over epochs."""

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_localize.curves import panels_of, phases_of, read_history
from keras_localize.visualization.figure import grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_history"]


def plot_history(history: Any) -> "Figure":
    """Draws IoU, accuracy, MSE and losses over epochs, training and validation.

    Where `history` has the key `phase`, the name of the phase that each epoch belongs
    to, a vertical line stands where one phase ends, with the name of the next.

    Args:
        history: what `fit` returned, its `history` dict, or the path of a CSV file
            as `keras.callbacks.CSVLogger` writes it. Of `box_iou`,
            `label_accuracy`, `box_mse`, `loss`, `box_loss`, `label_loss` (without
            the prefix for a model with one output) and the same with `val_`, those
            that are there are drawn.

    Returns:
        A `matplotlib.figure.Figure` with one panel for each.

    Raises:
        ImportError: without matplotlib.
        ValueError: where there is none of these curves.

    Example:

    >>> from keras_localize.visualization import plot_history
    >>> figure = plot_history({"box_iou": [0.4, 0.6], "val_box_iou": [0.3, 0.5]})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['training', 'validation']
    """
    columns = read_history(history)
    panels, phases = panels_of(columns), phases_of(columns)
    figure, axes = grid(len(panels), 3, (4, 3))
    for axis, panel in zip(axes, panels):
        for label, values in panel.curves:
            style = "-" if label == "training" else "--"
            marker = "o" if len(values) == 1 else None
            epochs = np.arange(1, len(values) + 1)
            axis.plot(epochs, values, style, label=label, marker=marker)
        for phase in phases:
            if phase.start > 1:
                axis.axvline(phase.start - 0.5, color="grey", linewidth=0.8)
            at = {"xy": (phase.start - 0.5, 1), "xycoords": axis.get_xaxis_transform()}
            options = {"textcoords": "offset points", "fontsize": 7, "color": "grey"}
            options["parse_math"] = False
            axis.annotate(phase.name, xytext=(3, -3), va="top", **at, **options)
        axis.set_title(panel.title)
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend()
    return figure
