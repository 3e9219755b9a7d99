"""Work that is killed at random moments and started again: is the result the same?

    python benchmarks/killed.py [--kills 10] [--tasks NAME ...]

Every task runs in a process of its own. First it runs to the end, which gives the
result to compare with and the time that it takes. Then it is started again and again in
another folder, and killed (SIGKILL) at a random moment within that time, until it was
killed `--kills` times. Whenever it comes to its end, its result is compared, and the
folder is emptied. The last start is never killed.

- `fit`: `Localizer.fit` on shuffled, augmented batches with dropout and a
  `TrainingCheckpoint`; weights and figures within 1e-6.
- `train`: `train_localizer` with `cache=`; the same.

The tests kill `cache_features`, batches with `cache=` and downloads in the same way.
"""

import argparse
import multiprocessing
import random
import shutil
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

import keras_localize as kl


class Pause(keras.callbacks.Callback):
    """Makes each step last long enough to be killed in."""

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.05)


def figures(localizer, history):
    """All weights, and the last value of all that was logged."""
    weights = [keras.ops.convert_to_numpy(w).ravel() for w in localizer.weights]
    last = [np.ravel(history[name])[-1:] for name in sorted(history)]
    return np.concatenate([*weights, *last]).astype("float64")


def network():
    """A localizer on a backbone of one layer."""
    layers = [
        keras.Input((32, 32, 3)),
        keras.layers.Rescaling(1 / 127.5, -1),
        keras.layers.Conv2D(4, 8, strides=8),
    ]
    return kl.build_localizer(
        keras.Sequential(layers), 2, quality=True, dropout=0.3, preprocessing=None
    )


def drawn(count):
    return kl.make_synthetic(count, num_classes=2, min_side=40, max_side=60, seed=0)


def fit(folder):
    keras.utils.set_random_seed(0)
    data = drawn(20)
    on_tensorflow = keras.backend.backend() == "tensorflow"
    read = data.to_tf_data if on_tensorflow else data.to_pydataset
    view = kl.RandomSquareView(32, bounding_box_format="rel_xyxy")
    batches = read(32, 4, shuffle=True, augment=view, seed=5)
    checkpoint = kl.TrainingCheckpoint(folder / "checkpoint")
    localizer = network()
    localizer.compile()
    localizer.fit(
        batches,
        epochs=12,
        initial_epoch=checkpoint.epochs,
        callbacks=[checkpoint, Pause()],
        verbose=0,
    )
    return figures(localizer, checkpoint.history)


def train(folder):
    keras.utils.set_random_seed(0)
    data, validation = drawn(24).split(0.25)
    localizer = network()
    history = kl.train_localizer(
        localizer,
        data,
        validation,
        head_epochs=4,
        views=2,
        fine_tune_epochs=4,
        batch_size=4,
        cache=folder / "cache",
        seed=3,
        callbacks=[Pause()],
        verbose=0,
    )
    losses = {name: values for name, values in history.items() if "loss" in name}
    return figures(localizer, losses)


def work(task, folder, sender):
    """What the process does."""
    folder.mkdir(exist_ok=True)
    sender.send("started")
    sender.send(task(folder))


def started(context, task, folder):
    """The process, once it has imported everything, and where its result comes from."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(task, folder, sender))
    process.start()
    sender.close()
    receiver.recv()
    return process, receiver


def measure(context, task, folder, kills, rng):
    """Seconds of the whole task, kills, results, and how many of them were the same."""
    process, receiver = started(context, task, folder / "whole")
    start = time.perf_counter()
    expected = receiver.recv()
    seconds = time.perf_counter() - start
    process.join()
    killed = ends = equal = 0
    while True:
        process, receiver = started(context, task, folder / "broken")
        if killed < kills and not receiver.poll(rng.uniform(0, seconds)):
            process.kill()
            process.join()
            killed += 1
            continue
        ends += 1
        try:
            result = receiver.recv()
            equal += np.allclose(result, expected, rtol=1e-6, atol=1e-6)
        except EOFError:
            print(f"{process.name} ended with an error", flush=True)
        process.join()
        if killed == kills:
            return seconds, killed, ends, equal
        shutil.rmtree(folder / "broken")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    tasks = {"fit": fit, "train": train}
    parser.add_argument("--tasks", nargs="+", default=list(tasks), choices=tasks)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.tasks:
            folder = Path(temporary) / name
            folder.mkdir()
            seconds, killed, ends, equal = measure(
                context, tasks[name], folder, options.kills, rng
            )
            print(
                f"{keras.backend.backend()}: {name:8} {seconds:5.1f} s, "
                f"killed {killed} times, {equal} of {ends} results the same",
                flush=True,
            )


if __name__ == "__main__":
    main()
