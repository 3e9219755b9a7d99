"""Heads learn: by heart, where objects are, and that boxes move with objects."""

import keras
import numpy as np
import pytest
from tiny_backbone import tiny_backbone

from keras_localize import build_localizer, cache_features
from keras_localize.boxes import iou

# Minutes of training on JAX and torch, whose head learns by heart in its own test and
# finds the same boxes as TensorFlow's in test_precision.
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="trained on TensorFlow alone"
)

SIDE = 32


def draw(rng, count, margin=0):
    """A bright rectangle on noise, and where it is."""
    images = rng.uniform(0, 80, (count, SIDE, SIDE, 3))
    extent = rng.integers(8, 17, (count, 2))
    corner = rng.integers(margin, SIDE - margin - extent + 1)
    for image, (x, y), (w, h) in zip(images, corner, extent):
        image[y : y + h, x : x + w] = rng.uniform(170, 255, 3)
    boxes = np.concatenate([corner, corner + extent], axis=1) / SIDE
    return images.astype("uint8"), boxes.astype("float32")


def train(localizer, images, boxes, epochs):
    """The heads on the cached features of the images and their horizontal flips."""
    weights = {"box": np.ones(len(boxes), "float32")}
    features, heads = localizer.split()
    maps, targets, _ = cache_features(
        features, [(images, {"box": boxes}, weights)], verbose=0
    )
    steps = epochs * -(-len(targets["box"]) // 32)
    schedule = keras.optimizers.schedules.CosineDecay(4e-3, steps)
    heads.compile(keras.optimizers.AdamW(schedule, clipnorm=10.0))
    heads.fit(maps, targets, batch_size=32, epochs=epochs, verbose=0)


def find(localizer, images):
    return localizer.predict(images, verbose=0)["box"]


def mean_iou(boxes, others):
    return float(keras.ops.convert_to_numpy(iou(boxes, others)).mean())


@pytest.fixture(scope="module")
def learned():
    """A random frozen backbone under a head trained on 256 images and their flips."""
    keras.utils.set_random_seed(0)
    localizer = build_localizer(tiny_backbone(), None)
    images, boxes = draw(np.random.default_rng(1), 256)
    train(localizer, images, boxes, epochs=20)
    return localizer


@pytest.mark.long
def test_sixteen_images_are_learned_by_heart(rng):
    localizer = build_localizer(tiny_backbone(), None, trainable_backbone=True)
    images, boxes = draw(rng, 16)
    schedule = keras.optimizers.schedules.CosineDecay(4e-3, 300)
    localizer.compile(keras.optimizers.AdamW(schedule, clipnorm=10.0))
    # One epoch of many steps: what Keras does between epochs costs more than a step.
    many = np.tile(np.arange(16), 300)
    localizer.fit(
        images[many], {"box": boxes[many]}, batch_size=16, shuffle=False, verbose=0
    )
    assert mean_iou(boxes, find(localizer, images)) > 0.95


def test_where_an_object_is_is_learned(learned, rng):
    images, boxes = draw(rng, 128)
    found = find(learned, images)
    anywhere = np.broadcast_to(boxes.mean(axis=0), boxes.shape)
    assert mean_iou(boxes, anywhere) < 0.4
    assert mean_iou(boxes, found) > 0.75


def test_the_box_moves_with_the_image(learned, rng):
    images, _ = draw(rng, 64, margin=4)
    before = find(learned, images)
    for axis, shift in ((2, 4), (2, -4), (1, 4), (1, -4)):
        moved = find(learned, np.roll(images, shift, axis=axis)) - before
        expected = np.zeros(4)
        expected[[2 - axis, 4 - axis]] = shift / SIDE
        np.testing.assert_allclose(moved.mean(axis=0), expected, atol=0.02)


def test_the_flipped_image_has_the_flipped_box(learned, rng):
    images, _ = draw(rng, 64)
    x0, y0, x1, y1 = find(learned, images).T
    flipped = np.stack([1 - x1, y0, 1 - x0, y1], axis=1)
    assert mean_iou(flipped, find(learned, images[:, :, ::-1])) > 0.8
