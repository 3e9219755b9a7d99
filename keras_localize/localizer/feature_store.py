"""Where cached features are kept: in memory or in a folder."""

import contextlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from keras_localize.files import locked, naming, replacing
from keras_localize.warn import warn

# Feature maps, targets and weights of some images, by names that tell them apart.
Rows: TypeAlias = dict[str, np.ndarray]

# Larger values do not fit into float16.
_LARGEST = 6e4
_VERSION = 2


class Store(Protocol):
    """Keeps the rows of one batch after the other.

    Attributes:
        batches: how many are kept.
        complete: whether these are all.
        same_source: whether these are known to be of the same batches, without
            reading them.
    """

    @property
    def batches(self) -> int: ...

    complete: bool
    same_source: bool

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """Allows `append` and `finish`; a second process waits here."""
        ...

    def append(self, rows: Rows, inputs: str) -> None:
        """Keeps one more batch; `inputs` is the digest of what it was made from."""
        ...

    def check(self, number: int, inputs: str) -> None:
        """ValueError unless batch `number` was made from these inputs."""
        ...

    def finish(self, count: int | None = None) -> Rows:
        """All rows. ValueError if they are not of `count` batches."""
        ...


class MemoryStore:
    """Keeps all rows in memory."""

    complete = False
    same_source = False

    def __init__(self) -> None:
        self._kept: list[Rows] = []

    @property
    def batches(self) -> int:
        return len(self._kept)

    def writing(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def append(self, rows: Rows, inputs: str) -> None:
        self._kept.append(halved(rows))

    def check(self, number: int, inputs: str) -> None:
        pass

    def finish(self, count: int | None = None) -> Rows:
        return concatenated(self._kept)


class FolderStore:
    """Keeps the rows in a folder: a raw file per array, appended to, and an index.

    `about.json` says what the folder is for. The index has a line for every batch:
    the number of rows up to its end, the digest of its inputs and the checksums of
    its blocks in the raw files. The line is written last: what lies behind it in
    the raw files is of an interrupted run and is written over. A last line says that
    the folder is complete; from then on it is only read.

    Args:
        path: the folder.
        about: what the rows depend on, apart from the batches, as JSON takes it.
        source: fingerprint of the batches, None where they have none.
        first: the rows of the first batch.

    Raises:
        ValueError: for a folder of other features.
    """

    def __init__(
        self, path: Path, about: dict[str, Any], source: str | None, first: Rows
    ) -> None:
        self.path = path
        self._source = source
        self._first = halved(first)
        self._layout = {
            key: (x.dtype.name, list(x.shape[1:])) for key, x in self._first.items()
        }
        layout = {key: list(value) for key, value in self._layout.items()}
        self._about = {"version": _VERSION, **about, "layout": layout}
        self._load()

    @property
    def batches(self) -> int:
        return len(self._blocks)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        if self.complete:
            yield
            return
        self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path / "lock"):
            # The process that held the lock may have written on.
            self._load()
            if not self.complete:
                self._write_heads()
            yield

    def append(self, rows: Rows, inputs: str) -> None:
        start = self._blocks[-1]["rows"] if self._blocks else 0
        sums = {}
        for key, x in rows.items():
            dtype, _ = self._layout[key]
            if dtype == "float16" and _largest(x) >= _LARGEST:
                raise ValueError(
                    f"`features` must stay within float16, as in the first batch, to "
                    f"be kept in {self.path}. Received: {_largest(x)} in {key}"
                )
            block = np.ascontiguousarray(x.astype(dtype))
            sums[key] = zlib.crc32(block.data)
            file = self._file(key)
            file.touch()
            with naming(file), open(file, "r+b") as handle:
                handle.seek(start * self._row_bytes(key))
                handle.write(block.data)
        count = start + len(next(iter(rows.values())))
        self._blocks.append({"rows": count, "inputs": inputs, "sums": sums})
        self._write_line(self._blocks[-1])

    def check(self, number: int, inputs: str) -> None:
        if number >= self.batches or self._blocks[number]["inputs"] != inputs:
            raise self._of_others(f"in which batch {number} is another")

    def finish(self, count: int | None = None) -> Rows:
        if count is not None and self.batches != count:
            raise self._of_others(f"with {self.batches} batches in place of {count}")
        if not self.complete:
            self._write_line({"complete": self.batches})
            self.complete = True
        rows = self._blocks[-1]["rows"]
        arrays = {key: self._map(key, rows) for key in self._layout}
        # Only the maps are large.
        return {
            key: x if key.startswith("maps.") else np.array(x)
            for key, x in arrays.items()
        }

    def _load(self) -> None:
        """Reads what is there and checks it."""
        self._blocks: list[dict[str, Any]] = []
        self.complete = self.same_source = False
        header = self.path / "about.json"
        if not header.exists():
            return
        try:
            about = json.loads(header.read_text("utf-8"))
            source = about.pop("source")
        except (ValueError, KeyError, AttributeError):
            about = source = None
        if about != self._about:
            raise self._of_others("made with another model or other arguments")
        self._read_index()
        if self._blocks:
            kept = {key: self._map(key, self._blocks[0]["rows"]) for key in self._first}
            if not all(_close(x, kept[key]) for key, x in self._first.items()):
                raise self._of_others("whose first batch is another")
        else:
            source = self._source
        self.same_source = source is not None and source == self._source

    def _read_index(self) -> None:
        """Takes the blocks that are whole, up to the first that is not."""
        index = self.path / "index"
        text = index.read_text("utf-8", "replace") if index.exists() else ""
        start = 0
        # A line without its end was cut off by the end of a process.
        for line in text.split("\n")[:-1]:
            try:
                block = json.loads(line)
                if "complete" in block:
                    self.complete = block["complete"] == self.batches
                    return
                whole = self._is_whole(start, block)
            except (ValueError, KeyError, TypeError):
                whole = False
            if not whole:
                warn(
                    f"{self.path} is damaged: its batches from number {self.batches} "
                    "on are computed again",
                )
                return
            start = block["rows"]
            self._blocks.append(block)

    def _is_whole(self, start: int, block: dict[str, Any]) -> bool:
        for key in self._layout:
            size = self._row_bytes(key)
            file = self._file(key)
            if not file.exists():
                return False
            with open(file, "rb") as handle:
                handle.seek(start * size)
                content = handle.read((block["rows"] - start) * size)
            if zlib.crc32(content) != block["sums"][key]:
                return False
        return True

    def _write_heads(self) -> None:
        """The header, and an index without what was cut off or damaged."""
        # What is completed from other batches is no longer known to be of the first.
        source = self._source if self.same_source or not self._blocks else None
        with replacing(self.path / "about.json") as unfinished:
            content = json.dumps({**self._about, "source": source}, indent=1)
            unfinished.write_text(content, "utf-8")
        with replacing(self.path / "index") as unfinished:
            lines = [json.dumps(block) + "\n" for block in self._blocks]
            unfinished.write_text("".join(lines), "utf-8")

    def _write_line(self, line: dict[str, Any]) -> None:
        index = self.path / "index"
        with naming(index), open(index, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _of_others(self, what: str) -> ValueError:
        return ValueError(
            "`path` must be a new folder, or one with features of the same model, data "
            f"and arguments. Received: path={str(self.path)!r}, {what}"
        )

    def _file(self, key: str) -> Path:
        return self.path / f"{key}.raw"

    def _row_bytes(self, key: str) -> int:
        dtype, shape = self._layout[key]
        return np.dtype(dtype).itemsize * int(np.prod(shape))

    def _map(self, key: str, count: int) -> np.ndarray:
        dtype, shape = self._layout[key]
        return np.memmap(self._file(key), dtype, "r", shape=(count, *shape))


def halved(rows: Rows) -> Rows:
    """The rows with maps in float16 where they fit into it."""
    return {
        key: x.astype("float16")
        if key.startswith("maps.") and _largest(x) < _LARGEST
        else x
        for key, x in rows.items()
    }


def concatenated(parts: list[Rows]) -> Rows:
    """The rows of all parts, one after the other."""
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _largest(x: np.ndarray) -> float:
    return float(np.abs(x).max(initial=0))


def _close(x: np.ndarray, y: np.ndarray) -> bool:
    """Equal but for what another thread count or float16 does to a sum."""
    if x.shape != y.shape:
        return False
    difference = np.abs(x.astype("float64") - y.astype("float64"))
    return float(difference.max(initial=0)) <= 1e-2 * max(_largest(y), 1e-6)
