"""Datasets joined, classes in another order, records by name."""

from pathlib import Path

import numpy as np
import pytest

from keras_localize.datasets import LocalizationDataset, UnknownNameError


def dataset(paths, labels, class_names, names=None, **options):
    """Records whose boxes say which path they belong to."""
    count = len(paths)
    low = [sum(map(ord, str(path))) % 97 / 100 for path in paths]
    return LocalizationDataset(
        paths,
        [[x, 0, 1, 1] for x in low],
        labels,
        class_names,
        image_sizes=np.ones((count, 2)) * np.arange(1, count + 1)[:, None],
        names=names,
        **options,
    )


def classes(data):
    return {name: record.class_name for name, record in zip(data.names, data)}


def test_joined_by_class_name():
    left = dataset(["a", "b"], [0, 1], ["dog", "cat"], found=3, skipped={"bad": ["x"]})
    right = dataset(
        ["c", "d", "e"],
        [1, 0, -1],
        ["ant", "dog"],
        presence=[1, 1, 0],
        weights=[0.5, 1, 0],
        found=5,
        skipped={"bad": ["y"], "odd": ["z"]},
        handled={"turned": ["d"]},
    )
    both = left + right
    assert both.class_names == ("dog", "cat", "ant")
    assert [record.class_name for record in both] == ["dog", "cat", "dog", "ant", None]
    assert both.names == ["a", "b", "c", "d", "e"]
    assert both.weights.tolist() == [1, 1, 0.5, 1, 0]
    assert both.presence.tolist() == [1, 1, 1, 1, 0]
    assert both.image_sizes.tolist() == [[1, 1], [2, 2], [1, 1], [2, 2], [3, 3]]
    assert np.array_equal(both.boxes, np.concatenate([left.boxes, right.boxes]))
    summary = both.summary()
    assert summary.found == 8 and summary.handled == {"turned": ("d",)}
    assert summary.skipped == {"bad": ("x", "y"), "odd": ("z",)}
    # Neither is changed, and an empty part changes nothing.
    assert left.class_names == ("dog", "cat") and right.labels.tolist() == [1, 0, -1]
    assert (left + left[:0]).names == left.names
    with pytest.raises(TypeError):
        left + 3


def test_names_that_both_have(tmp_path):
    def part(folder, files, names):
        paths = [tmp_path / folder / file for file in files]
        return dataset(
            paths,
            [0] * len(files),
            ["a"],
            names,
            handled={"odd": [names[0]], "all": names},
        )

    left = part("one", ["cat/1.jpg", "2.jpg"], ["cat/1.jpg", "2.jpg"])
    right = part("two", ["cat/1.jpg", "3.jpg"], ["cat/1.jpg", "3.jpg"])
    both = left + right
    expected = ["one/cat/1.jpg", "2.jpg", "two/cat/1.jpg", "3.jpg"]
    assert both.names == expected
    assert [Path(record.image).name for record in both] == [
        "1.jpg",
        "2.jpg",
        "1.jpg",
        "3.jpg",
    ]
    assert both.summary().handled == {
        "odd": ("one/cat/1.jpg", "two/cat/1.jpg"),
        "all": tuple(expected),
    }
    # The name is no path: the folder of the file; the same twice: a number.
    left = part("one", ["x.jpg"], ["first"])
    assert (left + part("one", ["y.jpg"], ["first"])).names == [
        "one/first",
        "one/first-2",
    ]
    arrays = LocalizationDataset(
        [np.zeros((4, 4, 3), "uint8")], [[0] * 4], [0], ["a"], [0]
    )
    three = arrays + arrays + arrays
    assert len(set(three.names)) == 3 and three.names[0] == "00000000"


def test_a_new_name_never_takes_one_that_is_there(tmp_path):
    left = dataset(
        [tmp_path / "one/a.jpg", tmp_path / "b.jpg"],
        [0, 0],
        ["a"],
        ["a.jpg", "one/a.jpg"],
    )
    right = dataset([tmp_path / "two/a.jpg"], [0], ["a"], ["a.jpg"])
    assert (left + right).names == ["one/a.jpg-2", "one/a.jpg", "two/a.jpg"]


def test_class_names_in_another_order():
    data = dataset(["a", "b", "c"], [1, 0, -1], ["dog", "cat"], presence=[1, 1, 0])
    turned = data.with_class_names(["ant", "cat", "dog"])
    assert turned.class_names == ("ant", "cat", "dog")
    assert classes(turned) == classes(data) == {"a": "cat", "b": "dog", "c": None}
    assert turned.labels.tolist() == [1, 2, -1] and turned.labels.dtype == "int32"
    # A class without records may go.
    assert data[[0]].with_class_names(["cat"]).labels.tolist() == [0]
    for bad in (["cat"], []):
        with pytest.raises(ValueError, match=r"`class_names`.*\['dog', 'cat'\]"):
            data.with_class_names(bad)
    with pytest.raises(ValueError, match=r"`class_names`.*none twice.*\['dog'\]"):
        data.with_class_names(["dog", "cat", "dog"])


def test_records_by_name():
    data = dataset(
        ["cats/mia.jpg", "cats/leo.jpg", "dogs/rex.jpg"], [0, 0, 1], ["a", "b"]
    )
    assert data["dogs/rex.jpg"].label == 1
    assert data["dogs/rex.jpg"].name == "dogs/rex.jpg"
    assert data[1:]["cats/leo.jpg"].name == "cats/leo.jpg"
    with pytest.raises(UnknownNameError) as caught:
        data["cat/mia.jpg"]
    assert isinstance(caught.value, KeyError) and isinstance(caught.value, ValueError)
    message = str(caught.value)
    assert "cats/mia.jpg" in message and message.endswith("Received: 'cat/mia.jpg'")
    with pytest.raises(KeyError):
        data[1:]["cats/mia.jpg"]
