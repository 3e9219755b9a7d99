"""What the options of inference bring to the trained models of `benchmarks/recipe.py`.

    python benchmarks/refinement.py runs/recipe --data-dir DIR

Every model that `recipe.py` has kept is evaluated on the validation images of its
own seed, with each combination of `flip_average` and `refine`: mean and half the range
over the seeds. "Cat or dog" is the species of the most probable breed.
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np
from recipe import figure

import keras_localize as kl

OPTIONS = {
    "single pass": {},
    "`flip_average=True`": {"flip_average": True},
    "`refine=True`": {"refine": True},
    "both": {"refine": True, "flip_average": True},
}
COLUMNS = {
    "mean_iou": 3,
    "iou_50": 3,
    "iou_75": 3,
    "breed": 3,
    "cat or dog": 3,
    "quality_correlation": 3,
    "images/s": 0,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path, help="the --output of recipe.py")
    parser.add_argument("--data-dir", required=True)
    args = parser.parse_args()
    data = kl.load_oxford_pets(args.data_dir, labels="breed")
    species = kl.load_oxford_pets(args.data_dir, labels="species")
    species_of = {
        data.class_names[breed]: species.class_names[kind]
        for breed, kind in zip(data.labels, species.labels)
    }

    rows = {name: [] for name in OPTIONS}
    for folder in sorted(args.runs.glob("seed_*")):
        seed = json.loads((folder / "report.json").read_text())["settings"]["seed"]
        localizer = keras.models.load_model(folder / "model.keras")
        _, validation = data.split(0.2, seed=seed)
        localizer.localize(validation.images[:64])  # compiles
        for name, options in OPTIONS.items():
            rows[name].append(evaluate(localizer, validation, options, species_of))
    print(f"| | {' | '.join(COLUMNS)} |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name, seeds in rows.items():
        cells = map(figure, zip(*seeds), COLUMNS.values())
        print(f"| {name} | {' | '.join(cells)} |")


def evaluate(localizer, data, options, species_of):
    """One figure per column."""
    started = time.perf_counter()
    report = kl.evaluate_localizer(localizer, data, **options)
    seconds = time.perf_counter() - started
    kinds = [
        species_of[row.answer.class_name] == species_of[row.true_class]
        for row in report.per_image
    ]
    values = {**vars(report), "breed": report.label_accuracy}
    values |= {"cat or dog": np.mean(kinds), "images/s": len(data) / seconds}
    return [np.nan if values[name] is None else values[name] for name in COLUMNS]


if __name__ == "__main__":
    main()
