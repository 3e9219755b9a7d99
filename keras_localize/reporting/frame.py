"""A report as a table of pandas."""

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_localize.arrays import to_numpy
from keras_localize.boxes import convert
from keras_localize.datasets import LocalizationDataset

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["make_frame", "true_boxes"]

_SIDES = ("x0", "y0", "x1", "y1")


def true_boxes(dataset: LocalizationDataset) -> np.ndarray:
    """The true boxes (N, 4), `xyxy` in pixels; NaN where there is none."""
    boxes = convert(dataset.boxes, "rel_xyxy", "xyxy", dataset.image_sizes)
    return np.where(dataset.weights[:, None] > 0, to_numpy(boxes), np.nan)


def make_frame(
    per_image: list[dict[str, Any]], dataset: LocalizationDataset | None
) -> "DataFrame":
    """One row for each image; see `LocalizationReport.to_frame`."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError("`to_frame` needs pandas: pip install pandas") from error
    rows = [_row(one) for one in per_image]
    if dataset is not None:
        sizes, boxes = dataset.image_sizes, true_boxes(dataset)
        for row, (height, width), box in zip(rows, sizes, boxes):
            row |= {f"true_{side}": float(v) for side, v in zip(_SIDES, box)}
            row |= {"width": int(width), "height": int(height)}
    return pandas.DataFrame(rows).set_index("name") if rows else pandas.DataFrame()


def _row(one: dict[str, Any]) -> dict[str, Any]:
    answer = one["answer"]
    row = {key: one[key] for key in ("name", "iou", "true_class", "right")}
    for key in ("label", "class_name", "score", "quality", "presence"):
        row[key] = answer[key]
    for key, prefix in (("box", ""), ("outer_box", "outer_")):
        box = answer[key] or [None] * 4
        row |= {prefix + side: value for side, value in zip(_SIDES, box)}
    return row
