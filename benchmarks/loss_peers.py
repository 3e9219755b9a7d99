"""The docs' table of failures and curves of the box losses, ours and the peers'.

    KERAS_BACKEND=torch python benchmarks/loss_peers.py docs/images

Prints the table as Markdown and writes `loss_curves.png` into the folder. Needs the
torch backend, matplotlib and torchvision; KerasCV is added where it is installed.
"""

import sys
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import keras
import matplotlib.pyplot as plt
import numpy as np
import torch
from keras.utils.bounding_boxes import compute_ciou
from torchvision.ops import complete_box_iou_loss, generalized_box_iou_loss

from keras_localize import BoxLoss, CIoULoss, GIoULoss

FORMAT = "xyxy"
TRUTH = [0.25, 0.25, 0.75, 0.75]
CASES = {
    "perfect": TRUTH,
    "perfect, side 0.001": [0.25, 0.25, 0.251, 0.251],
    "inverted in x and y": [0.75, 0.75, 0.25, 0.25],
    "inverted, away from the truth": [0.2, 0.2, 0.1, 0.1],
    "zero size, inside": [0.5, 0.5, 0.5, 0.5],
    "no height": [0.3, 0.5, 0.7, 0.5],
    "disjoint": [0.8, 0.8, 0.9, 0.9],
    "both at one point": [0.5, 0.5, 0.5, 0.5],
    "perfect, coordinates of 1e25": [c * 1e25 for c in TRUTH],
}
TRUTHS = {
    "perfect, side 0.001": CASES["perfect, side 0.001"],
    "both at one point": CASES["both at one point"],
    "perfect, coordinates of 1e25": CASES["perfect, coordinates of 1e25"],
}


def losses():
    found = {
        "GIoULoss": GIoULoss(FORMAT, reduction=None),
        "CIoULoss": CIoULoss(FORMAT, reduction=None),
        "BoxLoss": BoxLoss(bounding_box_format=FORMAT, reduction=None),
        "torchvision GIoU": lambda y, p: generalized_box_iou_loss(p, y),
        "torchvision CIoU": lambda y, p: complete_box_iou_loss(p, y),
        "Keras CIoU": lambda y, p: 1 - compute_ciou(y, p, FORMAT),
    }
    try:
        from keras_cv.losses import GIoULoss as Other

        found["KerasCV GIoU"] = partial(_kerascv, Other(FORMAT, reduction="none"))
    except ImportError:
        print("KerasCV is not installed", file=sys.stderr)
    return found


def _kerascv(loss, y_true, y_pred):
    return loss(y_true, y_pred).reshape(-1)[: len(y_pred)]


def value_and_slope(loss, truth, found):
    truth = torch.tensor(np.atleast_2d(truth), dtype=torch.float32)
    found = torch.tensor(np.atleast_2d(found), dtype=torch.float32, requires_grad=True)
    value = loss(truth, found)
    value.sum().backward()
    return value.detach().numpy(), found.grad.numpy()


def table(losses):
    print("| prediction | " + " | ".join(losses) + " |")
    print("|---" * (len(losses) + 1) + "|")
    for case, box in CASES.items():
        cells = []
        for loss in losses.values():
            value, slope = value_and_slope(loss, TRUTHS.get(case, TRUTH), box)
            cells.append(f"{value[0]:.3g}, {_steepest(slope)}")
        print(f"| {case} | " + " | ".join(cells) + " |")


def _steepest(slope):
    return f"{np.abs(slope).max():.2g}" if np.isfinite(slope).all() else "**NaN**"


def curves(losses, path):
    t = np.linspace(0, 1, 401)[:, None]
    size = 0.6 * t - 0.4
    ways = {
        "slides to the right by": (t, TRUTH + t * [[1, 0, 1, 0]]),
        "shrinks to a point (1), then turns inside out": (
            2 * t,
            (1 - 2 * t) * TRUTH + 2 * t * 0.5,
        ),
        "beside the truth, side (negative: inverted)": (
            size,
            0.2 + size * [[-0.5, -0.5, 0.5, 0.5]],
        ),
    }
    figure, axes = plt.subplots(2, 3, figsize=(11, 5.5), dpi=80)
    for column, (title, (x, boxes)) in zip(axes.T, ways.items()):
        truth = np.repeat([TRUTH], len(boxes), 0)
        direction = (boxes[1] - boxes[0]) / (x[1] - x[0])
        for name, loss in losses.items():
            ours = name in ("GIoULoss", "CIoULoss", "BoxLoss")
            value, gradient = value_and_slope(loss, truth, boxes)
            style = {"linestyle": "-" if ours else "--", "linewidth": 1.3}
            column[0].plot(x, value, label=name, **style)
            column[1].plot(x, gradient @ direction, **style)
        column[0].set(title=title, ylim=(-2, 8))
        column[1].set(ylim=(-14, 20))
        column[1].axhline(0, color="grey", linewidth=0.5)
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("slope along the way")
    axes[0, 0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path)


def main():
    if keras.backend.backend() != "torch":
        sys.exit("torchvision's losses need KERAS_BACKEND=torch")
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    folder.mkdir(parents=True, exist_ok=True)
    found = losses()
    table(found)
    kerascv = found.pop("KerasCV GIoU", None)  # reduces a batch in itself: no curve
    if kerascv is not None:
        batch = torch.tensor([[[0, 0, 1, 1], [2, 2, 3, 4], [1, 0, 5, 3]]]).float()
        value = float(kerascv.args[0](batch, batch).mean())
        print(f"\nKerasCV, three perfect boxes of shape (1, 3, 4): {value:.3g}")
    curves(found, folder / "loss_curves.png")


if __name__ == "__main__":
    main()
