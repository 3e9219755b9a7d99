"""CSV: a folder of images and one table, a row for each object."""

import csv
import io
from pathlib import Path

import numpy as np

from keras_localize.boxes.formats import check_format, is_relative, to_corners
from keras_localize.checks import check_choice
from keras_localize.datasets.annotation import AnnotatedObject, Annotation
from keras_localize.datasets.annotation_files import finite, image_name, read_text
from keras_localize.datasets.collector import Collector
from keras_localize.datasets.errors import AnnotationError
from keras_localize.datasets.image_folder import ImageFolder
from keras_localize.datasets.policy import Policy

# What is guessed, in this order, whatever the case of the header.
IMAGE_COLUMNS = ("filename", "file_name", "file", "image", "image_path", "path")
LABEL_COLUMNS = ("class", "label", "class_name", "category", "name")
BOX_COLUMNS = (
    (("xmin", "ymin", "xmax", "ymax"), "xyxy"),
    (("x_min", "y_min", "x_max", "y_max"), "xyxy"),
    (("x0", "y0", "x1", "y1"), "xyxy"),
    (("x1", "y1", "x2", "y2"), "xyxy"),
    (("left", "top", "right", "bottom"), "xyxy"),
    (("x", "y", "w", "h"), "xywh"),
    (("bbox_x", "bbox_y", "bbox_width", "bbox_height"), "xywh"),
    (("cx", "cy", "w", "h"), "center_xywh"),
)
SIZE_COLUMNS = (("height", "width"), ("image_height", "image_width"))


def read_csv(
    images_dir,
    csv_path,
    *,
    columns=None,
    bounding_box_format=None,
    class_names=None,
    without_box="skip",
    multiple="largest",
    on_error="raise",
    outside="clip",
    pixels="upright",
    verify=True,
):
    """Reads images and a CSV table with a header and one row per object.

    Columns are found by their names, in any case and order: the image (`filename`,
    `file_name`, `file`, `image`, `image_path`, `path`), the class (`class`, `label`,
    `class_name`, `category`, `name`), the box (`xmin ymin xmax ymax`, `x_min ...`,
    `x0 y0 x1 y1`, `x1 y1 x2 y2`, `left top right bottom`; `x y w h`, `bbox_x bbox_y
    bbox_width bbox_height`; `cx cy w h`) and, where it is there, the image's size
    (`width height`, `image_width image_height`).

    Args:
        images_dir: folder of the images that the names are relative to.
        csv_path: the table: UTF-8, separated by comma, semicolon or tab.
        columns: dict that names columns where the list above does not:
            `{"image": ..., "label": ..., "box": (four names)}`.
        bounding_box_format: format of the four columns, see
            `keras_localize.boxes.convert`. None: what their names say, relative if
            every number in them lies in [0, 1].
        class_names: the classes in the order of their ids; another name is an
            error. None: the names found, sorted.
        without_box: a row whose four cells are empty has a label and no box: left
            out (`"skip"`), kept with weight 0 (`"keep"`), or `"error"`.
        multiple: several rows of one image: `"largest"`, `"first"`, `"skip"` or
            `"error"`; see `read_voc`.
        on_error: `"raise"` or `"skip"`. A table without its columns is always an
            error.
        outside: `"clip"` or `"error"`.
        pixels: `"upright"` or `"raw"`.
        verify: decode every image once now.

    Returns:
        A `LocalizationDataset`.

    Raises:
        AnnotationError: a ValueError that names file, line and value.

    Example:

    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from keras_localize.datasets import read_csv
    >>> Image.new("RGB", (100, 50)).save("cat.png")
    >>> _ = Path("boxes.csv").write_text(
    ...     "filename,class,xmin,ymin,xmax,ymax\\ncat.png,cat,25,0,75,50"
    ... )
    >>> read_csv(".", "boxes.csv")[0].box.tolist()
    [0.25, 0.0, 0.75, 1.0]
    """
    policy = Policy(
        without_box=without_box,
        multiple=multiple,
        on_error=on_error,
        outside=outside,
        pixels=pixels,
        verify=verify,
    )
    if bounding_box_format is not None:
        check_format(bounding_box_format)
    for key in columns or {}:
        check_choice(key, ("image", "label", "box"), "columns")
    images = ImageFolder(images_dir)
    path = Path(csv_path)
    header, rows = _table(path)
    image, label, box, size, box_format = _columns(header, columns or {}, path)
    if bounding_box_format is None:
        bounding_box_format = f"rel_{box_format}" if _in_unit(rows, box) else box_format

    by_image = {}
    for line, row in rows:
        name = image_name((row.get(image) or "").strip())
        by_image.setdefault(name, []).append((line, row))
    collector = Collector(policy, class_names)
    for name, group in by_image.items():
        with collector.record(name):
            line, first = group[0]
            objects = [
                _object(row, label, box, bounding_box_format, path, f"line {line}")
                for line, row in group
            ]
            file = images.find(name, path, f"line {line}: {image}")
            collector.keep(
                Annotation(
                    name=images.name(file),
                    path=file,
                    source=str(path),
                    objects=objects,
                    size=_size(first, size, path, line),
                    size_field=f"line {line}",
                )
            )
    return collector.dataset(path)


def _table(path):
    """The header, and (line number, row as a dict) for every row that is not empty."""
    text = read_text(path)
    start = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=start.count)
    try:
        reader = csv.DictReader(
            io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True
        )
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        rows = [(reader.line_num, row) for row in reader if any(row.values())]
    except csv.Error as error:
        raise AnnotationError(path, "not CSV", received=str(error)) from error
    if not rows:
        raise AnnotationError(path, "empty table", expected="a header and rows")
    return header, rows


def _columns(header, given, path):
    """Names of the columns: image, label, box (4), size (2 or None); the format."""
    folded = {name.casefold(): name for name in header}

    def missing(what, choices):
        return AnnotationError(
            path,
            f"no column for the {what}",
            expected=f"one of {choices}, or `columns=`",
            received=header,
        )

    def one(what, choices):
        if what in given:
            choices = (given[what],)
        for choice in choices:
            if choice.casefold() in folded:
                return folded[choice.casefold()]
        raise missing(what, ", ".join(choices))

    groups = BOX_COLUMNS
    if "box" in given:
        groups = ((tuple(given["box"]), "xyxy"),)
    found = [
        ([folded[name.casefold()] for name in names], box_format)
        for names, box_format in groups
        if len(names) == 4 and all(name.casefold() in folded for name in names)
    ]
    if not found:
        raise missing("box", "; ".join(" ".join(names) for names, _ in groups))
    box, box_format = found[0]
    size = None
    for names in SIZE_COLUMNS:
        if all(name in folded for name in names):
            size = [folded[name] for name in names]
            break
    return (
        one("image", IMAGE_COLUMNS),
        one("label", LABEL_COLUMNS),
        box,
        size,
        box_format,
    )


def _in_unit(rows, box):
    """Whether every number in the box columns lies in [0, 1]."""
    for _, row in rows:
        for name in box:
            try:
                value = float(row.get(name) or 0)
            except ValueError:
                continue
            if not 0 <= value <= 1:
                return False
    return True


def _object(row, label, box, bounding_box_format, path, place):
    name = (row.get(label) or "").strip()
    if not name:
        raise AnnotationError(path, "missing label", field=f"{place}: {label}")
    cells = [(row.get(column) or "").strip() for column in box]
    if not any(cells):
        return AnnotatedObject(name, None, field=place)
    values = [finite(cell, path, f"{place}: {c}") for cell, c in zip(cells, box)]
    corners = to_corners(np.array(values), bounding_box_format)
    return AnnotatedObject(
        name,
        tuple(float(value) for value in corners),
        relative=is_relative(bounding_box_format),
        field=place,
    )


def _size(row, size, path, line):
    if size is None or not all(row.get(name) for name in size):
        return None
    return tuple(finite(row[name], path, f"line {line}: {name}") for name in size)
