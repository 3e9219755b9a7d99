"""Processes that write features into one folder, for test_feature_cache.

    python feature_cache_process.py kill FOLDER
    python feature_cache_process.py together FOLDER

The last line printed is a JSON object of what was found.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from keras_localize import cache_features, make_synthetic

COUNT, BATCH = 150, 3


class Slow:
    """Features in NumPy: what is forked must not run a backend."""

    def predict_on_batch(self, images):
        time.sleep(0.01)
        x = images.astype("float32")
        return [x[:, ::4, ::4], x.mean(axis=(1, 2))]


DATA = make_synthetic(COUNT, min_side=32, max_side=40)


def run(path):
    return cache_features(
        Slow(), DATA.to_pydataset(32, BATCH), mirror=False, verbose=0, path=path
    )


def start(path):
    """A process that writes; its exit status says whether it had all rows."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            maps, targets, _ = run(path)
            status = 0 if len(maps[0]) == len(targets["box"]) == COUNT else 2
        finally:
            os._exit(status)
    return process


def lines(path):
    index = path / "index"
    return index.read_text().count("\n") if index.exists() else 0


def kill(path):
    rng, killed, partial = random.Random(0), 0, 0
    expected = run(path.with_name("whole"))
    while killed < 10:
        wanted = lines(path) + rng.randint(0, 3)
        process = start(path)
        while lines(path) < wanted:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.015))
        os.kill(process, signal.SIGKILL)
        if os.WIFSIGNALED(os.waitpid(process, 0)[1]):
            killed += 1
        partial += 0 < lines(path) < COUNT // BATCH
        if lines(path) > COUNT // BATCH:
            break
    return expected, [run(path)], {"killed": killed, "partial": partial}


def together(path):
    """Twice two processes killed while they write, then two that come to the end."""
    expected = run(path.with_name("whole"))
    for wanted in (8, 16):
        processes = [start(path), start(path)]
        while lines(path) < wanted:
            time.sleep(0.001)
        for process in processes:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
    processes = [start(path), start(path)]
    ends = [os.waitpid(process, 0)[1] for process in processes]
    return expected, [run(path)], {"ends": ends}


def main(task, folder):
    path = Path(folder) / "cache"
    expected, found, figures = {"kill": kill, "together": together}[task](path)
    same = all(
        (path / one.name).read_bytes() == one.read_bytes()
        for one in path.with_name("whole").glob("*.raw")
    )
    for maps, targets, weights in found:
        arrays = [*maps, *targets.values(), *weights.values()]
        wanted = [*expected[0], *expected[1].values(), *expected[2].values()]
        same = same and all(map(np.array_equal, arrays, wanted))
    figures |= {"rows": [len(maps[0]) for maps, _, _ in found]}
    print(json.dumps({**figures, "expected_rows": COUNT, "same_bytes": same}))


if __name__ == "__main__":
    main(*sys.argv[1:])
