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
from recipe import figure

import keras_localize as kl

LOOKS = {
    "one look": {},
    "and mirrored": {"flip_average": True},
    "and a second look": {"second_look": True},
    "and a second look, both mirrored": {"second_look": True, "flip_average": True},
}
DIGITS = {"mean IoU": 3, "IoU >= 0.5": 3, "IoU >= 0.75": 3, "breed": 3}
DIGITS |= {"cat or dog": 3, "quality's correlation": 3, "pictures/s": 0}


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
    print(f"| | {' | '.join(DIGITS)} |")
    print("|---" * (len(DIGITS) + 1) + "|")
    for name, seeds in rows.items():
        cells = map(figure, zip(*seeds), DIGITS.values())
        print(f"| {name} | {' | '.join(cells)} |")


def judge(localizer, data, looks, species_of):
    """One figure per column."""
    started = time.perf_counter()
    found = localizer.localize(data.images, **looks)
    seconds = time.perf_counter() - started
    true = kl.boxes.convert(data.boxes, "rel_xyxy", "xyxy", data.image_sizes)
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
