"""Targets in every form that Keras takes them in, and what is refused of them."""

from typing import Any

import numpy as np
from keras import ops

from keras_localize.arrays import to_numpy

# How far a box may lie beyond the image: more than a conversion rounds.
_BORDER = 1e-3


def match_targets(
    targets: Any, sample_weight: Any, names: list[str]
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Targets and weights as dicts with exactly the given outputs.

    Args:
        targets: a dict by output, whose other entries are ignored; a list in the
            order of `names`; or, for a single output, its array. Without a target for
            the presence every image holds an object.
        sample_weight: None; the same forms; or one array of weights for all outputs.
            Outputs that a dict leaves out have weight 1.
        names: names of the outputs that have targets.

    Raises:
        ValueError: where the target of an output is missing, or where a list has
            another length.
    """
    targets = _by_name(targets, names, "y")
    if "presence" in names and "presence" not in targets and "box" in targets:
        targets = {**targets, "presence": _ones(targets["box"])[:, None]}
    missing = [name for name in names if name not in targets]
    if missing:
        raise ValueError(
            f"`y` must have a target for each of {', '.join(names)}. Received: "
            f"{', '.join(map(str, targets)) or 'nothing'}"
        )
    matched = {name: targets[name] for name in names}
    if sample_weight is None:
        return matched, None
    if not isinstance(sample_weight, (dict, list, tuple)):
        return matched, dict.fromkeys(names, sample_weight)
    weights = _by_name(sample_weight, names, "sample_weight")

    def weight(name: str) -> Any:
        if weights.get(name) is not None:
            return weights[name]
        # Keras wants weights for all outputs or for none.
        return _ones(matched[name])

    return matched, {name: weight(name) for name in names}


def without_absent(
    targets: dict[str, Any], sample_weight: dict[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The targets with weights that are 0 where an image holds no object.

    Args:
        targets: what `match_targets` gave.
        sample_weight: its weights.

    Returns:
        Targets and weights. The weights of the presence stay.
    """
    if "presence" not in targets:
        return targets, sample_weight
    presence = ops.reshape(targets["presence"], (-1,))
    present = ops.cast(ops.cast(presence, "float32") > 0, "float32")
    if sample_weight is None:
        sample_weight = dict.fromkeys(targets, ops.ones_like(present))
    masked = {
        name: weight
        if name == "presence"
        else ops.cast(ops.reshape(weight, (-1,)), "float32") * present
        for name, weight in sample_weight.items()
    }
    return targets, masked


def check_targets(
    targets: dict[str, Any],
    sample_weight: dict[str, Any] | None,
    num_classes: int | None,
) -> None:
    """Checks labels and boxes that are given as arrays.

    Args:
        targets: dict that may hold `"label"` (class ids or one-hot) and `"box"`.
        sample_weight: dict of weights or `None`. A box of weight 0 is not checked:
            an image without a box may hold anything there.
        num_classes: how many classes the label output tells apart.

    Raises:
        ValueError: for class ids outside of `[0, num_classes)`, one-hot labels of
            another width, a presence that is not in [0, 1], and boxes that are not
            `rel_xyxy`: not `(N, 4)`, not finite, outside of `[0, 1]` or with `x1 < x0`
            or `y1 < y0`.
    """
    if targets.get("label") is not None and num_classes is not None:
        _check_labels(to_numpy(targets["label"]), num_classes)
    if targets.get("presence") is not None:
        _check_presence(to_numpy(targets["presence"]))
    if targets.get("box") is not None:
        weight = None if sample_weight is None else sample_weight.get("box")
        _check_boxes(
            to_numpy(targets["box"]), None if weight is None else to_numpy(weight)
        )


def _by_name(values: Any, names: list[str], argument: str) -> dict[str, Any]:
    if isinstance(values, dict):
        return values
    if not isinstance(values, (list, tuple)):
        values = [values]
    if len(values) != len(names):
        raise ValueError(
            f"`{argument}` must be a dict with the keys {', '.join(names)}, or a list "
            f"in this order. Received: {len(values)} for {len(names)} outputs"
        )
    return dict(zip(names, values))


def _ones(target: Any) -> Any:
    return ops.ones(ops.shape(target)[:1], dtype="float32")


def _check_presence(presence: np.ndarray) -> None:
    outside = ~((presence >= 0) & (presence <= 1))
    if presence.ndim > 2 or presence.size != len(presence) or outside.any():
        raise ValueError(
            "The targets' `presence` must be (N, 1), 1 or 0 for an image without an "
            f"object. Received: shape {presence.shape}, "
            f"{presence[outside][:1].tolist() or 'all within [0, 1]'}"
        )


def _check_labels(labels: np.ndarray, num_classes: int) -> None:
    if labels.dtype.kind not in "biuf":
        raise ValueError(
            "The targets' `label` must be numbers, class ids or one-hot. Received: "
            f"dtype {labels.dtype}"
        )
    if labels.ndim == 2 and labels.shape[1] not in (1, num_classes):
        raise ValueError(
            f"The targets' `label` must be class ids (N,) or one-hot (N, {num_classes})"
            f". Received: shape {labels.shape}"
        )
    if labels.ndim == 2 and labels.shape[1] > 1:
        return
    outside = ~((labels >= 0) & (labels < num_classes))
    if outside.any():
        raise ValueError(
            f"The targets' `label` must be class ids in [0, {num_classes}). Received: "
            f"{labels[outside][0]!s} at index {np.argmax(outside)}"
        )


def _check_boxes(boxes: np.ndarray, weight: np.ndarray | None) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            "The targets' `box` must be one box per image, (N, 4). Received: shape "
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
                "the square image (keras_localize.boxes.convert and to_square get "
                f"there). Received: {boxes[i].tolist()} at index {i}, {what}"
            )
