"""Processes that decode into one cache of squares, for test_squares.

    python squares_process.py FOLDER

The last line printed is a JSON object of what each of the tasks found.
"""

import json
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

from keras_localize import make_synthetic

COUNT, SIZE = 120, 64
FOLDER = Path(sys.argv[1])
DATA = make_synthetic(
    COUNT, min_side=80, max_side=120, directory=FOLDER / "images", seed=0
)


def squares(path, shuffle=True):
    """All squares, read through the cache."""
    batches = DATA.to_pydataset(SIZE, 4, shuffle=shuffle, seed=0, cache=path)
    return [batches[i] for i in range(len(batches))]


def start(path):
    process = os.fork()
    if process == 0:
        status = 1
        try:
            status = 0 if len(squares(path)) == COUNT // 4 else 2
        finally:
            os._exit(status)
    return process


def content(path):
    [file] = path.iterdir()
    return file.read_bytes()


def kept(path):
    """How many squares are there."""
    row = SIZE * SIZE * 3 + 4
    found = content(path) if path.exists() and any(path.iterdir()) else b""
    return sum(any(found[i : i + row]) for i in range(0, len(found), row))


def kill(path):
    rng, killed, partial = random.Random(0), 0, 0
    for _ in range(10):
        wanted = min(kept(path) + rng.randint(0, 4), COUNT - 1)
        process = start(path)
        while kept(path) < wanted:
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.003))
        os.kill(process, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(process, 0)[1])
        partial += 0 < kept(path) < COUNT
    return {"killed": killed, "partial": partial}


def together(path):
    """Two processes killed while they write, then two that come to the end."""
    processes = [start(path), start(path)]
    while kept(path) < COUNT // 4:
        time.sleep(0.0005)
    for process in processes:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    processes = [start(path), start(path)]
    return {"ends": [os.waitpid(process, 0)[1] for process in processes]}


def full(path):
    """No file may grow beyond a part of the cache, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE * SIZE * 3 * COUNT // 2, hard))
    message = ""
    try:
        squares(path, shuffle=False)
    except OSError as error:
        message = str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    return {"message": message, "partial": kept(path)}


def main():
    whole = FOLDER / "whole"
    squares(whole)
    results = {}
    for task in (kill, together, full):
        path = FOLDER / task.__name__
        result = task(path)
        squares(path)
        same = content(path) == content(whole)
        results[task.__name__] = {**result, "same_bytes": same, "kept": kept(path)}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
