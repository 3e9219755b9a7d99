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
