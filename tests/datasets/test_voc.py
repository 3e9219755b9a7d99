"""read_voc: pairs of files, what is counted from 1, files that are wrong."""

import numpy as np
import pytest
from label_folder import HEIGHT, PLAIN, WIDTH
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


def test_an_image_beside_the_one_that_has_the_file_is_counted(folder):
    """It may show the same object, so that it is no negative."""
    folder.read("voc")
    xml = (folder.path / "voc" / "a.xml").read_text()
    assert "a.png" in xml
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder.images / "a.jpg")
    reason = "another image of this name has an XML file"
    for without_box in ("skip", "negative", "error"):
        dataset = read_voc(folder.images, folder.path / "voc", without_box=without_box)
        assert list(dataset.names) == ["a.png", "b.png"]
        assert dataset.summary().skipped == {reason: ("a.jpg",)}
    # Images whose file is bad are counted with it, once.
    (folder.path / "voc" / "a.xml").write_text("no XML")
    dataset = read_voc(folder.images, folder.path / "voc", on_error="skip")
    assert dataset.summary().skipped == {"not XML": ("a",)}


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


XML = (
    "<annotation><filename>{name}</filename>{size}<object><name>{label}</name>"
    "<bndbox><xmax>{x1}</xmax><xmin>{x0}</xmin><ymax>40</ymax><ymin>11</ymin></bndbox>"
    "</object></annotation>"
)


def xml(name="a.png", size="", label="cat", x0=21, x1=60):
    return XML.format(name=name, size=size, label=label, x0=x0, x1=x1)


def read_bytes(folder, content, **options):
    """Reads a folder whose only image is a.png."""
    (folder.images / "b.png").unlink(missing_ok=True)
    where = folder.path / "voc"
    where.mkdir(exist_ok=True)
    (where / "a.xml").write_bytes(content)
    return read_voc(folder.images, where, **options)


@pytest.mark.parametrize(
    "content",
    [
        xml().encode(),
        b"\xef\xbb\xbf" + xml().replace("><", ">\r\n\t<").encode(),
        xml().encode("utf-16"),
        xml(name="C:\\data\\a.png").encode(),
        xml(name="stale.jpg").encode(),
        xml(x0="21.0", x1=" 60.0 ").encode(),
        xml(size="<size><width>0</width><height>0</height></size>").encode(),
        xml(size="<size/>").encode(),
        xml().replace("<annotation>", '<annotation xmlns="urn:x">').encode(),
        xml()
        .replace("</", "</v:")
        .replace("<", "<v:")
        .replace("<v:/v:", "</v:")
        .replace("<v:annotation>", '<v:annotation xmlns:v="urn:x">')
        .encode(),
    ],
)
def test_voc_files_of_label_tools(folder, content):
    dataset = read_bytes(folder, content)
    assert np.allclose(dataset.boxes, PLAIN[:1], atol=1e-7)
    assert dataset.class_names == ("cat",) and dataset.names == ["a.png"]


def test_voc_encodings(folder):
    text = '<?xml version="1.0" encoding="{}"?>' + xml(label="B\u00e4r")
    for encoding in ("utf-8", "iso-8859-1", "utf-16"):
        content = text.format(encoding).encode(encoding)
        assert read_bytes(folder, content).class_names == ("B\u00e4r",)
    for content in (text.format("GBK").encode("gbk", "ignore"), b"\xff" + b"x" * 9):
        with pytest.raises(AnnotationError, match=r"a\.xml: not XML"):
            read_bytes(folder, content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (xml(size="<size><width>40</width><height>80</height></size>"), "size differs"),
        (xml(size="<size><width>0</width><height>40</height></size>"), "not positive"),
        (xml(x0=0.25, x1=0.75).replace(">40<", ">1<").replace(">11<", ">0<"), "pixel"),
        (xml().replace("annotation>", "project>"), "not VOC's XML"),
        (xml().replace("bndbox>", "polygon>"), "a shape and no box"),
        (xml().replace("bndbox>", "robndbox>"), "a shape and no box"),
        (xml(label="x & y"), "not XML"),
    ],
)
def test_voc_files_that_would_be_read_wrongly(folder, content, reason):
    with pytest.raises(AnnotationError, match=rf"a\.xml.*{reason}"):
        read_bytes(folder, content.encode())


def test_voc_suffixes_in_either_case(folder):
    folder.read("voc")
    (folder.images / "a.png").rename(folder.images / "a.PNG")
    (folder.path / "voc" / "a.xml").rename(folder.path / "voc" / "a.XML")
    dataset = folder.read_again("voc")
    assert sorted(dataset.names) == ["a.PNG", "b.png"]
    assert dataset.summary().skipped == {}
