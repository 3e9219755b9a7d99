"""One of several processes that read their shares of a dataset, for test_shards.

    python shard_process.py PORT INDEX COUNT

Sends to 127.0.0.1:PORT its index and, for each of two epochs, the numbers of the
images in its batches.
"""

import json
import socket
import sys

import numpy as np

import keras_localize as kl

IMAGES, BATCH, EPOCHS = 26, 4, 2


def numbered():
    """Images whose pixels are their number."""
    return kl.LocalizationDataset(
        [np.full((8, 8, 3), number, "uint8") for number in range(IMAGES)],
        [[0, 0, 1, 1]] * IMAGES,
        [0] * IMAGES,
        ["a"],
    )


def main(port, index, count):
    share = numbered().shard(index, count)
    batches = share.to_pydataset(8, BATCH, shuffle=True, seed=7)
    epochs = []
    for epoch in range(EPOCHS):
        batches.set_epoch(epoch)
        images = [batches[step][0] for step in range(len(batches))]
        epochs.append([one[:, 0, 0, 0].tolist() for one in images])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(json.dumps([index, epochs]).encode())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
