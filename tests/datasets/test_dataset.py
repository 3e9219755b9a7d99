"""The dataset: records, splits, joins, and batches that are the same on both paths."""

import json
import os
import pickle
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from keras_localize.datasets import LocalizationDataset, make_synthetic
from keras_localize.datasets import squares as squares_module
from keras_localize.images import ImageError
from keras_localize.layers.random_square_view import RandomSquareView


def tiny(count=11, classes=3, **options):
    """Images of one colour each: (10 * i, ...), every fifth without a box."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 60, (count, 2))
    images = [
        np.full((h, w, 3), 10 * i % 256, "uint8") for i, (h, w) in enumerate(sizes)
    ]
    low, high = rng.uniform(0, 0.4, (count, 2)), rng.uniform(0.5, 1, (count, 2))
    weights = (np.arange(count) % 5 != 4).astype(float)
    return LocalizationDataset(
        images,
        np.concatenate([low, high], axis=1),
        np.arange(count) % classes,
        [f"class {i}" for i in range(classes)],
        weights,
        **options,
    )


def flat(batches):
    """Batches as NumPy: images, labels, boxes, label weights, box weights."""
    parts = []
    for images, targets, weights in batches:
        assert set(targets) == set(weights) == {"label", "box"}
        row = (
            images,
            targets["label"],
            targets["box"],
            weights["label"],
            weights["box"],
        )
        parts.append([np.asarray(value) for value in row])
    return [np.concatenate(part) for part in zip(*parts)]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(flat(first), flat(second)))


def test_records_and_parts():
    dataset = tiny()
    record = dataset[4]
    assert record.weight == 0 and record.box.tolist() == [0, 0, 0, 0]
    assert record.class_name == "class 1" and record.size == record.image.shape[:2]
    assert dataset[-1].name == dataset[10].name
    assert [r.name for r in dataset[2:5]] == dataset.names[2:5]
    chosen = dataset[np.array([7, 1])]
    assert chosen.names == [dataset.names[7], dataset.names[1]]
    assert np.array_equal(chosen.boxes, dataset.boxes[[7, 1]])
    assert len(dataset[dataset.labels == 2]) == 3 and len(dataset[[]]) == 0
    with pytest.raises(IndexError, match="11"):
        dataset[11]


def test_sizes_are_read_from_files_turned_upright(tmp_path):
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=tags)
    dataset = LocalizationDataset([tmp_path / "a.jpg"], [[0, 0, 1, 1]], [0], ["a"])
    assert dataset[0].size == (30, 20)
    assert dataset[0].path == dataset[0].image == str(tmp_path / "a.jpg")
    assert tiny()[0].path is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": np.zeros((1, 3))}, r"`boxes` must have shape \(2, 4\)"),
        ({"boxes": [[0, 0, 1, 1], [0.5, 0, 0.4, 1]]}, "second"),
        ({"boxes": [[0, 0, 1, 1], [0.5, 0, 1.1, 1]]}, "second"),
        ({"boxes": [[0, 0, 1, 1], [0.5, 0, np.nan, 1]]}, "second"),
        ({"labels": [0, 2]}, r"`labels` must lie in \[0, 2\).*Received: 2"),
        ({"labels": [0.0, 1.0]}, "2 integers"),
        ({"labels": [0, -1]}, r"-1 is for images of `presence` 0.*-1 for second"),
        ({"presence": [1, 0]}, "`labels` must be -1 where.*second"),
        ({"presence": [1, 0.5]}, r"`presence` must be 2 values 0 or 1.*0\.5"),
        ({"presence": [1]}, "`presence` must be 2 values"),
        (
            {"presence": [1, 0], "labels": [0, -1], "weights": [1, 1]},
            "`weights` must be 0 where.*second",
        ),
        ({"weights": [1, -1]}, "`weights`"),
        ({"weights": [1]}, "`weights`"),
        ({"names": ["same", "same"]}, "repeated: .'same'"),
        ({"image_sizes": [[4, 4]]}, "`image_sizes`"),
    ],
)
def test_bad_arguments(change, message):
    good = {
        "images": [np.zeros((4, 4, 3), "uint8")] * 2,
        "boxes": [[0, 0, 1, 1]] * 2,
        "labels": [0, 1],
        "class_names": ["a", "b"],
        "names": ["first", "second"],
    }
    with pytest.raises(ValueError, match=message):
        LocalizationDataset(**{**good, **change})


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
    order=st.randoms(use_true_random=False),
)
def test_split_is_stratified_and_does_not_depend_on_order(
    counts, fraction, seed, order
):
    labels = np.repeat(np.arange(len(counts)), counts)
    names = [f"{label}/{i}" for i, label in enumerate(labels)]

    def split(permutation):
        count = len(permutation)
        dataset = LocalizationDataset(
            [f"{i}.jpg" for i in permutation],
            np.tile([0.0, 0, 1, 1], (count, 1)),
            labels[permutation],
            [str(i) for i in range(len(counts))],
            image_sizes=np.ones((count, 2)),
            names=[names[i] for i in permutation],
        )
        return dataset.split(fraction, seed)

    straight = np.arange(len(labels))
    rest, share = split(straight)
    assert len(share) == round(float(fraction * len(labels)))
    assert sorted(rest.names + share.names) == sorted(names)
    taken = Counter(share.labels.tolist())
    for label, count in enumerate(counts):
        assert abs(taken[label] - fraction * count) < 1 + 1e-9
    shuffled = straight.tolist()
    order.shuffle(shuffled)
    assert set(split(np.array(shuffled, int))[1].names) == set(share.names)


def with_negatives(count=11, every=4):
    """`tiny`, but every fourth image holds no object."""
    dataset = tiny(count)
    presence = np.arange(count) % every != 1
    return LocalizationDataset(
        dataset.images,
        dataset.boxes,
        np.where(presence, dataset.labels, -1),
        dataset.class_names,
        np.where(presence, dataset.weights, 0),
        presence=presence,
    )


def test_images_without_an_object():
    dataset = with_negatives()
    assert dataset.presence.dtype == "float32"
    assert np.flatnonzero(dataset.presence == 0).tolist() == [1, 5, 9]
    record = dataset[1]
    assert (record.presence, record.label, record.class_name) == (0, -1, None)
    assert record.weight == 0 and record.box.tolist() == [0, 0, 0, 0]
    assert dataset[0].presence == 1
    assert dataset[4:7].presence.tolist() == [1, 0, 1]
    summary = dataset.summary()
    counts = (summary.with_box, summary.without_box, summary.negatives)
    assert counts == (7, 1, 3) and sum(summary.classes.values()) == 8
    assert "7 with a box, 1 without, 3 without an object" in str(summary)
    by_default = LocalizationDataset(
        [np.zeros((4, 4, 3), "uint8")] * 2,
        [[0, 0, 1, 1]] * 2,
        [0, -1],
        ["a"],
        presence=[1, 0],
    )
    assert by_default.weights.tolist() == [1, 0]
    assert by_default.boxes.tolist() == [[0, 0, 1, 1], [0, 0, 0, 0]]


def test_images_without_an_object_are_split_like_a_class():
    dataset = with_negatives(60, every=3)
    for fraction in (0.1, 0.25, 0.5):
        rest, share = dataset.split(fraction)
        assert abs(np.sum(share.presence == 0) - 20 * fraction) < 1
        assert np.sum(rest.presence == 0) + np.sum(share.presence == 0) == 20


def test_split_depends_on_the_seed():
    dataset = make_synthetic(60, num_classes=2, max_side=96)
    assert dataset.split(0.3, 1)[1].names == dataset.split(0.3, 1)[1].names
    assert dataset.split(0.3, 1)[1].names != dataset.split(0.3, 2)[1].names
    for bad in (0, 1, -0.1, 1.5):
        with pytest.raises(ValueError, match="`fraction`"):
            dataset.split(bad)


def test_summary_of_whole_and_part():
    told = {"handled": {"odd": ["00000001", "00000009"]}, "found": 13}
    dataset = tiny(skipped={"bad": ["x", "y"]}, **told)
    summary = dataset.summary()
    assert (summary.images, summary.with_box, summary.without_box) == (11, 9, 2)
    assert summary.found == summary.images + sum(map(len, summary.skipped.values()))
    assert summary.classes == {"class 0": 4, "class 1": 4, "class 2": 3}
    text = str(summary)
    assert "11 images of 13 found" in text and "skipped: 2 bad (x, y)" in text
    part = dataset[:5].summary()
    assert part.handled == {"odd": ("00000001",)} and part.skipped == {}
    assert part.found == part.images == 5


def test_saved_and_loaded(tmp_path):
    whole = make_synthetic(9, directory=tmp_path / "bilder ü", max_side=96)
    told = {"handled": {"odd": [whole.names[0]]}, "skipped": {"bad": ["x"]}}
    presence = np.arange(9) != 3
    dataset = LocalizationDataset(
        whole.images,
        whole.boxes,
        np.where(presence, whole.labels, -1),
        whole.class_names,
        (np.arange(9) % 4 != 3) / 3,
        whole.image_sizes,
        presence=presence,
        names=whole.names,
        found=12,
        **told,
    )
    file = tmp_path / "set.json"
    file.write_text("before")
    dataset.save(file)
    again = LocalizationDataset.load(file)
    for attribute in ("boxes", "labels", "weights", "image_sizes", "presence"):
        first, second = getattr(dataset, attribute), getattr(again, attribute)
        assert np.array_equal(first, second) and first.dtype == second.dtype
    assert again.images == dataset.images and again.names == dataset.names
    assert again.class_names == dataset.class_names
    assert again.summary() == dataset.summary()
    assert sorted(x.name for x in tmp_path.iterdir()) == ["bilder ü", "set.json"]
    # Files of before there was `presence`.
    content = json.loads(file.read_text())
    del content["presence"]
    content["labels"][3] = 0
    file.write_text(json.dumps(content))
    assert LocalizationDataset.load(file).presence.tolist() == [1] * 9
    with pytest.raises(ValueError, match="`images` must be paths"):
        tiny().save(tmp_path / "arrays.json")
    for text in ("", "[]", "{}", '{"images": 3}', file.read_text()[:-9]):
        file.write_text(text)
        with pytest.raises(ValueError, match=r"set\.json: not a saved dataset"):
            LocalizationDataset.load(file)
    with pytest.raises(ValueError, match="missing file"):
        LocalizationDataset.load(tmp_path / "nowhere.json")


def test_both_paths_give_the_documented_batches():
    dataset = tiny()
    method = dataset.to_tf_data(16, 4)
    assert method.cardinality().numpy() == 3 == len(dataset.to_pydataset(16, 4))
    images, labels, boxes, label_weights, box_weights = flat(method)
    assert same(method, dataset.to_pydataset(16, 4))
    kinds = [images.dtype, labels.dtype, boxes.dtype, box_weights.dtype]
    assert kinds == ["uint8", "int32", "float32", "float32"]
    assert images.shape == (11, 16, 16, 3)
    assert labels.tolist() == dataset.labels.tolist()
    assert label_weights.tolist() == [1] * 11
    assert box_weights.tolist() == dataset.weights.tolist()
    assert (boxes[dataset.weights == 0] == 0).all()
    # The colour says which image it is; its place is the box of the whole image.
    for i, (height, width) in enumerate(dataset.image_sizes):
        assert images[i].max() == 10 * i
        longer = max(height, width)
        x0, y0, x1, _ = dataset.boxes[i].astype(float)
        pad_x, pad_y = (longer - width) / 2, (longer - height) / 2
        nominal = np.array(
            [x0 * width + pad_x, y0 * height + pad_y, x1 * width + pad_x]
        )
        if dataset.weights[i]:
            # Whole pixels of the square: within one of the unrounded place.
            assert np.abs(boxes[i][:3] * 16 - nominal / longer * 16).max() < 1


def test_order_is_a_function_of_seed_and_epoch():
    dataset = tiny()

    def epochs(seed, method, count=3):
        if method == "tf":
            data = dataset.to_tf_data(8, 4, shuffle=True, seed=seed)
            return [flat(data)[0][:, 4, 4, 0].tolist() for _ in range(count)]
        data = dataset.to_pydataset(8, 4, shuffle=True, seed=seed)
        orders = []
        for _ in range(count):
            orders.append(flat(data)[0][:, 4, 4, 0].tolist())
            data.on_epoch_end()
        return orders

    first = epochs(3, "tf")
    assert first == epochs(3, "tf") == epochs(3, "py")
    assert first != epochs(4, "tf")
    assert first[0] != first[1] != first[2]
    assert all(sorted(order) == sorted(first[0]) for order in first)
    keras.utils.set_random_seed(5)
    unnamed = epochs(None, "py", 1)
    keras.utils.set_random_seed(5)
    assert epochs(None, "tf", 1) == unnamed


def test_class_weights_multiply_the_label_weights():
    dataset = tiny()
    balanced = flat(dataset.to_pydataset(8, class_weight="balanced"))[3]
    counts = np.array([4, 4, 3])
    assert np.allclose(balanced, (11 / 3 / counts)[dataset.labels])
    assert np.isclose(balanced.mean(), 1)
    for given_weights in ({2: 3.0, "class 0": 0.5}, {"class 2": 3, 0: 0.5}):
        weights = flat(dataset.to_pydataset(8, class_weight=given_weights))[3]
        assert weights.tolist() == np.array([0.5, 1, 3])[dataset.labels].tolist()
    for bad in ("even", {3: 1.0}, {"cat": 1.0}, {0: -1.0}, {0: "2"}, 2):
        with pytest.raises(ValueError, match="`class_weight`"):
            dataset.to_pydataset(8, class_weight=bad)


@pytest.mark.parametrize("method", ["to_tf_data", "to_pydataset"])
def test_augment_gets_boxes_in_its_own_format(method):
    dataset = tiny()

    class Mirror:
        bounding_box_format = "xywh"

        def __call__(self, inputs):
            images, boxes = inputs["images"], inputs["bounding_boxes"]["boxes"]
            width = images.shape[2]
            moved = [
                width - boxes[:, 0] - boxes[:, 2],
                *(boxes[:, i] for i in (1, 2, 3)),
            ]
            if method == "to_tf_data":
                import tensorflow as tf

                moved = tf.stack(moved, axis=-1)
            else:
                moved = np.stack(moved, axis=-1)
            return {
                **inputs,
                "images": images[:, :, ::-1],
                "bounding_boxes": {**inputs["bounding_boxes"], "boxes": moved},
            }

    images, _, boxes, _, box_weights = flat(
        getattr(dataset, method)(16, augment=Mirror())
    )
    plain_images, _, plain_boxes, _, _ = flat(getattr(dataset, method)(16))
    assert np.array_equal(images, plain_images[:, :, ::-1])
    boxed = box_weights > 0
    mirrored = plain_boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [1, 0, 1, 0]
    assert np.allclose(boxes[boxed], mirrored[boxed], atol=1e-6)
    assert np.array_equal(box_weights, dataset.weights)
    with pytest.raises(ValueError, match="`augment`"):
        getattr(dataset, method)(16, augment="flip")


def test_views_are_functions_of_seed_epoch_and_index():
    dataset = make_synthetic(6, max_side=100)
    view = RandomSquareView(24, bounding_box_format="rel_xyxy")

    def epochs(method, seed, shuffle):
        options = {"shuffle": shuffle, "augment": view, "seed": seed}
        data = getattr(dataset, method)(24, 6, **options)
        seen = []
        for epoch in range(2):
            order = np.arange(6)
            if shuffle:
                order = np.random.default_rng([seed, epoch]).permutation(6)
            images, _, boxes, _, _ = flat(data)
            back = np.argsort(order)
            seen.append((images[back], boxes[back]))
            if method == "to_pydataset":
                data.on_epoch_end()
        return seen

    first = epochs("to_tf_data", 1, True)
    for other in (epochs("to_pydataset", 1, True), epochs("to_tf_data", 1, False)):
        for (images, boxes), (images2, boxes2) in zip(first, other):
            assert np.allclose(boxes, boxes2, atol=1e-5)
            assert np.allclose(images, images2, atol=0.1)
    plain = flat(dataset.to_pydataset(24))[2]
    assert not np.allclose(first[0][1], first[1][1], atol=1e-2)
    assert not np.allclose(first[0][1], plain, atol=1e-2)
    assert not np.allclose(
        epochs("to_pydataset", 2, True)[0][1], first[0][1], atol=1e-2
    )


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that were decoded, in order."""
    seen = []
    original = squares_module.letterbox

    def watched(source, size, out):
        seen.append(source)
        return original(source, size, out)

    monkeypatch.setattr(squares_module, "letterbox", watched)
    return seen


def test_caches_decode_once_and_change_nothing(tmp_path, decoded):
    dataset = make_synthetic(10, directory=tmp_path / "images", max_side=100)
    plain = dataset.to_pydataset(24, 4, shuffle=True, seed=1)
    expected = [flat(plain)]
    plain.on_epoch_end()
    expected.append(flat(plain))
    for cache in ("memory", tmp_path / "cache"):
        decoded.clear()
        data = dataset.to_tf_data(24, 4, shuffle=True, seed=1, cache=cache)
        for epoch in expected:
            assert all(map(np.array_equal, flat(data), epoch))
        assert len(decoded) == len(set(decoded)) == 10
    # The next run finds them; another size or a changed file does not.
    decoded.clear()
    again = dataset.to_pydataset(24, 4, shuffle=True, seed=1, cache=tmp_path / "cache")
    assert all(map(np.array_equal, flat(again), expected[0])) and not decoded
    flat(dataset.to_pydataset(16, cache=tmp_path / "cache"))
    assert len(decoded) == 10
    os.utime(dataset.images[0], ns=(1, 1))
    flat(dataset.to_pydataset(24, cache=tmp_path / "cache"))
    assert len(decoded) == 20
    with pytest.raises(ValueError, match="`cache`"):
        dataset.to_tf_data(24, cache=3)


def test_interrupted_cache_is_completed(tmp_path, decoded):
    dataset = make_synthetic(8, max_side=100)
    first = dataset.to_pydataset(16, 3, cache=tmp_path)
    first[1]
    [file] = tmp_path.iterdir()
    # Cut in the middle of the last record, as a killed run leaves it.
    os.truncate(file, file.stat().st_size - 5)
    decoded.clear()
    whole = dataset.to_pydataset(16, 3, cache=tmp_path)
    assert same(whole, dataset.to_pydataset(16, 3))
    assert len(decoded) == (8 - 2) + 8


def test_pydataset_travels_to_other_processes(tmp_path):
    dataset = make_synthetic(5, max_side=96)
    for cache in (None, "memory", tmp_path):
        data = dataset.to_pydataset(16, 2, shuffle=True, seed=0, cache=cache)
        data.on_epoch_end()
        assert same(pickle.loads(pickle.dumps(data)), data)


def test_broken_image_names_its_file(tmp_path):
    dataset = make_synthetic(2, directory=tmp_path, max_side=96)
    file = Path(dataset.images[1])
    file.write_bytes(file.read_bytes()[:-400])
    with pytest.raises(ImageError, match=file.name):
        dataset.to_pydataset(16)[0]
    with pytest.raises(Exception, match=file.name):
        list(dataset.to_tf_data(16))


def test_sizes_must_be_positive_integers():
    dataset = tiny()
    for arguments in ({"size": 0}, {"size": 8.0}, {"size": 8, "batch_size": 0}):
        with pytest.raises(ValueError, match="positive integer"):
            dataset.to_pydataset(**arguments)


@pytest.mark.parametrize("method", ["to_tf_data", "to_pydataset"])
def test_a_users_own_model_fits_on_it(method):
    dataset = tiny(12, classes=2)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    outputs = {
        "label": keras.layers.Dense(2, activation="softmax", name="label")(x),
        "box": keras.layers.Dense(4, activation="sigmoid", name="box")(x),
    }
    model = keras.Model(inputs, outputs)
    model.compile(
        "sgd",
        loss={"label": "sparse_categorical_crossentropy", "box": "mse"},
        jit_compile=False,
    )
    data = getattr(dataset, method)(8, 4, shuffle=True, class_weight="balanced", seed=0)
    history = model.fit(
        data, epochs=2, validation_data=data, shuffle=False, verbose=0
    ).history
    assert np.isfinite(history["loss"]).all() and len(history["val_loss"]) == 2


ON_JAX = keras.config.backend() == "jax"


@pytest.mark.skipif(
    ON_JAX, reason="JAX warns that its threads may hang forked processes"
)
def test_worker_processes_give_what_threads_give(tmp_path):
    """Over epochs: the order moves on in the processes as well."""
    dataset = make_synthetic(12, directory=tmp_path, max_side=96)
    view = RandomSquareView(8, bounding_box_format="rel_xyxy")
    seen = []

    class Seen(keras.Model):
        def call(self, images):
            return images

        def train_step(self, *data):
            images, targets, _ = data[-1]
            values = (images, targets["box"])
            seen.append([keras.ops.convert_to_numpy(value) for value in values])
            return {"loss": 0.0}

    runs = []
    for processes in (False, True):
        data = dataset.to_pydataset(
            8,
            4,
            shuffle=True,
            augment=view,
            seed=0,
            workers=2,
            use_multiprocessing=processes,
        )
        seen.clear()
        model = Seen()
        model.compile(run_eagerly=True)
        model.fit(data, epochs=2, shuffle=False, verbose=0)
        runs.append([np.concatenate(part) for part in zip(*seen)])
    assert len(runs[0][0]) == 24 and not np.allclose(runs[0][1][:12], runs[0][1][12:])
    for threads, processes in zip(*runs):
        np.testing.assert_allclose(threads, processes, atol=1e-4)


@pytest.mark.skipif(not ON_JAX, reason="the others can")
def test_jax_layers_are_refused_in_processes():
    view = RandomSquareView(8, bounding_box_format="rel_xyxy")
    with pytest.raises(ValueError, match="`use_multiprocessing=True`"):
        tiny().to_pydataset(8, augment=view, use_multiprocessing=True)
    tiny().to_pydataset(8, augment=lambda data: data, use_multiprocessing=True)


def in_memory(class_names, labels=(0, 1), **options):
    arrays = [np.zeros((8, 8, 3), "uint8") for _ in labels]
    boxes = [[0, 0, 0.5, 0.5]] * len(labels)
    return LocalizationDataset(arrays, boxes, labels, class_names, **options)


def test_class_names_of_a_dict_stand_in_the_order_of_their_ids():
    dataset = in_memory({1: "dog", 0: "cat"})
    assert [record.class_name for record in dataset] == ["cat", "dog"]
    turned = dataset.with_class_names({0: "dog", 1: "cat"})
    assert turned.class_names == ("dog", "cat")
    assert [record.class_name for record in turned] == ["cat", "dog"]


@pytest.mark.parametrize(
    "class_names", ["cat", {1: "cat", 2: "dog"}, {"cat", "dog"}, ["cat", "cat"]]
)
def test_class_names_without_one_meaning_are_refused(class_names):
    with pytest.raises(ValueError, match="`class_names`"):
        in_memory(class_names)


def test_names_are_the_same_in_composed_and_decomposed_unicode():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    first = in_memory([composed, "dog"], names=[decomposed, "b"])
    second = in_memory([decomposed, "dog"], names=["c", "d"])
    assert (first + second).class_names == (composed, "dog")
    assert first[composed].name == first[decomposed].name == decomposed


def test_shards_are_disjoint_and_are_everything():
    dataset = make_synthetic(11, num_classes=3, max_side=100)
    for count in (1, 2, 3, 11, 12):
        shards = [dataset.shard(index, count) for index in range(count)]
        names = [name for shard in shards for name in shard.names]
        assert sorted(names) == sorted(dataset.names)
        assert all(shard.class_names == dataset.class_names for shard in shards)
        even = [dataset.shard(index, count, True) for index in range(count)]
        assert {len(shard) for shard in even} == {11 // count}
        for shard, part in zip(shards, even):
            assert part.names == shard.names[: 11 // count]
    assert dataset.shard(1, 3).names == dataset.names[1::3]
    for index, count in ((3, 3), (-1, 3), (0, 0), (0.5, 2), (True, None)):
        with pytest.raises(ValueError, match=r"`index`|`count`"):
            dataset.shard(index, count)


def test_a_record_twice_is_an_error_about_the_index():
    with pytest.raises(ValueError, match=r"`index`.*once.*\[0 0 1\]"):
        tiny()[[0, 0, 1]]


def test_names_numbers_and_sums_as_numpy_and_python_have_them(rng):
    data = tiny()
    names = list(data.names)
    for index in (names[:2], np.array(names[:2]), tuple(names[:2])):
        assert data[index].names == names[:2]
    for index in (np.array(1), keras.ops.argmax(keras.ops.array([0.0, 2.0]))):
        assert data[index].name == names[1]
    assert data[np.array(names[:2], object)].names == names[:2]
    assert len(data[[]]) == len(data[np.array(names)[:0]]) == 0
    for index in (1.5, None, [0.5], [[0], [1]], np.array(True), {"a": 1}):
        with pytest.raises(ValueError, match="`index` must be an int, a name"):
            data[index]
    with pytest.raises(KeyError):
        data[["no such name"]]
    assert sum([data, data]).names == (data + data).names
    with pytest.raises(TypeError):
        1 + data


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_of_files_that_are_no_utf8(tmp_path):
    names = [os.fsdecode(b"caf\xe9%d.png" % number) for number in range(4)]
    paths = [str(tmp_path / name) for name in names]
    for path in paths:
        Image.new("RGB", (20, 10)).save(path)
    data = LocalizationDataset(paths, [[0, 0, 1, 1]] * 4, [0] * 4, ["x"], names=names)
    train, validation = data.split(0.5)
    assert sorted(train.names + validation.names) == names
    for _ in range(2):
        batches = data.to_pydataset(8, cache=tmp_path / "cache")
        assert batches[0][0].shape == (4, 8, 8, 3)


def test_a_missing_image_in_a_cached_dataset(tmp_path):
    gone = tmp_path / "gone.png"
    Image.new("RGB", (20, 10)).save(gone)
    data = LocalizationDataset([str(gone)], [[0, 0, 1, 1]], [0], ["x"])
    gone.unlink()
    with pytest.raises(ImageError, match=r"gone\.png: missing image"):
        data.to_pydataset(8, cache=tmp_path / "cache")
