"""What holds for the package as a whole."""

import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys

import keras
import pytest

import keras_localize

ROOT = pathlib.Path(keras_localize.__file__).parent


def test_one_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", keras_localize.__version__)
    try:
        installed = importlib.metadata.version("keras-localize")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is on the path, not installed")
    assert installed == keras_localize.__version__


def test_types_are_announced():
    assert (ROOT / "py.typed").exists()


def test_all_names_what_is_there():
    assert len(keras_localize.__all__) == len(set(keras_localize.__all__))
    for name in keras_localize.__all__:
        assert hasattr(keras_localize, name)


def test_devices_can_be_chosen_after_the_import():
    """Nothing is computed while the package is imported."""
    backend = keras.backend.backend()
    code = {
        "tensorflow": (
            "import tensorflow as tf\n"
            "tf.config.set_logical_device_configuration("
            "tf.config.list_physical_devices('CPU')[0],"
            " [tf.config.LogicalDeviceConfiguration()] * 2)\n"
            "print(len(tf.config.list_logical_devices('CPU')))"
        ),
        "jax": (
            "import jax\n"
            "jax.config.update('jax_num_cpu_devices', 2)\n"
            "print(len(jax.devices()))"
        ),
        "torch": "import torch\ntorch.set_num_interop_threads(2)\nprint(2)",
    }[backend]
    done = subprocess.run(
        [sys.executable, "-c", f"import keras_localize\n{code}"],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=ROOT.parent,
        check=False,
    )
    assert done.stdout.strip() == "2", done.stderr[-2000:]


def test_heavy_packages_wait_until_they_are_called():
    waiting = ["cv2", "matplotlib", "pandas", "pillow_heif", "simplejpeg", "yaml"]
    if keras.backend.backend() != "tensorflow":
        waiting.append("tensorflow")
    code = (
        "import sys, keras; before = set(sys.modules)\n"
        "import keras_localize\n"
        f"print([n for n in {waiting} if n in set(sys.modules) - before])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        cwd=ROOT.parent,
        check=True,
    )
    assert done.stdout.strip() == "[]"
