"""Several devices train and measure what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

PROCESS = Path(__file__).with_name("devices_process.py")
# What docs/scale.md advises, on two devices, takes half a minute of the processor.
# KERAS_LOCALIZE_DEVICES=1 tries the other method too, and four devices.
METHODS, COUNTS = ["to_tf_data", "to_pydataset"], ["2", "4"]
if keras.backend.backend() == "jax":
    METHODS.reverse()
if "KERAS_LOCALIZE_DEVICES" not in os.environ:
    del METHODS[1:], COUNTS[1:]


@pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="on torch Keras has no distribution of its own",
)
@pytest.mark.parametrize("method", METHODS)
def test_two_and_four_devices_give_the_figures_of_one(method):
    done = subprocess.run(
        [sys.executable, str(PROCESS), method, *COUNTS],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    one = figures.pop("1")
    assert set(figures) == set(COUNTS)
    names = {"loss", "box_loss", "quality_loss", "presence_loss"}
    names |= {"box_iou", "label_accuracy", "presence_accuracy"}
    assert names <= set(one) and {f"heads_{name}" for name in names} <= set(one)
    for count, several in figures.items():
        assert set(several) == set(one)
        for name, expected in one.items():
            np.testing.assert_allclose(
                several[name], expected, rtol=1e-5, err_msg=f"{count} devices, {name}"
            )
