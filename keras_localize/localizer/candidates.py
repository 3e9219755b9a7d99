"""Which weights to keep after fine-tuning."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

# Share of the weights after fine-tuning in each average.
SHARES = (0.3, 0.5, 0.7, 0.85)
# What a choice looks at, of the values that `evaluate` returns.
MEASURES = ("box_iou", "label_accuracy")


class Candidate(NamedTuple):
    """Weights that may be kept.

    Attributes:
        name: what the history calls them.
        weights: as `get_weights` returns them.
        values: what `evaluate` returned with them.
    """

    name: str
    weights: list[np.ndarray]
    values: dict[str, float]

    @property
    def measures(self) -> list[float]:
        """Box IoU and label accuracy, where the model has both."""
        return [self.values[name] for name in MEASURES if name in self.values]


def evaluated_candidates(
    before: list[np.ndarray],
    after: list[np.ndarray],
    evaluate: Callable[[list[np.ndarray]], dict[str, float]],
) -> list[Candidate]:
    """The weights before and after a training, and averages of both.

    Averages of the weights of a pretrained and a fine-tuned network are often better
    than either (WiSE-FT, arXiv 2109.01903).
    """
    weights = {"before": before}
    for share in SHARES:
        mean = [(1 - share) * b + share * a for b, a in zip(before, after)]
        weights[f"average, {share} of after"] = mean
    weights["after"] = after
    return [Candidate(name, w, evaluate(w)) for name, w in weights.items()]


def best(candidates: Sequence[Candidate]) -> Candidate:
    """The one with the best mean of its measures, the first among equals.

    Only those count whose measures are all at least those of the first candidate.
    """
    first = np.array(candidates[0].measures)
    allowed = [one for one in candidates if (np.array(one.measures) >= first).all()]
    # None counts where the first has NaN.
    return max(allowed or candidates[:1], key=lambda one: float(np.mean(one.measures)))
