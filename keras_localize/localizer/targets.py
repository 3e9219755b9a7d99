"""Targets in every form that Keras takes them in, and what is refused of them."""

from collections.abc import Collection
from typing import Any

import numpy as np
from keras import ops

from keras_localize.arrays import to_numpy

# How far a box may lie beyond the image: more than a conversion rounds.
_BORDER = 1e-3
# Numbers that the target of an output has.
_SIZES = {"label": 1, "box": 4, "presence": 1}


def match_targets(
    targets: Any,
    sample_weight: Any,
    names: list[str],
    optional: Collection[str] = (),
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Targets and weights as dicts with exactly the given outputs.

    Args:
        targets: a dict by output, whose other entries are ignored; a list in the
            order of `names`; or, for a single output, its array. Without a target for
            the presence every image holds an object.
        sample_weight: None; the same forms; or one array of weights for all outputs.
            Outputs that a dict leaves out have weight 1.
        names: names of the outputs that have targets.
        optional: those of them whose target may be missing, because nothing is
            computed of it: it is then 0.

    Raises:
        ValueError: where the target of an output is missing, where a list has another
            length, and for weights of what is neither an output nor a target.
    """
    targets = _by_name(targets, names, "y")
    known = {*targets, *names}
    given = [targets[name] for name in names if targets.get(name) is not None]
    left_out = "presence" not in targets or "presence" in optional
    if "presence" in names and targets.get("presence") is None and given and left_out:
        targets = {**targets, "presence": _ones(given[0])[:, None]}
    missing = {name for name in names if targets.get(name) is None}
    needed = [name for name in names if name not in optional]
    if missing.intersection(needed) or not given:
        raise ValueError(
            f"`y` must have a target for each of {', '.join(needed)}. Received: "
            f"{', '.join(map(str, targets)) or 'nothing'}"
        )
    blank = {name: _zeros(given[0], _SIZES[name]) for name in missing}
    matched = {name: blank.get(name, targets.get(name)) for name in names}
    if sample_weight is None:
        return matched, None
    if not isinstance(sample_weight, (dict, list, tuple)):
        return matched, dict.fromkeys(names, sample_weight)
    weights = _by_name(sample_weight, names, "sample_weight")
    unknown = [name for name in weights if name not in known]
    if unknown:
        raise ValueError(
            "`sample_weight` must have keys that `y` has too, or the model's outputs: "
            f"{', '.join(names)}. Received: {', '.join(map(str, unknown))}"
        )

    def weight(name: str) -> Any:
        if weights.get(name) is not None:
            return weights[name]
        # Keras wants weights for all outputs or for none.
        return _ones(matched[name])

    return matched, {name: weight(name) for name in names}


def as_class_ids(label: Any, num_classes: int | None, units: int) -> Any:
    """Labels of an output with one unit as class ids, where they are one-hot.

    Keras would compare both columns with the one unit.

    Args:
        label: (B,), (B, 1) or (B, classes).
        num_classes: how many classes the output tells apart.
        units: how many units it has.
    """
    if units > 1 or len(label.shape) != 2:
        return label
    if num_classes == 2 and label.shape[1] == 2:
        return label[:, 1:]
    if num_classes == 1:
        return ops.where(label == 1, ops.zeros_like(label), label)
    return label


def without_absent(
    targets: dict[str, Any], sample_weight: dict[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Weights that are 0 where an image holds no object, and targets where they are.

    Args:
        targets: what `match_targets` gave. Where the presence is 0 the others may hold
            anything, such as the label -1; so may each where its weight is 0.
        sample_weight: its weights.

    Returns:
        Targets and weights.
    """
    if "presence" in targets:
        presence = ops.cast(ops.reshape(targets["presence"], (-1,)), "float32")
        if sample_weight is None:
            sample_weight = dict.fromkeys(targets, ops.ones_like(presence))
        present = ops.cast(presence > 0, "float32")
        sample_weight = {
            name: weight
            if name == "presence"
            else ops.cast(ops.reshape(weight, (-1,)), "float32") * present
            for name, weight in sample_weight.items()
        }
    if sample_weight is None:
        return targets, None

    def blank(target: Any, weight: Any) -> Any:
        # A weight of 0 does not take away a loss of NaN.
        counts = ops.reshape(weight, (-1, *[1] * (len(target.shape) - 1))) != 0
        return ops.where(counts, target, ops.zeros_like(target))

    blanked = {name: blank(x, sample_weight[name]) for name, x in targets.items()}
    return blanked, sample_weight


def check_targets(
    targets: dict[str, Any],
    sample_weight: dict[str, Any] | None,
    num_classes: int | None,
) -> None:
    """Checks labels and boxes that are given as arrays.

    Args:
        targets: dict that may hold `"label"` (class ids or one-hot), `"box"` and
            `"presence"`. Label and box of an image whose presence is 0 are not
            checked.
        sample_weight: dict of weights or `None`. A label or a box of weight 0 is not
            checked: an image without one may hold anything there.
        num_classes: how many classes the label output tells apart.

    Raises:
        ValueError: for class ids outside of `[0, num_classes)`, one-hot labels of
            another width, a presence that is not in [0, 1], and boxes that are not
            `rel_xyxy`: not `(N, 4)`, not finite, outside of `[0, 1]` or with `x1 < x0`
            or `y1 < y0`.
    """
    arrays = {
        name: to_numpy(x)
        for name, x in targets.items()
        if x is not None and not (name == "label" and num_classes is None)
    }
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(
            f"`y` must have targets for the same images. Received: {counts}"
        )
    weights = {
        name: _checked_weight(to_numpy(x), name, len(arrays[name]))
        for name, x in (sample_weight or {}).items()
        if x is not None and name in arrays
    }
    absent: Any = False
    if "presence" in arrays:
        _check_presence(arrays["presence"])
        absent = arrays["presence"].reshape(-1) == 0
    if "label" in arrays and num_classes:
        ignored = absent | (weights.get("label", 1.0) == 0)
        _check_labels(arrays["label"], ignored, num_classes)
    if "box" in arrays:
        _check_boxes(arrays["box"], absent | (weights.get("box", 1.0) == 0))


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


def _zeros(target: Any, size: int) -> Any:
    """(B, size) zeros for the images of a target."""
    return ops.zeros((ops.shape(target)[0], size), dtype="float32")


def _check_presence(presence: np.ndarray) -> None:
    outside = ~((presence >= 0) & (presence <= 1))
    if presence.ndim > 2 or presence.size != len(presence) or outside.any():
        raise ValueError(
            "The targets' `presence` must be (N, 1), 1 or 0 for an image without an "
            f"object. Received: shape {presence.shape}, "
            f"{presence[outside][:1].tolist() or 'all within [0, 1]'}"
        )


def _checked_weight(weight: np.ndarray, name: str, count: int) -> np.ndarray:
    """The weights (N,) of an output."""
    if weight.shape not in ((count,), (count, 1)):
        raise ValueError(
            f"`sample_weight` must have one weight for each image, ({count},). "
            f"Received: shape {weight.shape} for {name}"
        )
    return weight.reshape(-1)


def _check_labels(labels: np.ndarray, ignored: Any, num_classes: int) -> None:
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
    ids = labels.reshape(-1)
    if num_classes == 1 and labels.ndim == 2:
        ids = np.where(ids == 1, 0, ids)  # one-hot
    bad = ~((ids >= 0) & (ids < num_classes) & (ids % 1 == 0)) & ~np.asarray(ignored)
    if bad.any():
        raise ValueError(
            f"The targets' `label` must be class ids in [0, {num_classes}), whole "
            f"numbers. Received: {ids[bad][0]!s} at index {np.argmax(bad)}"
        )


def _check_boxes(boxes: np.ndarray, ignored: Any) -> None:
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
        rows = rows & ~np.asarray(ignored)
        if rows.any():
            i = np.argmax(rows)
            raise ValueError(
                "The targets' `box` must be rel_xyxy: (x0, y0, x1, y1) as fractions of "
                "the square image (keras_localize.boxes.convert and to_square get "
                f"there). Received: {boxes[i].tolist()} at index {i}, {what}"
            )
