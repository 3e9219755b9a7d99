"""Warnings that name the user's line, however deep in the library they arise."""

import contextlib
import inspect
import os
import sys
import warnings
from pathlib import Path

import keras

# `fit` and `__call__` pass through Keras before they come to this package, and its
# contexts through the standard library.
_PASSED = (
    f"{Path(__file__).parent}{os.sep}",
    f"{Path(inspect.getfile(keras)).parent}{os.sep}",
    contextlib.__file__,
)


def warn(message: str) -> None:
    """A `UserWarning` at the nearest line of the stack outside the package and Keras.

    In a thread that the library started there is no line of the user's.

    Example:

    >>> import warnings
    >>> from keras_localize.warn import warn
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn("The boxes were clipped.")
    >>> str(caught[0].message), caught[0].filename != keras_localize.warn.__file__
    ('The boxes were clipped.', True)
    """
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_code.co_filename.startswith(_PASSED):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)
