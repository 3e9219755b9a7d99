"""examples/scale/train_torch_ddp.py in two processes over loopback."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_localize as kl

EXAMPLE = Path(__file__).parents[1] / "examples" / "scale" / "train_torch_ddp.py"
OPTIONS = {"epochs": 2, "batch_size": 8, "peak_rate": 1e-2, "seed": 3}

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch" or sys.platform == "win32",
    reason="DistributedDataParallel is torch's",
)


def data_and_localizer():
    """The same in every process."""
    keras.utils.set_random_seed(0)
    data = kl.make_synthetic(21, num_classes=2, min_side=40, max_side=60, seed=0)
    layers = [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 8, strides=8)]
    backbone = keras.Sequential(layers)
    # Without dropout, which each process draws by itself.
    return data, kl.build_localizer(backbone, 2, dropout=0.0, preprocessing=None)


def outputs_of(localizer, data):
    """What it predicts, in one array.

    Weights are not compared: some have no effect, as a bias that is the same for all
    locations of a softmax, and Adam moves these by the noise of their gradients.
    """
    squares = data.to_pydataset(32, len(data))[0][0]
    outputs = localizer.predict(squares, verbose=0)
    return np.concatenate([outputs["label"], outputs["box"]], axis=1)


def train_function(path):
    """`train` of the example."""
    spec = importlib.util.spec_from_file_location("train_torch_ddp", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.train


def trained_in_one_process():
    """Both shares in turn, and the mean of their losses."""
    import torch

    data, localizer = data_and_localizer()
    epochs, half = OPTIONS["epochs"], OPTIONS["batch_size"] // 2
    shares = [
        data.shard(rank, 2, drop_remainder=True).to_pydataset(
            32,
            half,
            shuffle=True,
            augment=kl.RandomSquareView(32, bounding_box_format="rel_xyxy"),
            seed=2 * OPTIONS["seed"] + rank,
            drop_remainder=True,
        )
        for rank in range(2)
    ]
    localizer.compile()
    weights = [variable.value for variable in localizer.trainable_variables]
    rate = OPTIONS["peak_rate"]
    optimizer = torch.optim.AdamW(weights, rate, weight_decay=1e-4)
    steps = epochs * len(shares[0])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    history = []
    for _ in range(epochs):
        losses = []
        for i in range(len(shares[0])):
            optimizer.zero_grad()
            loss = 0
            for share in shares:
                x, y, weight = share[i]
                outputs = localizer(x, training=True)
                loss = loss + localizer.compute_loss(x, y, outputs, weight) / 2
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        history.append(np.mean(losses))
        for share in shares:
            share.on_epoch_end()
    return outputs_of(localizer, data), history


def test_two_processes_train_as_one(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    script = Path(__file__).with_name("ddp_process.py")
    done = subprocess.run(
        [*command, "--nproc_per_node=2", str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (np.load(tmp_path / f"rank_{rank}.npz") for rank in range(2))
    np.testing.assert_array_equal(first["outputs"], second["outputs"])
    expected, losses = trained_in_one_process()
    data, untrained = data_and_localizer()
    assert np.abs(expected - outputs_of(untrained, data)).max() > 0.1
    np.testing.assert_allclose(first["outputs"], expected, atol=1e-4)
    np.testing.assert_allclose(first["losses"], losses, rtol=1e-5)
