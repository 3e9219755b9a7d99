"""Pascal VOC: a folder of pictures and a folder with one XML file for each."""

from xml.etree.ElementTree import TreeBuilder
from xml.parsers import expat

from keras_localize.datasets.errors import AnnotationError
from keras_localize.datasets.records import (
    Box,
    Collector,
    Found,
    Policy,
    existing_folder,
    finite,
    inside,
    pictures_below,
    read_bytes,
    relative_name,
)


def read_voc(
    images_dir,
    annotations_dir,
    *,
    class_names=None,
    without_box="skip",
    multiple="largest",
    on_error="raise",
    outside="clip",
    one_based=True,
    pixels="upright",
    verify=True,
):
    """Reads pictures and their Pascal VOC XML files.

    `annotations_dir/NAME.xml` belongs to the picture `images_dir/NAME.*`; where there
    is none or more than one, to the file that its `<filename>` names. Folders below
    are read too.

    Args:
        images_dir: folder of the pictures.
        annotations_dir: folder of the XML files.
        class_names: the classes in the order of their ids; another name in a file
            is an error. None: the names found, sorted.
        without_box: a picture without an object, or with no XML file, is left out
            (`"skip"`) or an error (`"error"`). `"keep"` keeps those whose XML names
            an object without a box: weight 0, the label is trained.
        multiple: of several objects take the `"largest"` or the `"first"`, leave
            the picture out (`"skip"`), or `"error"`.
        on_error: `"raise"` an AnnotationError, or `"skip"` the record and count it
            by reason in `summary()`.
        outside: a box that reaches over the border is cut there (`"clip"`, counted)
            or an `"error"`. A box wholly outside is always an error.
        one_based: VOC counts pixels from 1 and includes the last one, so its
            `xmin = 1` is the left edge: relative xmin = (xmin - 1) / width,
            relative xmax = xmax / width. False for files whose tool counts from 0
            and excludes the last.
        pixels: boxes are measured on the picture as viewers show it, turned by its
            EXIF orientation (`"upright"`), or on the stored pixels (`"raw"`).
        verify: decode every picture once now, so that a damaged one is found here
            and not in the middle of the training. False reads only headers.

    Returns:
        A `LocalizationDataset`.

    Raises:
        AnnotationError: a ValueError that names file, field and value.

    Example:

    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from keras_localize.datasets import read_voc
    >>> Image.new("RGB", (100, 50)).save("cat.png")
    >>> _ = Path("cat.xml").write_text('''<annotation>
    ...     <filename>cat.png</filename>
    ...     <size><width>100</width><height>50</height></size>
    ...     <object><name>cat</name><bndbox><xmin>11</xmin><ymin>1</ymin>
    ...     <xmax>60</xmax><ymax>50</ymax></bndbox></object></annotation>''')
    >>> dataset = read_voc(".", ".")
    >>> dataset[0].class_name, np.round(dataset[0].box, 3).tolist()
    ('cat', [0.10000000149011612, 0.0, 0.6000000238418579, 1.0])
    """
    policy = Policy(
        without_box=without_box,
        multiple=multiple,
        on_error=on_error,
        outside=outside,
        pixels=pixels,
        verify=verify,
    )
    images_dir = existing_folder(images_dir, "images_dir")
    annotations_dir = existing_folder(annotations_dir, "annotations_dir")
    pictures = pictures_below(images_dir)
    collector = Collector(policy, class_names)
    used = set()
    for path in sorted(annotations_dir.rglob("*.xml")):
        stem = relative_name(path.with_suffix(""), annotations_dir)

        def parse(path=path, stem=stem):
            root = parse_xml(path)
            picture = _picture(root, path, pictures.get(stem, []), images_dir)
            used.add(picture)
            return Found(
                name=relative_name(picture, images_dir),
                path=picture,
                source=str(path),
                objects=objects(root, path, one_based),
                size=declared_size(root, path),
            )

        collector.read(stem, parse)
    for stem, candidates in pictures.items():
        # A picture whose XML is bad has been counted with that.
        if not (annotations_dir / f"{stem}.xml").is_file():
            for picture in candidates:
                if picture not in used:
                    _without_annotation(collector, picture, images_dir, policy)
    return collector.dataset(annotations_dir)


def parse_xml(path):
    """The root element of an XML file that declares nothing.

    A document type declaration is refused, and with it every trick that is built on
    entities; there is nothing left that could expand or fetch.
    """
    content = read_bytes(path, limit=2**24)
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data

    def refuse(*declaration):
        raise AnnotationError(path, "XML with a document type", received=declaration[0])

    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
        return builder.close()
    except (expat.ExpatError, AssertionError, LookupError, ValueError) as error:
        if isinstance(error, AnnotationError):
            raise
        raise AnnotationError(path, "not XML", received=str(error)) from error


def objects(root, path, one_based):
    """The `Box` of every `<object>`, half-open, in pixels."""
    boxes = []
    for number, element in enumerate(root.iter("object"), start=1):
        place = f"object {number}"
        name = (element.findtext("name") or "").strip()
        if not name:
            raise AnnotationError(path, "missing name", field=f"{place}/name")
        bounds = element.find("bndbox")
        corners = None
        if bounds is not None:
            corners = tuple(
                number_in(bounds, side, path, f"{place}/bndbox/{side}")
                for side in ("xmin", "ymin", "xmax", "ymax")
            )
            # Before the shift: one_based turns an inverted box into an empty one.
            for low, high in ((0, 2), (1, 3)):
                if corners[low] > corners[high]:
                    raise AnnotationError(
                        path,
                        "inverted box",
                        field=f"{place}/bndbox",
                        expected="xmin <= xmax and ymin <= ymax",
                        received=corners,
                    )
            if one_based:
                x0, y0, x1, y1 = corners
                corners = (x0 - 1, y0 - 1, x1, y1)
        boxes.append(Box(name, corners, field=f"{place}/bndbox"))
    return boxes


def declared_size(root, path):
    """(height, width) from `<size>`, or None where there is none or it says 0."""
    size = root.find("size")
    if size is None:
        return None
    width = number_in(size, "width", path, "size/width")
    height = number_in(size, "height", path, "size/height")
    # Some tools write 0 for "not known".
    return None if width == height == 0 else (height, width)


def number_in(element, tag, path, place):
    """The number in a child element; AnnotationError where it is not there."""
    text = element.findtext(tag)
    if text is None:
        raise AnnotationError(path, "missing element", field=place)
    return finite(text.strip(), path, place)


def _picture(root, path, candidates, images_dir):
    if len(candidates) == 1:
        return candidates[0]
    name = (root.findtext("filename") or "").strip()
    if not name:
        raise AnnotationError(
            path,
            "missing picture" if not candidates else "several pictures",
            field="filename",
            expected=f"{path.stem}.* in {images_dir}, or a <filename>",
        )
    picture = inside(images_dir, name, path, "filename")
    if not picture.is_file():
        raise AnnotationError(
            path,
            "missing picture",
            field="filename",
            expected=f"a file in {images_dir}",
            received=name,
        )
    return picture


def _without_annotation(collector, picture, images_dir, policy):
    name = relative_name(picture, images_dir)
    if policy.without_box == "error":

        def parse():
            raise AnnotationError(picture, "without an XML file")

        collector.read(name, parse)
    else:
        collector.skip(name, "without an XML file")
