"""Loads an exported file in its own runtime, as a function of named arrays."""

import json
import zipfile
from importlib.util import find_spec

import numpy as np
import pytest

# What reads each format, and what writes it on each backend.
READS = {
    "tf_saved_model": ["tensorflow"],
    "onnx": ["onnxruntime", "onnx"],
    "litert": ["ai_edge_litert"],
    "openvino": ["openvino"],
    "torch": ["torch"],
}
WRITES = {
    ("onnx", "tensorflow"): ["tf2onnx"],
    ("onnx", "jax"): ["jax2onnx"],
    ("onnx", "torch"): ["onnxscript"],
    ("litert", "torch"): ["litert_torch"],
}
NAMES = {"litert": "model.tflite", "openvino": "model.xml"}


def skip_without(format, backend):
    needed = READS[format] + WRITES.get((format, backend), [])
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        pytest.skip(f"{format} on {backend} needs {', '.join(missing)}")


def load(format, path):
    """A function from named NumPy inputs to named NumPy outputs."""
    return globals()[f"_load_{format}"](str(path))


def read_metadata(format, path):
    return globals()[f"_metadata_{format}"](path)


def _load_tf_saved_model(path):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)

    def run(**inputs):
        # The names are those of the signature that TensorFlow Serving reads, too.
        inputs = {name: tf.constant(value) for name, value in inputs.items()}
        outputs = loaded.signatures["serving_default"](**inputs)
        return {name: value.numpy() for name, value in outputs.items()}

    return run


def _metadata_tf_saved_model(path):
    text = (path / "assets.extra" / "keras_localize.json").read_text(encoding="utf-8")
    return json.loads(text)


def _load_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return lambda **inputs: dict(zip(names, session.run(None, inputs)))


def _metadata_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    return session.get_modelmeta().custom_metadata_map


def _load_litert(path):
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(path).get_signature_runner()
    return lambda **inputs: {key: np.asarray(x) for key, x in runner(**inputs).items()}


def _metadata_litert(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("keras_localize.json"))


def _load_openvino(path):
    import openvino

    # Some processors compute in bfloat16 unless they are told not to.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", exact)

    def run(**inputs):
        outputs = compiled(inputs)
        return {port.get_any_name(): value for port, value in outputs.items()}

    return run


def _metadata_openvino(path):
    import openvino

    model = openvino.Core().read_model(path)
    return {
        key: value.astype(str)
        for key, value in model.get_rt_info(["keras_localize"]).astype(dict).items()
    }


def _load_torch(path):
    import torch

    program = torch.export.load(path).module()

    def run(**inputs):
        outputs = program(*(torch.from_numpy(value) for value in inputs.values()))
        return {name: value.numpy(force=True) for name, value in outputs.items()}

    return run


def _metadata_torch(path):
    import torch

    extra = {"keras_localize.json": ""}
    torch.export.load(path, extra_files=extra)
    return json.loads(extra["keras_localize.json"])
