"""Downloads archives into a folder: checked, and complete or not at all.

A folder appears under its final name only when everything in it is there, so that
"it exists" means "it is complete", whenever the run was interrupted.
"""

import hashlib
import http.client
import os
import shutil
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from keras_localize.datasets.annotation_files import leaves_folder
from keras_localize.datasets.progress import Progress
from keras_localize.files import locked

_CHUNK = 2**18
_UNPACKING = ".unpacking-"


class DownloadError(OSError):
    """Data could not be downloaded or unpacked; says which, why, and what to do."""


@dataclass(frozen=True)
class Archive:
    """A tar archive on the network.

    Attributes:
        url: where it is.
        checksum: `"sha256:..."` or `"md5:..."`.
        folder: the folder that it holds and that is wanted.
        max_bytes: more than this, downloaded or unpacked, is refused.
    """

    url: str
    checksum: str
    folder: str
    max_bytes: int = 4 * 10**9


def keras_home() -> Path:
    """Keras's own folder: `KERAS_HOME`, or `~/.keras`."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def provide(archives: Iterable[Archive], root: Path) -> None:
    """Downloads and unpacks what is missing of the archives' folders in `root`.

    What is there already is not downloaded again. An interrupted download continues
    where it stopped. Of several processes one downloads and the others wait.

    Raises:
        DownloadError: nothing was changed but the part that was downloaded so far.
    """
    for archive in archives:
        if (root / archive.folder).is_dir():
            continue
        try:
            root.mkdir(parents=True, exist_ok=True)
            with locked(_lock_of(root)):
                # Another process may have had the lock, and done it.
                if not (root / archive.folder).is_dir():
                    _provide(archive, root)
        except DownloadError:
            raise
        except OSError as error:
            raise DownloadError(
                f"{archive.url} could not be stored in {root}: {error}"
            ) from error


def fetch(url: str, checksum: str, folder: Path, max_bytes: int = 4 * 10**9) -> Path:
    """Downloads a file with a progress bar and checks it.

    Args:
        url: http or https.
        checksum: `"sha256:..."` or `"md5:..."`.
        folder: where the file goes, under the last part of the URL's path. Until
            it is whole and checked it is called `*.part`.
        max_bytes: a larger file, or one without end, is refused and removed.

    Returns:
        The file's path.

    Raises:
        DownloadError: no network, interrupted, or a wrong checksum.
    """
    path = folder / PurePosixPath(url).name
    algorithm, _, expected = checksum.partition(":")
    # It is whole but was not unpacked: the disk was full, or the run was killed.
    if path.is_file() and _digest(path, algorithm) == expected:
        return path
    part = path.with_name(path.name + ".part")
    try:
        _receive(url, part, max_bytes)
    except (http.client.HTTPException, OSError) as error:  # URLError is an OSError
        if isinstance(error, DownloadError):
            raise
        reason = getattr(error, "reason", None) or error
        raise DownloadError(f"{url} could not be downloaded: {reason}") from error
    received = _digest(part, algorithm)
    if received != expected:
        part.unlink()
        raise DownloadError(
            f"{url} has the wrong checksum and was removed: expected {algorithm} "
            f"{expected}. Received: {received}"
        )
    part.replace(path)
    return path


def unpack(
    path: Path, root: Path, folder: str, max_bytes: int, max_files: int = 100_000
) -> None:
    """Unpacks `folder` of a tar archive into `root`, whole or not at all.

    Args:
        path: the archive, gzipped or not.
        root: where `folder` appears.
        folder: top folder in the archive.
        max_bytes: more bytes than this are refused.
        max_files: more entries than this are refused.

    Raises:
        DownloadError: for an archive that is damaged or too large, or that holds
            anything but files and folders below its own (links, devices, `../`).
    """
    with tempfile.TemporaryDirectory(dir=root, prefix=_UNPACKING) as temporary:
        try:
            with (
                tarfile.open(path) as tar,
                Progress(None, f"unpacking {path.name}", unit="files") as progress,
            ):
                _extract(tar, Path(temporary), path, max_bytes, max_files, progress)
        except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
            raise DownloadError(f"{path} is damaged: {error}") from error
        unpacked = Path(temporary) / folder
        if not unpacked.is_dir():
            raise DownloadError(f"{path} contains no folder {folder!r}")
        try:
            unpacked.replace(root / folder)
        except OSError:
            # Another process was faster, and its folder is as good.
            if not (root / folder).is_dir():
                raise


# --- helpers ---


def _provide(archive: Archive, root: Path) -> None:
    _sweep(root)
    path = fetch(archive.url, archive.checksum, root, archive.max_bytes)
    unpack(path, root, archive.folder, archive.max_bytes)
    path.unlink()


def _lock_of(root: Path) -> Path:
    """A lock file that is not in `root`, where nothing but the data is left."""
    key = hashlib.sha256(f"{Path.home()}\0{root.resolve()}".encode()).hexdigest()
    return Path(tempfile.gettempdir()) / f"keras_localize-{key[:32]}.lock"


def _sweep(root: Path) -> None:
    """Removes what a killed run left half unpacked, but no other run's work."""
    for stale in root.glob(f"{_UNPACKING}*"):
        if time.time() - stale.stat().st_mtime > 3600:
            shutil.rmtree(stale, ignore_errors=True)


def _receive(url: str, part: Path, max_bytes: int) -> None:
    """Appends to `part` what is missing of it."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "keras-localize"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # nothing behind what is there: whole
            return
        raise
    with response:
        resumed = response.status == 206 and (
            response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        )
        if start and not resumed:
            start = 0
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        if total is not None:
            _check_length(total, url, part, max_bytes)
        label = f"downloading {PurePosixPath(url).name}"
        with (
            open(part, "ab" if resumed else "wb") as file,
            Progress(total, label, scale=1e6, unit="MB", delay=0.0) as progress,
        ):
            progress.update(start)
            while chunk := response.read(_CHUNK):
                progress.update(len(chunk))
                # Before it is written: a body without end would fill the disk.
                _check_length(int(progress.done), url, part, max_bytes)
                file.write(chunk)
        if total is not None and progress.done < total:
            raise DownloadError(
                f"{url} broke off after {progress.done} of {total} bytes; "
                "the next run continues from there"
            )


def _check_length(length: int, url: str, part: Path, max_bytes: int) -> None:
    if length > max_bytes:
        part.unlink(missing_ok=True)
        raise DownloadError(
            f"{url} was refused: more than the {max_bytes} bytes that it may have"
        )


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _extract(
    tar: tarfile.TarFile,
    target: Path,
    path: Path,
    max_bytes: int,
    max_files: int,
    progress: Progress,
) -> None:
    written = 0
    for count, member in enumerate(tar, start=1):
        written += member.size if member.isreg() else 0
        if written > max_bytes or count > max_files:
            raise DownloadError(
                f"{path} is too large: more than {max_bytes} bytes or {max_files} "
                "files unpacked"
            )
        name = PurePosixPath(member.name.replace("\\", "/"))
        if leaves_folder(member.name):
            raise DownloadError(
                f"{path} was refused: {member.name!r} leaves its folder"
            )
        if not (member.isreg() or member.isdir()):
            raise DownloadError(
                f"{path} was refused: {member.name!r} is neither a file nor a folder"
            )
        place = target / name
        if member.isdir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            # Only of a link could it be None.
            content = cast(IO[bytes], tar.extractfile(member))
            with content as source, open(place, "wb") as file:
                shutil.copyfileobj(source, file, _CHUNK)
        progress.update()
