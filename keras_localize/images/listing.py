"""Which files of a folder are images."""

import os
from collections.abc import Iterator
from pathlib import Path

# Suffix -> the format that Pillow gives such a file (MPO counts as JPEG).
IMAGE_SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".mpo": "JPEG",
    ".png": "PNG",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pbm": "PPM",
    ".pnm": "PPM",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
}

# What macOS archives, Synology disks and Windows put beside the files of users.
_SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information")


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files below a folder, by their suffix, sorted by path.

    Hidden entries and those of systems (`.ipynb_checkpoints`, `._a.jpg`,
    `__MACOSX`) are left out. Links are followed, except to a folder that the link
    itself lies in.

    Args:
        folder: read recursively.

    Returns:
        The paths. Each starts with `folder`. They are sorted part by part: all files
        below `a/` stand together.

    Raises:
        ValueError: for what is no folder, or holds a folder that cannot be read.

    Example:

    >>> from pathlib import Path
    >>> from keras_localize.images import list_images
    >>> Path("pets/cats").mkdir(parents=True)
    >>> for name in ("b.png", "cats/a.JPG", "cats/.hidden.jpg", "notes.txt"):
    ...     Path("pets", name).touch()
    >>> [path.as_posix() for path in list_images("pets")]
    ['pets/b.png', 'pets/cats/a.JPG']
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"`folder` must be a folder. Received: {str(folder)!r}")
    return [path for path in files_below(folder) if is_image(path)]


def is_image(path: Path) -> bool:
    """Whether a file's suffix is that of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def files_below(folder: Path) -> list[Path]:
    """All files below a folder but stray ones, sorted by path.

    Raises:
        ValueError: where a folder cannot be read.
    """
    return sorted(_walk(folder))


def is_stray(path: Path) -> bool:
    """Whether a relative path is hidden, or something that a system left there.

    `._a.jpg`, `.ipynb_checkpoints/a.jpg` and `__MACOSX/a.jpg` are copies or metadata
    of files, and no data.
    """
    return any(part.startswith(".") or part in _SYSTEM_FOLDERS for part in path.parts)


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        here = Path(root)
        folders[:] = [
            name
            for name in folders
            if not is_stray(Path(name)) and not _is_loop(here / name, folder)
        ]
        for name in files:
            path = here / name
            if not is_stray(Path(name)) and path.is_file():
                yield path


def _is_loop(path: Path, top: Path) -> bool:
    """Whether a path below `top` is a link to a folder that it lies in itself."""
    if not path.is_symlink():
        return False
    target = path.resolve()
    above = [one for one in path.parents if one.is_relative_to(top)]
    return any(one.resolve().is_relative_to(target) for one in above)


def _refuse(error: OSError) -> None:
    raise ValueError(f"Cannot read the folder {error.filename}: {error.strerror}")
