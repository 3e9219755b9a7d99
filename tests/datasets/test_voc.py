"""read_voc: pairs of files, what is counted from 1, files that are wrong."""

import numpy as np
import pytest
from label_folder import HEIGHT, WIDTH
from PIL import Image

from keras_localize.datasets import AnnotationError, read_voc


def test_voc_pairs_images_with_files(folder):
    folder.read("voc")
    xml = (folder.path / "voc" / "a.xml").read_text()
    # By stem even where <filename> is stale; by <filename> where there is no stem.
    (folder.path / "voc" / "a.xml").write_text(xml.replace("a.png", "renamed.png"))
    (folder.path / "voc" / "other.xml").write_text(xml.replace("a.png", "c.png"))
    for name in ("c.png", "lonely.png"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder.images / name)
    (folder.images / "deep").mkdir()
    (folder.path / "voc" / "deep").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder.images / "deep" / "a.png")
    (folder.path / "voc" / "deep" / "a.xml").write_text(xml)
    dataset = read_voc(folder.images, folder.path / "voc")
    assert sorted(dataset.names) == ["a.png", "b.png", "c.png", "deep/a.png"]
    assert dataset.summary().skipped == {"without an XML file": ("lonely.png",)}
    with pytest.raises(AnnotationError, match=r"lonely\.png: without an XML file"):
        read_voc(folder.images, folder.path / "voc", without_box="error")
    (folder.path / "voc" / "copy.xml").write_text(xml)
    with pytest.raises(AnnotationError, match="duplicate image"):
        read_voc(folder.images, folder.path / "voc")


def test_voc_zero_based_and_class_names(folder):
    folder.read("voc")
    dataset = read_voc(folder.images, folder.path / "voc", one_based=False)
    assert np.allclose(dataset.boxes[0], [21 / 80, 11 / 40, 0.75, 1])
    dataset = read_voc(folder.images, folder.path / "voc", class_names=["cat", "bird"])
    assert dataset.labels.tolist() == [0, 1]
    with pytest.raises(AnnotationError, match=r"unknown class.*Received: 'bird'"):
        read_voc(folder.images, folder.path / "voc", class_names=["cat"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda xml: xml[:-5], "not XML"),
        (lambda xml: "", "not XML"),
        (lambda xml: "plain text", "not XML"),
        (
            lambda xml: "<!DOCTYPE a [<!ENTITY x 'y'>]>" + xml,
            "XML with a document type",
        ),
        (
            lambda xml: "<!DOCTYPE a SYSTEM 'file:///etc/passwd'>" + xml,
            "XML with a document type",
        ),
        (lambda xml: xml.replace("cat", "&lol;"), "not XML"),
        (lambda xml: xml.replace("<xmax>60</xmax>", ""), "missing element"),
        (lambda xml: xml.replace(">60<", ">sixty<"), "not a number"),
        (lambda xml: xml.replace(">60<", ">1e999<"), "not finite"),
        (lambda xml: xml.replace(">60<", "><"), "not a number"),
        (lambda xml: xml.replace("<name>cat</name>", ""), "missing name"),
        (lambda xml: xml.replace("<width>80<", "<width>-80<"), "size not positive"),
    ],
)
def test_voc_files_that_are_wrong(folder, change, reason):
    folder.read("voc")
    file = folder.path / "voc" / "a.xml"
    file.write_text(change(file.read_text()))
    with pytest.raises(AnnotationError, match=r"a\.xml") as caught:
        read_voc(folder.images, folder.path / "voc")
    assert caught.value.reason == reason
    dataset = read_voc(folder.images, folder.path / "voc", on_error="skip")
    assert dataset.names == ["b.png"] and reason in dataset.summary().skipped
