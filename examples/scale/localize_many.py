"""Localizes millions of images with Ray Data, on one machine or on many.

    pip install -e ".[ray]"
    python localize_many.py localizer.keras images/ answers/ --workers 2

Every worker is a process with a localizer of its own. The answers are rows of Parquet
files in `answers/`; an image that cannot be read is a row as well, with the reason in
its column `error`. Run again, after it was stopped or killed, it continues with the
images that have no row yet.

On several machines the folder must be one that all of them see, and a Ray cluster must
run (`ray start --head`, `ray start --address=HEAD:6379`); with `--address auto` the
workers are spread over it.
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray

COLUMNS = pa.schema(
    [
        ("path", pa.string()),
        ("class_name", pa.string()),
        ("score", pa.float32()),
        # Pixels of the original image; null where there is no object.
        ("box", pa.list_(pa.float32())),
        ("quality", pa.float32()),
        ("presence", pa.float32()),
        ("error", pa.string()),
    ]
)


class Worker:
    """A process that loads the localizer once and answers for batches of paths.

    Args:
        model: path of the saved localizer.
        options: of `Localizer.iter_localize`.
    """

    def __init__(self, model: str, options: dict[str, Any]) -> None:
        # Imported here: the process that hands out the work needs no backend.
        import keras

        from keras_localize import images

        self.images = images
        self.localizer = keras.saving.load_model(model)
        self.options = options

    def __call__(self, batch: dict[str, np.ndarray]) -> pa.Table:
        return pa.Table.from_pylist(list(self.rows(batch["item"])), schema=COLUMNS)

    def rows(self, paths: np.ndarray) -> Iterator[dict[str, Any]]:
        """One row for each image, also for one that cannot be read."""
        with warnings.catch_warnings():
            # Every skipped image has a row.
            warnings.simplefilter("ignore", UserWarning)
            answers = self.localizer.iter_localize(
                [str(path) for path in paths],
                on_error="skip",
                verbose=0,
                **self.options,
            )
            for path, answer in answers:
                if answer is not None:
                    known = {n: getattr(answer, n, None) for n in COLUMNS.names}
                    yield {**known, "path": path}
                    continue
                error = "could not be read at first"
                try:
                    self.images.load(path)
                except self.images.ImageError as reason:
                    error = str(reason)
                yield {"path": path, "error": error}


def answered(folder: Path) -> set[str]:
    """The paths that have a row."""
    done: set[str] = set()
    for part in folder.glob("*.parquet"):
        done.update(pq.read_table(part, columns=["path"])["path"].to_pylist())
    return done


def main(arguments: list[str] | None = None) -> None:
    from keras_localize.files import replacing
    from keras_localize.images import list_images

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a saved localizer, *.keras")
    parser.add_argument("images", type=Path, help="a folder, read recursively")
    parser.add_argument("answers", type=Path, help="the folder of the Parquet files")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rows", type=int, default=4096, help="per Parquet file")
    parser.add_argument("--gpus", type=float, default=0, help="per worker")
    parser.add_argument("--refine", action="store_true")
    parser.add_argument("--address", help="of a Ray cluster, such as auto")
    options = parser.parse_args(arguments)

    options.answers.mkdir(parents=True, exist_ok=True)
    done = answered(options.answers)
    paths = [str(path) for path in list_images(options.images)]
    left = [path for path in paths if path not in done]
    print(f"{len(paths)} images, {len(paths) - len(left)} of them have a row")
    if not left:
        return
    ray.init(address=options.address, log_to_driver=False)
    # Work goes to whoever is free: an interrupted run loses at most these.
    blocks = -(-len(left) // (8 * options.batch_size))
    answers = ray.data.from_items(left, override_num_blocks=blocks).map_batches(
        Worker,
        fn_constructor_args=(
            str(Path(options.model).resolve()),
            {"batch_size": options.batch_size, "refine": options.refine},
        ),
        batch_size=8 * options.batch_size,
        num_cpus=1,
        num_gpus=options.gpus,
        compute=ray.data.ActorPoolStrategy(size=options.workers),
    )
    count = failed = 0
    start = time.perf_counter()
    for table in answers.iter_batches(batch_size=options.rows, batch_format="pyarrow"):
        # Its name says when it was written; it appears whole or not at all.
        with replacing(options.answers / f"{time.time_ns()}.parquet") as unfinished:
            pq.write_table(table.cast(COLUMNS), unfinished)
        count += len(table)
        failed += len(table) - table["error"].null_count
        rate = count / (time.perf_counter() - start)
        print(f"{count} of {len(left)}: {failed} errors, {rate:.1f} images/s")
    ray.shutdown()


if __name__ == "__main__":
    main()
