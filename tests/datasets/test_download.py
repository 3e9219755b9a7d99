"""Downloads from a server on this machine that can break off, lie and refuse."""

import contextlib
import hashlib
import http.server
import io
import os
import sys
import tarfile
import threading
from pathlib import Path

import pytest
from processes import answer_of

from keras_localize.datasets.download import Archive, DownloadError, provide


class Server(http.server.ThreadingHTTPServer):
    """Serves `content`; `break_after` bytes it hangs up, once."""

    def __init__(self, content, ranges=True):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.ranges = ranges
        self.break_after = None
        self.requests = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/files/data.tar.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.requests.append(wanted)
        start = 0
        if wanted and server.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(server.content):
                self.send_error(416)
                return
            self.send_response(206)
            total = len(server.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            self.send_response(200)
        body = server.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.break_after is not None:
            body, server.break_after = body[: server.break_after], None
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(content, **options):
        servers.append(Server(content, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def packed(*members):
    """A tar.gz of (name, bytes) or of ready TarInfo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, content = member
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


GOOD = packed(("data/a.txt", b"hello"), ("data/deep/b.bin", bytes(range(256)) * 400))


def archive(server, content=None, **options):
    digest = hashlib.sha256(server.content if content is None else content)
    return Archive(server.url, f"sha256:{digest.hexdigest()}", "data", **options)


def files(root):
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*"))


COMPLETE = ["data", "data/a.txt", "data/deep", "data/deep/b.bin"]


def test_download_unpack_and_cache(serve, tmp_path, capsys):
    server = serve(GOOD)
    root = tmp_path / "new" / "root"
    provide([archive(server)], root)
    assert files(root) == COMPLETE
    assert (root / "data/deep/b.bin").read_bytes() == bytes(range(256)) * 400
    assert "downloading data.tar.gz" in capsys.readouterr().err
    provide([archive(server)], root)
    assert server.requests == [None]  # the second run asked for nothing


def test_md5(serve, tmp_path):
    server = serve(GOOD)
    checksum = f"md5:{hashlib.md5(GOOD).hexdigest()}"
    provide([Archive(server.url, checksum, "data")], tmp_path)
    assert files(tmp_path) == COMPLETE


@pytest.mark.parametrize("ranges", [True, False])
def test_interrupted_download_goes_on(serve, tmp_path, ranges):
    server = serve(GOOD, ranges=ranges)
    server.break_after = len(GOOD) // 3
    with pytest.raises(DownloadError, match=r"data\.tar\.gz"):
        provide([archive(server)], tmp_path)
    assert files(tmp_path) == ["data.tar.gz.part"]
    provide([archive(server)], tmp_path)
    assert files(tmp_path) == COMPLETE
    assert server.requests == [None, f"bytes={len(GOOD) // 3}-"]


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_at_random_moments(tmp_path):
    script = Path(__file__).with_name("download_process.py")
    kills = int(os.environ.get("KERAS_LOCALIZE_KILLS", "10"))
    found = answer_of(script, tmp_path, kills, timeout=600)
    assert found["killed"] >= kills / 2
    assert found["ends"] == [0] * (kills + 1) and all(found["equal"])


def test_killed_between_download_and_check(serve, tmp_path):
    server = serve(GOOD)
    (tmp_path / "data.tar.gz.part").write_bytes(GOOD)
    provide([archive(server)], tmp_path)
    assert files(tmp_path) == COMPLETE


def test_wrong_checksum_is_removed_and_the_next_run_recovers(serve, tmp_path):
    server = serve(GOOD[:-9] + b"different")
    with pytest.raises(DownloadError, match=r"wrong checksum.*Received: [0-9a-f]{64}"):
        provide([archive(server, GOOD)], tmp_path)
    assert files(tmp_path) == []
    server.content = GOOD
    provide([archive(server)], tmp_path)
    assert files(tmp_path) == COMPLETE


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (("data/../../evil.txt", b"x"), "leaves its folder"),
        (("/tmp/evil.txt", b"x"), "leaves its folder"),
        (("..\\evil.txt", b"x"), "leaves its folder"),
        (("C:/evil.txt", b"x"), "leaves its folder"),
        (special("data/link", tarfile.SYMTYPE, "/etc/passwd"), "neither a file"),
        (special("data/link", tarfile.LNKTYPE, "data/a.txt"), "neither a file"),
        (special("data/pipe", tarfile.FIFOTYPE), "neither a file"),
        (("data/big", bytes(2_000_000)), "too large"),
    ],
)
def test_archives_that_are_refused_leave_nothing(serve, tmp_path, member, message):
    root = tmp_path / "root"
    server = serve(packed(("data/a.txt", b"hello"), member))
    with pytest.raises(DownloadError, match=message):
        provide([archive(server, max_bytes=1_000_000)], root)
    assert [name for name in files(tmp_path) if not name.endswith(".tar.gz")] == [
        "root"
    ]
    server.content = GOOD
    provide([archive(server)], root)
    assert files(root) == COMPLETE


def test_damaged_and_foreign_archives(serve, tmp_path):
    for content, message in (
        (GOOD[: len(GOOD) // 2], "damaged"),
        (b"no archive", "damaged"),
        (packed(("other/a.txt", b"x")), "no folder 'data'"),
    ):
        server = serve(content)
        with pytest.raises(DownloadError, match=message):
            provide([archive(server)], tmp_path)
        assert not [name for name in files(tmp_path) if name.startswith((".", "data/"))]


@contextlib.contextmanager
def files_no_larger_than(size):
    """The system's own refusal to write on, as on a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("room", "left", "requests"),
    [
        (300, ["data.tar.gz.part"], [None, "bytes=300-"]),  # full while it downloads
        (50_000, ["data.tar.gz"], [None]),  # full while it is unpacked
    ],
)
def test_full_disk_says_so_and_leaves_no_folder(serve, tmp_path, room, left, requests):
    assert room < len(GOOD) or len(GOOD) < room < 256 * 400
    server = serve(GOOD)
    with (
        files_no_larger_than(room),
        pytest.raises(
            DownloadError, match=r"data\.tar\.gz could not be .*File too large"
        ),
    ):
        provide([archive(server)], tmp_path)
    assert files(tmp_path) == left
    provide([archive(server)], tmp_path)
    assert files(tmp_path) == COMPLETE
    assert server.requests == requests  # what is there is not fetched again


def test_no_server_and_missing_file(serve, tmp_path):
    server = serve(GOOD)
    gone = archive(server)
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match=r"http://127.*could not be downloaded"):
        provide([gone], tmp_path)
    assert files(tmp_path) == []


def test_what_a_killed_run_left_is_swept(serve, tmp_path):
    import os

    old, fresh = tmp_path / ".unpacking-old", tmp_path / ".unpacking-fresh"
    old.mkdir()
    fresh.mkdir()
    os.utime(old, (1, 1))
    provide([archive(serve(GOOD))], tmp_path)
    assert not old.exists() and fresh.exists()


class Endless(http.server.BaseHTTPRequestHandler):
    """A body without a length that does not end by itself."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(bytes(2**16))

    def log_message(self, *args):
        pass


def test_a_body_without_end_is_capped(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/data.tar.gz"
    endless = Archive(url, "sha256:0", "data", max_bytes=2**20)
    with pytest.raises(DownloadError, match=f"{url} was refused.*1048576 bytes"):
        provide([endless], tmp_path)
    assert files(tmp_path) == []
    server.shutdown()
    server.server_close()


def test_a_stated_length_beyond_the_limit_is_refused_at_once(serve, tmp_path):
    server = serve(GOOD)
    with pytest.raises(DownloadError, match="was refused"):
        provide([archive(server, max_bytes=len(GOOD) - 1)], tmp_path)
    assert files(tmp_path) == []


def test_several_at_once_download_once(serve, tmp_path):
    server, errors = serve(GOOD), []

    def run():
        try:
            provide([archive(server)], tmp_path)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(server.requests) == 1
    assert files(tmp_path) == COMPLETE
