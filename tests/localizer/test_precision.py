"""Whole localizers in half precision, quantized, and under another backend."""

import inspect
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from tiny_backbone import tiny_backbone

from keras_localize import build_localizer

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_step_in_half_precision_is_finite_and_comes_back(policy, batch, tmp_path):
    keras.config.set_dtype_policy(policy)
    localizer = build_localizer(tiny_backbone(), 3, quality=True)
    localizer.unfreeze("conv_1")
    localizer.compile(run_eagerly=keras.backend.backend() == "tensorflow")
    x, y, w = batch
    history = localizer.fit(x, y, sample_weight=w, verbose=0).history
    assert all(np.isfinite(value).all() for value in history.values())
    assert all(np.isfinite(weight).all() for weight in localizer.get_weights())
    expected = localizer.predict(x, verbose=0)
    localizer.save(tmp_path / "half.keras")
    keras.config.set_dtype_policy("float32")
    # The policy travels with the file, and which layers train.
    loaded = keras.models.load_model(tmp_path / "half.keras")
    trainable = [variable.path for variable in localizer.trainable_variables]
    assert [variable.path for variable in loaded.trainable_variables] == trainable
    for key, value in loaded.predict(x, verbose=0).items():
        assert value.dtype == "float32"
        np.testing.assert_allclose(value, expected[key], atol=1e-3)


def test_another_backend_finds_the_same_boxes(batch, tmp_path):
    here = keras.backend.backend()
    others = {"tensorflow": "torch", "torch": "jax", "jax": "tensorflow"}
    localizer = build_localizer(tiny_backbone(), 3, quality=True)
    point = localizer.head.prediction
    point.set_weights(
        [np.random.default_rng(0).normal(size=point.kernel.shape), np.zeros(8)]
    )
    localizer.save(tmp_path / "localizer.keras")
    np.save(tmp_path / "images.npy", batch[0])
    code = (
        "import sys, json, keras, numpy as np, keras_localize\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "found = model.predict(np.load(sys.argv[2]), verbose=0)\n"
        "print(json.dumps({k: v.tolist() for k, v in found.items()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "localizer.keras", "images.npy"],
        env={
            **os.environ,
            "KERAS_BACKEND": others[here],
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip(f"{others[here]} is not installed")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for key, value in localizer.predict(batch[0], verbose=0).items():
        np.testing.assert_allclose(found[key], value, atol=1e-4)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
@pytest.mark.skipif(
    "filters" not in inspect.signature(keras.Model.quantize).parameters,
    reason="this Keras quantizes all layers or none",
)
def test_quantized_with_the_box_left_alone(batch):
    localizer = build_localizer(tiny_backbone(), 3)
    expected = localizer.predict(batch[0], verbose=0)
    localizer.quantize("int8", filters="^(?!prediction)")
    found = localizer.predict(batch[0], verbose=0)
    kinds = {v.dtype for v in localizer.get_layer("label").variables}
    assert "int8" in kinds
    for key in expected:
        np.testing.assert_allclose(found[key], expected[key], atol=0.02)
