"""Batches as a `keras.utils.PyDataset` that reads ahead by itself."""

import itertools
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_localize.datasets.batches import Batches
from keras_localize.datasets.cores import cores

Batch: TypeAlias = tuple[np.ndarray, Any, Any]


class BatchDataset(keras.utils.PyDataset):
    """`Batches` for Keras's own loops, without TensorFlow.

    Outside of these loops `dataset[i]` is batch `i`. Between `on_epoch_begin` and
    `on_epoch_end`, which `fit`, `evaluate` and `predict` call, batches come in the
    order of (seed, epoch) whatever the index: Keras shuffles the indices of a
    PyDataset, which would undo the order that was asked for.

    Keras's own threads read ahead across the end of an epoch, so that an epoch would
    see batches of the one before. So Keras gets `workers=1`, and this class reads ahead
    within one epoch only.

    Args:
        batches: what is read.
        workers: threads, or processes, that read ahead in Keras's loops. None: one per
            core. With 0 or 1 thread batches are read when they are asked for.
        use_multiprocessing: processes in place of threads.
        max_queue_size: how many batches are read ahead at most.
    """

    def __init__(
        self,
        batches: Batches,
        workers: int | None = None,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ):
        super().__init__(workers=1)
        self.batches = batches
        self.class_names = list(batches.class_names)
        self.epoch = 0
        self._worker_count = cores() if workers is None else workers
        self._use_processes = use_multiprocessing
        self._ahead = max_queue_size
        self._reader: _Reader | None = None
        self._asked: set[int] = set()

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch:
        if not -len(self) <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        if index in self._asked:
            # An error ended the loop before its epoch did.
            self._stop()
        if self._reader is None:
            return self.batches.batch(self.epoch, index % len(self))
        self._asked.add(index)
        try:
            return self._reader.next()
        except BaseException:
            self._stop()
            raise

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None, "_asked": set()}

    def content_fingerprint(self) -> str | None:
        """A text that is the same for the same batches from the next epoch on.

        None where `augment` is a function; see `Batches.fingerprint`.
        """
        return self.batches.fingerprint(self.epoch)

    def set_epoch(self, epoch: int) -> None:
        """Says the epoch whose order and draws come next; see `EpochOrder`."""
        self._stop()
        self.epoch = epoch

    def on_epoch_begin(self) -> None:
        """Starts an epoch of Keras's loops."""
        self._stop()
        self._reader = _Reader(
            self.batches,
            self.epoch,
            self._worker_count,
            self._use_processes,
            self._ahead,
        )

    def on_epoch_end(self) -> None:
        """Moves on to the next epoch's order and draws."""
        self._stop()
        self.epoch += 1

    def _stop(self) -> None:
        if self._reader is not None:
            self._reader.stop()
        self._reader = None
        self._asked = set()


class _Reader:
    """The batches of one epoch in order, some of them read ahead."""

    def __init__(
        self, batches: Batches, epoch: int, workers: int, processes: bool, ahead: int
    ):
        self.epoch = epoch
        self.ahead = max(ahead, 1)
        self.numbers = iter(range(len(batches)))
        self.pending: deque[Future[Batch]] = deque()
        self.lock = threading.Lock()
        self.read: Callable[[int, int], Batch] = batches.batch
        self.pool: Executor | None = None
        if processes and workers > 0:
            self.read = _read
            self.pool = ProcessPoolExecutor(
                workers, initializer=_remember, initargs=(batches,)
            )
        elif workers > 1:
            self.pool = ThreadPoolExecutor(workers, "keras_localize_batches")

    def next(self) -> Batch:
        with self.lock:
            if self.pool is None:
                return self.read(self.epoch, next(self.numbers))
            room = self.ahead - len(self.pending)
            for number in itertools.islice(self.numbers, room):
                self.pending.append(self.pool.submit(self.read, self.epoch, number))
            future = self.pending.popleft()
        return future.result()

    def stop(self) -> None:
        """Ends the threads or processes; what they have begun is waited for."""
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)


# What the processes of a pool read from.
_batches: Batches


def _remember(batches: Batches) -> None:
    global _batches
    _batches = batches
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process when the one that started it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _read(epoch: int, number: int) -> Batch:
    return _batches.batch(epoch, number)
