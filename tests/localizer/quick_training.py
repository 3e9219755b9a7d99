"""What tests of `train_localizer` share: a call that takes seconds."""

import keras
import pytest

from keras_localize import build_localizer

QUICK = {"head_epochs": 2, "views": 1, "verbose": 0, "seed": 0}
# For what holds nothing of one backend, and takes minutes to compile on JAX.
on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="checked on TensorFlow"
)
# The `pytestmark` of these modules; tf.data stays compiled.
EAGER = [
    pytest.mark.filterwarnings("ignore:Even though"),
    pytest.mark.usefixtures("eager"),
]


def two_classes(backbone, data, **options):
    return build_localizer(backbone, 2, class_names=data.class_names, **options)
