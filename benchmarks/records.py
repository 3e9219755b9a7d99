"""Time and memory of reading many records, beside `json` and pandas alone.

    python benchmarks/records.py [--count 1000000] [--rounds 3] [--folder FOLDER]

Writes COCO's JSON and a CSV table of that many records, each with a size and one to
three boxes (CSV: one), and links to one small image under as many names. Every reading
runs in a process of its own that has imported everything and read nothing; they take
turns. Seconds are the median of the rounds; the memory is what a process has at most
above what it had before. The readers' `verify` is False: no image is opened.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

import keras_localize as kl

LINKS = 50_000  # of one file, at most


def write_records(folder, count):
    """The images, and the two annotation files."""
    images = folder / "images"
    names = [f"{i // 1000:04d}/{i:012d}.jpg" for i in range(count)]
    for number, name in enumerate(names):
        path = images / name
        if number % 1000 == 0:
            path.parent.mkdir(parents=True)
        if number % LINKS == 0:
            Image.new("RGB", (64, 48)).save(path)
            first = path
        else:
            os.link(first, path)
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 20, (count, 3, 2)).round(2)
    sides = rng.uniform(4, 25, (count, 3, 2)).round(2)
    labels = rng.integers(0, 80, (count, 3))
    objects = rng.integers(1, 4, count)
    content = {
        "images": [
            {"id": i, "file_name": name, "width": 64, "height": 48}
            for i, name in enumerate(names)
        ],
        "categories": [{"id": i + 1, "name": f"class {i}"} for i in range(80)],
        "annotations": [
            {
                "id": 4 * i + k,
                "image_id": i,
                "category_id": int(labels[i, k]) + 1,
                "bbox": [*low[i, k].tolist(), *sides[i, k].tolist()],
                "area": 1.0,
                "iscrowd": 0,
            }
            for i in range(count)
            for k in range(objects[i])
        ],
    }
    (folder / "coco.json").write_text(json.dumps(content))
    table = pd.DataFrame(low[:, 0], columns=["xmin", "ymin"])
    table[["xmax", "ymax"]] = (low[:, 0] + sides[:, 0]).round(2)
    table.insert(0, "class", [f"class {i}" for i in labels[:, 0]])
    table.insert(0, "height", 48)
    table.insert(0, "width", 64)
    table.insert(0, "filename", names)
    table.to_csv(folder / "boxes.csv", index=False)


def peak():
    """Bytes that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def now():
    """Bytes that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def measured(task, folder):
    """Seconds and bytes of a task in a process of its own."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def run():
        before, start = now(), time.perf_counter()
        kept = TASKS[task](folder)
        seconds = time.perf_counter() - start
        sender.send((seconds, peak() - before, 0 if kept is None else len(kept)))

    process = context.Process(target=run)
    process.start()
    result = receiver.recv()
    process.join()
    return result


def read_json(folder):
    with open(folder / "coco.json", encoding="utf-8") as file:
        return json.load(file)


def saved(folder):
    return kl.LocalizationDataset.load(folder / "saved.json")


TASKS = {
    "json alone": read_json,
    "read_coco": lambda f: kl.read_coco(f / "images", f / "coco.json", verify=False),
    "pandas alone": lambda f: pd.read_csv(f / "boxes.csv"),
    "read_csv": lambda f: kl.read_csv(f / "images", f / "boxes.csv", verify=False),
    "load": saved,
    "load, split": lambda f: saved(f).split(0.2),
    "load, save": lambda f: saved(f).save(f / "again.json"),
}
PEERS = {"read_coco": "json alone", "read_csv": "pandas alone"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keeps the files, or has them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "boxes.csv").exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_records(folder, options.count)
        if not (folder / "saved.json").exists():
            dataset = kl.read_csv(folder / "images", folder / "boxes.csv", verify=False)
            dataset.save(folder / "saved.json")
            del dataset
        rounds = [
            {task: measured(task, folder) for task in TASKS}
            for _ in range(options.rounds)
        ]
    figures = {
        task: [statistics.median(one[task][i] for one in rounds) for i in range(2)]
        for task in TASKS
    }
    for task, (seconds, memory) in figures.items():
        line = f"{task:13} {seconds:7.2f} s {memory / 2**20:7.0f} MiB"
        if task in PEERS:
            other = figures[PEERS[task]]
            line += f"   {seconds / other[0]:.1f} times the time,"
            line += f" {memory / other[1]:.2f} times the memory"
        print(line)


if __name__ == "__main__":
    main()
