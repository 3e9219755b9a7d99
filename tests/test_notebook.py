"""What a notebook shows of datasets and answers, with hostile names."""

import numpy as np

import keras_localize as kl

HOSTILE = "<b>&\"'"


def dataset(count=3):
    return kl.LocalizationDataset(
        [np.full((20, 40, 3), 90, "uint8")] * count,
        [[0.25, 0.5, 0.75, 1.0]] * count,
        [0] * count,
        [f"cat{HOSTILE}"],
        names=[f"{HOSTILE}{i}" for i in range(count)],
        skipped={"empty file": ["a", "b"]},
        found=count + 2,
    )


def test_dataset():
    text = dataset(20)._repr_html_()
    assert text.count("data:image/jpeg") == 8  # the first ones
    assert text.count('x="10.0" y="10.0" width="20.00" height="10.00"') == 8
    assert "<b>" not in text and "20 images of 22 found" in text
    negatives = kl.make_synthetic(2, negatives=1.0)
    text = negatives._repr_html_()
    assert "no object" in text and "<rect" not in text


def test_a_file_that_is_gone(tmp_path):
    data = kl.make_synthetic(2, directory=tmp_path)
    (tmp_path / "synthetic_0_000000.png").unlink()
    text = data._repr_html_()
    assert text.count("cannot be read") == 1 and text.count("data:image") == 1


def test_summary():
    summary = dataset().summary()
    text = summary._repr_html_()
    assert "skipped: empty file" in text and "2 (a, ...)" in text
    assert "cat&lt;b&gt;" in text and "<b>" not in text
    assert repr(summary) == "<Summary: 3 images of 5 found, 3 with a box, 0 without>"


def test_localization():
    answer = kl.Localization(
        0, f"cat{HOSTILE}", 0.91234567, (1.0, 2.0, 3.25, 4.0), None, tuple([0.01] * 99)
    )
    text = answer._repr_html_()
    assert "cat&lt;b&gt;" in text and "0.9123" in text and "1, 2, 3.25, 4" in text
    assert text.count("0.01") == 5 and "quality" not in text


def test_report():
    data = dataset()
    answer = kl.Localization(0, data.class_names[0], 1.0, (10.0, 10.0, 20.0, 20.0), 0.5)
    report = kl.report_localizations([answer, answer, None], data)
    assert repr(report) == (
        "<LocalizationReport: 2 images, 2 with a box, 1 could not be read, "
        "mean_iou 0.500, label_accuracy 1.000>"
    )
    assert repr(kl.report_localizations([None], data[:1])) == (
        "<LocalizationReport: 0 images, 0 with a box, 1 could not be read>"
    )
