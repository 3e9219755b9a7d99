"""LiteRT with integers in the place of floats, where that costs little accuracy."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_localize.datasets import LocalizationDataset
from keras_localize.images import letterbox

# Nearly all of the time and the bytes. The arithmetic of boxes needs more than the 256
# levels of an integer: it stays in float, as do sums of branches, which in these
# networks spread too far for 256 levels.
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
            of the activations.
    """
    quantizer: Any = importlib.import_module("ai_edge_quantizer.quantizer")
    recipes: Any = importlib.import_module("ai_edge_quantizer.recipe_manager")
    names: Any = importlib.import_module("ai_edge_quantizer.qtyping").TFLOperationName
    recipe = recipes.RecipeManager()
    for name in _INTEGER:
        recipe.add_static_config(
            ".*", names(name), activation_num_bits=8, weight_num_bits=8
        )
    for name in _INTEGER_WEIGHTS:
        recipe.add_dynamic_config(".*", names(name), num_bits=8)
    job = quantizer.Quantizer(str(path), recipe.get_quantization_recipe())
    ranges = job.calibrate({"serving_default": samples})
    result = job.quantize(
        ranges, enable_progress_bar=False, enable_progress_report=False
    )
    path.unlink()
    result.export_model(str(path))
