"""LiteRT (`.tflite`), for phones and microcontrollers."""

import importlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_localize.localizer.exporting.int8 import quantize
from keras_localize.localizer.exporting.metadata import FILE_NAME
from keras_localize.localizer.exporting.serving import SquareModel
from keras_localize.localizer.exporting.signature import (
    input_signature,
    inputs_of,
    sample_inputs,
)


def write_litert(
    model: SquareModel,
    path: Path,
    notes: dict[str, str],
    *,
    float16: bool = False,
    samples: list[dict[str, np.ndarray]] | None = None,
) -> None:
    """Writes a LiteRT file. It is a zip file too, of the JSON file of its metadata.

    Args:
        model: what to export.
        path: the file.
        notes: its metadata.
        float16: whether to store the weights in float16.
        samples: inputs to quantize with; None: not quantized.
    """
    # Keras takes no other ending.
    written = path.with_name("model.tflite")
    if keras.backend.backend() == "torch":
        _export_torch(model, written)
    else:
        model.export(
            str(written),
            format="litert",
            input_signature=input_signature(model),
            verbose=False,
            **(_float16() if float16 else {}),
        )
    if samples is not None:
        quantize(written, samples)
    # Where LiteRT keeps the files that belong to a model.
    with zipfile.ZipFile(written, "a") as archive:
        archive.writestr(FILE_NAME, json.dumps(notes, ensure_ascii=False))
    os.replace(written, path)


def _float16() -> dict[str, Any]:
    """What Keras passes on to the converter of TensorFlow."""
    import tensorflow as tf

    return {
        "optimizations": [tf.lite.Optimize.DEFAULT],
        "target_spec": {"supported_types": [tf.float16]},
    }


def _export_torch(model: SquareModel, path: Path) -> None:
    import torch

    # `Model.export` gives the inputs other names.
    litert_torch: Any = importlib.import_module("litert_torch")
    inputs = zip(inputs_of(model), sample_inputs(model))
    samples = {one.name: torch.from_numpy(value) for one, value in inputs}
    model.eval()
    litert_torch.convert(model, sample_kwargs=samples).export(str(path))
