"""Warnings name the line of whoever called the library."""

import os
from pathlib import Path

import keras
import pytest

import keras_localize
from keras_localize.warn import warn


def called_from(path):
    """A function, as if it stood in this file, that lets the library warn."""
    scope = {"warn": warn}
    source = "def call():\n    warn('hello')\n"
    exec(compile(source, str(path), "exec"), scope)
    return scope["call"]


@pytest.mark.parametrize("module", [keras_localize, keras])
def test_frames_of_the_package_and_of_keras_are_passed(module):
    inside = Path(module.__file__).parent / "some" / "file.py"
    with pytest.warns(UserWarning, match="hello") as caught:
        called_from(inside)()
    assert caught[0].filename == __file__


@pytest.mark.parametrize("module", [keras_localize, keras])
def test_files_of_similar_names_are_the_users(module):
    beside = str(Path(module.__file__).parent) + "_demo.py"
    with pytest.warns(UserWarning, match="hello") as caught:
        called_from(beside)()
    assert caught[0].filename == beside and os.sep in beside
