"""Checks of arguments: one wording for each kind of error in the whole package."""

import math
import numbers
import random
from collections.abc import Iterable, Sequence
from typing import Any, get_args

import keras
import numpy as np

from keras_localize.types import DataFormat


def check_positive_int(value: Any, argument: str) -> int:
    """`value` as an `int`, or a ValueError that names `argument`.

    NumPy integers are taken; booleans are not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(
            f"`{argument}` must be a positive integer. Received: {argument}={value!r}"
        )
    return int(value)


def check_non_negative_int(value: Any, argument: str) -> int:
    """As `check_positive_int`, with 0 among the values."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ValueError(
            f"`{argument}` must be an integer of at least 0. "
            f"Received: {argument}={value!r}"
        )
    return int(value)


def check_number(
    value: Any, argument: str, least: float = -math.inf, most: float = math.inf
) -> float:
    """`value` as a `float`, or a ValueError unless finite and in [least, most]."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and least <= float(value) <= most):
        expected = "a finite number"
        if math.isfinite(least) and math.isfinite(most):
            expected = f"a number from {least:g} to {most:g}"
        elif math.isfinite(least):
            expected += f" of at least {least:g}"
        raise ValueError(
            f"`{argument}` must be {expected}. Received: {argument}={value!r}"
        )
    return float(value)


def check_rate(value: Any, argument: str) -> float:
    """`value` as a `float`, or a ValueError unless in [0, 1)."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (number and 0 <= float(value) < 1):
        raise ValueError(
            f"`{argument}` must be in [0, 1). Received: {argument}={value!r}"
        )
    return float(value)


def check_seed(seed: Any) -> int:
    """`seed` as an `int`, or for None one that `keras.utils.set_random_seed` governs.

    Anything else than these and integers in [0, 2**63) is a ValueError.
    """
    if seed is None:
        # Python's generator is one of those that `set_random_seed` seeds.
        return random.randrange(2**31)
    if not isinstance(seed, numbers.Integral) or not 0 <= int(seed) < 2**63:
        raise ValueError(
            "`seed` must be None or an int of at least 0 and below 2**63. "
            f"Received: seed={seed!r}"
        )
    return int(seed)


def check_bool(value: Any, argument: str) -> bool:
    """`value` as a `bool`, or a ValueError that names `argument`."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"`{argument}` must be a bool. Received: {argument}={value!r}")
    return bool(value)


def check_data_format(value: Any) -> DataFormat:
    """`value`, or for None the data format of the Keras configuration.

    Anything else is a ValueError.
    """
    if value is None:
        value = keras.config.image_data_format()
    check_choice(value, get_args(DataFormat), "data_format")
    return value


def check_channels_last() -> None:
    """A ValueError where the Keras configuration is channels first."""
    if keras.config.image_data_format() == "channels_first":
        raise ValueError(
            "The batches of a LocalizationDataset are channels last, and need "
            "`image_data_format` to be 'channels_last'. Received: 'channels_first'. "
            "Use `keras.config.set_image_data_format`, and build the model anew"
        )


def check_choice(value: Any, choices: Sequence[str], argument: str) -> None:
    """Raises the ValueError that names `argument` unless `value` is a choice."""
    # A list or an array is no choice; `in` alone would not say so.
    if not isinstance(value, str) or value not in choices:
        quoted = ", ".join(f'"{choice}"' for choice in choices)
        raise ValueError(
            f"`{argument}` must be one of {quoted}. Received: {argument}={value!r}"
        )


def check_answers(answers: Iterable[Any], argument: str = "localizations") -> None:
    """Raises a ValueError unless each is an answer of `localize`, or None."""
    for each in answers:
        if each is not None and not hasattr(each, "box"):
            raise ValueError(
                f"`{argument}` must hold answers of `localize`, or None. "
                "(`iter_localize` gives pairs of a source and an answer.) "
                f"Received: {type(each).__name__}"
            )
