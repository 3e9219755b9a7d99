"""Oxford Pets: a small official layout with every oddity, and the real images."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_localize.datasets import (
    AnnotationError,
    DownloadError,
    load_oxford_pets,
    oxford_pets,
)
from keras_localize.datasets.download import Archive

XML = (
    "<annotation><filename>{name}.jpg</filename><size><width>{w}</width>"
    "<height>{h}</height><depth>3</depth></size>{objects}</annotation>"
)
OBJECT = (
    "<object><name>cat</name><bndbox><xmin>{0}</xmin><ymin>{1}</ymin>"
    "<xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>"
)


def xml(name, *boxes, w=40, h=20):
    objects = "".join(OBJECT.format(*box) for box in boxes)
    return XML.format(name=name, w=w, h=h, objects=objects)


@pytest.fixture
def pets(tmp_path):
    """images/ and annotations/ with two good images and one without a box."""
    images, annotations = tmp_path / "images", tmp_path / "annotations"
    images.mkdir()
    (annotations / "xmls").mkdir(parents=True)
    lines = ["Abyssinian_1 1 1 1", "great_pyrenees_2 16 2 11", "Bengal_3 6 1 2"]
    for line in lines:
        Image.new("RGB", (40, 20), (200, 10, 10)).save(
            images / f"{line.split()[0]}.jpg"
        )
    for name, box in (
        ("Abyssinian_1", (1, 1, 20, 20)),
        ("great_pyrenees_2", (11, 6, 20, 10)),
    ):
        (annotations / "xmls" / f"{name}.xml").write_text(xml(name, box))
    comment = "#Image CLASS-ID SPECIES BREED ID\n"
    (annotations / "trainval.txt").write_text("\n".join(lines))
    (annotations / "test.txt").write_text("Sphynx_9 34 1 12\n")
    Image.new("RGB", (40, 20)).save(images / "Sphynx_9.jpg")
    (annotations / "list.txt").write_text(
        comment + "\n".join([*lines, "Sphynx_9 34 1 12"])
    )
    return tmp_path


def test_labels_boxes_and_weights(pets):
    dataset = load_oxford_pets(pets)
    assert dataset.names == ["Abyssinian_1", "great_pyrenees_2", "Bengal_3"]
    assert dataset.labels.tolist() == [0, 15, 5] and len(dataset.class_names) == 37
    assert dataset[1].class_name == "Great Pyrenees"
    # 1-based and inclusive: columns 11 to 20 of 40 are [10, 20).
    expected = [[0, 0, 0.5, 1], [0.25, 0.25, 0.5, 0.5], [0, 0, 0, 0]]
    assert np.allclose(dataset.boxes, expected)
    assert dataset.weights.tolist() == [1, 1, 0]
    species = load_oxford_pets(str(pets), labels="species")
    assert species.class_names == ("cat", "dog")
    assert species.labels.tolist() == [0, 1, 0]
    test = load_oxford_pets(pets, split="test")
    assert test.names == ["Sphynx_9"] and test.weights.tolist() == [0]
    assert len(load_oxford_pets(pets, split="all")) == 4


def test_oddities_are_handled_and_counted(pets):
    images, annotations = pets / "images", pets / "annotations"
    image = Image.new("RGB", (40, 20), (9, 200, 9))
    image.save(images / "Abyssinian_1.jpg", format="GIF")
    image.convert("RGBA").save(images / "Bengal_3.jpg", format="PNG")
    tags = Image.Exif()
    tags[0x0112] = 0
    image.save(images / "great_pyrenees_2.jpg", exif=tags)
    two = xml("Abyssinian_1", (1, 1, 4, 4), (5, 5, 20, 20))
    (annotations / "xmls" / "Abyssinian_1.xml").write_text(two)
    (images / "Abyssinian_1.mat").write_bytes(b"stray")
    image.save(images / "unlisted_7.jpg")
    with open(annotations / "trainval.txt", "a") as file:
        file.write("\nbeagle_116 5 2 4\n")
    noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3)).astype("uint8")
    Image.fromarray(noise).save(images / "beagle_116.jpg")
    broken = (images / "beagle_116.jpg").read_bytes()
    (images / "beagle_116.jpg").write_bytes(broken[: len(broken) // 2])

    dataset = load_oxford_pets(pets)
    summary = dataset.summary()
    assert summary.handled == {
        "GIF named .jpg": ("Abyssinian_1",),
        "several objects, the largest one taken": ("Abyssinian_1",),
        "EXIF orientation unknown, taken as upright": ("great_pyrenees_2",),
        "PNG named .jpg": ("Bengal_3",),
        "transparent, put on black": ("Bengal_3",),
        "without a box, trains the label alone": ("Bengal_3",),
    }
    assert summary.skipped == {
        "unreadable image": ("beagle_116",),
        "stray file .mat": ("Abyssinian_1.mat",),
        "image in no list": ("unlisted_7.jpg",),
    }
    assert summary.found == len(dataset) + 3
    assert np.allclose(dataset.boxes[0], [0.1, 0.2, 0.5, 1])
    images, _, _ = next(iter(dataset.to_pydataset(16)))
    assert images.shape == (3, 16, 16, 3)


def damage(pets, case):
    annotations = pets / "annotations"
    xmls = annotations / "xmls"
    if case == "broken xml":
        (xmls / "Abyssinian_1.xml").write_text("<annotation><size>")
    elif case == "inverted":
        (xmls / "Abyssinian_1.xml").write_text(xml("a", (20, 1, 10, 5)))
    elif case == "text":
        (pets / "images" / "Abyssinian_1.jpg").write_text("not an image")
    elif case == "missing":
        (pets / "images" / "Abyssinian_1.jpg").unlink()
    elif case == "size":
        (xmls / "Abyssinian_1.xml").write_text(xml("a", (1, 1, 9, 9), w=20, h=40))
    elif case == "line":
        lines = "Abyssinian_1 1 1\ngreat_pyrenees_2 16 2 11\nBengal_3 6 1 2\n"
        (annotations / "trainval.txt").write_text(lines)
    elif case == "class":
        lines = "Abyssinian_1 2 1 1\ngreat_pyrenees_2 16 2 11\nBengal_3 6 1 2\n"
        (annotations / "trainval.txt").write_text(lines)
    elif case == "twice":
        lines = "Bengal_3 6 1 2\ngreat_pyrenees_2 16 2 11\nBengal_3 6 1 2\n"
        (annotations / "trainval.txt").write_text(lines)


@pytest.mark.parametrize(
    ("case", "message", "reason"),
    [
        ("broken xml", r"Abyssinian_1\.xml: not XML", "not XML"),
        ("inverted", r"xml: object 1/bndbox: inverted box.*20\.0", "inverted box"),
        ("text", r"Abyssinian_1\.jpg: not an image", "not an image"),
        ("missing", r"Abyssinian_1\.jpg: missing image", "missing image"),
        ("size", "size differs from the image's", "size differs from the image's"),
        ("line", r"trainval\.txt: line 1: malformed line", "malformed line"),
        ("class", "line 1: name does not fit", "name does not fit its class"),
        ("twice", "line 3: duplicate image", "duplicate image"),
    ],
)
def test_errors_raise_or_are_counted(pets, case, message, reason):
    damage(pets, case)
    with pytest.raises(AnnotationError, match=message):
        load_oxford_pets(pets)
    dataset = load_oxford_pets(pets, on_error="skip")
    assert len(dataset) == 2
    assert len(dataset.summary().skipped[reason]) == 1


def test_missing_folders_lists_and_arguments(pets, tmp_path):
    with pytest.raises(AnnotationError, match=r"nowhere.*missing folder"):
        load_oxford_pets(tmp_path / "nowhere")
    (pets / "annotations" / "trainval.txt").write_text("# nothing\n\n")
    with pytest.raises(AnnotationError, match=r"trainval\.txt: empty list"):
        load_oxford_pets(pets)
    (pets / "annotations" / "trainval.txt").unlink()
    with pytest.raises(AnnotationError, match=r"trainval\.txt: missing file"):
        load_oxford_pets(pets)
    shutil.rmtree(pets / "annotations" / "xmls")
    with pytest.raises(AnnotationError, match=r"xmls.*missing folder"):
        load_oxford_pets(pets)
    with pytest.raises(ValueError, match=r'"breed", "species".*colour'):
        load_oxford_pets(pets, labels="colour")
    with pytest.raises(ValueError, match=r'"trainval", "test", "all".*train'):
        load_oxford_pets(pets, split="train")


def test_without_a_network_the_error_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    closed = Archive("http://127.0.0.1:9/images.tar.gz", "md5:0", "images")
    monkeypatch.setattr(oxford_pets, "ARCHIVES", (closed,))
    with pytest.raises(DownloadError, match=r"data_dir=.*--data-dir.*--demo"):
        load_oxford_pets()
    with pytest.raises(AnnotationError, match=r"oxford_iiit_pet.*download=True"):
        load_oxford_pets(download=False)


def test_downloaded_data_is_found_under_keras_home(pets, monkeypatch, tmp_path):
    home = tmp_path / "home"
    root = home / "datasets" / "oxford_iiit_pet"
    for part in ("images", "annotations"):
        shutil.copytree(pets / part, root / part)
    monkeypatch.setenv("KERAS_HOME", str(home))
    assert len(load_oxford_pets(download=False)) == len(load_oxford_pets()) == 3


def test_real_images(oxford_pets_dir):
    dataset = load_oxford_pets(oxford_pets_dir, labels="species", verify=False)
    summary = dataset.summary()
    assert (summary.images, summary.with_box) == (1808, 1800)
    for record in dataset:
        xml = oxford_pets_dir / "annotations" / "xmls" / f"{record.name}.xml"
        assert xml.exists() == (record.weight == 1)
        if record.weight:
            said = re.findall(r"<(width|height|.min|.max)>(\d+)<", xml.read_text())
            said = {tag: int(number) for tag, number in said}
            expected = [
                (said["xmin"] - 1) / said["width"],
                (said["ymin"] - 1) / said["height"],
                said["xmax"] / said["width"],
                said["ymax"] / said["height"],
            ]
            assert np.allclose(record.box, expected, atol=1e-7)
            assert record.size == (said["height"], said["width"])
        assert (record.class_name == "cat") == record.name[0].isupper()
    _, validation = dataset.split(0.2)
    assert len(validation) == round(0.2 * 1808)
    images, _, weights = dataset[:8].to_pydataset(96, 8)[0]
    assert images.shape == (8, 96, 96, 3) and weights["box"].sum() == 7
    assert dataset.names[4] == "Abyssinian_104"


def test_real_originals_are_all_accounted_for(oxford_pets_originals_dir):
    dataset = load_oxford_pets(oxford_pets_originals_dir, split="all")
    summary = dataset.summary()
    assert summary.found == len(dataset) + sum(map(len, summary.skipped.values()))
    assert summary.skipped["stray file .mat"] == (
        "Abyssinian_100.mat",
        "Abyssinian_101.mat",
    )
    assert summary.handled["several objects, the largest one taken"] == ("Bengal_105",)
    assert summary.handled["PNG named .jpg"] == ("Abyssinian_5",)
    names = ("Abyssinian_17", "Abyssinian_75", "Bengal_201")
    assert summary.handled["EXIF orientation unknown, taken as upright"] == names
    images, _, _ = dataset.to_pydataset(64, 64)[0]
    assert len(images) == 39
