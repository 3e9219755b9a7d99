"""The exercise's script, run as a user runs it, on few and small images."""

import json
import runpy
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_localize import Localizer, make_synthetic

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "oxford_pets.py"
FILES = {"model.keras", "history.csv", "curves.png", "predictions.png", "report.json"}


# What these run holds nothing of one backend, and compiling it takes minutes.
on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the demo runs on each backend"
)


@pytest.fixture
def eager():
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    def run(*arguments):
        output = tmp_path / "output"
        argv = [str(SCRIPT), "--output", str(output), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", argv)
        runpy.run_path(str(SCRIPT), run_name="__main__")
        return output, capsys.readouterr().out

    return run


@pytest.fixture
def pets(tmp_path):
    """A folder in the official layout: drawn cats and dogs, one without a box."""
    root = tmp_path / "pets"
    (root / "images").mkdir(parents=True)
    (root / "annotations" / "xmls").mkdir(parents=True)
    lines = []
    for i, record in enumerate(make_synthetic(21, min_side=40, max_side=60)):
        breed, ids = [("Abyssinian", "1 1 1"), ("beagle", "5 2 2")][i % 2]
        name = f"{breed}_{i}"
        lines.append(f"{name} {ids}\n")
        Image.fromarray(record.image).save(root / "images" / f"{name}.jpg")
        if i == 0:
            continue
        height, width = record.size
        x0, y0, x1, y1 = (
            round(float(v)) for v in record.box * [width, height, width, height]
        )
        (root / "annotations" / "xmls" / f"{name}.xml").write_text(
            f"<annotation><filename>{name}.jpg</filename><size><width>{width}</width>"
            f"<height>{height}</height><depth>3</depth></size><object><name>cat</name>"
            f"<bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax>"
            f"<ymax>{y1}</ymax></bndbox></object></annotation>"
        )
    (root / "annotations" / "list.txt").write_text("".join(lines))
    (root / "annotations" / "trainval.txt").write_text("".join(lines[:-1]))
    (root / "annotations" / "test.txt").write_text(lines[-1])
    return root


def test_demo(run):
    output, printed = run("--demo", "--limit", 20, "--epochs", 2, "--image-size", 32)
    assert {path.name for path in output.iterdir()} == FILES
    report = json.loads((output / "report.json").read_text())
    assert report["counts"]["training"] == 20
    assert set(report["recipes"]) == {
        "all layers",
        "all layers, flip_average",
        "all layers, refine",
    }
    assert report["metrics"] == report["recipes"]["all layers"]
    assert "all layers" in printed and "mean_iou" in printed
    rows = (output / "history.csv").read_text().splitlines()
    assert len(rows) == 3
    assert {"box_iou", "val_box_iou", "val_label_accuracy", "val_box_mse"} < set(
        rows[0].split(",")
    )
    for name in ("curves.png", "predictions.png"):
        with Image.open(output / name) as image:
            assert image.size[0] > 500
    model = keras.models.load_model(output / "model.keras")
    assert isinstance(model, Localizer)
    scores = model.localize(make_synthetic(2).images)
    assert len(scores) == 2


@pytest.mark.long
@on_tensorflow
@pytest.mark.filterwarnings("ignore:Even though")  # tf.data stays compiled
def test_pretrained_features_then_fine_tuning(run, pets, eager):
    # Weights from a file stand for the downloaded ones: the backbone starts frozen.
    options = {"alpha": 0.25, "include_top": False, "weights": None}
    backbone = keras.applications.MobileNet(input_shape=(32, 32, 3), **options)
    weights = pets / "backbone.weights.h5"
    backbone.save_weights(weights)
    arguments = ["--data-dir", pets, "--labels", "species", "--image-size", 32]
    arguments += ["--backbone", "MobileNet:0.25", "--weights", weights, "--epochs", 2]
    output, printed = run(*arguments, "--fine-tune", 1, "--batch-size", 8)
    assert "1 without" in printed  # the image without a box is counted
    report = json.loads((output / "report.json").read_text())
    counts = report["counts"]
    assert counts["training"] + counts["validation"] == 20
    assert {row["name"] for row in report["choice"]} >= {"before", "after"}
    assert len(report["history"]["val_box_iou"]) == 3


@on_tensorflow
@pytest.mark.filterwarnings("ignore:Even though")  # tf.data stays compiled
def test_a_backbone_from_a_file(run, pets, eager):
    images = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(8, 8, strides=8)(x)
    backbone = keras.Model(images, x)
    backbone.save(pets / "backbone.keras")
    arguments = ["--data-dir", pets, "--backbone", pets / "backbone.keras"]
    output, _ = run(*arguments, "--image-size", 32, "--epochs", 1, "--views", 1)
    model = keras.models.load_model(output / "model.keras")
    expected, found = (m.get_weights()[0] for m in (backbone, model.backbone))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--labels", "colour"], "--labels"),
        (["--epochs", "0"], "--epochs"),
        (["--fine-tune", "0"], "--fine-tune"),
    ],
)
def test_bad_arguments(run, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_backbone_that_does_not_exist(run, pets):
    with pytest.raises(SystemExit) as stop:
        run("--data-dir", pets, "--backbone", "NoNet")
    assert "NoNet" in str(stop.value.code)


def test_bad_places(run, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run("--data-dir", tmp_path / "nowhere")
    assert "nowhere" in str(stop.value.code)
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as stop:
        run("--demo", "--output", tmp_path / "file" / "below")
    assert stop.value.code == 2
    assert "--output" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == ""
