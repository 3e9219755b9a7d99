"""The recipes of docs/export.md that take answers to other libraries."""

import re
from pathlib import Path

import pytest
from PIL import Image

from keras_localize import Localization, read_coco, read_csv, read_yolo

PAGE = Path(__file__).resolve().parents[1] / "docs" / "export.md"
SECTION = "## Answers as files and in other libraries"


class Localizer:
    """Answers without a network: `localize` alone matters here."""

    class_names = ("cat", "dog")

    def localize(self, images, **options):
        return [
            Localization(1, "dog", 0.75, (1.0, 2.0, 30.0, 20.0), 0.5, (0.25, 0.75)),
            Localization(0, "cat", 0.5, None, 0.25, (0.5, 0.5), 0.125),
        ]


def blocks():
    text = PAGE.read_text(encoding="utf-8")
    section = text[text.index(SECTION) :].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.S)


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What a block of the page finds."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 30)).save(tmp_path / "images" / name)
    import keras_localize as kl

    return {"kl": kl, "localizer": Localizer()}


def test_files(names):
    exec(blocks()[0], names)
    options = {"without_box": "negative"}
    for dataset in (
        read_csv("images", "answers.csv", bounding_box_format="xyxy", **options),
        read_coco("images", "answers.json", **options),
        read_yolo("images", "pre_labels/labels", ["cat", "dog"], **options),
    ):
        assert [one.class_name for one in dataset] == ["dog", None]


def test_pandas(names):
    pytest.importorskip("pandas")
    exec(blocks()[0], names)
    exec(blocks()[1], names)
    table = names["table"]
    assert list(table["class_name"]) == ["dog", "cat"]
    assert list(table["x1"].fillna(-1)) == [30.0, -1.0]
    assert table["image"][0].endswith("a.png")


def test_supervision(names):
    pytest.importorskip("supervision")
    exec(blocks()[0], names)
    exec(blocks()[2], names)
    first, second = names["detections"]
    assert first.xyxy.tolist() == [[1.0, 2.0, 30.0, 20.0]]
    assert first.class_id.tolist() == [1] and first.confidence.tolist() == [0.75]
    assert list(first["class_name"]) == ["dog"]
    assert len(second) == 0
