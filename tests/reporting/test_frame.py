"""The report as a table and as a file, against the report itself."""

import json
import sys

import numpy as np
import pytest

import keras_localize as kl

BOX = (10.0, 0.0, 30.0, 20.0)


@pytest.fixture
def report():
    data = kl.LocalizationDataset(
        [np.zeros((20, 40, 3), "uint8")] * 3,
        [[0.25, 0, 0.75, 1], [0, 0, 1, 1], [0, 0, 0, 0]],
        [0, 1, 1],
        ["cat", "dog"],
        [1, 1, 0],
        names=["a", "b", "c"],
    )
    answer = kl.Localization(0, "cat", 0.75, BOX, 0.5, outer_box=(5.0, 0.0, 35.0, 20.0))
    return kl.report_localizations([answer, None, answer], data)


def test_a_row_for_each_image(report):
    pytest.importorskip("pandas")
    frame = report.to_frame()
    assert list(frame.index) == ["a", "c"]  # b was skipped
    assert frame.loc["a", ["x0", "y0", "x1", "y1"]].tolist() == list(BOX)
    assert frame.loc["a", ["true_x0", "true_x1", "true_y1"]].tolist() == [10, 30, 20]
    assert frame.loc["a", "outer_x0"] == 5 and frame.loc["a", "width"] == 40
    assert frame["iou"].mean() == pytest.approx(report.mean_iou)
    assert frame["right"].tolist() == [True, False]
    assert np.isnan(frame.loc["c", "true_x0"]) and np.isnan(frame.loc["c", "iou"])


def test_without_pandas(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install pandas"):
        report.to_frame()


def test_json(report, tmp_path):
    report.save_json(tmp_path / "new" / "report.json")
    assert json.loads((tmp_path / "new" / "report.json").read_text()) == json.loads(
        json.dumps(report.to_dict())
    )


def test_html_in_a_notebook(report):
    text = report._repr_html_()
    assert "2 images, 1 with a box" in text
    for name in ("mean_iou", "label_accuracy", "quality_error", "coverage"):
        assert f"<td>{getattr(report, name):.4f}</td>" in text
    low, high = report.intervals["label_accuracy"]
    assert f"{low:.3f} to {high:.3f}" in text
