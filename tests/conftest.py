"""What all tests share: quiet frameworks, hypothesis profiles, the real data."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "suite",
    deadline=None,  # no test depends on time
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

# Tests of files and pages, in which no backend takes part: once, on TensorFlow.
_WITHOUT_BACKEND = [
    *(
        f"datasets/test_{name}.py"
        for name in (
            "class_names",
            "coco",
            "csv",
            "download",
            "fuzz",
            "joining",
            "label_tools",
            "labelme",
            "readers",
            "simple_records",
            "synthetic",
            "voc",
            "writing",
            "yolo",
        )
    ),
    *(
        f"images/test_{name}.py"
        for name in (
            "cropping",
            "image_formats",
            "image_fuzz",
            "image_sources",
            "letterboxing",
            "listing",
            "orientation",
            "pil_images",
            "region",
        )
    ),
    "reporting",
    "test_architecture.py",
    "test_figures.py",
    "test_notebooks.py",
    "test_reliability_plots.py",
    "test_site.py",
    "test_typing.py",
]
collect_ignore = _WITHOUT_BACKEND if keras.config.backend() != "tensorflow" else []

SHARED = Path(
    os.environ.get(
        "KERAS_LOCALIZE_SHARED", Path(__file__).resolve().parents[2] / "shared"
    )
)


def _shared(name):
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"real data is not here: {name} (set KERAS_LOCALIZE_SHARED)")
    return folder


@pytest.fixture(scope="session")
def oxford_pets_dir():
    """Real Oxford-IIIT Pet images in the official layout, reduced to 288 px."""
    return _shared("oxford_pets")


@pytest.fixture(scope="session")
def oxford_pets_originals_dir():
    """Untouched Oxford-IIIT Pet originals, the odd ones among them."""
    return _shared("oxford_pets_originals")


@pytest.fixture(autouse=True)
def _fresh_keras():
    """Each test starts from the same seed and leaves no policy behind."""
    policy = keras.config.dtype_policy()
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy(policy)
    # Without the garbage collection that takes a second a test.
    keras.utils.clear_session(free_memory=False)


@pytest.fixture
def rng():
    """A seeded NumPy generator."""
    return np.random.default_rng(0)
