"""ONNX weights in float16, in graphs that compute in float32."""

import importlib
from typing import Any

import numpy as np

# Below that, as for constants of the arithmetic, half the bytes are not worth a node.
_MIN_SIZE = 64


def store_in_half(model: Any) -> None:
    """Stores the weights of an ONNX model in float16, each with a cast to float32.

    Runtimes cast once, while they load the file: it is half as large and computes as
    fast as before, on processors without float16 arithmetic too.

    Args:
        model: an `onnx.ModelProto`, changed in place.
    """
    onnx: Any = importlib.import_module("onnx")  # it has no types
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT:
            continue
        values = onnx.numpy_helper.to_array(weight)
        if values.size < _MIN_SIZE or np.abs(values).max() > np.finfo("float16").max:
            continue
        name = weight.name
        stored = f"{name}_float16"
        half = onnx.numpy_helper.from_array(values.astype("float16"), stored)
        weight.CopyFrom(half)
        casts.append(
            onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT)
        )
    # A node comes after those whose outputs it takes.
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
