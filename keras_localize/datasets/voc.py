"""Pascal VOC: a folder of images and a folder with one XML file for each."""

from functools import partial
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from keras_localize import types
from keras_localize.checks import check_positive_int
from keras_localize.datasets.annotation import AnnotatedObject, Corners, turned
from keras_localize.datasets.annotation_files import (
    RECORD_LIMIT,
    finite,
    read_bytes,
)
from keras_localize.datasets.class_names import ClassNames
from keras_localize.datasets.collector import Collector
from keras_localize.datasets.dataset import LocalizationDataset
from keras_localize.datasets.errors import AnnotationError
from keras_localize.datasets.paired_files import FileContent, read_paired_files
from keras_localize.datasets.policy import (
    Multiple,
    OnError,
    Outside,
    Pixels,
    Policy,
    WithoutBox,
)


def read_voc(
    images_dir: types.Path,
    annotations_dir: types.Path,
    *,
    class_names: ClassNames | None = None,
    without_box: WithoutBox = "skip",
    multiple: Multiple = "largest",
    on_error: OnError = "raise",
    outside: Outside = "clip",
    one_based: bool = True,
    pixels: Pixels = "upright",
    verify: bool = True,
    max_bytes: int = RECORD_LIMIT,
) -> LocalizationDataset:
    """Reads images and their Pascal VOC XML files.

    `annotations_dir/NAME.xml` belongs to the image `images_dir/NAME.*`; where there
    is none or more than one, to the image that its `<filename>` names. Folders below
    are read too; hidden and system files (`._a.xml`, `__MACOSX`) are not.

    Args:
        images_dir: folder of the images.
        annotations_dir: folder of the XML files.
        class_names: the classes in the order of their ids; another name in a file
            is an error. A list, a dict id -> name, or the path of a text file with
            one name per line or of a `data.yaml`. None: the names found, sorted;
            digits sort as numbers.
        without_box: what becomes of an image without a box.

            - `"skip"`: it is left out.
            - `"keep"`: it is kept if its file names an object: the label is trained,
              the box has weight 0.
            - `"negative"`: it is kept if its file names no object, or if there is no
              file: `presence` 0, label -1. A file that names an object without a box
              is left out.
            - `"error"`: an AnnotationError.
        multiple: of several objects take the `"largest"` or the `"first"`, leave
            the image out (`"skip"`), or `"error"`.
        on_error: `"raise"` an AnnotationError, or `"skip"` the record and count it
            by reason in `summary()`.
        outside: a box that reaches over the border is clipped (`"clip"`, counted)
            or an `"error"`. A box wholly outside is always an error.
        one_based: VOC counts pixels from 1 and includes the last one, so its
            `xmin = 1` is the left edge: relative xmin = (xmin - 1) / width,
            relative xmax = xmax / width. False for files whose tool counts from 0
            and excludes the last.
        pixels: boxes are measured on the image as viewers show it, turned by its
            EXIF orientation (`"upright"`), or on the stored pixels (`"raw"`).
        verify: decode every image once now, so that a damaged one is found here
            and not in the middle of the training. False reads only headers.
        max_bytes: a larger file is refused. By default 16 MiB.

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
    policy = Policy(without_box, multiple, on_error, outside, pixels, verify)
    check_positive_int(max_bytes, "max_bytes")
    return read_paired_files(
        Collector(policy, class_names),
        images_dir,
        annotations_dir,
        ".xml",
        "an XML file",
        partial(_read_file, one_based=one_based, max_bytes=max_bytes),
    )


def _read_file(file: Path, one_based: bool, max_bytes: int) -> FileContent:
    root = parse_xml(file, max_bytes)
    return FileContent(
        image_name=(root.findtext("filename") or "").strip(),
        image_field="filename",
        objects=partial(read_objects, root, file, one_based),
        size=partial(stated_size, root, file),
        size_field="size",
    )


def parse_xml(path: Path, max_bytes: int = RECORD_LIMIT) -> Element:
    """The root element `<annotation>` of an XML file that declares nothing.

    A document type declaration is refused, so that the file cannot define entities:
    nothing is expanded and nothing is fetched. Prefixes of XML namespaces are dropped.
    """
    content = read_bytes(path, max_bytes)
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.CharacterDataHandler = builder.data

    def start(tag: str, attributes: dict[str, str]) -> None:
        builder.start(_local(tag), attributes)

    def end(tag: str) -> None:
        builder.end(_local(tag))

    def refuse(*declaration: Any) -> None:
        raise AnnotationError(path, "XML with a document type", received=declaration[0])

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
        root = builder.close()
    except (expat.ExpatError, AssertionError, LookupError, ValueError) as error:
        if isinstance(error, AnnotationError):
            raise
        raise AnnotationError(path, "not XML", received=str(error)) from error
    if root.tag.lower() != "annotation":
        raise AnnotationError(
            path, "not VOC's XML", expected="<annotation>", received=f"<{root.tag}>"
        )
    return root


def read_objects(
    root: Element, path: Path, one_based: bool, notes: list[str]
) -> list[AnnotatedObject]:
    """Every `<object>`, its corners half-open and in pixels.

    Args:
        root: the root element.
        path: the file, for errors.
        one_based: whether pixels count from 1, and the last one is included.
        notes: takes up what is special about the objects.
    """
    objects = []
    for number, element in enumerate(root.iter("object"), start=1):
        place = f"object {number}"
        name = (element.findtext("name") or "").strip()
        if not name:
            raise AnnotationError(path, "missing name", field=f"{place}/name")
        place = f"{place}/bndbox"
        bounds = element.find("bndbox")
        corners = None
        if bounds is not None:
            corners = _corners(bounds, path, place, one_based)
            corners = turned(corners, _rotation(element), notes)
        elif _has_shape(element):
            raise AnnotationError(path, "a shape and no box", field=place)
        objects.append(AnnotatedObject(name, corners, field=place))
    return objects


def _corners(bounds: Element, path: Path, place: str, one_based: bool) -> Corners:
    x0, y0, x1, y1 = (
        number_in(bounds, side, path, f"{place}/{side}")
        for side in ("xmin", "ymin", "xmax", "ymax")
    )
    # Before the shift: one_based turns an inverted box into an empty one.
    if x0 > x1 or y0 > y1:
        raise AnnotationError(
            path,
            "inverted box",
            field=place,
            expected="xmin <= xmax and ymin <= ymax",
            received=(x0, y0, x1, y1),
        )
    return (x0 - 1, y0 - 1, x1, y1) if one_based else (x0, y0, x1, y1)


def stated_size(root: Element, path: Path) -> tuple[float, float] | None:
    """(height, width) from `<size>`, or None where it is not there, empty or 0."""
    size = root.find("size")
    if size is None or not all(size.findtext(side) for side in ("width", "height")):
        return None
    width = number_in(size, "width", path, "size/width")
    height = number_in(size, "height", path, "size/height")
    # Some tools write 0 for "not known".
    return None if width == height == 0 else (height, width)


def number_in(element: Element, tag: str, path: Path, place: str) -> float:
    """The number in a child element; AnnotationError where it is not there."""
    text = element.findtext(tag)
    if text is None:
        raise AnnotationError(path, "missing element", field=place)
    return finite(text.strip(), path, place)


def _local(tag: str) -> str:
    return tag.rpartition(":")[2]


def _rotation(element: Element) -> str | None:
    """CVAT's attribute `rotation`."""
    for attribute in element.iter("attribute"):
        if (attribute.findtext("name") or "").strip() == "rotation":
            return attribute.findtext("value")
    return None


def _has_shape(element: Element) -> bool:
    """Whether an object has a polygon or a rotated box, which say where it is."""
    return element.find("polygon") is not None or element.find("robndbox") is not None
