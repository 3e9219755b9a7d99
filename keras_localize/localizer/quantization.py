"""How a quantized localizer is described in its config, and made again.

A localizer makes its heads itself, in float. So its config remembers the calls of
`quantize`, and `from_config` makes a float localizer and repeats them: the weights that
are read afterwards then find the variables that they were saved from.
"""

import warnings
from typing import Any

import keras


def remember(mode: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call of `quantize`, as a config holds them.

    Raises:
        ValueError: for `filters` that are a function, which no file can hold.
    """
    if callable(options.get("filters")):
        raise ValueError(
            "`filters` must be a regular expression or a list of them: a function "
            f"cannot be saved. Received: filters={options['filters']!r}"
        )
    call = {"mode": mode, **options}
    if call.get("config") is not None:
        call["config"] = keras.saving.serialize_keras_object(call["config"])
    return call


def repeat(model: keras.Model, calls: list[dict[str, Any]]) -> None:
    """Quantizes a float model as the one whose calls these were."""
    for call in calls:
        call = dict(call)
        if call.get("config") is not None:
            call["config"] = keras.saving.deserialize_keras_object(call["config"])
        with warnings.catch_warnings():
            # Of the layers that Keras cannot quantize it warned the first time.
            warnings.simplefilter("ignore", UserWarning)
            model.quantize(**call)


def without_quantization(config: Any) -> Any:
    """The config of a quantized layer or model as that of the float one."""
    if isinstance(config, dict):
        inner = config.get("config")
        if isinstance(inner, dict) and {"mode", "source_name"} <= set(inner):
            policy = keras.DTypePolicy(inner["source_name"])
            return keras.saving.serialize_keras_object(policy)
        return {key: without_quantization(value) for key, value in config.items()}
    if isinstance(config, list):
        return [without_quantization(value) for value in config]
    return config
