"""Figures of localizations, in NumPy: columns over images, their means, intervals.

A column holds one number for each image, NaN where the image does not count. Every
figure that is a mean is declared in `columns` and nowhere else.
"""

import numpy as np

_MAX_BOX_ACC_THRESHOLDS = (0.3, 0.5, 0.7)
_DRAWS = 1000


def columns(
    iou: np.ndarray,
    right: np.ndarray,
    quality: np.ndarray,
    covered: np.ndarray,
    growth: np.ndarray,
) -> dict[str, np.ndarray]:
    """The columns whose means are the figures of boxes and labels.

    Args:
        iou: (N,) IoU of the boxes, NaN for images without a true box.
        right: (N,) 1 where the label is right, 0 where it is wrong, else NaN.
        quality: (N,) the quality that was predicted, NaN where none was.
        covered: (N,) 1 where the outer box holds the true one, 0 where not, else NaN.
        growth: (N,) area of the outer box by that of the box, NaN where there is none.
    """

    def at_least(threshold: float) -> np.ndarray:
        return np.where(np.isnan(iou), np.nan, iou >= threshold)

    thresholds = [at_least(threshold) for threshold in _MAX_BOX_ACC_THRESHOLDS]
    return {
        "mean_iou": iou,
        "iou_50": at_least(0.5),
        "iou_75": at_least(0.75),
        "max_box_acc": np.mean(thresholds, axis=0),
        "label_accuracy": right,
        "top1_localization": at_least(0.5) * np.where(np.isnan(right), 1.0, right),
        "quality_error": np.abs(quality - iou),
        "coverage": covered,
        "outer_growth": growth,
    }


def mean(column: np.ndarray) -> float:
    """Mean over the images that count; NaN where none does."""
    counted = column[~np.isnan(column)]
    return float(counted.mean()) if len(counted) else float("nan")


def bootstrap(column: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Interval of the mean: percentiles over images drawn with replacement."""
    counted = column[~np.isnan(column)]
    if not len(counted):
        return float("nan"), float("nan")
    rng = np.random.default_rng(0)
    draws = (rng.integers(0, len(counted), len(counted)) for _ in range(_DRAWS))
    means = [counted[drawn].mean() for drawn in draws]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation over the images where both count, else NaN."""
    a, b = _both(a, b)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def reliability(
    quality: np.ndarray, iou: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean quality and mean IoU of images with similar quality.

    Args:
        quality: (N,) predicted, NaN where none was.
        iou: (N,) reached, NaN where the image has no box.
        bins: how many groups of equal size, at most one for each image.

    Returns:
        (mean quality, mean IoU, number of images) of each group, lowest quality first.
    """
    quality, iou = _both(quality, iou)
    order = np.argsort(quality, kind="stable")
    groups = np.array_split(order, min(bins, len(order))) if len(order) else []
    return (
        np.array([quality[group].mean() for group in groups]),
        np.array([iou[group].mean() for group in groups]),
        np.array([len(group) for group in groups], int),
    )


def risk_coverage(
    quality: np.ndarray, iou: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What is gained by keeping only the most trusted answers (arXiv 1705.08500).

    Returns:
        (share kept, mean IoU of those), from the most trusted image alone to all.
    """
    quality, iou = _both(quality, iou)
    order = np.argsort(-quality, kind="stable")
    counts = np.arange(1, len(order) + 1)
    return counts / max(len(order), 1), np.cumsum(iou[order]) / counts


def _both(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    both = ~np.isnan(a) & ~np.isnan(b)
    return a[both], b[both]


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Area under the ROC curve: P(positive > negative), ties counted by half."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left")
    not_above = np.searchsorted(ordered, positive, "right")
    return float((below + not_above).mean() / 2 / len(negative))


def fpr95(positive: np.ndarray, negative: np.ndarray) -> float:
    """Share of the negatives that reach what 95% of the positives reach."""
    threshold = np.sort(positive)[len(positive) // 20]
    return float((negative >= threshold).mean())
