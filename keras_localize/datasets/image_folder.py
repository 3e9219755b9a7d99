"""The images of a folder, found by the names that annotations give them."""

import os
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

from keras_localize import types
from keras_localize.datasets.annotation_files import (
    existing_folder,
    inside,
    relative_name,
)
from keras_localize.datasets.class_names import composed
from keras_localize.datasets.errors import AnnotationError
from keras_localize.images.listing import is_image, list_images

# What a tool on another machine wrote: `file:/C:/a.jpg`, `https://host/a.jpg`.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")


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
    def files(self) -> list[Path]:
        """All images, sorted by path."""
        return list_images(self.path)

    @cached_property
    def by_stem(self) -> dict[str, list[Path]]:
        """The images by their names without suffix, such as `train/a`, composed."""
        return _grouped(
            (composed(self.name(path.with_suffix(""))), path) for path in self.files
        )

    def name(self, path: Path) -> str:
        """The name of the record of an image of this folder."""
        return relative_name(path, self.path)

    def find(self, name: str, source: Path | str, place: str, notes: list[str]) -> Path:
        """The image that an annotation names.

        Names are the same in composed and decomposed Unicode, and with suffixes in
        either case. Where a single image fits, it is also found

        - by the end of an absolute path, which is that of another machine;
        - by a name that begins with the folder's own: `images/a.jpg` in `images`;
        - by a bare name in a folder below, or by a name without suffix.

        Args:
            name: the file name as the annotation gives it.
            source: the annotation file, for the error.
            place: the part of it that holds the name, for the error.
            notes: takes up how the image was found, where not by its own name.

        Raises:
            AnnotationError: where the name leaves the folder, or where no image or
                more than one fits.
        """
        plain = PurePosixPath(name.replace("\\", "/"))
        if _is_absolute(name) and ".." not in plain.parts:
            path = self._ending(plain, source, place)
            if path is not None:
                notes.append("image found by the end of an absolute path")
        else:
            inside(self.path, name, source, place)
            path = self._same(plain, source, place)
            path = path or self._nearby(plain, source, place, notes)
        if path is None:
            raise AnnotationError(
                source,
                "missing image",
                field=place,
                expected=f"an image in {self.path}",
                received=name,
            )
        return path

    def _same(self, name: PurePosixPath, source: Path | str, place: str) -> Path | None:
        """The image of this name, written the same or nearly."""
        path = self.path / name
        if os.path.isfile(path):  # False, not an error, for impossible names
            return path
        return self._only(self._by_name.get(_folded(name), []), name, source, place)

    def _ending(
        self, name: PurePosixPath, source: Path | str, place: str
    ) -> Path | None:
        """The image whose path is the longest end of `name` that there is."""
        for start in range(1, len(name.parts)):
            path = self._same(PurePosixPath(*name.parts[start:]), source, place)
            if path is not None:
                return path
        return self._below(name, source, place)

    def _below(
        self, name: PurePosixPath, source: Path | str, place: str
    ) -> Path | None:
        """The only image with the base name of `name`, in any folder below."""
        base = _folded(PurePosixPath(name.name)) if name.name else ""
        return self._only(self._by_base_name.get(base, []), name, source, place)

    def _nearby(
        self, name: PurePosixPath, source: Path | str, place: str, notes: list[str]
    ) -> Path | None:
        """The image of nearly this name that lies elsewhere in the folder."""
        parents = self.path.resolve().parts
        for count in range(1, len(name.parts)):
            if parents[-count:] == name.parts[:count]:
                below = PurePosixPath(*name.parts[count:])
                path = self._same(below, source, place)
                if path is not None:
                    notes.append("image found by a name that begins above its folder")
                    return path
        if not is_image(Path(name)):
            candidates = self.by_stem.get(composed(str(name)), [])
            path = self._only(candidates, name, source, place)
            note = "image found by a name without suffix"
        elif len(name.parts) == 1:
            path = self._below(name, source, place)
            note = "image found in a folder below"
        else:
            return None
        if path is not None:
            notes.append(note)
        return path

    def _only(
        self,
        candidates: list[Path],
        name: PurePosixPath,
        source: Path | str,
        place: str,
    ) -> Path | None:
        if len(candidates) > 1:
            raise AnnotationError(
                source,
                "several images",
                field=place,
                expected=f"one image of this name in {self.path}",
                received=str(name),
            )
        return candidates[0] if candidates else None

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        return _grouped(
            (_folded(PurePosixPath(self.name(path))), path) for path in self.files
        )

    @cached_property
    def _by_base_name(self) -> dict[str, list[Path]]:
        return _grouped(
            (_folded(PurePosixPath(path.name)), path) for path in self.files
        )


def _grouped(pairs: Iterable[tuple[str, Path]]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for name, path in pairs:
        groups.setdefault(name, []).append(path)
    return groups


def _folded(name: PurePosixPath) -> str:
    """A name in composed Unicode, its suffix in lower case."""
    return composed(str(name.with_suffix(name.suffix.lower())))


def _is_absolute(name: str) -> bool:
    """Whether a name is an absolute path of any system, or an address."""
    windows = PureWindowsPath(name)
    return bool(windows.drive or windows.root or _ADDRESS.match(name))
