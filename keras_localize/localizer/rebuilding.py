"""A localizer made again from its config, perhaps in another precision."""

import tempfile
from pathlib import Path
from typing import Any, TypeVar

import keras

from keras_localize.localizer.sublayers import sublayers

# Policies of layers that compute in half precision.
_HALF = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")
_Model = TypeVar("_Model", bound=keras.Model)


def rebuilt(model: _Model, config: dict[str, Any]) -> _Model:
    """A model of the same class from this config, with the model's weights."""
    with keras.saving.custom_object_scope(_unregistered(model)):
        made = type(model).from_config(config)
    # A file merges the weights of LoRA, for which a new model has no variables.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "all.weights.h5"
        model.save_weights(file)
        made.load_weights(file)
    return made


def in_float32(model: _Model) -> _Model:
    """The model with all layers in float32; itself if they are."""
    config = model.get_config()
    whole = _with_float32(config)
    return model if whole == config else rebuilt(model, whole)


def _unregistered(model: keras.Model) -> dict[str, type]:
    """The classes of layers that a config does not find, but the model knows.

    Raises:
        ValueError: for two of the same name.
    """
    kinds: dict[str, type] = {}
    for kind in {type(layer) for _, layer in sublayers(model)}:
        name = kind.__name__
        if kind.__module__.startswith("keras.") or (
            keras.saving.get_registered_name(kind) != name
        ):
            continue
        if name in kinds:
            raise ValueError(
                f"`localizer` has two classes of layers that are called {name}. "
                "Register them with `keras.saving.register_keras_serializable`, in "
                "packages of different names"
            )
        kinds[name] = kind
    return kinds


def _with_float32(config: Any) -> Any:
    """The config with float32 in place of every half precision."""
    if isinstance(config, list):
        return [_with_float32(value) for value in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy" and config["config"]["name"] in _HALF:
        return {**config, "config": {**config["config"], "name": "float32"}}
    return {
        key: "float32" if key == "dtype" and value in _HALF else _with_float32(value)
        for key, value in config.items()
    }
