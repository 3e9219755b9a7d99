"""A trained localizer for serving, where no keras_localize is installed."""

from pathlib import Path
from typing import Literal

import keras
from keras import ops

from keras_localize import types
from keras_localize.checks import check_choice
from keras_localize.files import replacing
from keras_localize.layers.pad_to_square import PadToSquare
from keras_localize.localizer.localizer import Localizer
from keras_localize.localizer.predictions import class_probabilities, to_original

FORMATS = ("tf_saved_model", "onnx", "litert", "openvino", "torch")


def export_localizer(
    localizer: Localizer,
    path: types.Path,
    format: Literal[
        "tf_saved_model", "onnx", "litert", "openvino", "torch"
    ] = "tf_saved_model",
) -> None:
    """Writes a localizer for serving, where no `keras_localize` is installed.

    `"tf_saved_model"` holds all the way from a image to its box. Its endpoint
    `serve` takes one RGB image of any size, `(H, W, 3)` uint8, and gives a dict:
    `"box"` (4,) in pixels of that image, clipped to it; where the model has labels,
    `"label"` (an int32 class id), `"score"` and `"scores"`; with a quality output,
    `"quality"`. Its endpoint `serve_squares`
    takes what the model takes, `(B, image_size, image_size, 3)` float32 in [0, 255],
    and gives what it gives.

    The other formats cannot letterbox images of any size: they hold the model alone,
    from squares `(1, image_size, image_size, 3)` to its outputs, as
    `keras.Model.export` writes them. Letterbox with `PadToSquare` before them and
    bring boxes back by `keras_localize.boxes.from_square`.

    Args:
        localizer: a `Localizer`.
        path: where to write: a folder for `"tf_saved_model"` and a file else. What is
            there already is replaced, and only once the export has succeeded.
        format: `"tf_saved_model"`, or another format of `keras.Model.export`:
            `"onnx"`, `"litert"`, `"openvino"`, `"torch"`. Each needs its own package.

    Raises:
        ValueError: for what is no `Localizer`, an unknown format, or
            `"tf_saved_model"` on another backend than TensorFlow: a `.keras` file
            loads on every backend, so export where it is TensorFlow.

    Example:

    >>> import os, tempfile
    >>> import tensorflow as tf
    >>> backbone = keras.Sequential(
    ...     [keras.Input((32, 32, 3)), keras.layers.Conv2D(8, 8, strides=8)]
    ... )
    >>> localizer = keras_localize.build_localizer(backbone, 2, preprocessing=None)
    >>> if keras.backend.backend() == "tensorflow":
    ...     path = os.path.join(tempfile.mkdtemp(), "served")
    ...     keras_localize.export_localizer(localizer, path)
    ...     served = tf.saved_model.load(path)
    ...     assert served.serve(np.zeros((60, 90, 3), "uint8"))["box"].shape == (4,)
    """
    if not isinstance(localizer, Localizer):
        raise ValueError(
            f"`localizer` must be a Localizer. Received: {type(localizer).__name__}"
        )
    check_choice(format, FORMATS, "format")
    backend = keras.backend.backend()
    if format == "tf_saved_model" and backend != "tensorflow":
        raise ValueError(
            "`format='tf_saved_model'` needs the TensorFlow backend: save the "
            "localizer and load it with KERAS_BACKEND=tensorflow. Received: the "
            f"backend {backend}"
        )
    with replacing(path) as unfinished:
        if format == "tf_saved_model":
            _export_saved_model(localizer, unfinished)
        else:
            localizer.export(str(unfinished), format=format, verbose=False)


def _export_saved_model(localizer: Localizer, path: Path) -> None:
    import tensorflow as tf

    side = localizer.image_size
    # The square of `localize`: the same map, antialiased, in whole levels.
    letterbox = PadToSquare(
        side, antialias=True, data_format="channels_last", dtype="uint8"
    )

    def serve(image):
        size = ops.shape(image)[:2]
        square = ops.cast(letterbox(image), "float32")
        if keras.config.image_data_format() == "channels_first":
            square = ops.transpose(square, (2, 0, 1))
        outputs = {key: value[0] for key, value in localizer(square[None]).items()}
        answer = {"box": to_original(outputs["box"], size, side)}
        if "label" in outputs:
            scores = class_probabilities(outputs["label"], localizer.class_names)
            answer["label"] = ops.cast(ops.argmax(scores), "int32")
            answer["score"] = ops.max(scores)
            answer["scores"] = scores
        if "quality" in outputs:
            answer["quality"] = outputs["quality"][0]
        return answer

    image = tf.TensorSpec((None, None, 3), "uint8", name="image")
    squares = tf.TensorSpec(localizer.inputs[0].shape, "float32", name="squares")
    archive = keras.export.ExportArchive()
    archive.track(localizer)
    archive.add_endpoint("serve", serve, [image])
    archive.add_endpoint("serve_squares", lambda x: localizer(x), [squares])
    archive.write_out(str(path), verbose=False)
