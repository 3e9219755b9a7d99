"""LiteRT with integers in the place of floats, where that costs little accuracy."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_localize.datasets import LocalizationDataset
from keras_localize.datasets.cores import cores
from keras_localize.images import letterbox
from keras_localize.localizer.exporting.bias_correction import correct_biases

# Nearly all of the time and the bytes. The arithmetic of boxes needs more than the 256
# levels of an integer, so that additions, which it consists of, stay in float.
_INTEGER = ("CONV_2D", "DEPTHWISE_CONV_2D")
# Integer weights, and activations whose range is taken from each image.
_INTEGER_WEIGHTS = ("FULLY_CONNECTED",)


def samples_of(
    dataset: LocalizationDataset, image_size: int
) -> Iterator[dict[str, np.ndarray]]:
    """The images of a dataset as inputs of a LiteRT file with `image="square"`."""
    for image in dataset.images:
        square, size = letterbox(image, image_size)
        yield {"image": square, "image_size": np.array(size, "int32")}


def quantize(path: Path, samples: list[dict[str, np.ndarray]]) -> None:
    """Makes a LiteRT file compute its convolutions in int8.

    Args:
        path: the float file; it is replaced.
        samples: inputs that are like those that the file will see. They set the ranges
            of the activations, and the biases that make up for rounded weights.
    """
    quantizer: Any = importlib.import_module("ai_edge_quantizer.quantizer")
    calibrators: Any = importlib.import_module("ai_edge_quantizer.calibrator")
    updates: Any = importlib.import_module("ai_edge_quantizer.utils.qsv_utils")
    correct_biases(path, samples)
    recipe = _recipe()
    # The default, a moving average, cuts the brightest pixels off.
    calibrator = calibrators.Calibrator(
        str(path), num_threads=cores(), qsv_update_func=updates.min_max_update
    )
    calibrator.calibrate({"serving_default": samples}, recipe)
    job = quantizer.Quantizer(str(path), recipe.get_quantization_recipe())
    result = job.quantize(
        calibrator.get_model_qsvs(),
        enable_progress_bar=False,
        enable_progress_report=False,
    )
    path.unlink()
    result.export_model(str(path))


def _recipe() -> Any:
    recipes: Any = importlib.import_module("ai_edge_quantizer.recipe_manager")
    names: Any = importlib.import_module("ai_edge_quantizer.qtyping").TFLOperationName
    recipe = recipes.RecipeManager()
    for name in _INTEGER:
        recipe.add_static_config(
            ".*", names(name), activation_num_bits=8, weight_num_bits=8
        )
    for name in _INTEGER_WEIGHTS:
        recipe.add_dynamic_config(".*", names(name), num_bits=8)
    return recipe
