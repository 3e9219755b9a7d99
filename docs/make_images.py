"""Makes the images of the pages: python docs/make_images.py

Everything is drawn: no data, no network. A localizer is trained for a minute.
`python docs/make_images.py trained` makes only the images that show its answers.
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
            localizer.unfreeze(batch_normalization=True)
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
    if "trained" not in sys.argv:
        data_images()
    trained_images()
    total = sum(path.stat().st_size for path in IMAGES.glob("*.png"))
    print(f"{total / 1000:.0f} kB")
