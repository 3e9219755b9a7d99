"""YOLO: a folder of pictures and a folder with one text file for each."""

from os import PathLike
from pathlib import Path

from keras_localize.datasets.errors import AnnotationError
from keras_localize.datasets.records import (
    Box,
    Collector,
    Found,
    Policy,
    existing_folder,
    finite,
    pictures_below,
    read_text,
    relative_name,
)


def read_yolo(
    images_dir,
    labels_dir,
    class_names,
    *,
    without_box="skip",
    multiple="largest",
    on_error="raise",
    outside="clip",
    pixels="upright",
    verify=True,
):
    """Reads pictures and their YOLO text files.

    `labels_dir/NAME.txt` belongs to `images_dir/NAME.*`. Each line is one object:
    `class x_center y_center width height`, in fractions of the picture's sides.

    Args:
        images_dir: folder of the pictures; folders below are read too.
        labels_dir: folder of the text files.
        class_names: the classes in the order of their ids: a list, or the path of a
            text file with one name per line.
        without_box: a picture with an empty text file, or with none, is left out
            (`"skip"`, or `"keep"`: it has no label that could be trained) or an
            error (`"error"`).
        multiple: `"largest"`, `"first"`, `"skip"` or `"error"`; see `read_voc`.
        on_error: `"raise"` or `"skip"`.
        outside: `"clip"` or `"error"`.
        pixels: `"upright"` or `"raw"`.
        verify: decode every picture once now.

    Returns:
        A `LocalizationDataset`.

    Raises:
        AnnotationError: a ValueError that names file, line and value.

    Example:

    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from keras_localize.datasets import read_yolo
    >>> Image.new("RGB", (100, 50)).save("cat.png")
    >>> _ = Path("cat.txt").write_text("0 0.5 0.5 0.5 1.0")
    >>> read_yolo(".", ".", ["cat"])[0].box.tolist()
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
    images_dir = existing_folder(images_dir, "images_dir")
    labels_dir = existing_folder(labels_dir, "labels_dir")
    listed = None
    if isinstance(class_names, (str, PathLike)):
        listed = Path(class_names)
        lines = read_text(listed).splitlines()
        class_names = [line.strip() for line in lines if line.strip()]
    class_names = [str(name) for name in class_names]
    pictures = pictures_below(images_dir)
    collector = Collector(policy, class_names)
    for stem, paths in pictures.items():
        for picture in paths:
            name = relative_name(picture, images_dir)
            text = labels_dir / f"{stem}.txt"

            def parse(name=name, picture=picture, text=text):
                objects = _objects(text, class_names) if text.is_file() else []
                source = text if text.is_file() else picture
                return Found(name, picture, str(source), objects)

            collector.read(name, parse)
    for text in sorted(labels_dir.rglob("*.txt")):
        stem = relative_name(text.with_suffix(""), labels_dir)
        same = listed is not None and text.resolve() == listed.resolve()
        if stem not in pictures and text.name != "classes.txt" and not same:

            def missing(text=text, stem=stem):
                raise AnnotationError(
                    text, "missing picture", expected=f"{stem}.* in {images_dir}"
                )

            collector.read(stem, missing)
    return collector.dataset(labels_dir)


def _objects(path, class_names):
    boxes = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        parts = line.split()
        if not parts:
            continue
        place = f"line {number}"
        if len(parts) != 5:
            raise AnnotationError(
                path,
                "malformed line",
                field=place,
                expected="class x_center y_center width height",
                received=line,
            )
        label = finite(parts[0], path, place)
        if label != int(label) or not 0 <= label < len(class_names):
            raise AnnotationError(
                path,
                "unknown class",
                field=place,
                expected=f"an id in 0 to {len(class_names) - 1}",
                received=parts[0],
            )
        x, y, width, height = (finite(part, path, place) for part in parts[1:])
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        boxes.append(Box(class_names[int(label)], corners, relative=True, field=place))
    return boxes
