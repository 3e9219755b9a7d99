"""Two processes with one seed read each image once in every epoch."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
from shard_process import BATCH, EPOCHS, IMAGES

PROCESS = Path(__file__).with_name("shard_process.py")
COUNT = 2


def received(server):
    """The index of a process, and what it read."""
    connection, _ = server.accept()
    with connection, connection.makefile("rb") as file:
        return json.load(file)


def test_two_processes_read_each_image_once_per_epoch():
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(300)  # a process that fails sends nothing
        arguments = [str(server.getsockname()[1]), "{}", str(COUNT)]
        processes = [
            subprocess.Popen(
                [sys.executable, str(PROCESS), *(x.format(index) for x in arguments)],
                env=environment,
            )
            for index in range(COUNT)
        ]
        answers = dict(received(server) for _ in processes)
    assert [process.wait(60) for process in processes] == [0] * COUNT
    orders = set()
    for epoch in range(EPOCHS):
        shares = [answers[index][epoch] for index in range(COUNT)]
        assert [len(share) for share in shares] == [-(-IMAGES // COUNT // BATCH)] * 2
        seen = [[x for batch in share for x in batch] for share in shares]
        for index, numbers in enumerate(seen):
            assert sorted(numbers) == list(range(index, IMAGES, COUNT))
            orders.add(tuple(numbers))
        assert sorted(x for numbers in seen for x in numbers) == list(range(IMAGES))
    assert len(orders) == COUNT * EPOCHS  # shuffled, anew in each epoch
