"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
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


@pytest.mark.parametrize("name", keras_localize.__all__)
def test_every_public_name_is_documented(name):
    thing = getattr(keras_localize, name)
    assert len(thing.__doc__.split()) > 5
    # An error, a tuple, base classes, a package, a download: described, not shown.
    described = {"AnnotationError", "Localization", "Localizer", "LocalizerHeads"}
    if name not in described | {
        "LocalizationReport",
        "LocalizeOptions",
        "boxes",
        "images",
        "load_oxford_pets",
    }:
        assert ">>> " in thing.__doc__
