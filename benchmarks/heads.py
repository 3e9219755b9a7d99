"""Head by loss, on the same features of a frozen backbone and the same split.

    python benchmarks/heads.py --data-dir DIR --backbone MobileNet:0.25 \
        --heads spatial pooled flatten --losses box mse --seeds 0 1 2

Prints a Markdown table: mean IoU, shares at 0.5 and 0.75 on the validation pictures
after the last epoch (mean and half the spread over the seeds), parameters, seconds.
"""

import argparse
import time

import keras
import numpy as np

import keras_localize as kl

LOSSES = {
    "box": kl.BoxLoss,
    "giou": kl.GIoULoss,
    "diou": kl.DIoULoss,
    "ciou": kl.CIoULoss,
    "l1": lambda: keras.losses.MeanAbsoluteError(),
    "mse": lambda: keras.losses.MeanSquaredError(),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--backbone", default="MobileNet:0.25")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--heads", nargs="+", default=["spatial", "pooled", "flatten"])
    parser.add_argument("--losses", nargs="+", default=["box"], choices=LOSSES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--rate", type=float, default=2e-3)
    args = parser.parse_args()

    data = kl.load_oxford_pets(args.data_dir)
    train, validation = data[data.weights > 0].split(0.2)
    name, _, alpha = args.backbone.partition(":")
    backbone = getattr(keras.applications, name)(
        include_top=False,
        input_shape=(args.image_size, args.image_size, 3),
        **({"alpha": float(alpha)} if alpha else {}),
    )
    features, _ = kl.build_localizer(backbone, None).split()
    maps, targets, _ = kl.cache_features(features, train.to_pydataset(args.image_size))
    unseen, true, _ = kl.cache_features(
        features, validation.to_pydataset(args.image_size), mirror=False
    )
    print("| head | loss | mean IoU | at 0.5 | at 0.75 | parameters | seconds |")
    print("|---|---|---|---|---|---|---|")
    for head in args.heads:
        for loss in args.losses:
            rows = []
            for seed in args.seeds:
                keras.utils.set_random_seed(seed)
                _, heads = kl.build_localizer(backbone, None, head=head).split()
                started = time.perf_counter()
                fit(heads, LOSSES[loss](), maps, targets["box"], args)
                seconds = time.perf_counter() - started
                predicted = heads.predict(unseen, verbose=0)["box"]
                iou = keras.ops.convert_to_numpy(kl.boxes.iou(true["box"], predicted))
                shares = [np.mean(iou >= 0.5), np.mean(iou >= 0.75)]
                rows.append([iou.mean(), *shares, seconds])
            mean, spread = np.mean(rows, axis=0), np.ptp(rows, axis=0)
            figures = [f"{m:.3f} +-{s / 2:.3f}" for m, s in zip(mean[:3], spread)]
            cells = [
                head,
                loss,
                *figures,
                f"{heads.count_params():,}",
                f"{mean[3]:.0f}",
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


def fit(heads, loss, maps, boxes, args):
    """AdamW, one cycle with 12% warm-up, gradients clipped: the example's recipe."""
    steps = args.epochs * -(-len(boxes) // 64)
    warmup = steps // 8
    schedule = keras.optimizers.schedules.CosineDecay(
        args.rate / 10, steps - warmup, warmup_target=args.rate, warmup_steps=warmup
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.01, clipnorm=10.0)
    heads.compile(optimizer, {"box": loss})
    heads.fit(maps, {"box": boxes}, batch_size=64, epochs=args.epochs, verbose=0)


if __name__ == "__main__":
    main()
