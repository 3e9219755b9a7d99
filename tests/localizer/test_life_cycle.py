"""What Keras does with a model works with a localizer as with a functional model."""

import copy
import json
import pickle

import keras
import numpy as np
import pytest
from tiny_backbone import tiny_backbone

from keras_localize import Localizer, build_localizer

NAMES = ["cat", "dog", "foal"]


def backbone_with_dense():
    """As a vision transformer: its own dense layers are quantized too."""
    images = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 8, strides=8)(images)
    x = keras.layers.Dense(8, name="mlp", activation="relu")(x)
    inner = keras.Input((4, 4, 8))
    block = keras.Model(inner, keras.layers.Dense(8, name="inner")(inner), name="block")
    return keras.Model(images, block(x))


def localizer_of(backbone=None, **options):
    return build_localizer(
        backbone or tiny_backbone(),
        3,
        class_names=NAMES,
        preprocessing=None,
        quality=True,
        **options,
    )


@pytest.fixture
def images(rng):
    return rng.uniform(0, 255, (4, 32, 32, 3)).astype("float32")


def assert_same(outputs, expected):
    assert set(outputs) == set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(outputs[key], value, atol=1e-6, err_msg=key)


# --- quantized ---


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
@pytest.mark.parametrize("make", [tiny_backbone, backbone_with_dense])
def test_a_quantized_localizer_saves_and_loads(mode, make, images, tmp_path):
    localizer = localizer_of(make())
    floats = localizer.predict(images, verbose=0)
    localizer.quantize(mode)
    expected = localizer.predict(images, verbose=0)
    for key, value in floats.items():
        np.testing.assert_allclose(expected[key], value, atol=0.2)
    localizer.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, Localizer) and loaded.class_names == tuple(NAMES)
    assert_same(loaded.predict(images, verbose=0), expected)
    assert _modes(loaded) == _modes(localizer) and mode in _modes(loaded).values()
    # What was loaded can be saved again.
    loaded.save(tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras")
    assert_same(again.predict(images, verbose=0), expected)


@pytest.mark.skipif(
    not hasattr(keras.quantizers, "Int8QuantizationConfig"),
    reason="this Keras has no configs of quantization",
)
def test_a_part_quantized_by_a_config(images, tmp_path):
    localizer = localizer_of(backbone_with_dense(), head="pooled")
    config = keras.quantizers.Int8QuantizationConfig(
        weight_quantizer=keras.quantizers.AbsMaxQuantizer(
            axis=0, value_range=(-100, 100)
        ),
    )
    localizer.quantize(config=config, filters=["label", "^inner$"])
    modes = _modes(localizer)
    quantized = {name.split("/")[-2] for name, mode in modes.items() if mode}
    assert quantized == {"label", "inner"}
    localizer.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert _modes(loaded) == modes
    expected = localizer.predict(images, verbose=0)
    assert_same(loaded.predict(images, verbose=0), expected)


def test_filters_that_no_file_can_hold():
    localizer = localizer_of()
    with pytest.raises(ValueError, match=r"`filters`.*regular expression"):
        localizer.quantize("int8", filters=lambda layer: True)
    assert not any(_modes(localizer).values())


def _modes(localizer):
    """The quantization of each kernel, by the path of the variable."""
    modes = {}
    for variable in localizer.variables:
        if "kernel" in variable.path and "scale" not in variable.path:
            modes[variable.path] = None
    for layer in _layers(localizer):
        for variable in layer.variables:
            if variable.path in modes and layer.quantization_mode:
                modes[variable.path] = layer.quantization_mode
    return modes


def _layers(model):
    """Layers, those inside of models too, and the dense ones inside of heads."""
    for layer in model.layers:
        yield from _layers(layer) if isinstance(layer, keras.Model) else [layer]
        for part in vars(layer).values():
            if isinstance(part, keras.layers.Dense):
                yield part


# --- copied ---


def test_a_copy_and_a_pickle_are_localizers(images):
    localizer = localizer_of()
    localizer.compile()
    boxes = np.tile([0.0, 0.0, 0.5, 0.5], (4, 1))
    localizer.fit(images, {"box": boxes, "label": np.arange(4) % 3}, verbose=0)
    expected = localizer.predict(images, verbose=0)
    for other in (copy.deepcopy(localizer), pickle.loads(pickle.dumps(localizer))):
        assert isinstance(other, Localizer) and other.class_names == tuple(NAMES)
        assert_same(other.predict(images, verbose=0), expected)


def test_from_config_gives_a_new_localizer(images):
    localizer = localizer_of()
    new = Localizer.from_config(json.loads(json.dumps(localizer.get_config())))
    assert isinstance(new, Localizer) and new.class_names == tuple(NAMES)
    before = new.predict(images, verbose=0)
    expected = localizer.predict(images, verbose=0)
    assert np.abs(before["label"] - expected["label"]).max() > 1e-3
    new.set_weights(localizer.get_weights())
    assert_same(new.predict(images, verbose=0), expected)


def test_clone_model_gives_a_functional_model_with_new_weights(images):
    """As for every subclass of a functional model; `from_config` keeps the class."""
    localizer = localizer_of()
    clone = keras.models.clone_model(localizer)
    expected = localizer.predict(images, verbose=0)
    assert np.abs(clone.predict(images, verbose=0)["label"] - expected["label"]).max()
    clone.set_weights(localizer.get_weights())
    assert_same(clone.predict(images, verbose=0), expected)


def test_clone_model_of_a_compiled_localizer_is_compiled(images):
    localizer = build_localizer(tiny_backbone(), 3, preprocessing=None)
    localizer.compile()
    clone = keras.models.clone_model(localizer)
    clone.set_weights(localizer.get_weights())
    targets = {"label": np.array([0, 1, 2, 1]), "box": np.full((4, 4), 0.5)}
    targets["box"][:, :2] = 0.1
    expected = localizer.evaluate(images, targets, verbose=0, return_dict=True)
    found = clone.evaluate(images, targets, verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-5)
    clone.fit(images, targets, verbose=0)


@pytest.mark.parametrize(
    "name, metrics",
    [
        ("label_accuracy", "auto"),
        ("label_acc", {"label": ["acc"]}),
        ("label_sparse_categorical_accuracy", {"label": "sparse_categorical_accuracy"}),
    ],
)
def test_a_callback_on_an_accuracy_needs_no_mode(name, metrics, images):
    localizer = build_localizer(tiny_backbone(), 3, preprocessing=None)
    localizer.compile(metrics=metrics)
    targets = {"label": np.array([0, 1, 2, 1]), "box": np.full((4, 4), 0.5)}
    callback = keras.callbacks.EarlyStopping(name)
    history = localizer.fit(images, targets, verbose=0, callbacks=[callback]).history
    assert callback.best == history[name][0] and callback.mode == "max"


@pytest.mark.parametrize("name", ["box_loss", "label_loss", "box_mse"])
def test_a_callback_on_one_of_the_losses_needs_no_mode(name, images):
    localizer = build_localizer(tiny_backbone(), 3, preprocessing=None)
    localizer.compile()
    targets = {"label": np.array([0, 1, 2, 1]), "box": np.full((4, 4), 0.5)}
    callback = keras.callbacks.EarlyStopping(name)
    history = localizer.fit(images, targets, verbose=0, callbacks=[callback]).history
    assert callback.best == history[name][0] and callback.mode == "min"


@pytest.mark.parametrize("monitor", [None, ["loss", "val_loss"]])
def test_a_callback_may_have_a_monitor_of_its_own(monitor, images):
    callback = keras.callbacks.Callback()
    callback.monitor, callback.mode = monitor, "auto"
    localizer = build_localizer(tiny_backbone(), None, preprocessing=None)
    localizer.compile()
    localizer.fit(images, np.full((4, 4), 0.5), verbose=0, callbacks=[callback])
    assert (callback.monitor, callback.mode) == (monitor, "auto")


def test_h5_weights(images, tmp_path):
    localizer = localizer_of()
    localizer.save_weights(tmp_path / "model.weights.h5")
    new = localizer_of()
    new.load_weights(tmp_path / "model.weights.h5")
    assert_same(new.predict(images, verbose=0), localizer.predict(images, verbose=0))


# --- inside other models ---


@pytest.mark.parametrize("wrap", ["sequential", "sequential_input", "functional"])
def test_inside_another_model(wrap, images, tmp_path):
    localizer = localizer_of()
    inputs = keras.Input((32, 32, 3))
    outer = {
        "sequential": lambda: keras.Sequential([localizer]),
        "sequential_input": lambda: keras.Sequential([inputs, localizer]),
        "functional": lambda: keras.Model(inputs, localizer(inputs)),
    }[wrap]()
    expected = localizer.predict(images, verbose=0)
    assert_same(outer.predict(images, verbose=0), expected)
    outer.save(tmp_path / "outer.keras")
    loaded = keras.models.load_model(tmp_path / "outer.keras")
    assert_same(loaded.predict(images, verbose=0), expected)
    # It trains as any model does, with losses that the user names.
    outer.compile(
        "sgd",
        {"box": "mse", "label": "sparse_categorical_crossentropy", "quality": "mse"},
    )
    targets = {
        "box": np.full((4, 4), [0, 0, 0.5, 0.5]),
        "label": np.arange(4) % 3,
        "quality": np.full((4, 1), 0.5),
    }
    history = outer.fit(images, targets, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
