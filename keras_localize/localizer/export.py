"""A trained localizer as a file for serving, where no `keras_localize` is installed."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import keras

from keras_localize import types
from keras_localize.checks import check_choice
from keras_localize.datasets import LocalizationDataset
from keras_localize.datasets.dataset_argument import check_filled
from keras_localize.files import replacing
from keras_localize.localizer.exporting.int8 import samples_of
from keras_localize.localizer.exporting.litert import write_litert
from keras_localize.localizer.exporting.metadata import metadata
from keras_localize.localizer.exporting.onnx import write_onnx
from keras_localize.localizer.exporting.openvino import write_openvino
from keras_localize.localizer.exporting.saved_model import (
    is_replaceable,
    write_saved_model,
)
from keras_localize.localizer.exporting.serving import (
    ImageModel,
    ServingModel,
    SquareModel,
)
from keras_localize.localizer.exporting.torch_program import write_torch
from keras_localize.localizer.localizer import Localizer
from keras_localize.localizer.rebuilding import in_float32

Format = Literal["tf_saved_model", "onnx", "litert", "openvino", "torch"]
ImageKind = Literal["auto", "any", "square"]
Precision = Literal["float32", "float16", "int8"]

_WRITERS: dict[str, Callable] = {
    "tf_saved_model": write_saved_model,
    "onnx": write_onnx,
    "litert": write_litert,
    "openvino": write_openvino,
    "torch": write_torch,
}
# (format, kind of image): the backends that it can be exported from.
_BACKENDS = {
    ("tf_saved_model", "any"): ("tensorflow",),
    ("tf_saved_model", "square"): ("tensorflow", "jax"),
    ("onnx", "any"): ("tensorflow", "torch"),
    ("onnx", "square"): ("tensorflow", "torch", "jax"),
    ("litert", "square"): ("tensorflow", "torch"),
    ("openvino", "square"): ("tensorflow", "torch"),
    ("torch", "square"): ("torch",),
}
# (format, backend): what cannot leave the length of a batch open.
_FIXED_BATCH = (("onnx", "jax"), ("litert", "torch"))
# (precision, backend): the formats that it can be had in.
_FORMATS = {
    ("float16", "tensorflow"): ("onnx", "litert", "openvino"),
    ("float16", "torch"): ("onnx", "openvino"),
    ("float16", "jax"): ("onnx",),
    ("int8", "tensorflow"): ("litert",),
    ("int8", "torch"): ("litert",),
}
# What a localizer after `quantize` can be exported to.
_FILES = get_args(Format)
_OF_QUANTIZED = {
    "int8": ("tf_saved_model", "onnx", "torch"),
    "float8": ("tf_saved_model", "torch"),
}


def export_localizer(
    localizer: Localizer,
    path: types.Path,
    format: Format = "tf_saved_model",
    *,
    image: ImageKind = "auto",
    refine: bool = False,
    batched: bool = False,
    precision: Precision = "float32",
    representative_dataset: LocalizationDataset | None = None,
) -> None:
    """Writes a localizer for serving, where no `keras_localize` is installed.

    The file contains all steps from the image to its box. Inputs and outputs have the
    same names and dtypes in every format.

    In:

    - `image`, uint8 RGB. With `image="any"` `(height, width, 3)`, of any size. With
      `image="square"` the letterboxed square `(image_size, image_size, 3)`, as
      `keras_localize.images.letterbox` gives it.
    - with `image="square"` `image_size`, int32 `(2,)`: (height, width) of the image
      before it was letterboxed.

    Out:

    - `box`, float32 `(4,)`: `xyxy` in pixels of the original image, inside of it.
    - for a model with labels `label` (int32, the class id), `score` (float32, its
      probability) and `scores` (float32 `(classes,)`).
    - `quality` and `presence` (float32) where the model has them. The box is there
      whatever the presence.
    - for a model that was calibrated, with the same `refine`, `outer_box`, float32
      `(4,)`, in the same pixels; `quality` is then the calibrated one.

    The class names, the version of this package and what the file takes are in the
    file's metadata.

    Args:
        localizer: a `Localizer`.
        path: where to write: a folder for `"tf_saved_model"`, a file else. A file, an
            empty folder or an earlier SavedModel that is there already is replaced,
            once the export has succeeded. `"openvino"` needs the ending `.xml`, and
            writes a `.bin` file beside it.
        format: `"tf_saved_model"`, `"onnx"`, `"litert"`, `"openvino"` or `"torch"`.
            Each needs its own package: see docs/export.md.
        image: `"any"`: images of any size, letterboxed inside (`"tf_saved_model"` and
            `"onnx"`); `"square"`: squares, for runtimes that want fixed shapes;
            `"auto"`: `"any"` where the format can, else `"square"`.
        refine: crop-and-refine inference inside the file, as in `Localizer.localize`;
            needs `image="any"`.
        batched: with `image="square"`: a leading axis of any length on every input
            and output. A SavedModel always has the endpoint `serve_squares` too: from
            a batch of squares to the localizer's own outputs.
        precision: `"float16"` (`"onnx"`, `"litert"` and `"openvino"`): weights are
            stored in float16, and the file has half the size; `"int8"` (`"litert"`):
            convolutions and dense layers compute with integers. Inputs and outputs are
            the same in each.
        representative_dataset: for `precision="int8"`, a hundred images or more like
            those that the file will see, such as `train[:200]`: the ranges of the
            integers are chosen for them. Labels and boxes are not used.

    Raises:
        ValueError: for what is no `Localizer`, a bad argument, or options that do not
            go together or that Keras cannot export from the current backend. A `.keras`
            file loads on every backend: export it where it can be done.
        ImportError: where a package that the format needs is not installed.

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
    check_choice(format, get_args(Format), "format")
    check_choice(image, get_args(ImageKind), "image")
    check_choice(precision, get_args(Precision), "precision")
    if image == "auto":
        image = "any" if (format, "any") in _BACKENDS else "square"
    _check_options(format, image, refine, batched)
    _check_precision(precision, format, batched, representative_dataset)
    _check_backend(format, image)
    _check_quantization(localizer, format)
    if format == "openvino" and not str(path).endswith(".xml"):
        raise ValueError(
            f"`path` must end in .xml with format='openvino'. Received: path={path!r}"
        )
    if format == "tf_saved_model" and not is_replaceable(Path(path)):
        raise ValueError(
            "`path` must be a new or empty folder, or one of an earlier SavedModel, "
            f"which is replaced. Received: path={path!r}"
        )
    localizer = in_float32(localizer)  # runtimes refuse graphs of mixed precision
    model: ServingModel
    if image == "any":
        model = ImageModel(localizer, refine)
    else:
        model = SquareModel(localizer, batched)
    options: dict[str, Any] = {}
    if precision == "float16":
        options["float16"] = True
    if representative_dataset is not None:
        squares = samples_of(representative_dataset, localizer.image_size)
        options["samples"] = list(squares)
    notes = metadata(model) | {"precision": precision}
    with replacing(path) as unfinished, warnings.catch_warnings():
        # What converters warn of is their own code and no mistake of the user.
        warnings.simplefilter("ignore")
        try:
            _WRITERS[format](model, unfinished, notes, **options)
        except ImportError as error:
            raise ImportError(
                f"format={format!r} needs a package that is not installed (docs/"
                f"export.md names it): {error}"
            ) from error


def _check_options(format: str, image: str, refine: bool, batched: bool) -> None:
    if (format, image) not in _BACKENDS:
        raise ValueError(
            "`image='any'` needs format='tf_saved_model' or format='onnx': other "
            "formats hold fixed shapes. Use image='square'. Received: image='any', "
            f"format={format!r}"
        )
    if refine and image != "any":
        raise ValueError(
            "`refine=True` needs image='any' (format='tf_saved_model' or "
            "format='onnx'): a square has no pixels for a crop. Received: "
            f"format={format!r}, image={image!r}"
        )
    if batched and image == "any":
        raise ValueError(
            "`batched=True` needs image='square': images of any size form no batch. "
            f"Received: format={format!r}, image={image!r}"
        )
    if batched and (format, keras.backend.backend()) in _FIXED_BATCH:
        raise ValueError(
            f"`batched=True` cannot be exported to format={format!r} from the backend "
            f"{keras.backend.backend()}. Save the localizer as a .keras file, load it "
            "with KERAS_BACKEND=tensorflow, and export it there. Received: batched=True"
        )


def _check_backend(format: str, image: str) -> None:
    backend = keras.backend.backend()
    possible = _BACKENDS[format, image]
    if backend not in possible:
        raise ValueError(
            f"Keras cannot export format={format!r} with image={image!r} from the "
            f"backend {backend}. Save the localizer as a .keras file, load it with "
            f"KERAS_BACKEND={possible[0]}, and export it there."
        )


def _check_quantization(localizer: Localizer, format: str) -> None:
    """Refuses what converters cannot convert, or convert to something else.

    OpenVINO makes constants of the int8 layers of Keras.
    """
    modes = {str(call["mode"]) for call in localizer.quantize_calls}
    refused = {mode for mode in modes if format not in _OF_QUANTIZED.get(mode, _FILES)}
    if keras.backend.backend() == "torch" and format == "openvino":
        refused = modes
    if refused:
        raise ValueError(
            f"`localizer` cannot be exported with format={format!r} after "
            f"quantize({refused.pop()!r}). Export the float localizer, for LiteRT with "
            "precision='int8' for a small file."
        )


def _check_precision(
    precision: str, format: str, batched: bool, dataset: LocalizationDataset | None
) -> None:
    formats = _FORMATS.get((precision, keras.backend.backend()), ())
    if precision != "float32" and format not in formats:
        raise ValueError(
            f"`precision` must be 'float32' with format={format!r} on the backend "
            f"{keras.backend.backend()}. precision={precision!r} can be had with "
            f"format={' or '.join(map(repr, _FORMATS[precision, 'tensorflow']))} on "
            f"tensorflow. Received: precision={precision!r}"
        )
    if (precision == "int8") != (dataset is not None):
        raise ValueError(
            "`representative_dataset` must be given with precision='int8', and only "
            f"then. Received: precision={precision!r}, representative_dataset={dataset}"
        )
    if dataset is not None:
        check_filled(dataset, "representative_dataset")
    if precision == "int8" and batched:
        raise ValueError(
            "`batched=True` needs precision='float32' or 'float16'. Received: "
            "precision='int8', batched=True"
        )
