"""OpenVINO: an `.xml` file and a `.bin` file beside it."""

import importlib
import tempfile
from pathlib import Path
from typing import Any

import keras

from keras_localize.localizer.exporting.serving import SquareModel
from keras_localize.localizer.exporting.signature import input_signature, inputs_of
from keras_localize.localizer.exporting.torch_program import torch_program


def write_openvino(
    model: SquareModel, path: Path, notes: dict[str, str], *, float16: bool = False
) -> None:
    """Writes both files.

    Args:
        model: what to export.
        path: the `.xml` file.
        notes: the metadata; in OpenVINO's `rt_info` under "keras_localize".
        float16: whether to store the weights in float16.
    """
    openvino: Any = importlib.import_module("openvino")  # it has no types

    with tempfile.TemporaryDirectory() as folder:
        if keras.backend.backend() == "torch":
            converted = openvino.convert_model(torch_program(model))
        else:
            # Keras takes no other ending.
            written = Path(folder) / "model.xml"
            model.export(
                str(written),
                format="openvino",
                input_signature=input_signature(model),
                verbose=False,
            )
            converted = openvino.Core().read_model(written)
        _name(converted, model)
        for key, value in notes.items():
            converted.set_rt_info(value, ["keras_localize", key])
        openvino.save_model(converted, path, compress_to_fp16=float16)


def _name(converted: Any, model: SquareModel) -> None:
    for node, one in zip(converted.inputs, inputs_of(model)):
        node.get_node().set_friendly_name(one.name)
        node.get_tensor().set_names({one.name})
        node.get_node().set_partial_shape(_partial_shape(one.shape))
    for node, name in zip(converted.outputs, model.answers):
        node.get_tensor().set_names({name})
    converted.validate_nodes_and_infer_types()


def _partial_shape(shape: Any) -> Any:
    openvino: Any = importlib.import_module("openvino")
    return openvino.PartialShape([-1 if side is None else side for side in shape])
