"""By how much the quality should fall where two predictions for one image disagree.

    python benchmarks/agreement.py --data-dir DIR runs/recipe/seed_0/model.keras:0 ...

Each model comes with the seed of its split of Oxford Pets. The quality, before any
calibration, is multiplied by powers of the IoU of two boxes: that of the image and that
of its flipped image, or the first one and that of the crop. The table has means over
the models: the correlation with the true IoU, the mean quality minus the mean IoU, and
the mean IoU gained without the tenth of the images that has the lowest quality.
"""

import argparse

import keras
import numpy as np

import keras_localize as kl
from keras_localize.localizer.predictions import FLIP_POWER, REFINE_POWER

POWERS = {
    "flip_average": (0, 1 / 8, 1 / 4, 1 / 2, 1),
    "refine": (0, 1 / 32, 1 / 16, 1 / 8, 1 / 4),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("models", nargs="+", help="path:seed")
    args = parser.parse_args()
    data = kl.load_oxford_pets(args.data_dir)
    rows = [of_model(*model.rsplit(":", 1), data) for model in args.models]
    print("| option | power | correlation | quality - IoU | gain | of each model |")
    print("|---|---|---|---|---|---|")
    for option, power in rows[0]:
        values = np.array([row[option, power] for row in rows])
        figures = " | ".join(f"{value:.3f}" for value in values.mean(axis=0))
        each = " ".join(f"{value:.3f}" for value in values[:, 0])
        print(f"| {option} | {power:g} | {figures} | {each} |")


def of_model(path, seed, data):
    """Figures by option and power."""
    localizer = keras.models.load_model(path)
    localizer.calibrations.clear()
    _, validation = data.split(0.2, seed=int(seed))
    validation = validation[validation.weights > 0]
    truth = kl.boxes.convert(
        validation.boxes, "rel_xyxy", "xyxy", validation.image_sizes
    )

    def answers(**options):
        if localizer.presence:
            options["presence_threshold"] = 0
        found = localizer.localize(validation, **options)
        return np.array([a.box for a in found]), np.array([a.quality for a in found])

    plain, _ = answers()
    figures = {}
    for option, used in (("flip_average", FLIP_POWER), ("refine", REFINE_POWER)):
        boxes, quality = answers(**{option: True})
        # The mean of two boxes tells where the other one is.
        other = 2 * boxes - plain if option == "flip_average" else boxes
        agreement = np.maximum(overlap(plain, other), 1e-6)
        raw, reached = quality / agreement**used, overlap(boxes, truth)
        for power in POWERS[option]:
            figures[option, power] = measures(raw * agreement**power, reached)
    return figures


def overlap(boxes, others):
    iou = kl.boxes.iou(np.float32(boxes), np.float32(others), "xyxy")
    return keras.ops.convert_to_numpy(iou)


def measures(quality, reached):
    kept = np.argsort(quality, kind="stable")[len(quality) // 10 :]
    return (
        np.corrcoef(quality, reached)[0, 1],
        quality.mean() - reached.mean(),
        reached[kept].mean() - reached.mean(),
    )


if __name__ == "__main__":
    main()
