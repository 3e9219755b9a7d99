"""When to trust a box: presence, quality and outer boxes on real images.

    python benchmarks/trust.py --data-dir DIR --no-pets DIR --seeds 0 1 2

For each seed `train_localizer` trains three localizers on a frozen backbone: without a
presence output; with one, and half of the images in `--no-pets` (its folders `far` and
`near`) as negatives; and with one, and the negatives that it makes itself. The models
are kept in `--output`; one that is there is not trained again. Their answers on the
validation images of the seed, and on the other half of `--no-pets`, give all figures.
Nothing is chosen by these images. The images for docs/trust.md are drawn for the first
seed.
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np

import keras_localize as kl
from keras_localize.datasets import LocalizationDataset

KINDS = ("far", "near")
MODELS = ("without presence", "own negatives", "crops")
OPTIONS = {
    "single pass": {},
    "flip_average": {"flip_average": True},
    "refine": {"refine": True},
}
COVERAGES = (0.8, 0.9, 0.95)
PROBES = 20


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--no-pets", type=Path, required=True)
    parser.add_argument("--backbone", default="MobileNet:0.25")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--halvings", type=int, default=100)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--output", type=Path, default=Path("runs/trust"))
    args = parser.parse_args()
    rows = []
    for seed in args.seeds:
        folder = args.output / f"seed_{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        figures = measure(seed, folder, args)
        (folder / "figures.json").write_text(json.dumps(figures, indent=1))
        rows.append(figures)
    print(f"| {args.backbone} | {' | '.join(f'seed {seed}' for seed in args.seeds)} |")
    print("|---" * (len(rows) + 1) + "|")
    for name in rows[0]:
        print(f"| {name} | {' | '.join(f'{row[name]:.4f}' for row in rows)} |")


def measure(seed, folder, args):
    """All figures of one seed, by name."""
    pets = kl.load_oxford_pets(args.data_dir, labels="breed")
    train, validation = pets.split(0.2, seed=seed)
    learned, held_out = halves(args.no_pets, pets.class_names, seed)
    models = trained(seed, folder, train, learned, args)

    found, figures = {}, {}
    for name, model in models.items():
        # The threshold is applied afterwards.
        found[name] = model.localize(validation, presence_threshold=0)
        report = kl.report_localizations(thresholded(found[name]), validation)
        present = [x is not None for x in (a.box for a in thresholded(found[name]))]
        kept = kl.report_localizations(
            [a for a, here in zip(found[name], present) if here],
            validation[np.array(present)],
        )
        figures[f"{name}: found"] = float(np.mean(present))
        figures[f"{name}: mean IoU of all"] = report.mean_iou
        figures[f"{name}: mean IoU of the found"] = kept.mean_iou
        figures[f"{name}: label accuracy of the found"] = kept.label_accuracy
        if name == MODELS[0]:
            continue
        for kind in KINDS:
            absent = model.localize(held_out[kind], presence_threshold=0)
            report = kl.report_localizations(
                thresholded([*found[name], *absent]), validation + held_out[kind]
            )
            figures[f"{name}: AUROC {kind}"] = report.presence_auroc
            figures[f"{name}: FPR95 {kind}"] = report.presence_fpr95
            share = report.false_alarms / len(absent)
            figures[f"{name}: false alarms {kind}"] = share
        for kind, images in probes().items():
            presence = [a.presence for a in model.localize(images)]
            figures[f"{name}: highest presence of {kind}"] = max(presence)

    boxed = validation[validation.weights > 0]
    model = models.get("own negatives", next(iter(models.values())))
    for name, options in OPTIONS.items():
        answers = model.localize(boxed, presence_threshold=0, **options)
        reports = {"model": kl.report_localizations(answers, boxed)}
        figures |= of_quality(name, answers, boxed, reports["model"], args.halvings)
        figures |= of_coverage(name, answers, boxed, args.splits)
        half = np.random.default_rng(0).permutation(len(boxed)) % 2 == 0
        known, new = boxed[half], boxed[~half]
        calibration = kl.calibrate_localizations(chosen(answers, half), known, 0.9)
        plain = chosen(answers, ~half)
        judged = calibration.apply(plain, new.image_sizes)
        reports = {
            "uncalibrated": kl.report_localizations(plain, new),
            "calibrated": kl.report_localizations(judged, new),
        }
        for key in ("quality_error", "quality_bin_error"):
            for kind, report in reports.items():
                figures[f"{name}: {key}, {kind}"] = getattr(report, key)
        if seed == args.seeds[0]:
            draw(args.output, name.replace(" ", "_"), reports)
            if name == "single pass":
                plate(args.output, model, judged, new, held_out)
    return figures


# --- data and models ---


def halves(folder, class_names, seed):
    """The images without a pet: (a dataset to learn from, datasets to judge by)."""
    parts, held_out = [], {}
    for kind in KINDS:
        paths = sorted(str(path) for path in (folder / kind).iterdir())
        order = np.random.default_rng(100 + seed).permutation(len(paths))
        half = len(paths) // 2
        parts.append(negatives([paths[i] for i in order[:half]], class_names))
        held_out[kind] = negatives([paths[i] for i in order[half:]], class_names)
    return parts[0] + parts[1], held_out


def negatives(images, class_names):
    count = len(images)
    return LocalizationDataset(
        images,
        np.zeros((count, 4)),
        np.full(count, -1),
        class_names,
        presence=np.zeros(count),
    )


def probes():
    """Black images, noise, and pages of text."""
    rng = np.random.default_rng(0)
    return {
        "black": [np.zeros((200, 260, 3), "uint8")],
        "noise": rng.integers(0, 256, (PROBES, 200, 260, 3)).astype("uint8"),
        "text": [page(rng) for _ in range(PROBES)],
    }


def page(rng):
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (240, 320), "white")
    draw = ImageDraw.Draw(image)
    letters = list("abcdefghijklmnopqrstuv     ")
    for y in range(16, 300, 12):
        draw.text((12, y), "".join(rng.choice(letters, 36)), fill=(0, 0, 0))
    return np.asarray(image)


def trained(seed, folder, train, learned, args):
    """The three models, from their files where these are there."""
    files = {n: folder / f"{n.replace(' ', '_')}.keras" for n in args.models}
    data = {MODELS[0]: train, MODELS[1]: train + learned, MODELS[2]: train}
    for name, path in files.items():
        if not path.exists():
            localizer = untrained(seed, train.class_names, name != MODELS[0], args)
            kl.train_localizer(localizer, data[name], seed=seed, verbose=2)
            localizer.save(path)
    return {name: keras.models.load_model(path) for name, path in files.items()}


def untrained(seed, class_names, presence, args):
    keras.utils.set_random_seed(seed)
    if args.backbone.endswith(".keras"):
        backbone = keras.models.load_model(args.backbone)
    else:
        name, _, alpha = args.backbone.partition(":")
        options = {"alpha": float(alpha)} if alpha else {}
        backbone = getattr(keras.applications, name)(
            include_top=False, input_shape=(224, 224, 3), **options
        )
    return kl.build_localizer(
        backbone,
        len(class_names),
        class_names=class_names,
        image_size=224,
        quality=True,
        presence=presence,
    )


# --- figures ---


def thresholded(answers, threshold=0.5):
    """The answers as `localize` gives them with this threshold."""
    return [
        a._replace(box=None) if a.presence is not None and a.presence < threshold else a
        for a in answers
    ]


def chosen(answers, mask):
    return [answer for answer, take in zip(answers, mask) if take]


def of_quality(name, answers, data, report, halvings):
    """Calibrated on one half, judged on the other, over random halvings."""
    overlap = np.array([row.iou for row in report.per_image])
    gaps, correlations, gains = [], [], []
    for i in range(halvings):
        half = np.random.default_rng(i).permutation(len(data)) % 2 == 0
        calibration = kl.calibrate_localizations(chosen(answers, half), data[half])
        judged = calibration.apply(chosen(answers, ~half), data[~half].image_sizes)
        quality, reached = np.array([a.quality for a in judged]), overlap[~half]
        gaps.append(quality.mean() - reached.mean())
        correlations.append(np.corrcoef(quality, reached)[0, 1])
        kept = np.argsort(quality, kind="stable")[len(quality) // 10 :]
        gains.append(reached[kept].mean() - reached.mean())
    raw = np.array([a.quality for a in answers])
    return {
        f"{name}: mean IoU": overlap.mean(),
        f"{name}: mean quality - mean IoU, uncalibrated": raw.mean() - overlap.mean(),
        f"{name}: mean quality - mean IoU": float(np.mean(gaps)),
        f"{name}: correlation, uncalibrated": np.corrcoef(raw, overlap)[0, 1],
        f"{name}: correlation": float(np.mean(correlations)),
        f"{name}: gain without the least trusted tenth": float(np.mean(gains)),
    }


def of_coverage(name, answers, data, splits):
    """Coverage and growth over random calibration halves."""
    sizes = data.image_sizes
    boxes = np.array([a.box for a in answers])
    true = keras.ops.convert_to_numpy(
        kl.boxes.convert(data.boxes, "rel_xyxy", "xyxy", sizes)
    )
    figures = {}
    for coverage in COVERAGES:
        covered, growth, sides = [], [], []
        for i in range(splits):
            half = np.random.default_rng(i).permutation(len(data)) % 2 == 0
            calibration = kl.calibrate_localizations(
                chosen(answers, half), data[half], coverage
            )
            judged = calibration.apply(chosen(answers, ~half), sizes[~half])
            outer = np.array([a.outer_box for a in judged])
            covered.append(holds(outer, true[~half]).mean())
            growth.append((area(outer) / area(boxes[~half])).mean())
            outer = per_side(boxes, true, half, coverage, sizes)
            sides.append((area(outer) / area(boxes[~half])).mean())
        figures[f"{name}: coverage for {coverage}"] = float(np.mean(covered))
        figures[f"{name}: least, {coverage}"] = float(np.min(covered))
        figures[f"{name}: growth for {coverage}"] = float(np.mean(growth))
        figures[f"{name}: growth by side for {coverage}"] = float(np.mean(sides))
    return figures


def per_side(boxes, true, half, coverage, image_sizes):
    """A margin for each side at a quarter of the risk (Bonferroni)."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    errors = (boxes - true) * [1, 1, -1, -1] / sides
    rank = int(np.ceil((half.sum() + 1) * (1 - (1 - coverage) / 4)))
    if rank > half.sum():
        margins = np.full(4, np.inf)
    else:
        margins = np.maximum(np.sort(errors[half], axis=0)[rank - 1], 0)
    outer = boxes[~half] + margins * sides[~half] * [-1, -1, 1, 1]
    return np.clip(outer, 0, np.tile(image_sizes[~half][:, ::-1], 2))


def holds(outer, true):
    low = (outer[:, :2] <= true[:, :2] + 5e-3).all(axis=1)
    return low & (outer[:, 2:] >= true[:, 2:] - 5e-3).all(axis=1)


def area(boxes):
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


# --- images ---


def draw(output, name, reports):
    figure = kl.plot_reliability(reports)
    figure.savefig(output / f"reliability_{name}.png", dpi=80)
    figure = kl.plot_risk_coverage(reports)
    figure.savefig(output / f"risk_coverage_{name}.png", dpi=80)


def plate(output, model, judged, pets, held_out):
    """Pets with box and outer box (dotted), and images without a pet."""
    from matplotlib.patches import Rectangle

    quality = np.array([a.quality for a in judged])
    rows = np.argsort(quality)[np.linspace(0, len(quality) - 1, 8).astype(int)]
    shown, answers = pets[rows], [judged[i] for i in rows]
    for kind in KINDS:
        shown += held_out[kind][:2]
        answers += model.localize(held_out[kind][:2])
    figure = kl.plot_localizations(shown, answers, columns=6)
    for axis, answer in zip(figure.axes, answers):
        words = []
        if answer.presence is not None:
            words.append(f"presence {answer.presence:.2f}")
        if answer.outer_box is not None:
            x0, y0, x1, y1 = answer.outer_box
            style = {"fill": False, "edgecolor": "white", "linestyle": ":"}
            axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, linewidth=2, **style))
            words.append(f"quality {answer.quality:.2f}")
        title = axis.get_title() if answer.box is not None else "no object"
        axis.set_title("\n".join([title, ", ".join(words)]), fontsize=9)
    figure.savefig(output / "plate.jpg", dpi=60)


if __name__ == "__main__":
    main()
