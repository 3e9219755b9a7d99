"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import inspect
import pkgutil

import keras
import numpy as np
import pytest

import keras_localize

MODULES = [
    module.name
    for module in pkgutil.walk_packages(keras_localize.__path__, "keras_localize.")
]


@pytest.mark.parametrize("name", ["keras_localize", *MODULES])
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    names = {"np": np, "keras": keras, "keras_localize": keras_localize}
    failed, _ = doctest.testmod(module, extraglobs=names)
    assert failed == 0


# Base classes, containers, a download: described, not shown.
DESCRIBED = {
    "Localization",
    "LocalizationReport",
    "LocalizeOptions",
    "Localizer",
    "LocalizerHeads",
    "load_oxford_pets",
}


@pytest.mark.parametrize("name", keras_localize.__all__)
def test_every_public_name_is_documented(name):
    obj = getattr(keras_localize, name)
    assert len(obj.__doc__.split()) > 5
    is_error = isinstance(obj, type) and issubclass(obj, Exception)
    if not (is_error or inspect.ismodule(obj) or name in DESCRIBED):
        assert ">>> " in obj.__doc__
