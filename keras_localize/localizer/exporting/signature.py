"""The inputs of an exported file."""

from typing import NamedTuple

import keras
import numpy as np

from keras_localize.localizer.exporting.serving import ImageModel, ServingModel


class Input(NamedTuple):
    """One input; None for an axis of any length."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


def inputs_of(model: ServingModel) -> list[Input]:
    """The inputs of a model, in their order."""
    if isinstance(model, ImageModel):
        return [Input("image", (None, None, 3), "uint8")]
    size = model.localizer.image_size
    batch = (None,) if model.batched else ()
    return [
        Input("image", (*batch, size, size, 3), "uint8"),
        Input("image_size", (*batch, 2), "int32"),
    ]


def input_signature(model: ServingModel) -> list[keras.layers.InputSpec]:
    """The inputs as `keras.Model.export` takes them."""
    return [
        keras.layers.InputSpec(shape=one.shape, dtype=one.dtype, name=one.name)
        for one in inputs_of(model)
    ]


def sample_inputs(model: ServingModel) -> list[np.ndarray]:
    """Inputs of the model, for exporters that trace one call."""
    # Of an axis of length 1 the exporter of torch takes that its length is fixed.
    return [
        np.ones([side or 2 + i for i, side in enumerate(one.shape)], one.dtype)
        for one in inputs_of(model)
    ]
