"""`verbose="auto"`: what it means in a terminal and elsewhere, for each call."""

import sys

import keras
import pytest

import keras_localize as kl
from keras_localize.localizer.verbosity import check_verbose, resolve_verbose


@pytest.fixture(params=[True, False], ids=["terminal", "file"])
def terminal(request, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: request.param, raising=False)
    return request.param


def test_auto(terminal):
    assert resolve_verbose("auto") == (1 if terminal else 2)
    assert resolve_verbose("auto", in_terminal=0, elsewhere=0) == 0
    assert [resolve_verbose(value) for value in (0, 1, 2)] == [0, 1, 2]


@pytest.mark.parametrize("value", [3, -1, "on", None])
def test_other_values_are_errors(value):
    for check in (check_verbose, resolve_verbose):
        with pytest.raises(ValueError, match=r"`verbose` must be.*Received: verb"):
            check(value)


@pytest.fixture
def bars(monkeypatch):
    """The `verbose` of every progress bar that is made."""
    made, original = [], keras.utils.Progbar

    def progbar(*args, verbose=1, **kwargs):
        made.append(verbose)
        return original(*args, verbose=0, **kwargs)

    monkeypatch.setattr(keras.utils, "Progbar", progbar)
    return made


@pytest.fixture(scope="module")
def localizer():
    backbone = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 8, strides=8)]
    )
    return kl.build_localizer(backbone, 2, preprocessing=None)


@pytest.mark.parametrize("images, shown", [(2, 0), (3, 1)])
def test_localize_shows_a_bar_for_several_batches(
    localizer, terminal, bars, images, shown
):
    data = kl.make_synthetic(images, num_classes=2, max_side=100)
    localizer.localize(data, batch_size=2)
    assert bars == [shown if terminal else 0]


def test_cache_features_shows_a_bar_or_a_line(localizer, terminal, bars):
    data = kl.make_synthetic(2, num_classes=2, max_side=100)
    features, _ = localizer.split()
    kl.cache_features(features, data.to_pydataset(32))
    assert bars == [1 if terminal else 2]
    with pytest.raises(ValueError, match="verbose"):
        kl.cache_features(features, data.to_pydataset(32), verbose=7)
