"""The example over several seeds: mean, half the spread, and bootstrap intervals.

    python benchmarks/recipe.py --seeds 0 1 2 -- --data-dir DIR --fine-tune --quality

Everything behind `--` goes to `examples/oxford_pets.py`; each seed has its own split.
With `--fine-tune` the example runs without it first, and the second run takes features
and heads from the first. Each run's report is kept in `--output`, and a report that is
there already is not made again. With a quality output it also prints how much the mean
IoU rises without the tenth of the images that has the lowest quality (95% bootstrap
interval, images of all seeds).
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "oxford_pets.py"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", default="runs/recipe")
    parser.add_argument("options", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    options = [option for option in args.options if option != "--"]
    reports = [report(seed, Path(args.output), options) for seed in args.seeds]

    names = list(reports[0]["recipes"])
    columns = list(dict.fromkeys(k for n in names for k in reports[0]["recipes"][n]))
    print(f"| recipe | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 1) + "|")
    for name in names:
        cells = []
        for column in columns:
            values = [r["recipes"][name].get(column) for r in reports]
            digits = 0 if column == "seconds" else 3
            cells.append("-" if None in values else figure(values, digits))
        print(f"| {name} | {' | '.join(cells)} |")

    rows = [row for r in reports for row in r["per_image"]]
    if rows[0]["quality"] is not None:
        iou = np.array([row["iou"] for row in rows])
        quality = np.array([row["quality"] for row in rows])
        low, high = bootstrap(gain, iou, quality)
        print(
            "without the tenth of the images with the lowest quality: "
            f"{gain(iou, quality):+.4f} mean IoU ({low:+.4f} to {high:+.4f})"
        )


def report(seed, output, options):
    """The example's reports for a seed as one, made if they are not there."""
    cache = output / "cache" / f"seed_{seed}"
    frozen = without_fine_tuning(options)
    reports = [run(seed, output / "frozen", [*frozen, "--cache", str(cache)])]
    if frozen != options:
        reports.append(run(seed, output, [*options, "--cache", str(cache)]))
    shutil.rmtree(cache, ignore_errors=True)  # gigabytes
    recipes = {name: row for one in reports for name, row in one["recipes"].items()}
    return {**reports[-1], "recipes": recipes}


def without_fine_tuning(options):
    if "--fine-tune" not in options:
        return options
    at = options.index("--fine-tune")
    value = options[at + 1 : at + 2]
    return options[:at] + options[at + 1 + (bool(value) and value[0].isdigit()) :]


def run(seed, output, options):
    folder = output / f"seed_{seed}"
    path = folder / "report.json"
    if not path.exists():
        command = [sys.executable, str(EXAMPLE), *options, "--seed", str(seed)]
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "log.txt", "w") as log:
            subprocess.run(
                [*command, "--output", str(folder)], check=True, stdout=log, stderr=log
            )
    return json.loads(path.read_text())


def figure(values, digits):
    return f"{np.mean(values):.{digits}f} ±{np.ptp(values) / 2:.{digits}f}"


def gain(iou, quality):
    return iou[quality >= np.quantile(quality, 0.1)].mean() - iou.mean()


def bootstrap(statistic, *arrays, draws=2000):
    rng = np.random.default_rng(0)
    count = len(arrays[0])
    chosen = (rng.integers(0, count, count) for _ in range(draws))
    values = [statistic(*(x[rows] for x in arrays)) for rows in chosen]
    return np.quantile(values, [0.025, 0.975])


if __name__ == "__main__":
    main()
