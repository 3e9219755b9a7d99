"""Training curves: which there are, and where one phase of training ends."""

import csv
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Panel", "Phase", "panels_of", "phases_of", "read_history"]

# Title -> the names its metric goes by, with two outputs and with one.
_PANELS = (
    ("box IoU", ("box_iou", "iou")),
    ("label accuracy", ("label_accuracy", "accuracy")),
    ("box MSE", ("box_mse", "mse")),
    ("loss", ("loss",)),
    ("box loss", ("box_loss",)),
    ("label loss", ("label_loss",)),
)


class Panel(NamedTuple):
    """One metric: (label, values) of training and of validation, if they are there."""

    title: str
    curves: list[tuple[str, list[float]]]


class Phase(NamedTuple):
    """A part of the training, which begins before the epoch `start` (from 1)."""

    name: str
    start: int


def read_history(history: Any) -> dict[str, Any]:
    """The columns of what `fit` returned, of its dict, or of a CSV file.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(history, (str, PathLike)):
        with open(history, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        columns = rows[0].keys() if rows else ()
        return {
            key: [row[key] if key == "phase" else _number(row[key]) for row in rows]
            for key in columns
        }
    curves = getattr(history, "history", history)
    if not isinstance(curves, dict):
        raise ValueError(
            "`history` must be what fit returned, its dict, or the path of a CSV "
            f"file. Received: {type(history).__name__}"
        )
    return {
        key: [float("nan") if value is None else value for value in values]
        for key, values in curves.items()
        if isinstance(values, (list, tuple, np.ndarray)) and len(values)
    }


def panels_of(columns: dict[str, Any]) -> list[Panel]:
    """The metrics that are there.

    Raises:
        ValueError: where there is none.
    """
    panels = []
    for title, names in _PANELS:
        for name in names:
            keys = ((name, "training"), (f"val_{name}", "validation"))
            curves = [(label, list(columns[k])) for k, label in keys if k in columns]
            if curves:
                panels.append(Panel(title, curves))
    if not panels:
        raise ValueError(
            "`history` must hold at least one of "
            f"{', '.join(names[0] for _, names in _PANELS)}. "
            f"Received: {', '.join(columns) or 'nothing'}"
        )
    return panels


def phases_of(columns: dict[str, Any]) -> list[Phase]:
    """The phases of the training, by the column `phase`; none without it."""
    names = [str(name) for name in columns.get("phase", ())]
    return [
        Phase(name, i + 1)
        for i, name in enumerate(names)
        if i == 0 or name != names[i - 1]
    ]


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")
