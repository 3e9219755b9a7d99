"""TensorFlow SavedModel: a folder, for TensorFlow Serving and `tf.saved_model.load`."""

import json
from pathlib import Path

import keras
from keras import ops

from keras_localize.layers.pad_to_square import PadToSquare
from keras_localize.localizer.exporting.metadata import FILE_NAME
from keras_localize.localizer.exporting.serving import ImageModel, ServingModel
from keras_localize.localizer.exporting.signature import input_signature
from keras_localize.types import Tensor


def write_saved_model(model: ServingModel, path: Path, notes: dict[str, str]) -> None:
    """Writes a SavedModel with the endpoints `serve` and `serve_squares`.

    Args:
        model: what `serve` computes.
        path: the folder.
        notes: the metadata; a JSON file in `assets.extra`.
    """
    import tensorflow as tf

    localizer = model.localizer
    if isinstance(model, ImageModel):
        # The same map, many times faster where images are large.
        model.letterbox = _letterbox
    specs = [
        tf.TensorSpec(one.shape, one.dtype, name=one.name)
        for one in input_signature(model)
    ]
    squares = tf.TensorSpec(localizer.inputs[0].shape, "float32", name="squares")
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", model.__call__, specs)
    archive.add_endpoint("serve_squares", lambda x: localizer(x), [squares])
    archive.write_out(str(path), verbose=False)
    # The folder that TensorFlow leaves to others.
    extra = path / "assets.extra"
    extra.mkdir()
    text = json.dumps(notes, ensure_ascii=False)
    (extra / FILE_NAME).write_text(text, encoding="utf-8")


def _letterbox(image: Tensor, size: int) -> Tensor:
    layer = PadToSquare(
        size, antialias=True, data_format="channels_last", dtype="uint8"
    )
    return ops.cast(layer(image), "float32")
