"""Several devices train and measure what one does."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
from processes import answer_of

PROCESS = Path(__file__).with_name("devices_process.py")
# What docs/scale.md advises, on two devices, takes half a minute of the processor.
# KERAS_LOCALIZE_DEVICES=1 tries the other method too, and four devices.
METHODS, COUNTS = ["to_tf_data", "to_pydataset"], ["2", "4"]
if keras.backend.backend() == "jax":
    METHODS.reverse()
if "KERAS_LOCALIZE_DEVICES" not in os.environ:
    del METHODS[1:], COUNTS[1:]


@pytest.mark.long
@pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="on torch Keras has no distribution of its own",
)
@pytest.mark.parametrize("method", METHODS)
def test_two_and_four_devices_give_the_figures_of_one(method):
    env = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    figures = answer_of(PROCESS, method, *COUNTS, timeout=900, env=env)
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
