"""TensorFlow SavedModel: a folder, for TensorFlow Serving and `tf.saved_model.load`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_localize.boxes.square import fit
from keras_localize.localizer.exporting.metadata import FILE_NAME
from keras_localize.localizer.exporting.sampling import rounded
from keras_localize.localizer.exporting.serving import ImageModel, ServingModel
from keras_localize.localizer.exporting.signature import inputs_of
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
        tf.TensorSpec(one.shape, one.dtype, name=one.name) for one in inputs_of(model)
    ]
    squares = tf.TensorSpec(localizer.inputs[0].shape, "float32", name="squares")
    archive: Any = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", _checked(model.__call__, specs), specs)
    squares_fn = _checked(lambda x: localizer(x), [squares])
    archive.add_endpoint("serve_squares", squares_fn, [squares])
    archive.write_out(str(path), verbose=False)
    # The folder that TensorFlow leaves to others.
    extra = path / "assets.extra"
    extra.mkdir()
    text = json.dumps(notes, ensure_ascii=False)
    (extra / FILE_NAME).write_text(text, encoding="utf-8")


def _checked(function: Callable, specs: list[Any]) -> Callable:
    """The function of inputs whose shapes TensorFlow checks when it is called.

    A signature that is called by name does not check them, and a convolution of an
    image without channels ends the process.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    def checked(*inputs):
        return function(*map(tf.ensure_shape, inputs, [spec.shape for spec in specs]))

    return checked


def _letterbox(image: Tensor, size: int) -> Tensor:
    """As `sampling.letterbox`, by operations that TensorFlow alone has."""
    import tensorflow as tf

    height, width = tf.unstack(tf.shape(image)[:2])
    place = fit(height, width, size, tf.maximum)
    scaled = image
    for shape in ((place.height, place.columns), (place.rows, place.columns)):
        scaled = rounded(tf.image.resize(scaled, shape, antialias=True))
    return tf.image.pad_to_bounding_box(scaled, place.top, place.left, size, size)


def is_replaceable(folder: Path) -> bool:
    """Whether nothing but an earlier SavedModel is lost if a new one replaces it."""
    if not folder.exists():
        return True
    known = (folder / "saved_model.pb").exists()
    return folder.is_dir() and (known or not any(folder.iterdir()))
