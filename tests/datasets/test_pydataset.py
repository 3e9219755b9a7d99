"""Reading ahead: each epoch sees each image once, in the order that is promised."""

import gc
import subprocess
import sys
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_localize.datasets import LocalizationDataset
from keras_localize.datasets import squares as squares_module
from keras_localize.images import ImageError

COUNT = 96


def numbered(count=COUNT):
    """Images whose colour is their number."""
    return LocalizationDataset(
        [np.full((8, 8, 3), i, "uint8") for i in range(count)],
        [[0, 0, 1, 1]] * count,
        [0] * count,
        ["a"],
    )


class Seen(keras.Model):
    """Notes the images that it is trained on, one array per epoch."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.stop_at = None

    def call(self, images):
        return images

    def train_step(self, *data):
        if len(self.seen) == self.stop_at:
            raise RuntimeError("stopped")
        images = keras.ops.convert_to_numpy(data[-1][0])
        self.seen.append(images[:, 4, 4, 0].astype(int))
        logs = {"loss": 0.0}
        return (logs, data[0]) if keras.config.backend() == "jax" else logs

    def fitted(self, batches, epochs, **options):
        self.compile(run_eagerly=True)
        self.fit(batches, epochs=epochs, verbose=0, **options)
        steps = len(self.seen) // epochs
        return [
            np.concatenate(self.seen[i * steps : (i + 1) * steps])
            for i in range(epochs)
        ]


@pytest.mark.parametrize("workers", [None, 0, 1, 2, 5])
@pytest.mark.parametrize("fit_shuffle", [False, True])
def test_fit_sees_each_image_once_in_the_order_of_seed_and_epoch(workers, fit_shuffle):
    batches = numbered().to_pydataset(8, 4, shuffle=True, seed=3, workers=workers)
    epochs = Seen().fitted(batches, 4, shuffle=fit_shuffle)
    # Keras may end an epoch of its own before the first.
    start = batches.epoch - 4
    for epoch, seen in enumerate(epochs):
        order = np.random.default_rng([3, start + epoch]).permutation(COUNT)
        assert seen.tolist() == order.tolist()


def test_predict_keeps_the_order():
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(inputs))
    for workers in (1, 3):
        batches = numbered(30).to_pydataset(8, 4, workers=workers)
        predicted = model.predict(batches, verbose=0)[:, 0]
        assert predicted.tolist() == list(range(30))


def ours():
    """Threads of ours; those of datasets that are gone are not counted."""
    gc.collect()
    return [t for t in threading.enumerate() if t.name.startswith("keras_localize")]


def test_threads_end_with_the_epoch(monkeypatch):
    used = set()
    original = squares_module.letterbox

    def watched(source, size, out):
        used.add(threading.current_thread().name)
        return original(source, size, out)

    monkeypatch.setattr(squares_module, "letterbox", watched)
    batches = numbered().to_pydataset(8, 4, workers=3)
    batches.on_epoch_begin()
    batches[0], batches[1]
    assert any(name.startswith("keras_localize") for name in used) and ours()
    batches.on_epoch_end()
    assert not ours()
    # Without a loop of Keras's nothing is read ahead.
    used.clear()
    batches[0], batches[1]
    assert not ours() and used == {threading.current_thread().name}
    del batches


def test_reading_ahead_is_bounded(monkeypatch):
    read = []
    original = squares_module.letterbox
    monkeypatch.setattr(
        squares_module,
        "letterbox",
        lambda source, size, out: (read.append(1), original(source, size, out)),
    )
    batches = numbered().to_pydataset(8, 1, workers=2, max_queue_size=3)
    batches.on_epoch_begin()
    for _ in range(5):
        batches[_]
    batches.on_epoch_end()
    assert 5 <= len(read) <= 5 + 3


@pytest.mark.parametrize("workers", [1, 3])
def test_errors_reach_the_loop(tmp_path, workers):
    data = numbered(12)
    images = [*data.images]
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    images[7] = str(tmp_path / "broken.png")
    broken = LocalizationDataset(
        images, data.boxes, data.labels, ["a"], image_sizes=data.image_sizes
    )
    batches = broken.to_pydataset(8, 2, workers=workers)
    batches.on_epoch_begin()
    for index in range(3):
        batches[index]
    with pytest.raises(ImageError, match=r"broken\.png"):
        batches[3]
    assert batches[4][0].shape == (2, 8, 8, 3)
    batches.on_epoch_end()
    with pytest.raises(Exception, match=r"broken\.png"):
        Seen().fitted(broken.to_pydataset(8, 2, workers=workers), 1)


def test_after_an_interrupted_fit_an_index_is_an_index():
    batches = numbered().to_pydataset(8, 4, workers=3)
    model = Seen()
    model.stop_at = 5
    with pytest.raises(Exception, match="stopped"):
        model.fitted(batches, 1, shuffle=False)
    assert batches[2][0][:, 4, 4, 0].tolist() == [8, 9, 10, 11]
    assert batches[20][0][0, 4, 4, 0] == 80
    batches.on_epoch_begin()
    batches.on_epoch_end()
    assert not ours()


ORPHANS = """
import os, signal, sys, time
import numpy as np
from keras_localize import make_synthetic

if __name__ == "__main__":
    batches = make_synthetic(8, max_side=100).to_pydataset(
        8, 2, workers=2, use_multiprocessing=True
    )
    batches.on_epoch_begin()
    batches[0]
    children = open(f"/proc/self/task/{os.getpid()}/children").read()
    print(children, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_no_process_is_left_by_a_killed_parent():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("processes do not depend on the backend: checked on TensorFlow")
    done = subprocess.run(
        [sys.executable, "-c", ORPHANS],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    children = [int(number) for number in done.stdout.split()]
    assert len(children) >= 2, done.stderr[-2000:]
    end = time.monotonic() + 60
    while any(map(alive, children)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(alive, children))


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False
