"""torch: an exported program (`.pt2`)."""

import json
from pathlib import Path
from typing import Any

from keras import ops

from keras_localize.localizer.exporting.metadata import FILE_NAME
from keras_localize.localizer.exporting.serving import ImageModel, SquareModel
from keras_localize.localizer.exporting.signature import (
    input_signature,
    sample_inputs,
)


def write_torch(model: SquareModel, path: Path, notes: dict[str, str]) -> None:
    """Writes the program, with its metadata as an extra file."""
    import torch

    text = json.dumps(notes, ensure_ascii=False)
    # torch warns of other endings.
    written = path.with_name("model.pt2")
    torch.export.save(torch_program(model), written, extra_files={FILE_NAME: text})
    written.replace(path)


def torch_program(model: SquareModel | ImageModel) -> Any:
    """The model as a `torch.export.ExportedProgram`."""
    import torch

    # `Model.export` cannot leave axes of several inputs open.
    axes = {0: "batch"} if isinstance(model, SquareModel) else {0: "height", 1: "width"}
    axes = {axis: torch.export.Dim(name) for axis, name in axes.items()}
    open_axes = [
        {axis: axes[axis] for axis, side in enumerate(spec.shape) if side is None}
        for spec in input_signature(model)
    ]
    model.eval()
    return torch.export.export(
        model,
        tuple(ops.convert_to_tensor(one) for one in sample_inputs(model)),
        dynamic_shapes=[tuple(open_axes)] if any(open_axes) else None,
        strict=False,
    )
