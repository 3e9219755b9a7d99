"""Damaged files that are no annotations of one format (KERAS_LOCALIZE_FUZZ).

The readers' own files are damaged in test_readers, tables in test_csv, images in
images/test_image_fuzz.
"""

import os

import pytest
from PIL import Image

from keras_localize import LocalizationDataset, load_oxford_pets, read_yolo
from keras_localize.datasets import AnnotationError

COUNT = int(os.environ.get("KERAS_LOCALIZE_FUZZ", 250))
WORDS = (
    *(b"-1", b"1e999", b"NaN", b"null", b"true", b"{", b"}", b"[", b"]", b'"', b","),
    *(b"\n", b"\0", b"\xff", b"&a", b"*a", b"!!python/none", b"../", b": ", b"- ", b""),
    *(b"99999999999999999999", b"9" * 5000, b"[" * 3000),
)


def damaged(whole, rng):
    """The bytes with some of them replaced; digits more often than others."""
    for _ in range(rng.integers(1, 4)):
        at = rng.integers(len(whole) + 1)
        cut = at + rng.integers(0, 6)
        digits = [i for i, byte in enumerate(whole) if 48 <= byte <= 57]
        if digits and rng.random() < 0.4:
            at = digits[rng.integers(len(digits))]
            cut = at + 1
        word = WORDS[int(len(WORDS) * rng.random() ** 2)]
        whole = whole[:at] + word + whole[cut:]
    return whole


def saved(folder):
    dataset = folder.read("coco")
    path = folder.path / "saved.json"
    dataset.save(path)
    return path, lambda: LocalizationDataset.load(path)


def class_file(name, text):
    def make(folder):
        folder.read("yolo")
        path = folder.path / name
        path.write_text(text)
        labels = folder.path / "yolo"
        return path, lambda: read_yolo(folder.images, labels, path, verify=False)

    return make


def pets_list(folder):
    names = [f"Abyssinian_{number}" for number in range(1, 4)]
    for place in ("images", "annotations/xmls"):
        (folder.path / "pets" / place).mkdir(parents=True)
    for name in names:
        Image.new("RGB", (8, 8)).save(folder.path / f"pets/images/{name}.jpg")
    path = folder.path / "pets" / "annotations" / "trainval.txt"
    path.write_text("".join(f"{name} 1 1 1\n" for name in names))
    return path, lambda: load_oxford_pets(folder.path / "pets", verify=False)


FILES = {
    "saved": saved,
    "names": class_file("names.txt", "bird\ncat\n"),
    "list": class_file("data.yaml", "nc: 2\nnames: [bird, cat]\n"),
    "dict": class_file("data.yaml", "names:\n  0: bird\n  1: cat\nkpt_shape: [1, 2]\n"),
    "pets": pets_list,
}


@pytest.mark.parametrize("name", FILES)
def test_only_annotation_errors(folder, name, rng):
    if name in ("list", "dict"):
        pytest.importorskip("yaml")
    path, read = FILES[name](folder)
    whole, outcomes = path.read_bytes(), {"read": 0}
    read()
    for _ in range(COUNT):
        path.write_bytes(damaged(whole, rng))
        try:
            read()
            outcomes["read"] += 1
        except AnnotationError as error:
            outcomes[error.reason] = outcomes.get(error.reason, 0) + 1
    assert outcomes["read"] < COUNT and len(outcomes) > 1
