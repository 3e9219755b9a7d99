"""Which files of a folder are images."""

import os
from pathlib import Path

# Suffix -> the format that Pillow gives such a file.
IMAGE_SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".ppm": "PPM",
    ".pgm": "PPM",
}


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files below a folder, in sorted order.

    Args:
        folder: read recursively. Hidden and system entries are left out; see
            `is_stray`.

    Raises:
        ValueError: for what is no folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"`folder` must be a folder. Received: {str(folder)!r}")
    return [path for path in files_below(folder) if is_image(path)]


def is_image(path: Path) -> bool:
    """Whether a file's suffix is that of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def files_below(folder: Path) -> list[Path]:
    """All files below a folder but stray ones, sorted by path."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not is_stray(path.relative_to(folder))
    ]


def is_stray(path: Path) -> bool:
    """Whether a relative path is hidden, or something that a system left there.

    `._a.jpg`, `.ipynb_checkpoints/a.jpg` and `__MACOSX/a.jpg` are copies or metadata
    of files, and no data.
    """
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
