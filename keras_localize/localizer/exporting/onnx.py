"""ONNX, for onnxruntime on servers and in browsers."""

import importlib
from pathlib import Path
from typing import Any

import keras

from keras_localize.localizer.exporting.half_weights import store_in_half
from keras_localize.localizer.exporting.serving import ServingModel
from keras_localize.localizer.exporting.signature import input_signature, inputs_of
from keras_localize.localizer.exporting.torch_program import torch_program


def write_onnx(
    model: ServingModel, path: Path, notes: dict[str, str], *, float16: bool = False
) -> None:
    """Writes an ONNX file.

    Args:
        model: what to export.
        path: the file.
        notes: the metadata; in the file's `metadata_props`.
        float16: whether to store the weights in float16.
    """
    onnx: Any = importlib.import_module("onnx")  # it has no types

    if keras.backend.backend() == "torch":
        _export_torch(model, path)
    else:
        model.export(
            str(path),
            format="onnx",
            input_signature=input_signature(model),
            verbose=False,
        )
    # By the path's ending it may be taken for another format than this.
    converted = onnx.load(str(path), format="protobuf")
    names = [one.name for one in inputs_of(model)]
    _rename(converted.graph, converted.graph.input, names)
    _rename(converted.graph, converted.graph.output, model.answers)
    if float16:
        store_in_half(converted)
    onnx.helper.set_model_props(converted, notes)
    onnx.checker.check_model(converted)
    onnx.save(converted, str(path), format="protobuf")


def _export_torch(model: ServingModel, path: Path) -> None:
    import torch

    # `Model.export` falls back to tracing where an axis is open, which fixes it.
    program: Any = torch.onnx.export(torch_program(model), verbose=False)
    program.save(str(path), external_data=False)


def _rename(graph: Any, values: Any, names: list[str]) -> None:
    """Gives inputs or outputs of a graph their names, wherever they are used."""
    new = {value.name: name for value, name in zip(values, names, strict=True)}
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [new.get(end, end) for end in ends]
    for value in values:
        value.name = new[value.name]
