"""The script for LiteRT gives the answers of `localize`."""

import ast
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_localize import export_localizer

pytest.importorskip("ai_edge_litert")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="one writer of LiteRT is enough"
)
SCRIPT = Path(__file__).resolve().parents[2] / "examples/deploy/litert_image.py"


def test_prints_what_localize_says(localizer, image_files, tmp_path):
    export_localizer(localizer, tmp_path / "a.tflite", "litert")
    for path in image_files:
        command = [sys.executable, SCRIPT, tmp_path / "a.tflite", path]
        shown = subprocess.run(command, capture_output=True, check=True, text=True)
        answer = ast.literal_eval(shown.stdout.splitlines()[-1])
        expected = localizer.localize(path, verbose=0)[0]
        # Pillow's rounding differs from ours by a grey level.
        np.testing.assert_allclose(answer["box"], expected.box, atol=3)
        assert answer["label"] == expected.label
        np.testing.assert_allclose(answer["scores"], expected.scores, atol=0.01)
