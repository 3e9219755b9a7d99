"""Cached features: the right ones, found again, and never those of other data."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from processes import answer_of
from tiny_backbone import tiny_backbone

from keras_localize import (
    FeatureBatches,
    LocalizationDataset,
    RandomSquareView,
    build_localizer,
    cache_features,
    make_synthetic,
)

PROCESS = Path(__file__).with_name("feature_cache_process.py")


def views_of(kind="to_pydataset", seed=3, count=7):
    """Batches whose every epoch is another view of the same images."""
    data = make_synthetic(count, min_side=32, max_side=48)
    view = RandomSquareView(32, bounding_box_format="rel_xyxy")
    return getattr(data, kind)(32, 3, shuffle=True, augment=view, seed=seed)


def equal(first, second):
    first, second = (keras.tree.flatten(each) for each in (first, second))
    return all(
        np.allclose(a.astype("float32"), b.astype("float32"), rtol=5e-3, atol=5e-3)
        for a, b in zip(first, second, strict=True)
    )


@pytest.fixture
def watched(backbone):
    """A feature extractor, and the number of images that went through it."""
    features, _ = build_localizer(backbone, 4).split()
    seen = []

    class Watched:
        def predict_on_batch(self, images):
            seen.append(len(images))
            return features.predict_on_batch(images)

    return Watched(), seen


@pytest.mark.parametrize("kind", ["to_tf_data", "to_pydataset"])
def test_every_pass_is_another_view(watched, kind):
    features, _ = watched
    maps, targets, weights = cache_features(
        features, views_of(kind), mirror=False, views=2, verbose=0
    )
    assert {len(x) for x in (*maps, *targets.values(), *weights.values())} == {14}
    # Pass after pass: what two calls give with the epochs that follow each other.
    batches = views_of(kind)
    parts = []
    for epoch in range(2):
        if epoch and kind == "to_pydataset":
            batches.on_epoch_end()
        parts.append(cache_features(features, batches, mirror=False, verbose=0))
    for one, (first, second) in zip((maps, targets, weights), zip(*parts)):
        expected = keras.tree.map_structure(
            lambda *halves: np.concatenate(halves), first, second
        )
        assert equal(one, expected)
    # The same images in other views: the order is a function of seed and epoch.
    orders = [np.random.default_rng([3, epoch]).permutation(7) for epoch in range(2)]
    boxes = [targets["box"][i * 7 :][:7][np.argsort(orders[i])] for i in range(2)]
    assert np.abs(boxes[0] - boxes[1]).max(axis=1).min() > 1e-3


@pytest.mark.parametrize("kind", ["to_tf_data", "to_pydataset"])
def test_folder_is_filled_found_again_and_completed(watched, tmp_path, kind):
    features, seen = watched
    options = {"views": 2, "verbose": 0}
    expected = cache_features(features, views_of(kind), **options)
    seen.clear()

    class Stop(Exception):
        pass

    class Interrupted:
        def predict_on_batch(self, images):
            if len(seen) == 7:
                raise Stop
            return features.predict_on_batch(images)

    with pytest.raises(Stop):
        cache_features(Interrupted(), views_of(kind), path=tmp_path / "a", **options)
    # A killed run leaves half a batch and half a line as well.
    with open(tmp_path / "a" / "maps.0.raw", "ab") as file:
        file.write(b"half a batch")
    with open(tmp_path / "a" / "index", "a") as file:
        file.write('{"rows": 1')
    seen.clear()
    resumed = cache_features(features, views_of(kind), path=tmp_path / "a", **options)
    assert equal(resumed, expected)
    # Two passes of three batches, each with its flip; three batches were there, and
    # the first is computed again to check the model.
    assert len(seen) == (6 - 3 + 1) * 2
    seen.clear()
    found = cache_features(features, views_of(kind), path=tmp_path / "a", **options)
    assert equal(found, expected) and len(seen) == 2
    assert isinstance(found[0][0], np.memmap) and found[0][0].dtype == "float16"


def test_folder_of_other_features_is_refused(watched, tmp_path):
    features, _ = watched
    options = {"path": tmp_path, "verbose": 0}
    cache_features(features, views_of(), **options)
    other = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 8, strides=8)]
    )
    twice = type("Twice", (), {})()
    twice.predict_on_batch = lambda x: keras.tree.map_structure(
        lambda y: 2 * y, features.predict_on_batch(x)
    )
    for model, batches, changes in (
        (features, views_of(), {"views": 2}),
        (features, views_of(), {"mirror": False}),
        (features, views_of(seed=4), {}),
        (features, views_of(count=12), {}),
        (other, views_of(), {}),
        (twice, views_of(), {}),
    ):
        with pytest.raises(ValueError, match="`path` must be a new folder"):
            cache_features(model, batches, **options, **changes)
    (tmp_path / "about.json").write_text("{")
    with pytest.raises(ValueError, match="`path` must be a new folder"):
        cache_features(features, views_of(), **options)


def test_batches_that_cannot_be_cached(watched, tmp_path):
    features, _ = watched
    for views in (0, 1.5):
        with pytest.raises(ValueError, match="`views`"):
            cache_features(features, views_of(), views=views)
    batches = views_of()
    once = iter([batches[0]])
    with pytest.raises(ValueError, match=r"`views=2` needs.*pass 2"):
        cache_features(features, once, views=2, verbose=0)
    images, targets, weights = batches[0]
    wild = type("Wild", (), {"predict_on_batch": lambda self, x: [x * 1e3]})()
    tame = (images * 0, targets, weights)
    with pytest.raises(ValueError, match=r"float16.*maps\.0"):
        cache_features(
            wild, [tame, (images, targets, weights)], path=tmp_path, verbose=0
        )
    # In memory the maps become float32 instead.
    maps, _, _ = cache_features(wild, [tame, batches[0]], verbose=0)
    assert maps[0].dtype == "float32"


@pytest.mark.parametrize("kind", ["to_tf_data", "to_pydataset"])
def test_features_are_those_of_each_image_and_its_flip(backbone, kind):
    data = make_synthetic(5, min_side=32, max_side=48)
    localizer = build_localizer(backbone, 4)
    features, heads = localizer.split()
    batches = getattr(data, kind)(32, batch_size=2)
    maps, targets, weights = cache_features(features, batches, verbose=0)
    assert [x.shape for x in maps] == [
        (10, 16, 16, 8),
        (10, 8, 8, 12),
        (10, 4, 4, 16),
    ]
    assert targets["box"].shape == (10, 4) and weights["box"].shape == (10,)
    # Every box has its flip, and the heads get what the localizer's heads get.
    x0, y0, x1, y1 = targets["box"].T
    flipped = np.stack([1 - x1, y0, 1 - x0, y1], axis=1)
    for box in flipped:
        assert np.abs(targets["box"] - box).max(axis=1).min() < 1e-6
    images = (
        np.concatenate([np.asarray(batches[i][0]) for i in range(3)])
        if (kind == "to_pydataset")
        else np.concatenate([np.asarray(x) for x, _, _ in batches])
    )
    plain, _, _ = cache_features(features, batches, mirror=False, verbose=0)
    expected = features.predict(images, verbose=0)
    for got, want in zip(plain, expected):
        np.testing.assert_allclose(got.astype("float32"), want, rtol=1e-3, atol=1e-3)
    heads.compile()
    heads.fit(maps, targets, sample_weight=weights, verbose=0)


@pytest.mark.parametrize("kind", ["to_tf_data", "to_pydataset"])
def test_batches_with_other_classes_are_refused(backbone, kind):
    data = make_synthetic(4, num_classes=2)
    batches = getattr(data, kind)(32, 2)
    for names, fits in (
        (["disc", "square"], True),
        (["disc", "square", "star"], True),
        (["square", "disc"], False),
        (["star", "square"], False),
    ):
        localizer = build_localizer(backbone, len(names), class_names=names)
        features, _ = localizer.split()
        if fits:
            cache_features(features, batches, verbose=0)
            continue
        with pytest.raises(ValueError, match=r"`batches`.*Received: disc, square"):
            cache_features(features, batches, verbose=0)


def test_no_batch_is_an_error(backbone):
    features, _ = build_localizer(backbone, 4).split()
    with pytest.raises(ValueError, match="batches"):
        cache_features(features, [], verbose=0)


# --- forms of batches ---


@pytest.mark.parametrize("targets", [None, ["box"], ["label"], "box", "label"])
def test_every_form_of_targets(watched, targets):
    features, _ = watched
    data = make_synthetic(5, negatives=0.4, min_side=32, max_side=48)
    batches = data.to_pydataset(32, 2, targets=targets)
    maps, y, w = cache_features(features, batches, verbose=0)
    assert {len(x) for x in maps} == {10}
    names = ["label", "box", "presence"] if targets is None else targets
    parts = [batches[i] for i in range(3)]
    if isinstance(targets, str):
        assert isinstance(y, np.ndarray) and isinstance(w, np.ndarray)
        y, w = {targets: y}, {targets: w}
        parts = [(x, {targets: t}, {targets: u}) for x, t, u in parts]
        names = [targets]
    assert list(y) == list(w) == names
    for kind, cached in ((1, y), (2, w)):
        for name in names:
            # Batch after batch, each followed by its flip.
            expected = []
            for part in parts:
                value = part[kind][name]
                flipped = value
                if kind == 1 and name == "box":
                    x0, y0, x1, y1 = value.T
                    flipped = np.stack([1 - x1, y0, 1 - x0, y1], axis=1)
                expected += [value, flipped]
            np.testing.assert_allclose(
                cached[name], np.concatenate(expected), atol=1e-6
            )


def test_batches_of_unknown_number(backbone):
    features, _ = build_localizer(backbone, 4).split()
    batches = make_synthetic(5, min_side=32, max_side=40).to_tf_data(32, 2)
    expected = cache_features(features, batches, verbose=0)
    unknown = batches.filter(lambda *_: True)
    assert equal(cache_features(features, unknown, verbose=0), expected)
    with pytest.raises(ValueError, match="`batches` must have an end"):
        cache_features(features, batches.repeat(), verbose=0)


def test_without_weights_all_weigh_1(watched):
    features, _ = watched
    images, targets, _ = views_of()[0]
    for y, form in ((targets, dict), (targets["box"], np.ndarray)):
        _, cached, weights = cache_features(features, [(images, y)], verbose=0)
        assert isinstance(cached, form)
        for one in keras.tree.flatten(weights):
            assert one.tolist() == [1.0] * 6
    for batch in (images, (images,)):
        with pytest.raises(ValueError, match=r"`batches` must give \(images, targets"):
            cache_features(features, [batch], verbose=0)


@pytest.mark.parametrize("targets", [None, "box"])
def test_a_box_only_head_trains_on_them(batch, targets):
    localizer = build_localizer(tiny_backbone(), None)
    features, heads = localizer.split()
    data = make_synthetic(6, negatives=0.3, min_side=32, max_side=48)
    cached = cache_features(
        features, data.to_pydataset(32, 4, targets=targets), verbose=0
    )
    before = localizer.predict(batch[0], verbose=0)["box"]
    heads.compile()
    history = heads.fit(FeatureBatches(*cached, batch_size=4), epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert np.abs(localizer.predict(batch[0], verbose=0)["box"] - before).max() > 1e-4


# --- other data in the same folder ---


def changed(data, **changes):
    parts = {
        name: getattr(data, name)
        for name in ("images", "boxes", "labels", "class_names", "weights")
    }
    return LocalizationDataset(**{**parts, **changes})


@pytest.fixture
def files(tmp_path):
    """Eight image files, four batches of two."""
    return make_synthetic(8, min_side=32, max_side=48, directory=tmp_path / "images")


@pytest.mark.parametrize("kind", ["to_tf_data", "to_pydataset"])
@pytest.mark.parametrize("complete", [True, False])
def test_other_data_are_refused(watched, files, tmp_path, kind, complete):
    features, seen = watched
    options = {"path": tmp_path / "cache", "mirror": False, "verbose": 0}

    class Stop(Exception):
        pass

    class Interrupted:
        def predict_on_batch(self, images):
            if len(seen) == 3 and not complete:
                raise Stop
            return features.predict_on_batch(images)

    def run(data, model=features, size=32):
        return cache_features(model, getattr(data, kind)(size, 2), **options)

    if complete:
        run(files, Interrupted())
    else:
        with pytest.raises(Stop):
            run(files, Interrupted())
    labels = files.labels.copy()
    labels[5] = (labels[5] + 1) % len(files.class_names)
    weights = np.where(np.arange(8) == 5, 0, files.weights)
    boxes = files.boxes.copy()
    boxes[5, 2] *= 0.999
    order = [0, 1, 2, 3, 4, 6, 7, 5]
    other_images = {
        "images": [files.images[i] for i in order],
        "image_sizes": files.image_sizes[order],
    }
    others = [
        changed(files, labels=labels),
        changed(files, boxes=boxes),
        changed(files, weights=weights),
        changed(files, **other_images),
    ]
    if complete:
        others += [files[:7], files[:6]]
    for other in others:
        with pytest.raises(ValueError, match="`path` must be a new folder"):
            run(other)
    # An image file that was replaced by another of the same size.
    image = Path(files.images[5])
    content = image.read_bytes()
    with Image.open(image) as opened:
        opened.transpose(Image.Transpose.ROTATE_180).save(image)
    os.utime(image, (1, 1))
    with pytest.raises(ValueError, match="`path` must be a new folder"):
        run(files)
    # The same content with another time of change is compared and accepted.
    image.write_bytes(content)
    os.utime(image, (2, 2))
    seen.clear()
    found = run(files)
    assert equal(found, cache_features(features, getattr(files, kind)(32, 2), False, 0))


def test_completed_from_other_batches_is_not_taken_for_the_first(
    watched, files, tmp_path
):
    features, seen = watched
    options = {"path": tmp_path / "cache", "mirror": False, "verbose": 0}
    labels = files.labels.copy()
    labels[7] = (labels[7] + 1) % len(files.class_names)
    other = changed(files, labels=labels)

    class Interrupted:
        def predict_on_batch(self, images):
            if len(seen) == 2:
                raise KeyboardInterrupt
            return features.predict_on_batch(images)

    with pytest.raises(KeyboardInterrupt):
        cache_features(Interrupted(), files.to_pydataset(32, 2), **options)
    # What was there is the same in both.
    _, targets, _ = cache_features(features, other.to_pydataset(32, 2), **options)
    assert targets["label"].tolist() == labels.tolist()
    with pytest.raises(ValueError, match="`path` must be a new folder"):
        cache_features(features, files.to_pydataset(32, 2), **options)


def test_other_weights_of_the_model_are_refused(files, tmp_path):
    localizer = build_localizer(tiny_backbone(), 4)
    features, _ = localizer.split()
    batches = files.to_pydataset(32, 2)
    cache_features(features, batches, path=tmp_path / "cache", verbose=0)
    kernel = localizer.backbone.get_layer("conv_0").kernel
    kernel.assign(kernel * (1 + 1e-5))  # too little to be seen in float16
    with pytest.raises(ValueError, match="another model"):
        cache_features(features, batches, path=tmp_path / "cache", verbose=0)


def test_known_batches_are_not_read_again(watched, files, tmp_path, monkeypatch):
    features, _ = watched
    view = RandomSquareView(32, bounding_box_format="rel_xyxy")
    options = {"views": 2, "path": tmp_path / "cache", "verbose": 0}

    def batches(augment=view):
        return files.to_pydataset(32, 2, shuffle=True, augment=augment, seed=3)

    cache_features(features, batches(), **options)
    again, numbers = batches(), []
    read = again.batches.batch

    def counting(epoch, number):
        numbers.append((epoch, number))
        return read(epoch, number)

    monkeypatch.setattr(again.batches, "batch", counting)
    cache_features(features, again, **options)
    assert numbers == [(0, 0)]
    with pytest.raises(ValueError, match="`path` must be a new folder"):
        other = RandomSquareView(32, flip=0.1, bounding_box_format="rel_xyxy")
        cache_features(features, batches(other), **options)
    # The next epoch has other draws.
    again.on_epoch_end()
    with pytest.raises(ValueError, match="`path` must be a new folder"):
        cache_features(features, again, **options)


# --- damage, readers and writers ---


def test_damage_is_found_and_repaired(watched, files, tmp_path):
    features, seen = watched
    path = tmp_path / "cache"
    batches = files.to_pydataset(32, 2)
    expected = cache_features(features, batches, verbose=0)

    def flip_byte(name, position):
        content = bytearray((path / name).read_bytes())
        content[position] ^= 1
        (path / name).write_bytes(content)

    def cut(name, position):
        with open(path / name, "r+b") as file:
            file.truncate(position)

    cache_features(features, batches, path=path, verbose=0)
    size = (path / "maps.0.raw").stat().st_size
    damages = [
        lambda: flip_byte("maps.0.raw", size // 2),
        lambda: flip_byte("targets.label.raw", 0),
        lambda: flip_byte("weights.box.raw", -1),
        lambda: cut("maps.0.raw", size - 1),
        lambda: (path / "targets.box.raw").unlink(),
        lambda: flip_byte("index", 3),
    ]
    for damage in damages:
        damage()
        with pytest.warns(UserWarning, match="is damaged"):
            found = cache_features(features, batches, path=path, verbose=0)
        assert equal(found, expected)
        del found  # the memory maps
    seen.clear()
    cache_features(features, batches, path=path, verbose=0)
    assert len(seen) == 2  # whole again: the first batch and its flip


def test_a_complete_folder_is_only_read(watched, files, tmp_path, monkeypatch):
    from keras_localize.localizer import feature_store

    features, _ = watched
    path = tmp_path / "cache"
    expected = cache_features(features, files.to_pydataset(32, 2), path=path, verbose=0)

    def state():
        everything = [path, *sorted(path.iterdir())]
        return [(one, one.stat().st_mtime_ns) for one in everything]

    def no_writing(*args):
        raise AssertionError(f"written: {args}")

    before = state()
    monkeypatch.setattr(feature_store, "locked", no_writing)
    monkeypatch.setattr(feature_store, "replacing", no_writing)
    for one in path.iterdir():
        one.chmod(0o444)
    path.chmod(0o555)
    try:
        for kind in ("to_pydataset", "to_tf_data"):
            batches = getattr(files, kind)(32, 2)
            found = cache_features(features, batches, path=path, verbose=0)
            assert equal(found, expected)
        assert state() == before
    finally:
        path.chmod(0o755)


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("task", ["kill", "together"])
def test_real_processes(task, tmp_path):
    """Ten processes killed at random moments; or two at a time, killed together."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("files do not depend on the backend: checked on TensorFlow")
    result = answer_of(PROCESS, task, tmp_path, timeout=300)
    assert result["rows"] == [result["expected_rows"]] * len(result["rows"])
    assert result["same_bytes"]
    if task == "kill":
        assert result["killed"] >= 5
        assert result["partial"] >= 5  # killed while they wrote
    else:
        assert result["ends"] == [0, 0]
