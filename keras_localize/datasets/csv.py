"""CSV: a folder of images and one table, a row for each object."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_localize import types
from keras_localize.boxes.formats import check_format
from keras_localize.checks import check_positive_int
from keras_localize.datasets.annotation import Annotation
from keras_localize.datasets.annotation_files import TABLE_LIMIT, image_name
from keras_localize.datasets.class_names import ClassNames
from keras_localize.datasets.collector import Collector
from keras_localize.datasets.csv_columns import (
    Column,
    check_columns,
    find_columns,
    plain,
)
from keras_localize.datasets.csv_rows import BoxRows
from keras_localize.datasets.csv_stream import ColumnRows, column_rows
from keras_localize.datasets.csv_table import Row, Table, cell_at, read_table
from keras_localize.datasets.csv_via import ViaRows, is_via
from keras_localize.datasets.dataset import LocalizationDataset
from keras_localize.datasets.decisions import CLIPPED
from keras_localize.datasets.errors import AnnotationError
from keras_localize.datasets.image_folder import ImageFolder
from keras_localize.datasets.policy import (
    Multiple,
    OnError,
    Outside,
    Pixels,
    Policy,
    WithoutBox,
)
from keras_localize.datasets.simple_records import simple_records


def read_csv(
    images_dir: types.Path,
    csv_path: types.Path,
    *,
    columns: Mapping[str, Column | Sequence[Column]] | None = None,
    bounding_box_format: types.BoundingBoxFormat | None = None,
    class_names: ClassNames | None = None,
    without_box: WithoutBox = "skip",
    multiple: Multiple = "largest",
    on_error: OnError = "raise",
    outside: Outside = "clip",
    pixels: Pixels = "upright",
    verify: bool = True,
    max_bytes: int = TABLE_LIMIT,
) -> LocalizationDataset:
    """Reads images and a CSV table with one row per object.

    The table is UTF-8, separated by commas, semicolons or tabs, with or without a
    header. Several rows may name the same image. In a table separated by semicolons
    or tabs numbers may have decimal commas.

    **Columns** are found by the names in the header, whatever their case, order and
    punctuation (`X_min` is `xmin`), and the first of these that is there is taken:

    - the image: `filename`, `file`, `filepath`, `image`, `image_name`, `image_file`,
      `image_path`, `image_id`, `img`, `img_path`, `path`;
    - the class: `class`, `label`, `class_name`, `label_name`, `category`,
      `category_name`, `name`, `class_id`;
    - the box, each also after `bbox_`, `box_` or `roi_`: `xmin ymin xmax ymax`, `x0 y0
      x1 y1`, `x1 y1 x2 y2`, `left top right bottom`; `x y`, `xmin ymin` or `left top`
      with `w h` or `width height`; `cx cy`, `x_center y_center` or `center_x
      center_y` with the same;
    - the image's size, if it is stated: `image_height image_width`, `img_height
      img_width`, or `height width` where those are not the box's. The size is
      compared with the image's.

    A table of one class needs no column for it: `columns={"label": None}`, and
    `class_names` with that one name. Without a header, `columns` says the number of
    every column. Two columns of the same name are an error where one of them is needed.

    **Pixels or fractions** is decided once for the whole table, unless
    `bounding_box_format` says it. A box with a number beyond [-1, 2] is in pixels. Any
    other box with a number that is not whole is in fractions of the image's sides. A
    table with boxes of both kinds is an error. Boxes of whole numbers fit both units
    and follow the rest of the table; where there is no rest, (0, 0, 1, 1) is the whole
    image, and anything else an error. A table without a header is in pixels, and an
    error if all its boxes are in fractions.

    The CSV of VGG Image Annotator is known by its `region_shape_attributes`: each
    shape is read as the smallest box around it, and a point has no box.
    `columns={"label": ...}` names the attribute that holds the class where regions
    have several.

    Args:
        images_dir: folder of the images that the names are relative to.
        csv_path: the table.
        columns: names of columns that the lists above do not have, or their numbers
            from 0 (-1 is the last): a dict with any of `"image"`, `"label"`, `"box"`
            (four) and `"image_size"` (height and width). None for the label: all rows
            are of one class; for the size: there is none, and `height` and `width` are
            something else. Without a header: at least the first three, such as
            `{"image": 0, "label": 5, "box": (1, 2, 3, 4)}`.
        bounding_box_format: format of the box; see `keras_localize.boxes.convert`.
            None: what the names of its columns say, `xyxy` where they say nothing, in
            the unit decided as above. Names in the list above say which number is
            which, in whatever order they stand. Other names are taken in the order of
            `columns["box"]`, and so are those that contradict the format; where
            `columns` has no box, a contradiction is an error.
        class_names: the classes in the order of their ids: a list, a dict id -> name,
            or the path of a file; see `read_yolo`. Another name is an error, but where
            a column `class_id` holds ids alone, they get these names. None: the names
            found, sorted, numbers by their value.
        without_box: what becomes of an image without a box: `"skip"`, `"keep"`,
            `"negative"` or `"error"`; see `read_voc`. A row with a class and four
            empty cells is an object without a box; a row with neither, or of VGG
            Image Annotator without a region, is an image without an object.
        multiple: several rows of one image: `"largest"`, `"first"`, `"skip"` or
            `"error"`; see `read_voc`.
        on_error: `"raise"` or `"skip"`. A table whose columns or unit cannot be
            determined is always an error.
        outside: `"clip"` or `"error"`.
        pixels: `"upright"` or `"raw"`.
        verify: decode every image once now. False opens no image whose size the
            table states; see `read_coco`.
        max_bytes: a larger table is refused. By default 1 GiB.

    Returns:
        A `LocalizationDataset`.

    Raises:
        AnnotationError: a ValueError that names file, line and value.
        ValueError: for an argument that is none of its choices.

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

    The same without a header:

    >>> _ = Path("boxes.csv").write_text("cat.png,25,0,75,50,cat")
    >>> columns = {"image": 0, "label": 5, "box": (1, 2, 3, 4)}
    >>> read_csv(".", "boxes.csv", columns=columns)[0].box.tolist()
    [0.25, 0.0, 0.75, 1.0]

    Reference:
        [VGG Image Annotator](https://www.robots.ox.ac.uk/~vgg/software/via/)
    """
    policy = Policy(
        without_box=without_box,
        multiple=multiple,
        on_error=on_error,
        outside=outside,
        pixels=pixels,
        verify=verify,
        stated_sizes=True,
    )
    check_positive_int(max_bytes, "max_bytes")
    if bounding_box_format is not None:
        check_format(bounding_box_format)
    given = check_columns(columns)
    folder = ImageFolder(images_dir)
    path = Path(csv_path)
    collector = Collector(policy, class_names)
    reader: BoxRows | ViaRows | ColumnRows | None = None
    parts = simple = only_class = None
    names = collector.class_names or []
    if given.get("label") == () and len(names) == 1:
        only_class = names[0]
    positions: dict[str, int] = {}
    if policy.trusts_sizes:
        reader = column_rows(path, given, bounding_box_format, only_class, max_bytes)
    if reader is None:
        table = read_table(path, max_bytes)
        reader = _row_reader(table, given, bounding_box_format, only_class)
    if collector.class_names is not None and not isinstance(reader, ViaRows):
        _name_ids(reader, collector.class_names)
    if isinstance(reader, ColumnRows):
        parts = reader.parts
        simple = simple_records(parts, folder, policy, collector.class_names)
        collector.keep_simple(simple)
        reader.leave_out(simple.positions)
        if len(simple.names) < len(parts.names):
            positions = {name: place for place, name in enumerate(parts.names)}
    for name, rows in _by_image(reader).items():
        with collector.record(name):
            line, cells = rows[0]
            stated = image_name(cell_at(cells, reader.image))
            place = f"line {line}: {reader.columns.image_name}"
            notes: list[str] = []
            file = folder.find(stated, path, place, notes)
            objects, of_objects = zip(*(reader.object(*row) for row in rows))
            notes += dict.fromkeys(note for note in of_objects if note is not None)
            annotation = Annotation(
                name=folder.name(file),
                path=file,
                source=str(path),
                objects=[each for each in objects if each is not None],
                size=reader.size(line, cells),
                size_field=f'line {line}: `columns["image_size"]`',
                notes=notes,
            )
            collector.keep(annotation, positions.get(name))
    unclear = reader.columns.unclear
    # Of a large table they are large.
    del reader, parts, simple
    dataset = collector.dataset(path)
    # A size that is not trusted was compared with the image's.
    if unclear == "box" or (unclear and policy.trusts_sizes):
        _check_sides(dataset, path)
    return dataset


def _check_sides(dataset: LocalizationDataset, path: Path) -> None:
    """An AnnotationError where `width` and `height` seem to be the wrong ones.

    With the sides of the image for those of the box, or the other way round, every box
    reaches to the right and the lower border, and most of them over it.
    """
    boxes = dataset.boxes[dataset.weights > 0]
    if (boxes[:, 2:] == 1).all() and CLIPPED in dataset.summary().handled:
        raise AnnotationError(
            path,
            "sides of the box or of the image",
            field="`width` and `height`",
            expected='`columns` with "box", and "image_size" (None: there is none)',
        )


def _name_ids(reader: BoxRows | ColumnRows, class_names: Sequence[str]) -> None:
    """Where a column `class_id` holds ids and no names, gives them their names."""
    if plain(reader.columns.label_name) != "classid":
        return
    found = reader.class_names()
    names = {
        cell: name
        for number, name in enumerate(class_names)
        for cell in (str(number), f"{number}.0")
    }
    if found <= names.keys() and found.isdisjoint(class_names):
        reader.rename(names)


def _row_reader(
    table: Table,
    given: dict[str, tuple[Column, ...]],
    bounding_box_format: str | None,
    only_class: str | None,
) -> BoxRows | ViaRows:
    """What reads the rows of a table."""
    if not is_via(table):
        columns = find_columns(table, given, bounding_box_format, only_class)
        return BoxRows(table, columns, bounding_box_format)
    if bounding_box_format is not None or set(given) - {"label"}:
        raise AnnotationError(
            table.path,
            "table of VGG Image Annotator",
            field="`columns` and `bounding_box_format`",
            expected='at most columns={"label": ...}',
            received={"columns": given, "bounding_box_format": bounding_box_format},
        )
    attribute = next(iter(given.get("label", ())), None)
    return ViaRows(table, None if attribute is None else str(attribute), only_class)


def _by_image(reader: BoxRows | ViaRows | ColumnRows) -> dict[str, list[Row]]:
    """The rows of each image; a row without a name stands alone."""
    groups: dict[str, list[Row]] = {}
    for line, cells in reader.rows:
        name = image_name(cell_at(cells, reader.image))
        groups.setdefault(name or f"line {line}", []).append((line, cells))
    return groups
