"""Makes the images of the pages: python docs/make_images.py

Everything is drawn: no data, no network. A localizer is trained for a minute.
`python docs/make_images.py trained` makes only the images that show its answers, and
`data` or `diagrams` only the others.
"""

import io
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import keras_localize as kl

IMAGES = Path(__file__).parent / "images"
ROOT = IMAGES.parents[1]


def save(name, figure, dpi=60):
    """Writes a figure with few colours: a page loads in an instant."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    write(name, Image.open(file))


def write(name, image):
    image.convert("RGB").quantize(128).save(IMAGES / f"{name}.png", optimize=True)


def axes_of(columns, size):
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def data_images():
    """Pages about datasets."""
    data = kl.make_synthetic(12, num_classes=4, seed=7)
    save("your_own_data", kl.plot_localizations(data[:8]))
    mixed = kl.make_synthetic(8, num_classes=4, seed=5, negatives=0.4)
    save("negatives", kl.plot_localizations(mixed))
    save("migrate_caltech", kl.plot_localizations(data[8:12]))

    counts = {"disc": 1000, "square": 240, "triangle": 90, "star": 30}
    figure, (axis,) = axes_of(1, (6, 2.4))
    axis.barh(list(counts), list(counts.values()), color="#2962ff")
    axis.set_xlabel("images")
    axis.invert_yaxis()
    save("imbalance", figure, 80)

    one = data[np.zeros(1, int)]
    view = kl.RandomSquareView(160, zoom=(0.7, 1.6), shift=0.15)
    squares, boxes = [], []
    for seed in range(8):
        images, targets, _ = one.to_pydataset(160, augment=view, seed=seed)[0]
        squares.append(np.asarray(images)[0])
        boxes.append(targets["box"][0])
    views = kl.plot_localizations(np.stack(squares), truth=np.stack(boxes))
    save("augmentation", views)

    square, _ = kl.images.letterbox(data.images[0], 224)
    figure, axes = axes_of(2, (7, 3.2))
    titles = (f"the image, {data[0].size}", "letterboxed, (224, 224)")
    for axis, pixels, title in zip(axes, (data.images[0], square), titles):
        axis.imshow(pixels)
        axis.set_title(title)
        axis.set_axis_off()
    save("migrate_notebook", figure)

    figure, axes = axes_of(4, (10, 2.6))
    box = [20.0, 30.0, 70.0, 60.0]
    for axis, name in zip(axes, ("xyxy", "xywh", "center_xywh", "rel_yxyx")):
        numbers = np.asarray(kl.boxes.convert(box, "xyxy", name, (80, 100)))
        axis.set(xlim=(0, 100), ylim=(80, 0), aspect="equal", title=name)
        axis.fill([20, 70, 70, 20], [30, 30, 60, 60], color="#2962ff", alpha=0.4)
        shown = ", ".join(f"{value:g}" for value in numbers.round(3))
        axis.text(45, 72, f"({shown})", ha="center", fontsize=9)
    save("formats", figure, 70)


def diagrams():
    """Pages about files, formats and machines."""
    drawn = kl.make_synthetic(40, num_classes=1, seed=3)
    record = next(one for one in drawn if one.size[1] > 1.4 * one.size[0])
    height, width = record.size
    x0, y0, x1, y1 = record.box * [width, height, width, height]
    corners = ([x0, x1, x1, x0], [y0, y0, y1, y1])

    figure, axes = axes_of(3, (10, 2.9))
    turn = np.linspace(0, 2 * np.pi, 9)[:-1]
    across, down = (x1 - x0) / 2, (y1 - y0) / 2
    polygon = (x0 + across * (1 + np.cos(turn)), y0 + down * (1 + np.sin(turn)))
    titles = ("a box: taken as it is", "a polygon: the box around it")
    for axis, title in zip(axes, (*titles, "a box with keypoints: the box")):
        axis.imshow(record.image)
        axis.fill(*corners, fill=False, edgecolor="#00c853", linewidth=2.5)
        axis.set_title(title)
        axis.set_axis_off()
    marks = {"color": "#ffd600", "marker": "o", "markersize": 5}
    axes[1].fill(*polygon, facecolor="#ffd60055", edgecolor="#ffd600")
    axes[1].plot(*polygon, linestyle="", **marks)
    spots = ([x0 + across, x0 + across / 2], [y0 + down / 2, y0 + down])
    axes[2].plot(*spots, linestyle="", **marks)
    save("label_tools", figure)

    size = 224
    square, _ = kl.images.letterbox(record.image, size)
    inside = kl.boxes.to_square(record.box, record.size, size, "rel_xyxy") * size
    u0, v0, u1, v1 = (float(side) for side in np.asarray(inside))
    rows = round(height * size / width)
    figure, axes = axes_of(3, (11, 3.2))
    shown = (
        (record.image, f"the image, {width} x {height}", None),
        (square, f"in: the square, {size} x {size}", (u0, v0, u1, v1)),
        (record.image, "out: the box in the pixels of the image", (x0, y0, x1, y1)),
    )
    for axis, (pixels, title, box) in zip(axes, shown):
        axis.imshow(pixels)
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
        if box is not None:
            a, b, c, d = box
            red = {"edgecolor": "#ff1744", "linestyle": "--", "linewidth": 2.5}
            axis.fill([a, c, c, a], [b, b, d, d], fill=False, **red)
    white = {"color": "white", "ha": "center", "va": "center", "fontsize": 9}
    top = (size - rows) // 2
    below = size - rows - top
    axes[1].text(size / 2, top / 2, f"{top} black rows", **white)
    axes[1].text(size / 2, size - below / 2, f"{below} black rows", **white)
    save("export", figure)

    count, records = 4, 21
    figure, (axis,) = axes_of(1, (9, 1.9))
    colours = ("#2962ff", "#00c853", "#ff6d00", "#d500f9")
    for i in range(records):
        left_out = i >= records - records % count
        axis.barh(
            -(i % count),
            0.9,
            left=i,
            color="white" if left_out else colours[i % count],
            edgecolor="#888888" if left_out else colours[i % count],
        )
        text = {"color": "#888888" if left_out else "white", "ha": "center"}
        axis.text(i + 0.45, -(i % count), str(i), va="center", fontsize=8, **text)
    axis.set_yticks(-np.arange(count), [f"shard({i}, {count})" for i in range(count)])
    axis.set_xticks([])
    axis.set_xlabel("records; with drop_remainder=True the last one is left out")
    for spine in axis.spines.values():
        spine.set_visible(False)
    save("scale", figure, 80)


def trained_images():
    """Pages about training and answers: those of the quickstart's localizer."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        quick = runpy.run_path(str(ROOT / "examples" / "quickstart.py"))
        localizer, validation = quick["localizer"], quick["validation"]
        answers = localizer.localize(validation[:8], refine=True)
        save("start", kl.plot_localizations(validation[:8], answers))
        save("attention", kl.plot_attention(localizer, validation.images[3]))
        screenshot(quick["report"], quick["history"], folder)
        two_phases(quick, folder)


def two_phases(quick, folder):
    """Curves of heads and fine-tuning, and the gallery of a training."""
    train, validation = quick["train"][:400], quick["validation"][:80]
    # A trained backbone, and new heads.
    localizer = kl.build_localizer(
        quick["backbone"], 3, class_names=train.class_names, name="again"
    )
    batches = train.to_pydataset(64, shuffle=True, cache="memory", seed=0)
    held_out = validation.to_pydataset(64, cache="memory")
    gallery = kl.LocalizationGallery(validation, folder, count=4)
    history = {"phase": []}
    for phase, epochs in (("heads", 6), ("fine-tuning", 6)):
        if phase == "fine-tuning":
            localizer.unfreeze()  # few steps: batch normalization stays as it is
        localizer.compile()
        options = {"epochs": epochs, "shuffle": False, "verbose": 0}
        fitted = localizer.fit(
            batches, validation_data=held_out, callbacks=[gallery], **options
        )
        for key, values in fitted.history.items():
            history[key] = history.get(key, []) + values
        history["phase"] += [phase] * epochs
    shown = ("box_iou", "label_accuracy", "loss")
    kept = [*shown, *(f"val_{name}" for name in shown), "phase"]
    save("fine_tuning", kl.plot_history({key: history[key] for key in kept}), 70)
    parts = [
        Image.open(folder / f"epoch_{i:04}.png").convert("RGB") for i in (1, 6, 12)
    ]
    width, height = parts[0].size
    joined = Image.new("RGB", (width, height * len(parts)))
    for i, part in enumerate(parts):
        joined.paste(part, (0, i * height))
    write("inspect", joined.resize((width * 6 // 10, joined.height * 6 // 10)))


def screenshot(report, history, folder):
    """The top of a report page, by headless Chromium; skipped without one."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("report.png needs Chromium: left as it is")
        return
    report.save_html(folder / "report.html", history=history)
    words = [browser, "--headless", "--no-sandbox", "--disable-gpu"]
    words += ["--window-size=1100,1000", f"--screenshot={folder / 'report.png'}"]
    words += [
        f"--user-data-dir={folder / 'profile'}",
        (folder / "report.html").as_uri(),
    ]
    subprocess.run(words, check=True, capture_output=True)
    with Image.open(folder / "report.png") as image:
        write("report", image.resize((770, 700)))


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    parts = {"data": data_images, "diagrams": diagrams, "trained": trained_images}
    for name in sys.argv[1:] or parts:
        parts[name]()
    total = sum(path.stat().st_size for path in IMAGES.glob("*.png"))
    print(f"{total / 1000:.0f} kB")
