import keras
import numpy as np
import pytest
from tiny_backbone import tiny_backbone


@pytest.fixture
def backbone():
    return tiny_backbone()


@pytest.fixture
def batch(rng):
    """Eight images, targets and weights; the first two have no box."""
    corner = rng.uniform(0, 0.5, (8, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.2, 0.5, (8, 2))], axis=1)
    boxes[:2] = 0
    weights = np.array([0, 0, 1, 1, 1, 1, 1, 1], "float32")
    return (
        rng.integers(0, 256, (8, 32, 32, 3)).astype("uint8"),
        {"label": rng.integers(0, 3, 8), "box": boxes.astype("float32")},
        {"label": np.ones(8, "float32"), "box": weights},
    )


@pytest.fixture
def eager():
    """No compilation on TensorFlow: it takes longer than these trainings."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
