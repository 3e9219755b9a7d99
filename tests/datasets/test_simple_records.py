"""Large files are read by columns: the same records and errors as one by one."""

import csv
import importlib
import json
import os

import numpy as np
import pytest
from PIL import Image

from keras_localize.datasets import (
    AnnotationError,
    coco,
    collector,
    read_coco,
    read_csv,
)

csv_module = importlib.import_module("keras_localize.datasets.csv")
COUNT = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    (folder / "sub").mkdir()
    names = [*map(name_of, range(COUNT)), "more.jpg", "sub/more.png"]
    for name in names:
        Image.new("RGB", (40, 30)).save(folder / name)
    return folder


def name_of(number):
    return f"sub/{number}.png" if number % 3 == 0 else f"{number}.jpg"


def whole_coco():
    """Images with one to three good objects."""
    annotations = []
    for number in range(COUNT):
        for repeat in range(1 + number % 3):
            x, y, side = 2 + repeat, 1 + number, 6 + 5 * ((number + repeat) % 3)
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number + 10,
                    "category_id": 1 + (number + repeat) % 2,
                    "bbox": [x, y, side, side + 0.5],
                    "iscrowd": 0,
                }
            )
    return {
        "images": [
            {"id": n + 10, "file_name": name_of(n), "width": 40, "height": 30}
            for n in range(COUNT)
        ],
        "categories": [{"id": 2, "name": "dog"}, {"id": 1, "name": "cat"}],
        "annotations": annotations,
    }


# What becomes of a value: read, decided, or refused.
IMAGE_CHANGES = {
    "id": ["7", 7.0, 7.5, None, [1], True, 11],
    "file_name": [
        *("nowhere.png", "./more.jpg", "sub//more.png", "../x.png", "sub/../1.jpg"),
        *("/home/me/more.jpg", "C:\\data\\more.jpg", "sub\\more.png", "more", None, 3),
        *("1.jpg", "sub/0.png", " ", "a\0b", "sub", ".", ""),
    ],
    "width": [None, 0, -3, 41, 40.0, 40.5, "40", True, 10**400, float("nan")],
    "height": [None, 3, 10**12],
}
ANNOTATION_CHANGES = {
    "image_id": [99, "10", 11.0, None, [1], 12],
    "category_id": [3, "1", None, 2.0, {}],
    "iscrowd": [1, True],
    "ignore": [1],
    "bbox": [
        *(None, [], [1, 2, 3], "1234", [1, 2, "3", 4], [1, 2, True, 4], {}),
        *([1, 2, 0, 4], [1, 2, -3, 4], [1, 2, float("inf"), 4], [0, 0, 1, 1.2]),
        *([30, 20, 20, 20], [-3, 1, 20, 20], [40, 1, 5, 5], [0, 0, 40, 30]),
        *(
            [5, 5, 0.5, 0.5],
            [1, 2, 10**400, 4],
            [0, 0, 40 + 1e-9, 30],
            [-1e-9, 0, 9, 9],
        ),
    ],
    "segmentation": [[[1, 1, 9, 1, 9, 9]]],
}


def changed(rng):
    content = whole_coco()
    for _ in range(rng.integers(0, 4)):
        kind, changes = [
            ("images", IMAGE_CHANGES),
            ("annotations", ANNOTATION_CHANGES),
        ][rng.integers(2)]
        if content[kind]:
            entry = content[kind][rng.integers(len(content[kind]))]
            if rng.random() < 0.1:
                content[kind].remove(entry)
                continue
            key = list(changes)[rng.integers(len(changes))]
            entry[key] = changes[key][rng.integers(len(changes[key]))]
            if key == "segmentation":
                entry["bbox"] = None
    return content


def outcome(folder, path, options):
    """Everything that a reader gives, in a form that compares."""
    read = read_coco if path.suffix == ".json" else read_csv
    try:
        dataset = read(folder, path, **options)
    except AnnotationError as error:
        return str(error)
    summary = dataset.summary()
    handled = {key: sorted(names) for key, names in summary.handled.items()}
    records = [
        (x.path, x.box.tolist(), x.class_name, x.weight, x.size, x.name, x.presence)
        for x in dataset
    ]
    return records, dataset.class_names, summary.found, summary.skipped, handled


def options_of(rng):
    def one_of(*choices):
        return choices[rng.integers(len(choices))]

    return {
        "without_box": one_of("skip", "keep", "negative", "error"),
        "multiple": one_of("largest", "largest", "first", "skip", "error"),
        "on_error": one_of("skip", "skip", "raise"),
        "outside": one_of("clip", "clip", "error"),
    }


def test_coco_by_columns_is_coco_one_by_one(folder, tmp_path, rng, monkeypatch):
    path, kinds = tmp_path / "coco.json", {"read": 0}
    for _ in range(int(os.environ.get("KERAS_LOCALIZE_FUZZ", 250))):
        path.write_text(json.dumps(changed(rng)))
        options = options_of(rng) | {"verify": False}
        if rng.random() < 0.3:
            options["class_names"] = [["cat", "dog"], ["cat"]][rng.integers(2)]
        fast = outcome(folder, path, options)
        with monkeypatch.context() as patched:
            patched.setattr(coco, "coco_columns", lambda *lists: None)
            slow = outcome(folder, path, options)
        assert fast == slow, (options, path.read_text())
        kinds["read"] += not isinstance(fast, str)
        kinds[fast if isinstance(fast, str) else "read"] = 1
    assert len(kinds) > 20


HEAD = "filename,width,height,class,xmin,ymin,xmax,ymax"
CELLS = {
    0: [name for name in IMAGE_CHANGES["file_name"] if isinstance(name, str)],
    1: ["", "0", "-3", "41", "40.5", "x", "nan", "1e999", " 40 "],
    2: ["", "3", "1e12"],
    3: ["", " dog ", "cow", "1,5"],
    4: ["-3", "39", "", "nan", "40", "0.25", "1,5", "1_0", " 3"],
    6: ["40.00000001", "41", "2", "inf", "0.5", "1", "-1"],
    7: ["", "30", "31", "1.2", "five"],
}


def changed_table(rng):
    """Lines of a table, in pixels or in fractions."""
    rows = []
    fractions = rng.random() < 0.2
    for number in range(COUNT):
        for repeat in range(1 + number % 3):
            x, y, side = 2 + repeat, 1 + number, 6 + 5 * ((number + repeat) % 3)
            box = np.array([x, y, x + side, y + side + 0.5])
            box = box / [40, 30, 40, 30] if fractions else box
            label = "cat" if (number + repeat) % 2 else "dog"
            rows.append([name_of(number), "40", "30", label, *map(str, box.tolist())])
    for _ in range(rng.integers(0, 4)):
        row, kind = rows[rng.integers(len(rows))], rng.random()
        if kind < 0.1:
            rows.remove(row)
        elif kind < 0.2:
            row.append(["", "x"][rng.integers(2)])
        elif kind < 0.3:
            rows.insert(rng.integers(len(rows)), [[], [""], [" "] * 8][rng.integers(3)])
        elif row:
            column = list(CELLS)[rng.integers(len(CELLS))]
            if column < len(row):
                row[column] = CELLS[column][rng.integers(len(CELLS[column]))]
    return [HEAD.split(","), *rows]


def test_csv_by_columns_is_csv_row_by_row(folder, tmp_path, rng, monkeypatch):
    path, kinds = tmp_path / "boxes.csv", {}
    for _ in range(int(os.environ.get("KERAS_LOCALIZE_FUZZ", 250))):
        with open(path, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(changed_table(rng))
        options = options_of(rng) | {"verify": False}
        if rng.random() < 0.3:
            options["class_names"] = [["cat", "dog"], ["cat"]][rng.integers(2)]
        if rng.random() < 0.3:
            options["bounding_box_format"] = ["xyxy", "rel_xyxy"][rng.integers(2)]
        fast = outcome(folder, path, options)
        with monkeypatch.context() as patched:
            patched.setattr(csv_module, "column_rows", lambda *arguments: None)
            slow = outcome(folder, path, options)
        assert fast == slow, (options, path.read_text())
        kinds[fast if isinstance(fast, str) else "read"] = True
    assert len(kinds) > 20


def test_a_good_file_needs_no_annotation_and_opens_no_image(
    folder, tmp_path, monkeypatch
):
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(whole_coco()))
    opened = read_coco(folder, path)
    names = {1: "cat", 2: "dog"}
    table = tmp_path / "boxes.csv"
    lines = [HEAD]
    for each in whole_coco()["annotations"]:
        x, y, width, height = each["bbox"]
        name, label = name_of(each["image_id"] - 10), names[each["category_id"]]
        lines.append(f"{name},40,30,{label},{x},{y},{x + width},{y + height}")
    table.write_text("\n".join(lines))

    def refused(*args, **options):
        raise AssertionError("called")

    monkeypatch.setattr(collector, "inspect", refused)
    monkeypatch.setattr(coco, "Annotation", refused)
    monkeypatch.setattr(csv_module, "Annotation", refused)
    for read, file in ((read_coco, path), (read_csv, table)):
        dataset = read(folder, file, verify=False)
        assert dataset.names == [name_of(number) for number in range(COUNT)]
        assert dataset.images == opened.images
        np.testing.assert_array_equal(dataset.boxes, opened.boxes)
        np.testing.assert_array_equal(dataset.labels, opened.labels)
        np.testing.assert_array_equal(dataset.image_sizes, [[30, 40]] * COUNT)
        assert str(dataset.summary()) == str(opened.summary())
