"""The quickstart and the notebook run from top to bottom, on drawn images."""

import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_localize as kl

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="takes minutes: on TensorFlow only"
)
ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"


def environment(**more):
    names = {"KERAS_BACKEND": keras.backend.backend(), "PYTHONPATH": str(ROOT)}
    return {**os.environ, **names, **more}


def test_quickstart(tmp_path):
    script = EXAMPLES / "quickstart.py"
    assert len(script.read_text("utf-8").splitlines()) <= 40
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    iou = float(re.search(r"mean_iou +([\d.]+)", done.stdout)[1])
    accuracy = float(re.search(r"label_accuracy +([\d.]+)", done.stdout)[1])
    # A constant box reaches less than 0.4, a constant label a third.
    assert iou > 0.8 and accuracy > 0.8
    page = (tmp_path / "runs/quickstart/report.html").read_text("utf-8")
    assert f"{iou:.4f}" in page and "<h2>Curves</h2>" in page
    loaded = keras.saving.load_model(tmp_path / "runs/quickstart/localizer.keras")
    assert loaded.class_names == ("disc", "square", "triangle")


def executed(name, folder):
    """The cells of a notebook after a run in `folder`, and all outputs."""
    jupytext = pytest.importorskip("jupytext")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = jupytext.read(EXAMPLES / name)
    options = {"timeout": None, "kernel_name": "python3"}
    metadata = {"metadata": {"path": str(folder)}}
    client = nbclient.NotebookClient(notebook, resources=metadata, **options)
    client.execute(env=environment())
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert all(out.output_type != "error" for out in outputs)
    return outputs


def printed_in(outputs):
    return "".join(out.text for out in outputs if out.output_type == "stream")


def test_notebook(tmp_path):
    outputs = executed("oxford_pets.md", tmp_path)
    headings = re.findall(
        r"^## (Part \d)", (EXAMPLES / "oxford_pets.md").read_text(), re.M
    )
    assert headings == [f"Part {i}" for i in range(1, 6)]
    shown = [kind for out in outputs for kind in out.get("data", {})]
    # Batch, curves, predictions and attention; the dataset and the report.
    assert shown.count("image/png") == 4 and shown.count("text/html") == 2
    constant = float(re.search(r"constant box: ([\d.]+)", printed_in(outputs))[1])
    (report,) = (
        out.data["text/plain"]
        for out in outputs
        if "LocalizationReport" in out.get("data", {}).get("text/plain", "")
    )
    assert float(re.search(r"mean_iou ([\d.]+)", report)[1]) > constant + 0.2
    loaded = keras.saving.load_model(tmp_path / "runs/oxford_pets_notebook.keras")
    assert isinstance(loaded, kl.Localizer)
    pages = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert "oxford_pets_report.html" in pages
    assert len(list((tmp_path / "runs/oxford_pets_gallery").iterdir())) == 16


def test_your_own_data(tmp_path):
    outputs = executed("your_own_data.md", tmp_path)
    printed = printed_in(outputs)
    assert "1199 images of 1200 found" in printed
    assert "skipped: 1 without a box (synthetic_0_000000" in printed
    shown = [kind for out in outputs for kind in out.get("data", {})]
    assert shown.count("image/png") == 2 and shown.count("text/html") == 1
    found = re.search(r"mean IoU ([\d.]+) before, ([\d.]+) after", printed)
    before, after = map(float, found.groups())
    assert after > before + 0.01 and after > 0.6
    folder = tmp_path / "runs" / "your_own_data"
    assert isinstance(keras.saving.load_model(folder / "localizer.keras"), kl.Localizer)

    # The worst images of the page are those whose annotations are wrong.
    page = (folder / "report.html").read_text("utf-8")
    worst = re.search(r"<h2>Worst boxes</h2>(.*?)</section>", page, re.S)[1]
    names = re.findall(r"<figcaption>synthetic_0_(\d+)", worst)[:4]
    assert sum(int(name) % 20 == 10 for name in names) >= 3
