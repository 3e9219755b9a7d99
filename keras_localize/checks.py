"""Checks of arguments: one wording for each kind of error in the whole package."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def check_positive_int(value: Any, argument: str) -> int:
    """`value` as an `int`, or a ValueError that names `argument`.

    NumPy integers are taken; booleans are not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(
            f"`{argument}` must be a positive integer. Received: {argument}={value!r}"
        )
    return int(value)


def check_choice(value: Any, choices: Sequence[str], argument: str) -> None:
    """Raises the ValueError that names `argument` unless `value` is a choice."""
    # A list or an array is no choice; `in` alone would not say so.
    if not isinstance(value, str) or value not in choices:
        quoted = ", ".join(f'"{choice}"' for choice in choices)
        raise ValueError(
            f"`{argument}` must be one of {quoted}. Received: {argument}={value!r}"
        )
