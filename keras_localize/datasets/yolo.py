"""YOLO: a folder of images and a folder with one text file for each."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from keras_localize import types
from keras_localize.datasets.annotation import AnnotatedObject, Annotation
from keras_localize.datasets.annotation_files import (
    annotation_files,
    existing_folder,
    finite,
    read_text,
    relative_name,
)
from keras_localize.datasets.collector import Collector
from keras_localize.datasets.dataset import LocalizationDataset
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


def read_yolo(
    images_dir: types.Path,
    labels_dir: types.Path,
    class_names: Sequence[str] | types.Path,
    *,
    without_box: WithoutBox = "skip",
    multiple: Multiple = "largest",
    on_error: OnError = "raise",
    outside: Outside = "clip",
    pixels: Pixels = "upright",
    verify: bool = True,
) -> LocalizationDataset:
    """Reads images and their YOLO text files.

    `labels_dir/NAME.txt` belongs to `images_dir/NAME.*`. Each line is one object:
    `class x_center y_center width height`, in fractions of the image's sides.

    Args:
        images_dir: folder of the images; folders below are read too.
        labels_dir: folder of the text files.
        class_names: the classes in the order of their ids: a list, or the path of a
            text file with one name per line.
        without_box: an image with an empty text file, or with none, is left out
            (`"skip"`, or `"keep"`: it has no label that could be trained) or an
            error (`"error"`).
        multiple: `"largest"`, `"first"`, `"skip"` or `"error"`; see `read_voc`.
        on_error: `"raise"` or `"skip"`.
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
    images = ImageFolder(images_dir)
    labels_dir = existing_folder(labels_dir, "labels_dir")
    listed = None
    if isinstance(class_names, (str, PathLike)):
        listed = Path(class_names)
        lines = read_text(listed).splitlines()
        class_names = [line.strip() for line in lines if line.strip()]
    class_names = [str(name) for name in class_names]
    files = {
        relative_name(path.with_suffix(""), labels_dir): path
        for path in annotation_files(labels_dir, ".txt")
    }
    collector = Collector(policy, class_names)
    for stem, paths in images.by_stem.items():
        for path in paths:
            with collector.record(images.name(path)):
                file = files.get(stem)
                objects = _objects(file, class_names) if file else []
                collector.keep(
                    Annotation(images.name(path), path, str(file or path), objects)
                )
    for stem, file in files.items():
        same = listed is not None and file.resolve() == listed.resolve()
        if stem not in images.by_stem and file.name != "classes.txt" and not same:
            with collector.record(stem):
                raise AnnotationError(
                    file, "missing image", expected=f"{stem}.* in {images.path}"
                )
    return collector.dataset(labels_dir)


def _objects(path: Path, class_names: Sequence[str]) -> list[AnnotatedObject]:
    objects = []
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
        objects.append(
            AnnotatedObject(
                class_names[int(label)], corners, relative=True, field=place
            )
        )
    return objects
