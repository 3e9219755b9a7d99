"""Names of classes: from lists, dicts, names files and YAML, in their order."""

import sys
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_localize.datasets import AnnotationError
from keras_localize.datasets.class_names import in_natural_order, read_class_names

CAT_DOG = ["cat", "dog"]


@pytest.mark.parametrize(
    "given_names",
    [
        CAT_DOG,
        ("cat", "dog"),
        np.array(CAT_DOG),
        iter(CAT_DOG),
        {1: "dog", 0: "cat"},
        {np.int64(0): "cat", np.int64(1): "dog"},
        {"1": "dog", "0": "cat"},
        [" cat", "dog "],
    ],
)
def test_names_in_memory(given_names):
    assert read_class_names(given_names) == CAT_DOG


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "\ufeffcat\r\ndog\r\n"),
        ("obj.names", "cat\ndog\n\n \n"),
        ("a.yaml", "train: ../x\nnc: 2\nnames: ['cat', 'dog']\n"),
        ("b.yml", "\ufeffnames:\r\n  - cat\r\n  - dog\r\n"),
        ("c.yaml", "path: x  # root\nnames:\n  1: dog\n  0: cat\n"),
        ("D.YAML", "names: {0: cat, 1: 'dog'}\nnc: 2"),
    ],
)
def test_names_files(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode())
    assert read_class_names(tmp_path / name) == CAT_DOG
    assert read_class_names(str(tmp_path / name)) == CAT_DOG


def test_yaml_values_stay_as_they_are_written(tmp_path):
    """YAML itself reads no as False, 1.0 as a number and 1_0 as 10."""
    path = tmp_path / "data.yaml"
    path.write_text("names: [no, 1.0, 1_0, null, 0x1F, 2024-01-02]")
    expected = ["no", "1.0", "1_0", "null", "0x1F", "2024-01-02"]
    assert read_class_names(path) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [cat, cat]", "bad class names.*'cat'"),
        ("names: []", "bad class names"),
        ("names: [cat, '']", "bad class names"),
        ("names: {0: cat, 2: dog}", "class ids with gaps, expected 0 to 1"),
        ("names: {1: cat, 2: dog}", "class ids with gaps"),
        ("names: {a: cat}", "class id not a number"),
        ("nc: 3\nnames: [cat, dog]", "nc: number of classes.*expected 2.*'3'"),
        ("names: cat", "no class names, expected a list"),
        ("names: [[cat]]", "no class names"),
        ("nc: 2", "no class names"),
        ("- cat", "no class names"),
        ("", "no class names"),
        ("names: [cat", "not YAML"),
        ("names: {[a]: cat}", "not YAML"),
        ("names: !!python/object/apply:os.getcwd []", "bad class names|no class"),
        ("[" * 5000, "not YAML"),
    ],
)
def test_yaml_that_is_wrong(tmp_path, text, message):
    path = tmp_path / "data.yaml"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=f"data.yaml: .*({message})"):
        read_class_names(path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({1: "cat", 2: "dog"}, r"class ids with gaps, expected 0 to 1.*\[1, 2\]"),
        ({0: "cat", "0": "dog"}, "class ids with gaps"),
        ({"cat": 0}, "class id not a number"),
        ({"cat", "dog"}, "names without an order"),
        ([], "bad class names"),
        (["cat", "cat "], "bad class names"),
    ],
)
def test_names_that_are_refused(names, message):
    with pytest.raises(ValueError, match=f"`class_names`: {message}"):
        read_class_names(names)


def test_files_that_hold_no_names(tmp_path):
    (tmp_path / "coco.json").write_text("{}")
    with pytest.raises(AnnotationError, match="not a file of class names"):
        read_class_names(tmp_path / "coco.json")
    with pytest.raises(AnnotationError, match=r"nowhere\.yaml: missing file"):
        read_class_names(tmp_path / "nowhere.yaml")


def test_without_pyyaml_the_error_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "data.yaml").write_text("names: [cat]")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(AnnotationError, match=r"data\.yaml.*pip install pyyaml"):
        read_class_names(tmp_path / "data.yaml")


@given(st.lists(st.text("0123456789abé", min_size=1)))
def test_natural_order(names):
    ordered = in_natural_order(names)
    assert sorted(ordered) == sorted(names)
    numbers = [int(name) for name in ordered if name.isdigit()]
    assert numbers == sorted(numbers)
    words = [name for name in ordered if not name.isdigit()]
    assert words == sorted(words) and ordered[len(numbers) :] == words


def test_names_are_composed():
    assert read_class_names([normalize("NFD", "Bär")]) == [normalize("NFC", "Bär")]


@pytest.mark.parametrize("text", ["cat\n\ndog\n", "\ncat\ndog\n"])
def test_an_empty_line_would_shift_the_ids(tmp_path, text):
    """Label tools count it; read without it, the next class had another id."""
    (tmp_path / "obj.names").write_text(text)
    with pytest.raises(AnnotationError, match=r"obj\.names: bad class names"):
        read_class_names(tmp_path / "obj.names")


def test_numbers_sort_by_their_value_in_every_form():
    names = ["10.0", "2.0", "1", "0.5", "10", "cat", "1e3", "٣"]
    expected = ["0.5", "1", "2.0", "10", "10.0", "1e3", "cat", "٣"]
    assert in_natural_order(names) == expected
