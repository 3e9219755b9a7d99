"""The gallery: what is written when, and that training is the same with it."""

import keras
import numpy as np
import pytest
from PIL import Image

import keras_localize as kl
from keras_localize.visualization import gallery as module


@pytest.fixture
def data():
    return kl.make_synthetic(9, num_classes=2, max_side=100)


def make_localizer():
    keras.utils.set_random_seed(1)
    backbone = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 8, strides=8)]
    )
    localizer = kl.build_localizer(backbone, 2, preprocessing=None)
    localizer.compile()
    return localizer


def fit(localizer, data, callbacks=(), **options):
    batches = data.to_pydataset(32, batch_size=4, shuffle=True, seed=0)
    options = {"epochs": 2, "verbose": 0, "shuffle": False, **options}
    return localizer.fit(batches, callbacks=list(callbacks), **options).history


@pytest.mark.long
def test_one_file_for_each_epoch_of_every_fit(data, tmp_path):
    localizer = make_localizer()
    gallery = kl.LocalizationGallery(data, tmp_path / "new", count=3, columns=3)
    fit(localizer, data, [gallery])
    fit(localizer, data, [gallery])
    fit(localizer, data, [gallery], initial_epoch=7, epochs=8)
    files = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert files == [f"epoch_{i:04}.png" for i in (1, 2, 3, 4, 8)]
    for name in files:
        with Image.open(tmp_path / "new" / name) as image:
            assert image.size == (900, 320)


def test_the_same_images_with_the_boxes_of_that_epoch(data, tmp_path, monkeypatch):
    drawn = []
    original = module.plot_localizations

    def plot(dataset, answers, **options):
        drawn.append((dataset.names, answers))
        return original(dataset, answers, **options)

    monkeypatch.setattr(module, "plot_localizations", plot)
    localizer = make_localizer()
    expected = [data.names[i] for i in (0, 4, 8)]
    gallery = kl.LocalizationGallery(data, tmp_path, count=3, every=2)
    fit(localizer, data, [gallery], epochs=4)
    assert [names for names, _ in drawn] == [expected, expected]
    assert drawn[-1][1] == localizer.localize(data[[0, 4, 8]])
    assert drawn[0][1] != drawn[1][1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch_0002.png",
        "epoch_0004.png",
    ]


@pytest.mark.long
def test_training_is_the_same_with_it(data, tmp_path):
    plain, watched = make_localizer(), make_localizer()
    keras.utils.set_random_seed(2)
    first = fit(plain, data)
    keras.utils.set_random_seed(2)
    second = fit(watched, data, [kl.LocalizationGallery(data, tmp_path)])
    assert first == second
    for one, other in zip(plain.get_weights(), watched.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_heads_are_drawn_with_their_localizer(data, tmp_path):
    localizer = make_localizer()
    features, heads = localizer.split()
    cached = kl.cache_features(features, data.to_pydataset(32), mirror=False)
    heads.compile()
    options = {"epochs": 1, "verbose": 0, "shuffle": False}
    with pytest.raises(ValueError, match=r"`localizer` must be given.*LocalizerHeads"):
        gallery = kl.LocalizationGallery(data, tmp_path)
        heads.fit(kl.FeatureBatches(*cached), callbacks=[gallery], **options)
    gallery = kl.LocalizationGallery(data, tmp_path, localizer=localizer)
    heads.fit(kl.FeatureBatches(*cached), callbacks=[gallery], **options)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_0001.png"]


def test_bad_arguments(data, tmp_path):
    for options in ({"count": 0}, {"columns": -1}, {"every": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            kl.LocalizationGallery(data, tmp_path, **options)
    with pytest.raises(ValueError, match="empty"):
        kl.LocalizationGallery(data[:0], tmp_path)


@pytest.mark.parametrize("wrong", ["option", "batch size", "folder"])
def test_what_is_wrong_is_said_before_the_first_epoch(wrong, data, tmp_path):
    (tmp_path / "file").write_text("")
    options = {"option": {"foo": 1}, "batch size": {"batch_size": 0}}.get(wrong, {})
    folder = tmp_path / ("file" if wrong == "folder" else "new")
    localizer = make_localizer()
    before = localizer.get_weights()
    with pytest.raises((TypeError, ValueError, OSError)):
        fit(localizer, data, [kl.LocalizationGallery(data, folder, **options)])
    for old, new in zip(before, localizer.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_batches_are_no_dataset(tmp_path):
    with pytest.raises(ValueError, match="`dataset`"):
        kl.LocalizationGallery([1, 2], tmp_path)


def test_a_damaged_image_does_not_end_the_training(tmp_path):
    data = kl.make_synthetic(4, num_classes=2, max_side=100, directory=tmp_path / "in")
    with open(data.images[2], "wb") as file:
        file.write(b"damaged")
    localizer = make_localizer()
    gallery = kl.LocalizationGallery(data, tmp_path / "out", on_error="skip")
    with pytest.warns(UserWarning, match="could not be read"):
        fit(localizer, data[:2], [gallery])
    assert len(list((tmp_path / "out").iterdir())) == 2
