"""examples/scale/localize_many.py on two workers; skipped without Ray."""

import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_localize as kl

pytest.importorskip("ray")
parquet = pytest.importorskip("pyarrow.parquet")
SCRIPT = Path(__file__).parents[1] / "examples" / "scale" / "localize_many.py"
COUNT, BROKEN = 40, 4


@pytest.fixture
def folder(tmp_path):
    """Images, some of them broken, and a localizer."""
    kl.make_synthetic(COUNT - BROKEN, directory=tmp_path / "images", max_side=100)
    for number in range(BROKEN):
        path = tmp_path / "images" / f"broken-{number}.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(number))
    backbone = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 8, strides=8)]
    )
    localizer = kl.build_localizer(backbone, 4, preprocessing=None)
    localizer.save(tmp_path / "localizer.keras")
    return tmp_path


def run(folder, *options):
    done = subprocess.run(
        [
            *(sys.executable, str(SCRIPT), "localizer.keras", "images", "answers"),
            *("--batch-size", "2", "--rows", "16", *options),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    parts = sorted((folder / "answers").glob("*.parquet"))
    rows = [row for part in parts for row in parquet.read_table(part).to_pylist()]
    return done.stdout, parts, {row["path"]: row for row in rows}, rows


def test_every_image_has_a_row_and_a_stopped_run_goes_on(folder):
    _, parts, rows, all_rows = run(folder, "--workers", "2")
    assert len(all_rows) == len(rows) == COUNT
    errors = {path: row["error"] for path, row in rows.items() if row["error"]}
    assert len(errors) == BROKEN
    for path, error in errors.items():
        assert "broken-" in path and path in error
        assert rows[path]["box"] is None
    localizer = keras.saving.load_model(folder / "localizer.keras")
    read = [path for path in rows if path not in errors]
    answers = localizer.localize([folder / path for path in read], batch_size=2)
    for path, answer in zip(read, answers):
        assert rows[path]["class_name"] == answer.class_name
        assert rows[path]["box"] == pytest.approx(answer.box, abs=1e-3)
    # What is missing is done again, and nothing else.
    missing = parquet.read_table(parts[0])["path"].to_pylist()
    parts[0].unlink()
    output, _, again, all_rows = run(folder, "--workers", "1")
    assert f"{COUNT} images, {COUNT - len(missing)} of them have a row" in output
    assert len(all_rows) == COUNT and set(again) == set(rows)
    assert "images/s" not in run(folder)[0]
