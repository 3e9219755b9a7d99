"""The images of a folder, found by the names that annotations give them."""

import os
from functools import cached_property
from pathlib import Path

from keras_localize import types
from keras_localize.datasets.annotation_files import (
    existing_folder,
    inside,
    relative_name,
)
from keras_localize.datasets.errors import AnnotationError
from keras_localize.images.listing import list_images


class ImageFolder:
    """The images below a folder, hidden and system files left out.

    Args:
        folder: the folder.
        argument: the reader's argument that gave it, for the error.

    Raises:
        AnnotationError: where `folder` is no folder.
    """

    def __init__(self, folder: types.Path, argument: str = "images_dir") -> None:
        self.path = existing_folder(folder, argument)

    @cached_property
    def by_stem(self) -> dict[str, list[Path]]:
        """The images by their names without suffix, such as `train/a`."""
        images: dict[str, list[Path]] = {}
        for path in list_images(self.path):
            images.setdefault(self.name(path.with_suffix("")), []).append(path)
        return images

    def name(self, path: Path) -> str:
        """The name of the record of an image of this folder."""
        return relative_name(path, self.path)

    def find(self, name: str, source: Path | str, place: str) -> Path:
        """The image that an annotation names.

        Args:
            name: the file name as the annotation gives it.
            source: the annotation file, for the error.
            place: the part of it that holds the name, for the error.

        Raises:
            AnnotationError: where the name leaves the folder or names nothing in it.
        """
        path = inside(self.path, name, source, place)
        if not os.path.isfile(path):  # False, not an error, for impossible names
            raise AnnotationError(
                source,
                "missing image",
                field=place,
                expected=f"an image in {self.path}",
                received=name,
            )
        return path
