"""Augmentation: boxes follow the painted pixels; what cannot be right is refused."""

import keras
import numpy as np
import pytest

import keras_localize as kl
from keras_localize.datasets import LocalizationDataset, augmentation

METHODS = pytest.mark.parametrize("method", ["to_tf_data", "to_pydataset"])
SIDE, COUNT = 64, 24
L = keras.layers
BLACK = {"fill_mode": "constant"}


def rectangles(count=COUNT, low=16):
    """White rectangles on black, well inside; the pixels say where they are."""
    rng = np.random.default_rng(0)
    images, boxes = np.zeros((count, SIDE, SIDE, 3), "uint8"), []
    for image in images:
        width, height = rng.integers(12, 22, 2)
        x, y = rng.integers(low, SIDE - low - 22, 2)
        image[y : y + height, x : x + width] = 255
        boxes.append([x, y, x + width, y + height])
    return LocalizationDataset(list(images), np.array(boxes) / SIDE, [0] * count, ["a"])


def batches(data):
    return [keras.tree.map_structure(np.asarray, tuple(batch)) for batch in data]


def painted(image):
    rows, columns = np.nonzero(image.mean(-1) > 127)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def errors(images, boxes):
    """Greatest distance in pixels of a side from the paint, for each image."""
    pairs = zip(images, boxes)
    return [np.abs(painted(image) - box * SIDE).max() for image, box in pairs]


GEOMETRY = {
    "flip": lambda **k: L.RandomFlip(**k),
    "flip vertically": lambda **k: L.RandomFlip("vertical", **k),
    "translation": lambda **k: L.RandomTranslation(0.15, 0.15, **BLACK, **k),
    "zoom": lambda **k: L.RandomZoom((-0.2, 0.3), (-0.3, 0.2), **BLACK, **k),
    "rotation": lambda **k: L.RandomRotation(0.1, **BLACK, **k),
    "turned": lambda **k: L.RandomRotation((0.25, 0.25), **BLACK, **k),
    "shear x": lambda **k: L.RandomShear(0.2, **BLACK, **k),
    "shear y": lambda **k: L.RandomShear(0.0, (0.1, 0.2), **BLACK, **k),
    "perspective": lambda **k: L.RandomPerspective(1.0, 0.2, **k),
}


@METHODS
@pytest.mark.parametrize("name", GEOMETRY)
@pytest.mark.parametrize("format", [None, "rel_xyxy", "xywh"])
def test_boxes_follow_the_pixels(method, name, format):
    options = {} if format is None else {"bounding_box_format": format}
    layer = GEOMETRY[name](**options)
    data = rectangles()
    [(images, targets, weights)] = batches(
        getattr(data, method)(SIDE, COUNT, augment=layer, seed=0)
    )
    assert images.shape == (COUNT, SIDE, SIDE, 3) and images.dtype == "float32"
    assert targets["box"].dtype == "float32" and weights["box"].tolist() == [1] * COUNT
    off = errors(images, targets["box"])
    assert max(off) < 2 and np.mean(off) <= 1.1
    moved = [not np.array_equal(a, b) for a, b in zip(data.boxes, targets["box"])]
    assert sum(moved) > COUNT / 4


COLOUR = {
    "AutoContrast": L.AutoContrast,
    "Equalization": L.Equalization,
    "RandomBrightness": lambda: L.RandomBrightness(0.1),
    "RandomColorDegeneration": lambda: L.RandomColorDegeneration(0.5),
    "RandomColorJitter": lambda: L.RandomColorJitter(brightness_factor=0.1),
    "RandomContrast": lambda: L.RandomContrast(0.3),
    "RandomErasing": lambda: L.RandomErasing(1.0),
    "RandomGaussianBlur": lambda: L.RandomGaussianBlur(1.0),
    "RandomGrayscale": lambda: L.RandomGrayscale(0.5),
    "RandomHue": lambda: L.RandomHue(0.3),
    "RandomInvert": lambda: L.RandomInvert(1.0),
    "RandomPosterization": lambda: L.RandomPosterization(3),
    "RandomSaturation": lambda: L.RandomSaturation(0.3),
    "RandomSharpness": lambda: L.RandomSharpness(0.3),
    "Solarization": lambda: L.Solarization(0.5, 0.5),
}


def test_every_layer_of_the_table_is_tested():
    taken = {
        name
        for name, kind in augmentation.KERAS_LAYERS.items()
        if kind in ("colour", "geometry")
    }
    geometry = {type(make()).__name__ for make in GEOMETRY.values()}
    assert taken == set(COLOUR) | geometry | {"CenterCrop", "RandomCrop", "Resizing"}
    assert all(hasattr(L, name) for name in augmentation.KERAS_LAYERS)


def textured(count=8):
    rng = np.random.default_rng(1)
    return LocalizationDataset(
        list(rng.integers(0, 256, (count, 16, 16, 3)).astype("uint8")),
        [[0.25, 0.25, 0.5, 0.75]] * count,
        [0] * count,
        ["a"],
    )


@METHODS
@pytest.mark.filterwarnings("ignore:Tensor.T is deprecated")  # Keras on torch
@pytest.mark.parametrize("name", COLOUR)
def test_colour_layers_leave_the_boxes(method, name):
    data = textured()
    layer = COLOUR[name]()
    [(images, targets, _)] = batches(getattr(data, method)(16, augment=layer, seed=0))
    assert np.allclose(targets["box"], [0.25, 0.25, 0.5, 0.75])
    assert images.dtype == "float32"
    assert images.min() >= -1e-3 and images.max() <= 255.01 and images.max() > 30


def drawn(augment, method, seed=0, epochs=1):
    """The images of every batch and epoch: the same image, again and again."""
    [image] = textured(1).images
    data = LocalizationDataset([image] * 8, [[0.2, 0.2, 0.8, 0.8]] * 8, [0] * 8, ["a"])
    data = getattr(data, method)(16, 2, augment=augment, seed=seed)
    seen = []
    for _ in range(epochs):
        seen += [images for images, _, _ in batches(data)]
        if method == "to_pydataset":
            data.on_epoch_end()
    return seen


RANDOM = {
    "translation": lambda: L.RandomTranslation(0.3, 0.3),
    "zoom": lambda: L.RandomZoom((-0.3, 0.3)),
    "rotation": lambda: L.RandomRotation(0.3),
    "brightness": lambda: L.RandomBrightness(0.5),
    "jitter": lambda: L.RandomColorJitter(brightness_factor=0.5, hue_factor=0.3),
    "seeded": lambda: L.RandomTranslation(0.3, 0.3, seed=7),
    "nested": lambda: L.Pipeline(
        [L.Pipeline([L.RandomContrast(0.5), L.RandomTranslation(0.2, 0.2)])]
    ),
    "ours in a pipeline": lambda: L.Pipeline([kl.RandomSquareView(16)]),
}


@METHODS
@pytest.mark.parametrize("name", RANDOM)
def test_draws_are_new_in_every_batch_and_epoch(method, name):
    """Also in tf.data on JAX and torch, where a graph would hold them constant."""
    layer = RANDOM[name]()
    first = drawn(layer, method, epochs=2)
    for i, images in enumerate(first):
        for other in first[:i]:
            assert not np.allclose(images, other, atol=1)
    again = drawn(RANDOM[name](), method, epochs=2)
    for one, two in zip(first, again):
        np.testing.assert_allclose(one, two, atol=0.1)
    assert not np.allclose(first[0], drawn(layer, method, seed=1)[0], atol=1)


@pytest.mark.parametrize("name", ["translation", "nested", "ours in a pipeline"])
def test_both_paths_draw_the_same(name):
    layer = RANDOM[name]()
    pairs = zip(drawn(layer, "to_tf_data", 3, 2), drawn(layer, "to_pydataset", 3, 2))
    for one, two in pairs:
        np.testing.assert_allclose(one, two, atol=0.2)


def test_two_layers_of_one_kind_draw_apart():
    twice = L.Pipeline(
        [L.RandomBrightness(0.4, seed=1), L.RandomBrightness(0.4, seed=1)]
    )
    [gray] = [np.full((16, 16, 3), 128, "uint8")]
    data = LocalizationDataset([gray] * 64, [[0, 0, 1, 1]] * 64, [0] * 64, ["a"])
    one = data.to_pydataset(16, 64, augment=L.RandomBrightness(0.4), seed=0)[0][0]
    both = data.to_pydataset(16, 64, augment=twice, seed=0)[0][0]
    first, sum_of_two = (x[:, 0, 0, 0] - 128 for x in (one, both))
    # Equal draws would make the sum twice the first.
    assert np.abs(np.corrcoef(first, sum_of_two - first)[0, 1]) < 0.6


@METHODS
def test_pipeline_of_all_kinds_follows_the_pixels(method):
    def brighter(data):
        return {**data, "images": data["images"] * 1.0}

    augment = L.Pipeline(
        [
            L.RandomFlip("horizontal"),
            L.RandomBrightness(0.05),
            L.Pipeline([L.RandomTranslation(0.1, 0.1, **BLACK)]),
            brighter,
            kl.RandomSquareView(SIDE, zoom=(0.9, 1.1), bounding_box_format="xywh"),
        ]
    )
    data = rectangles()
    [(images, targets, _)] = batches(
        getattr(data, method)(SIDE, COUNT, augment=augment, seed=0)
    )
    assert max(errors(images, targets["box"])) < 2


@METHODS
def test_other_sizes_in_between(method):
    augment = L.Pipeline([L.Resizing(96, 80), L.CenterCrop(72, 72), L.Resizing(64, 64)])
    [(images, targets, _)] = batches(
        getattr(rectangles(), method)(SIDE, COUNT, augment=augment)
    )
    assert max(errors(images, targets["box"])) < 2


@METHODS
def test_views_of_larger_squares_show_their_detail(method):
    """Lines of one pixel: gone in a square of half the side, there in a view of it."""
    data = rectangles()
    lines = np.zeros((2 * SIDE, 2 * SIDE, 3), "uint8")
    lines[:, ::2] = 255
    data = kl.LocalizationDataset(
        [lines] * COUNT, data.boxes, data.labels, data.class_names
    )
    magnified = kl.RandomSquareView(SIDE, zoom=2.0, aspect=0.0, min_visible=0.1)
    contrast = {}
    for source in (SIDE, 2 * SIDE):
        make = getattr(data, method)
        [(images, targets, _)] = batches(
            make(SIDE, COUNT, augment=magnified, source_size=source, seed=0)
        )
        assert images.shape == (COUNT, SIDE, SIDE, 3)
        contrast[source] = images[:, 20:-20, 20:-20].std(axis=2).mean()
        # The same views: the boxes are the same.
        contrast[source, "box"] = targets["box"]
    assert contrast[SIDE] < 5 < 20 < contrast[2 * SIDE]
    assert np.allclose(contrast[SIDE, "box"], contrast[2 * SIDE, "box"], atol=1e-5)


@METHODS
def test_boxes_follow_the_pixels_of_larger_squares(method):
    augment = kl.RandomSquareView(SIDE // 2, bounding_box_format="rel_xyxy")
    data = rectangles()
    [(images, targets, _)] = batches(
        getattr(data, method)(SIDE // 2, COUNT, augment=augment, source_size=SIDE)
    )
    assert images.shape[1:3] == (SIDE // 2, SIDE // 2)
    assert max(errors(images, targets["box"] / 2)) < 1


@METHODS
@pytest.mark.parametrize(
    ("augment", "source_size"), [(None, 2 * SIDE), (L.RandomFlip(), SIDE // 2)]
)
def test_a_source_size_that_nothing_can_use(method, augment, source_size):
    with pytest.raises(ValueError, match="`source_size` needs an `augment`"):
        getattr(rectangles(2), method)(SIDE, augment=augment, source_size=source_size)


@METHODS
def test_a_layer_that_keeps_the_larger_square_is_refused(method):
    with pytest.raises(Exception, match=r"(?s)`augment`.*shape.*64, 64, 3"):
        options = {"augment": L.RandomFlip(), "source_size": 2 * SIDE}
        batches(getattr(rectangles(2), method)(SIDE, **options))


@METHODS
def test_an_object_that_left_the_image_has_weight_0(method):
    data = rectangles()
    down = L.RandomTranslation((45 / 64, 45 / 64), 0.0, **BLACK)
    [(images, targets, weights)] = batches(
        getattr(data, method)(SIDE, COUNT, augment=down)
    )
    gone = data.boxes[:, 1] + 45 / 64 >= 1
    cut = ~gone & (data.boxes[:, 3] + 45 / 64 > 1)
    assert 0 < gone.sum() < COUNT and cut.any()
    assert weights["box"].tolist() == (~gone).astype(float).tolist()
    assert weights["label"].tolist() == weights["box"].tolist()
    [(_, targets, weights)] = batches(
        getattr(data, method)(SIDE, COUNT, augment=down, targets=["box", "presence"])
    )
    # Nothing says "object here" of a view that shows none.
    assert weights["presence"].tolist() == weights["box"].tolist()
    assert (targets["box"][gone] == 0).all()
    assert (targets["box"][cut, 3] == 1).all()
    assert max(errors(images[~gone], targets["box"][~gone])) < 1


@METHODS
def test_a_function_may_change_labels(method):
    """Flipped, a left arrow is a right one; its weight is that of its new class."""
    data = rectangles(4)
    names, present = ["left", "right"], [1, 1, 1, 0]
    data = LocalizationDataset(
        data.images, data.boxes, [0, 1, 1, -1], names, present, presence=present
    )

    def swap(batch):
        boxes = batch["bounding_boxes"]
        return {**batch, "bounding_boxes": {**boxes, "labels": 1 - boxes["labels"]}}

    options = {"augment": swap, "class_weight": {"left": 3.0, "right": 0.5}}
    [(_, targets, weights)] = batches(getattr(data, method)(SIDE, **options))
    assert targets["label"].tolist()[:3] == [1, 0, 0]
    assert targets["label"].dtype == np.int32
    assert weights["label"].tolist() == [0.5, 3, 3, 0]
    # Keras's layers and functions that return no labels change none.
    pipeline = L.Pipeline([L.RandomFlip("horizontal")])
    for augment in (pipeline, without_labels):
        [(_, targets, weights)] = batches(getattr(data, method)(SIDE, augment=augment))
        assert targets["label"].tolist()[:3] == [0, 1, 1]
        assert weights["label"].tolist() == [1, 1, 1, 0]


def without_labels(batch):
    """Boxes of another precision, and no labels."""
    boxes = batch["bounding_boxes"]["boxes"]
    if isinstance(boxes, np.ndarray):
        boxes = boxes.astype("float64")
    return {"images": batch["images"], "bounding_boxes": {"boxes": boxes}}


def test_labels_whose_shape_tensorflow_does_not_know():
    """As from a function of other libraries, wrapped in `tf.numpy_function`."""
    import tensorflow as tf

    def wrapped(batch):
        images, given = batch["images"], batch["bounding_boxes"]
        boxes, labels = tf.numpy_function(
            lambda boxes, labels: (boxes, 1 - labels),
            [given["boxes"], given["labels"]],
            [tf.float32, given["labels"].dtype],
        )
        boxes.set_shape(given["boxes"].shape)
        return {"images": images, "bounding_boxes": {"boxes": boxes, "labels": labels}}

    data = rectangles(4)
    data = LocalizationDataset(data.images, data.boxes, [0, 1, 1, 0], ["a", "b"])
    [(_, targets, _)] = batches(data.to_tf_data(SIDE, augment=wrapped))
    assert targets["label"].tolist() == [1, 0, 0, 1]


@METHODS
@pytest.mark.parametrize("labels", ["unknown", "of another shape"])
def test_labels_of_a_function_that_cannot_be(labels, method):
    def augment(batch):
        boxes = batch["bounding_boxes"]
        given = boxes["labels"] + 7
        if labels != "unknown":
            given = given[:, None, None]
        return {**batch, "bounding_boxes": {**boxes, "labels": given}}

    with pytest.raises(Exception, match="`augment` must return labels"):
        batches(getattr(rectangles(4), method)(SIDE, augment=augment))


@METHODS
def test_records_without_a_box_stay_without(method):
    data = rectangles(4)
    data = LocalizationDataset(
        data.images,
        data.boxes,
        [0, 0, 0, -1],
        ["a"],
        [1, 0, 1, 0],
        presence=[1, 1, 1, 0],
    )
    for augment in (
        L.RandomTranslation((0.1, 0.1), 0.1),
        L.RandomFlip("horizontal"),
        kl.RandomSquareView(SIDE),
    ):
        [(_, targets, weights)] = batches(getattr(data, method)(SIDE, augment=augment))
        assert weights["box"].tolist() == [1, 0, 1, 0]
        assert (targets["box"][[1, 3]] == 0).all()
        assert targets["presence"][:, 0].tolist() == [1, 1, 1, 0]


class OwnFlip(L.RandomFlip):
    pass


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L.RandAugment(), "RandAugment.*another order"),
        (lambda: L.AugMix(), "AugMix.*leaves the boxes"),
        (lambda: L.MixUp(), "MixUp.*different labels"),
        (lambda: L.CutMix(), "CutMix"),
        (lambda: L.RandomElasticTransform(), "RandomElasticTransform"),
        (lambda: L.MaxNumBoundingBoxes(2), "MaxNumBoundingBoxes"),
        (lambda: L.RandomShear(0.1, 0.1), "RandomShear.*x_factor"),
        (lambda: L.Rescaling(1 / 255), "Rescaling.*not known"),
        (lambda: L.Dense(3), "Dense"),
        (
            lambda: L.RandomBrightness(0.1, value_range=(0, 1)),
            r"value_range.*\(0, 255\)",
        ),
        (lambda: OwnFlip(), 'RandomFlip.*bounding_box_format="xyxy"'),
        (lambda: OwnFlip(bounding_box_format="rel_xyxy"), "RandomFlip.*subclass"),
        (lambda: keras.Sequential([L.RandomFlip()]), "Pipeline"),
        (lambda: kl.RandomSquareView, "Received: augment=<class"),
        (lambda: L.Pipeline([L.Pipeline([L.MixUp()])]), "MixUp"),
        (lambda: "flip", "'flip'"),
    ],
)
def test_refused(make, message):
    augment = make()
    for method in ("to_tf_data", "to_pydataset"):
        with pytest.raises(ValueError, match=f"(?s)`augment`.*{message}"):
            getattr(rectangles(2), method)(SIDE, augment=augment)


def test_crop_is_refused_where_keras_moves_boxes_wrongly(monkeypatch):
    monkeypatch.setattr(keras, "version", lambda: "3.15.1")
    with pytest.raises(ValueError, match=r"`augment` cannot be RandomCrop.*3\.16"):
        rectangles(2).to_pydataset(SIDE, augment=L.RandomCrop(SIDE, SIDE))
    monkeypatch.setattr(keras, "version", lambda: "3.16.0")
    rectangles(2).to_pydataset(SIDE, augment=L.RandomCrop(SIDE, SIDE))


def test_a_subclass_in_pixels_is_taken():
    data = rectangles()
    layer = OwnFlip(bounding_box_format="xyxy")
    images, targets, _ = data.to_pydataset(SIDE, COUNT, augment=layer)[0]
    assert max(errors(images, targets["box"])) == 0


@METHODS
@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (L.CenterCrop(32, 32), r"shape.*64, 64, 3"),
        (lambda data: {**data, "images": data["images"][:, :9]}, r"shape.*64, 64, 3"),
        (lambda data: {**data, "images": data["images"][0]}, "images of shape"),
        (lambda data: data["images"], "must return a dict"),
        (lambda data: {"images": data["images"]}, "must return a dict"),
        (lambda data: None, "must return a dict"),
        (
            lambda data: {
                **data,
                "bounding_boxes": {"boxes": data["bounding_boxes"]["boxes"][:, :3]},
            },
            r"boxes of shape \(B, 4\)",
        ),
    ],
)
def test_what_comes_back_is_checked(method, augment, message):
    # In tf.data the error comes when the graph is built, or when it runs.
    with pytest.raises(Exception, match=f"(?s)`augment`.*{message}"):
        batches(getattr(rectangles(2), method)(SIDE, augment=augment))


def test_boxes_are_exact_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    data = rectangles()
    layer = L.RandomTranslation(0.15, 0.15, **BLACK)
    images, targets, _ = data.to_pydataset(SIDE, COUNT, augment=layer, seed=0)[0]
    keras.config.set_dtype_policy("float32")
    again = data.to_pydataset(
        SIDE, COUNT, augment=L.RandomTranslation(0.15, 0.15, **BLACK), seed=0
    )[0]
    assert np.array_equal(targets["box"], again[1]["box"])
    assert images.dtype == "float32"


def test_the_users_layer_is_not_changed():
    layer = L.RandomTranslation(0.2, 0.2)
    before = layer.get_config(), np.asarray(layer.generator.state).tolist()
    rectangles(4).to_pydataset(SIDE, augment=layer)[0]
    assert layer.get_config() == before[0]
    assert np.asarray(layer.generator.state).tolist() == before[1]
