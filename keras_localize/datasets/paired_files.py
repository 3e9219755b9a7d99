"""Annotation files that belong to one image each: pairs of files with the same name."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from keras_localize import types
from keras_localize.datasets.annotation import AnnotatedObject, Annotation
from keras_localize.datasets.annotation_files import (
    annotation_files,
    base_stem,
    existing_folder,
    relative_name,
)
from keras_localize.datasets.class_names import composed
from keras_localize.datasets.collector import Collector
from keras_localize.datasets.dataset import LocalizationDataset
from keras_localize.datasets.errors import AnnotationError
from keras_localize.datasets.image_folder import ImageFolder


class FileContent(NamedTuple):
    """What one annotation file says.

    Attributes:
        image_name: the image's file name, "" where the file says none.
        image_field: the part of the file that holds it.
        objects: reads the objects, and adds to the notes what had to be decided (see
            `Annotation`). Later, because an error in them must not hide the image.
        size: reads the (height, width) of the image, or None.
        size_field: the part of the file that holds it.
    """

    image_name: str
    image_field: str
    objects: Callable[[list[str]], list[AnnotatedObject]]
    size: Callable[[], tuple[float, float] | None]
    size_field: str


def read_paired_files(
    collector: Collector,
    images_dir: types.Path,
    annotations_dir: types.Path,
    suffix: str,
    kind: str,
    parse: Callable[[Path], FileContent],
) -> LocalizationDataset:
    """Reads images and an annotation file for each.

    `annotations_dir/NAME.suffix` belongs to the image `images_dir/NAME.*`; where there
    is none or more than one, to the image that the file names. An image without a
    file has no known object: `without_box` says what becomes of it.

    Args:
        collector: takes the annotations.
        images_dir: folder of the images; folders below are read too.
        annotations_dir: folder of the annotation files; folders below are read too.
        suffix: suffix of the annotation files, such as ".xml".
        kind: what such a file is called, such as "an XML file".
        parse: reads one of them.
    """
    images = ImageFolder(images_dir)
    annotations_dir = existing_folder(annotations_dir, "annotations_dir")
    stems, used, lost = set(), set(), set()
    for file in annotation_files(annotations_dir, suffix):
        stem = relative_name(file.with_suffix(""), annotations_dir)
        stems.add(composed(stem))
        path = None
        with collector.record(stem):
            content = parse(file)
            notes: list[str] = []
            path = _image(content, file, images, composed(stem), notes)
            used.add(path)
            collector.keep(
                Annotation(
                    name=images.name(path),
                    path=path,
                    source=str(file),
                    objects=content.objects(notes),
                    size=content.size(),
                    size_field=content.size_field,
                    notes=list(dict.fromkeys(notes)),
                )
            )
        if path is None and composed(stem) not in images.by_stem:
            lost.add(base_stem(composed(stem)))
    for stem, paths in images.by_stem.items():
        without = [path for path in paths if path not in used]
        # Where none of them is used, the file is bad, and counted already.
        is_beside = stem in stems and len(without) < len(paths)
        for path in without if is_beside or stem not in stems else ():
            if not is_beside and base_stem(stem) in lost:
                # It may be the image of this file.
                collector.skip(images.name(path), f"{kind} of this name has an error")
            else:
                _without_file(collector, images, path, kind, is_beside)
    return collector.dataset(annotations_dir)


def _image(
    content: FileContent, file: Path, images: ImageFolder, stem: str, notes: list[str]
) -> Path:
    """The image that an annotation file belongs to."""
    candidates = images.by_stem.get(stem, [])
    if len(candidates) == 1:
        return candidates[0]
    if not content.image_name:
        raise AnnotationError(
            file,
            "several images" if candidates else "missing image",
            field=content.image_field,
            expected=f"{file.stem}.* in {images.path}, or a file name",
        )
    return images.find(content.image_name, file, content.image_field, notes)


def _without_file(
    collector: Collector, images: ImageFolder, path: Path, kind: str, is_beside: bool
) -> None:
    """Counts an image that has no annotation file.

    One beside an image of the same name that has it may show the same: it is not known
    to hold no object.
    """
    name = images.name(path)
    reason = (
        f"another image of this name has {kind}" if is_beside else f"without {kind}"
    )
    if collector.policy.without_box == "error" and not is_beside:
        with collector.record(name):
            raise AnnotationError(path, reason)
    elif collector.policy.without_box == "negative" and not is_beside:
        with collector.record(name):
            collector.keep(Annotation(name, path, str(path), []))
    else:
        collector.skip(name, reason)
