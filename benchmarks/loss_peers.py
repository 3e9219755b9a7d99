"""Box losses for extreme predictions: this library's and others'.

    KERAS_BACKEND=torch python benchmarks/loss_peers.py docs/images

Prints the table of docs/benchmarks.md and writes `loss_curves.png` of docs/losses.md
into the folder. Needs the torch backend, matplotlib and torchvision. KerasCV is added
where it is installed.
"""

import argparse
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
    compared = {
        "GIoULoss": GIoULoss(FORMAT, reduction=None),
        "CIoULoss": CIoULoss(FORMAT, reduction=None),
        "BoxLoss": BoxLoss(bounding_box_format=FORMAT, reduction=None),
        "torchvision GIoU": lambda y, p: generalized_box_iou_loss(p, y),
        "torchvision CIoU": lambda y, p: complete_box_iou_loss(p, y),
        "Keras CIoU": lambda y, p: 1 - compute_ciou(y, p, FORMAT),
    }
    try:
        from keras_cv.losses import GIoULoss as KerasCVLoss

        compared["KerasCV GIoU"] = partial(
            _kerascv, KerasCVLoss(FORMAT, reduction="none")
        )
    except ImportError:
        print("KerasCV is not installed", file=sys.stderr)
    return compared


def _kerascv(loss, y_true, y_pred):
    return loss(y_true, y_pred).reshape(-1)[: len(y_pred)]


def value_and_gradient(loss, true, pred):
    true = torch.tensor(np.atleast_2d(true), dtype=torch.float32)
    pred = torch.tensor(np.atleast_2d(pred), dtype=torch.float32, requires_grad=True)
    value = loss(true, pred)
    value.sum().backward()
    return value.detach().numpy(), pred.grad.numpy()


def table(losses):
    print("| prediction | " + " | ".join(losses) + " |")
    print("|---" * (len(losses) + 1) + "|")
    for case, box in CASES.items():
        cells = []
        for loss in losses.values():
            value, gradient = value_and_gradient(loss, TRUTHS.get(case, TRUTH), box)
            cells.append(f"{value[0]:.3g}, {_largest(gradient)}")
        print(f"| {case} | " + " | ".join(cells) + " |")


def _largest(gradient):
    finite = np.isfinite(gradient).all()
    return f"{np.abs(gradient).max():.2g}" if finite else "**NaN**"


def curves(losses, path):
    t = np.linspace(0, 1, 401)[:, None]
    size = 0.6 * t - 0.4
    movements = {
        "moves to the right by": (t, TRUTH + t * [[1, 0, 1, 0]]),
        "shrinks to a point (1), then inverts": (
            2 * t,
            (1 - 2 * t) * TRUTH + 2 * t * 0.5,
        ),
        "beside the true box, side (inverted: < 0)": (
            size,
            0.2 + size * [[-0.5, -0.5, 0.5, 0.5]],
        ),
    }
    figure, axes = plt.subplots(2, 3, figsize=(11, 5.5), dpi=80)
    for column, (title, (x, boxes)) in zip(axes.T, movements.items()):
        truth = np.repeat([TRUTH], len(boxes), 0)
        direction = (boxes[1] - boxes[0]) / (x[1] - x[0])
        for name, loss in losses.items():
            ours = name in ("GIoULoss", "CIoULoss", "BoxLoss")
            value, gradient = value_and_gradient(loss, truth, boxes)
            style = {"linestyle": "-" if ours else "--", "linewidth": 1.3}
            column[0].plot(x, value, label=name, **style)
            column[1].plot(x, gradient @ direction, **style)
        column[0].set(title=title, ylim=(-2, 8))
        column[1].set(ylim=(-14, 20))
        column[1].axhline(0, color="grey", linewidth=0.5)
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("gradient along the movement")
    axes[0, 0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", default="docs/images", type=Path)
    folder = parser.parse_args().folder
    if keras.backend.backend() != "torch":
        sys.exit("torchvision's losses need KERAS_BACKEND=torch")
    folder.mkdir(parents=True, exist_ok=True)
    compared = losses()
    table(compared)
    kerascv = compared.pop("KerasCV GIoU", None)  # it reduces a batch itself: no curve
    if kerascv is not None:
        batch = torch.tensor([[[0, 0, 1, 1], [2, 2, 3, 4], [1, 0, 5, 3]]]).float()
        value = float(kerascv.args[0](batch, batch).mean())
        print(f"\nKerasCV, three perfect boxes of shape (1, 3, 4): {value:.3g}")
    curves(compared, folder / "loss_curves.png")


if __name__ == "__main__":
    main()
