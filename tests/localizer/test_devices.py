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


@pytest.mark.skipif(
    "KERAS_LOCALIZE_DEVICES" not in os.environ,
    reason="takes minutes: set KERAS_LOCALIZE_DEVICES=1",
)
@pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="on torch Keras has no distribution of its own",
)
def test_two_and_four_devices_give_the_figures_of_one():
    done = subprocess.run(
        [sys.executable, str(PROCESS)],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for method, figures in json.loads(done.stdout.splitlines()[-1]).items():
        one = figures.pop("1")
        names = {"loss", "box_loss", "quality_loss", "box_iou", "label_accuracy"}
        assert names <= set(one) and {f"heads_{name}" for name in names} <= set(one)
        for count, several in figures.items():
            assert set(several) == set(one)
            for name, expected in one.items():
                np.testing.assert_allclose(
                    several[name], expected, rtol=1e-5, err_msg=(method, count, name)
                )
