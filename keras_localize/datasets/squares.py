"""Records to letterboxed squares, decoded once where a cache is asked for."""

import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from keras_localize import types
from keras_localize.arrays import digest_array
from keras_localize.boxes.square import fit
from keras_localize.datasets.validation import check_shape
from keras_localize.files import naming
from keras_localize.images import ImageError, fast_jpeg, inspect, letterbox
from keras_localize.types import ArrayLike, Region


def square_boxes(boxes: ArrayLike, image_sizes: ArrayLike, size: int) -> np.ndarray:
    """Boxes of images to boxes of their squares, on the host.

    Args:
        boxes: (N, 4) rel_xyxy relative to the image.
        image_sizes: (N, 2) integers, (height, width) in pixels.
        size: side of the square in pixels.

    Returns:
        (N, 4) float32 rel_xyxy relative to the square.
    """
    corners = np.asarray(boxes, "float64")
    height, width = np.asarray(image_sizes, "int64").T
    place = fit(height, width, size, np.maximum)
    scale = np.stack([place.columns, place.rows] * 2, axis=-1)
    offset = np.stack([place.left, place.top] * 2, axis=-1)
    return ((corners * scale + offset) / size).astype("float32")


class Squares:
    """The letterboxed images of a dataset as uint8, by index.

    Args:
        images: paths, uint8 arrays, or regions of these.
        size: side of the square in pixels.
        cache: None; `"memory"`: squares are kept after their first decoding; or a
            folder: they are kept there, in one file per set of images and size,
            which the next run finds and, if it was interrupted, completes. Several
            processes may use it at once; a complete file is only read.
        image_sizes: (N, 2) the (height, width) that the boxes are relative to. An
            image of another shape is an ImageError. None: not compared.
    """

    def __init__(
        self,
        images: Sequence[str | np.ndarray | Region],
        size: int,
        cache: types.Path | None = None,
        image_sizes: np.ndarray | None = None,
    ):
        self.images = images
        self.image_sizes = np.empty((0, 2)) if image_sizes is None else image_sizes
        self._checked = np.full(len(images), image_sizes is None)
        self.size = size
        self._store: _Store | None
        if cache is None:
            self._store = None
        elif cache == "memory":
            self._store = _Memory(len(images), size)
        elif isinstance(cache, (str, os.PathLike)):
            self._store = _Folder(Path(cache), _fingerprint(images, size), size)
        else:
            raise ValueError(
                '`cache` must be None, "memory" or the path of a folder. '
                f"Received: cache={cache!r}"
            )

    def fingerprint(self) -> str:
        """A text that is the same for the same images in squares of the same size."""
        return _fingerprint(self.images, self.size)

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """uint8 array (B, size, size, 3) of the images at `indices`."""
        squares = np.zeros((len(indices), self.size, self.size, 3), "uint8")
        missing: Sequence[int] | np.ndarray = range(len(indices))
        if self._store is not None:
            missing = self._store.read(indices, squares)
        for position in missing:
            index = int(indices[position])
            self._check_size(index)
            letterbox(self.images[index], self.size, out=squares[position])
        if self._store is not None and len(missing):
            self._store.write(indices, squares, missing)
        return squares

    def _check_size(self, index: int) -> None:
        image = self.images[index]
        if self._checked[index] or isinstance(image, Region):
            return  # once is enough
        is_array = isinstance(image, np.ndarray)
        actual = image.shape[:2] if is_array else inspect(image)[:2]
        check_shape(image, actual, self.image_sizes[index])
        self._checked[index] = True


class _Store(Protocol):
    """Where squares are kept."""

    def read(self, indices: np.ndarray, out: np.ndarray) -> Sequence[int] | np.ndarray:
        """Puts the squares of `indices` that are there into `out`.

        Returns the positions in `indices` of the others.
        """
        ...

    def write(
        self,
        indices: np.ndarray,
        squares: np.ndarray,
        positions: Sequence[int] | np.ndarray,
    ) -> None:
        """Keeps the squares at these positions."""
        ...


class _Memory:
    def __init__(self, count: int, size: int):
        self.squares = np.empty((count, size, size, 3), "uint8")
        self.done = np.zeros(count, bool)

    def read(self, indices: np.ndarray, out: np.ndarray) -> Any:
        done = self.done[indices]
        out[done] = self.squares[indices[done]]
        return np.flatnonzero(~done)

    def write(self, indices: np.ndarray, squares: np.ndarray, positions: Any) -> None:
        self.squares[indices[positions]] = squares[positions]
        self.done[indices[positions]] = True


class _Folder:
    """One file: a square per record, each with its checksum behind it.

    A row without the right checksum was never written, was cut off, or is damaged: it
    is decoded, and written, again. A row is written in one piece, and every process
    that writes it writes the same bytes: there is no order to keep and no lock.

    Plain reads and writes, not a memory map: on a full disk a write raises an error,
    where a memory map would end the process.
    """

    def __init__(self, folder: Path, key: str, size: int):
        self.path = folder / f"{key}.squares"
        self.size = size * size * 3
        # What is complete is only read, and may lie where nothing can be written.
        if not self.path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            self.path.touch()

    def read(self, indices: np.ndarray, out: np.ndarray) -> Any:
        missing = []
        with open(self.path, "rb", buffering=0) as file:
            for position, index in enumerate(indices):
                file.seek(self._start(index))
                row = file.read(self.size + 4)
                if row[self.size :] == _checksum(row[: self.size]):
                    square = np.frombuffer(row, "uint8", self.size)
                    out[position] = square.reshape(out.shape[1:])
                else:
                    missing.append(position)
        return missing

    def write(self, indices: np.ndarray, squares: np.ndarray, positions: Any) -> None:
        with naming(self.path), open(self.path, "r+b") as file:
            for position in positions:
                row = squares[position].tobytes()
                file.seek(self._start(indices[position]))
                file.write(row + _checksum(row))

    def _start(self, index: Any) -> int:
        return int(index) * (self.size + 4)


def _checksum(row: bytes) -> bytes:
    return zlib.crc32(row).to_bytes(4, "little")


def _fingerprint(images: Sequence[str | np.ndarray | Region], size: int) -> str:
    decoder = "pillow" if fast_jpeg.packages() is None else "fast_jpeg"
    digest = hashlib.sha256(f"letterbox 4 {decoder} {size}".encode())
    for image in images:
        _update(digest, image)
    return digest.hexdigest()[:32]


def _update(digest: Any, image: Any) -> None:
    if isinstance(image, Region):
        _update(digest, image.source)
        digest.update(repr(image.box).encode())
    elif isinstance(image, np.ndarray):
        digest_array(digest, image)
    else:
        try:
            stat = os.stat(image)
        except OSError as error:
            raise ImageError(image, "missing image", str(error)) from error
        text = f"{image}\0{stat.st_size} {stat.st_mtime_ns}\n"
        digest.update(text.encode("utf-8", "surrogateescape"))
