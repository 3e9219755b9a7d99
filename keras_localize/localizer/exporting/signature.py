"""The inputs of an exported file."""

import keras
import numpy as np

from keras_localize.localizer.exporting.serving import ImageModel, SquareModel


def input_signature(model: SquareModel | ImageModel) -> list[keras.layers.InputSpec]:
    """Names, shapes and dtypes of the inputs; None for an axis of any length."""

    def spec(name, shape, dtype):
        return keras.layers.InputSpec(shape=shape, dtype=dtype, name=name)

    if isinstance(model, ImageModel):
        return [spec("image", (None, None, 3), "uint8")]
    size = model.localizer.image_size
    batch = (None,) if model.batched else ()
    return [
        spec("image", (*batch, size, size, 3), "uint8"),
        spec("image_size", (*batch, 2), "int32"),
    ]


def sample_inputs(model: SquareModel | ImageModel) -> list[np.ndarray]:
    """Inputs of the model, for exporters that trace one call."""
    # Of an axis of length 1 the exporter of torch takes that its length is fixed.
    return [
        np.ones([side or 2 + i for i, side in enumerate(one.shape)], one.dtype)
        for one in input_signature(model)
    ]
