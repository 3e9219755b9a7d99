"""Targets that no localizer can learn are refused before the first step."""

import keras
import numpy as np

# Where a box may lie beyond the picture: the rounding of any honest conversion.
_BORDER = 1e-3


def check_targets(targets, sample_weight, num_classes):
    """Looks at labels and boxes given as arrays.

    Args:
        targets: dict that may hold `"label"` (class ids or one-hot) and `"box"`.
        sample_weight: dict of weights or `None`. A box of weight 0 is not looked at:
            a picture without a box may hold anything there.
        num_classes: as in `build_localizer`.

    Raises:
        ValueError: for class ids outside of `[0, num_classes)`, one-hot labels of
            another width, and boxes that are not `rel_xyxy`: not `(N, 4)`, not
            finite, outside of `[0, 1]` or with `x1 < x0` or `y1 < y0`.
    """
    if not isinstance(targets, dict):
        return
    if targets.get("label") is not None and num_classes is not None:
        _check_labels(_as_numpy(targets["label"]), num_classes)
    if targets.get("box") is not None:
        weight = sample_weight.get("box") if isinstance(sample_weight, dict) else None
        _check_boxes(
            _as_numpy(targets["box"]), None if weight is None else _as_numpy(weight)
        )


def _check_labels(labels, num_classes):
    if labels.dtype.kind not in "biuf":
        raise ValueError(
            "The targets' `label` must be numbers, class ids or one-hot. Received: "
            f"dtype {labels.dtype}"
        )
    if labels.ndim == 2 and labels.shape[1] not in (1, num_classes):
        raise ValueError(
            f"The targets' `label` must be class ids (N,) or one-hot (N, {num_classes})"
            f" for num_classes={num_classes}. Received: shape {labels.shape}"
        )
    if labels.ndim == 2 and labels.shape[1] > 1:
        return
    classes = max(num_classes, 2)  # one unit tells two classes apart
    outside = ~((labels >= 0) & (labels < classes))
    if outside.any():
        raise ValueError(
            f"The targets' `label` must be class ids in [0, {classes}) for "
            f"num_classes={num_classes}. Received: {labels[outside][0]!s} at index "
            f"{np.argmax(outside)}"
        )


def _check_boxes(boxes, weight):
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            "The targets' `box` must be one box per picture, (N, 4). Received: shape "
            f"{boxes.shape}"
        )
    bad = {
        "a coordinate outside of [0, 1]": ~(
            (boxes >= -_BORDER) & (boxes <= 1 + _BORDER)
        ).all(axis=1),
        "x1 < x0 or y1 < y0": (boxes[:, 2:] < boxes[:, :2] - _BORDER).any(axis=1),
    }
    for what, rows in bad.items():
        if weight is not None:
            rows = rows & (weight.reshape(-1) != 0)
        if rows.any():
            i = np.argmax(rows)
            raise ValueError(
                "The targets' `box` must be rel_xyxy: (x0, y0, x1, y1) as fractions of "
                "the square picture (keras_localize.boxes.convert and to_square get "
                f"there). Received: {boxes[i].tolist()} at index {i}, {what}"
            )


def _as_numpy(values):
    if isinstance(values, np.ndarray):
        return values
    return keras.ops.convert_to_numpy(values)
