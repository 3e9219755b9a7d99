"""Files that appear whole or not at all, and one process at a time that writes."""

import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["locked", "naming", "replacing"]


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a path to write to; its content replaces `path` if no error occurs.

    What is written, a file or a folder, has the name of `path` and lies in a
    temporary folder beside it, so that the final move stays in one file system. Files
    written next to it in that folder are moved too: some formats consist of several.

    Args:
        path: the file or folder to create or replace. Missing parents are created.
            A file replaces a file, and a folder a folder.

    Raises:
        IsADirectoryError: where a file would replace a folder, and all that is in it.
        NotADirectoryError: where a folder would replace a file.
        ValueError: for the working directory, whose files this program would lose.
        OSError: where it cannot be written. `path` is as it was before.

    Example:

    >>> from pathlib import Path
    >>> from keras_localize.files import replacing
    >>> with replacing("runs/report.txt") as unfinished:
    ...     _ = unfinished.write_text("done")
    >>> Path("runs/report.txt").read_text()
    'done'
    """
    path = Path(path)
    if path.absolute() == Path.cwd():
        raise ValueError(
            f"`path` must not be the working directory, which would be replaced. "
            f"Received: path={path}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".unfinished-") as folder:
        written, replaced = Path(folder) / "new", Path(folder) / "old"
        written.mkdir()
        replaced.mkdir()
        with naming(path):
            yield written / path.name
        # The named one goes last: it is what a reader looks for.
        ones = sorted(written.iterdir(), key=lambda one: one.name == path.name)
        for one in ones:
            _check_kind(one, path.with_name(one.name))
        for one in ones:
            target = path.with_name(one.name)
            # A file replaces a file in one step; an old folder has to go first.
            if target.is_dir():
                os.replace(target, replaced / one.name)
            os.replace(one, target)


def _check_kind(new: Path, target: Path) -> None:
    """Refuses to replace a folder by a file, or a file by a folder."""
    if not target.exists() or new.is_dir() == target.is_dir():
        return
    kind = errno.EISDIR if target.is_dir() else errno.ENOTDIR
    raise OSError(kind, os.strerror(kind), os.fspath(target))


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Adds `path` to an OSError that names no file, as that of a full disk.

    Raises:
        OSError: of the same type and number, with `path` as its file name.

    Example:

    >>> import errno
    >>> from keras_localize.files import naming
    >>> try:
    ...     with naming("cache.raw"):
    ...         raise OSError(errno.ENOSPC, "No space left on device")
    ... except OSError as error:
    ...     print(error)
    [Errno 28] No space left on device: 'cache.raw'
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


@contextlib.contextmanager
def locked(path: str | os.PathLike) -> Iterator[None]:
    """Waits until no other process, or thread, is within `locked(path)`.

    The operating system holds the lock and releases it when a process ends, however
    it ends: no lock is ever left behind. The empty file itself stays.

    Args:
        path: the lock file; it is created where it is missing.

    Raises:
        OSError: where it cannot be created, as in a read-only folder.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _wait_for(descriptor)
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt
    import time

    def _wait_for(descriptor: int) -> None:
        while True:
            # It tries for ten seconds.
            with contextlib.suppress(OSError):
                msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
                return
            time.sleep(0.1)

else:
    import fcntl

    def _wait_for(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
