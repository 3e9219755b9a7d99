"""Downloads that are killed at random moments, for test_download.

    python download_process.py FOLDER KILLS

The last line printed is a JSON object of what was found.
"""

import hashlib
import http.server
import io
import json
import os
import random
import signal
import sys
import tarfile
import threading
import time
from pathlib import Path

import numpy as np

from keras_localize.datasets.download import Archive, provide

FILES, LENGTH, PART = 60, 20_000, 10_000
ROWS = np.random.default_rng(0).integers(0, 256, (FILES, LENGTH), "uint8")


def packed():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for number, row in enumerate(ROWS):
            info = tarfile.TarInfo(f"data/{number}.bin")
            info.size = LENGTH
            tar.addfile(info, io.BytesIO(row.tobytes()))
    return buffer.getvalue()


WHOLE = packed()


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends the archive, or its end, slowly."""

    def do_GET(self):
        asked = self.headers.get("Range", "bytes=0-")
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(WHOLE):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        stated = f"bytes {start}-{len(WHOLE) - 1}/{len(WHOLE)}"
        self.send_header("Content-Range", stated)
        self.send_header("Content-Length", str(len(WHOLE) - start))
        self.end_headers()
        try:
            for position in range(start, len(WHOLE), PART):
                self.wfile.write(WHOLE[position : position + PART])
                time.sleep(0.002)
        except OSError:
            pass  # the client was killed

    def log_message(self, *args):
        pass


def start(archive, folder):
    process = os.fork()
    if process == 0:
        status = 1
        try:
            provide([archive], folder)
            status = 0
        finally:
            os._exit(status)
    return process


def same(data):
    return len(list(data.iterdir())) == FILES and all(
        (data / f"{number}.bin").read_bytes() == row.tobytes()
        for number, row in enumerate(ROWS)
    )


def main(folder, kills):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/data.tar.gz"
    archive = Archive(url, f"sha256:{hashlib.sha256(WHOLE).hexdigest()}", "data")
    before = time.perf_counter()
    ends = [os.waitpid(start(archive, folder / "whole"), 0)[1]]
    seconds, killed, equal = (
        time.perf_counter() - before,
        0,
        [same(folder / "whole/data")],
    )
    rng = random.Random(0)
    for number in range(kills):
        broken = folder / f"broken-{number}"
        process = start(archive, broken)
        time.sleep(rng.uniform(0, seconds))
        os.kill(process, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(process, 0)[1])
        ends.append(os.waitpid(start(archive, broken), 0)[1])
        equal.append(same(broken / "data"))
    print(json.dumps({"killed": killed, "ends": ends, "equal": equal}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
