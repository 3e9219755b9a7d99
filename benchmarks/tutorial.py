"""The most followed Keras tutorial of bounding-box regression and ours, side by side.

    python benchmarks/tutorial.py --data-dir DIR --seeds 0 1 2

`DIR` holds airplanes, faces and motorcycles of Caltech-101 as the tutorial ships them:
`images/NAME` and header-less tables `annotations/NAME.csv`. Both designs get the same
frozen network, MobileNet with alpha 0.25 at 224 px, and the same split. The
tutorial's: images stretched to a square, Flatten, dense layers of 128, 64, 32 and 4
units, MSE, Adam at 1e-4, 20 epochs of batches of 32. Ours: `train_localizer` without
options. Figures are of the validation images, boxes compared in original pixels.
"""

import argparse
import time
from pathlib import Path

import keras
import numpy as np
from recipe import figure

import keras_localize as kl

SIZE = 224
COLUMNS = {"mean IoU": 3, "IoU >= 0.75": 3, "IoU >= 0.9": 3, "label": 3, "seconds": 0}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", required=True, type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    args = parser.parse_args()
    data = load(args.data_dir)
    rows = {}
    for seed in args.seeds:
        keras.utils.set_random_seed(seed)
        train, validation = data.split(0.2, seed=seed)
        backbone = keras.applications.MobileNet(
            alpha=0.25, include_top=False, input_shape=(SIZE, SIZE, 3)
        )
        for name, values in {
            "constant box (mean of the training boxes)": constant(train, validation),
            "tutorial": tutorial(backbone, train, validation),
            **ours(backbone, train, validation, seed),
        }.items():
            rows.setdefault(name, []).append(values)
    print(f"| | {' | '.join(COLUMNS)} |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name, seeds in rows.items():
        cells = map(figure, zip(*seeds), COLUMNS.values())
        print(f"| {name} | {' | '.join(cells)} |")


def load(folder):
    """All tables as one dataset. One box of the tutorial's has no height."""
    columns = {"image": 0, "box": (1, 2, 3, 4), "label": 5}
    options = {"columns": columns, "on_error": "skip"}
    first, *rest = [
        kl.read_csv(folder / "images" / table.stem, table, **options)
        for table in sorted((folder / "annotations").glob("*.csv"))
    ]
    return sum(rest, first)


def figures(answers, data, seconds=np.nan, label=True):
    """One figure per column."""
    report = kl.report_localizations(answers, data)
    above = np.mean([row.iou >= 0.9 for row in report.per_image])
    accuracy = report.label_accuracy if label else np.nan
    return report.mean_iou, report.iou_75, above, accuracy, seconds


def answers_of(boxes, data):
    """Boxes as fractions of the images' own sides, as answers without a label."""
    sides = data.image_sizes[:, [1, 0, 1, 0]]
    return [kl.Localization(0, None, 1.0, tuple(box), None) for box in boxes * sides]


def constant(train, validation):
    boxes = np.tile(train.boxes.mean(axis=0), (len(validation), 1))
    return figures(answers_of(boxes, validation), validation, label=False)


def tutorial(backbone, train, validation):
    """The tutorial's design; only the scaling of pixels is the network's own."""
    started = time.perf_counter()
    backbone.trainable = False
    features = keras.Sequential([keras.layers.Rescaling(1 / 127.5, -1), backbone])
    head = keras.Sequential(
        [
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(4, activation="sigmoid"),
        ]
    )
    head.compile(keras.optimizers.Adam(1e-4), loss="mse")
    # The network is frozen: computed once or in every epoch, its features are equal.
    maps = features.predict(stretched(train), batch_size=32, verbose=0)
    head.fit(maps, train.boxes, epochs=20, batch_size=32, verbose=0)
    seconds = time.perf_counter() - started
    maps = features.predict(stretched(validation), batch_size=32, verbose=0)
    boxes = head.predict(maps, verbose=0)
    return figures(answers_of(boxes, validation), validation, seconds, label=False)


def stretched(data):
    """Images in another aspect ratio: (N, 224, 224, 3)."""
    size = (SIZE, SIZE)
    return np.stack(
        [
            keras.utils.img_to_array(keras.utils.load_img(path, target_size=size))
            for path in data.images
        ]
    )


def ours(backbone, train, validation, seed):
    started = time.perf_counter()
    names = train.class_names
    localizer = kl.build_localizer(backbone, len(names), class_names=names)
    kl.train_localizer(localizer, train, seed=seed, verbose=0)
    seconds = time.perf_counter() - started
    answers = localizer.localize(validation, verbose=0)
    refined = localizer.localize(validation, refine=True, verbose=0)
    return {
        "keras-localize, frozen": figures(answers, validation, seconds),
        "the same, `refine=True`": figures(refined, validation),
    }


if __name__ == "__main__":
    main()
