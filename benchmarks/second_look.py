"""What a second look brings to the trained models of `benchmarks/recipe.py`.

    python benchmarks/second_look.py runs/recipe --data-dir DIR

Every model that `recipe.py` has kept judges the validation pictures of its own seed, in
one look and in more: mean and half the spread over the seeds. Boxes are compared in the
pixels of the files; "cat or dog" is the species of the most probable breed.
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np

import keras_localize as kl

LOOKS = {
    "one look": {},
    "and mirrored": {"flip_average": True},
    "and a second look": {"second_look": True},
    "and a second look, both mirrored": {"second_look": True, "flip_average": True},
}
COLUMNS = ["mean IoU", "IoU >= 0.5", "IoU >= 0.75", "breed", "cat or dog"]
COLUMNS += ["quality's correlation", "pictures/s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path, help="the --output of recipe.py")
    parser.add_argument("--data-dir", required=True)
    args = parser.parse_args()
    data = kl.load_oxford_pets(args.data_dir, labels="breed")
    species = kl.load_oxford_pets(args.data_dir, labels="species")
    species_of = dict(zip(data.labels.tolist(), species.labels.tolist()))

    rows = {name: [] for name in LOOKS}
    for folder in sorted(args.runs.glob("seed_*")):
        seed = json.loads((folder / "report.json").read_text())["settings"]["seed"]
        localizer = keras.models.load_model(folder / "model.keras")
        _, validation = data.split(0.2, seed=seed)
        localizer.localize(validation.images[:64])  # compiles
        for name, looks in LOOKS.items():
            rows[name].append(judge(localizer, validation, looks, species_of))
    print(f"| | {' | '.join(COLUMNS)} |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name, seeds in rows.items():
        cells = (
            f"{np.mean(values):.3f} ±{np.ptp(values) / 2:.3f}"
            if np.mean(values) < 2
            else f"{np.mean(values):.0f}"
            for values in zip(*seeds)
        )
        print(f"| {name} | {' | '.join(cells)} |")


def judge(localizer, data, looks, species_of):
    """One figure per column."""
    started = time.perf_counter()
    found = localizer.localize(data.images, **looks)
    seconds = time.perf_counter() - started
    height, width = data.image_sizes.T
    true = (data.boxes * np.stack([width, height] * 2, axis=1)).astype("float32")
    boxed = data.weights > 0
    iou = kl.boxes.iou(true, np.array([one.box for one in found], "float32"), "xyxy")
    iou = keras.ops.convert_to_numpy(iou)[boxed]
    quality = np.array([one.quality or 0.0 for one in found])[boxed]
    right = [one.label == label for one, label in zip(found, data.labels)]
    kind = [
        species_of[one.label] == species_of[label]
        for one, label in zip(found, data.labels)
    ]
    return [
        np.mean(iou),
        np.mean(iou >= 0.5),
        np.mean(iou >= 0.75),
        np.mean(right),
        np.mean(kind),
        np.corrcoef(quality, iou)[0, 1] if quality.any() else np.nan,
        len(data) / seconds,
    ]


if __name__ == "__main__":
    main()
