"""Drawn images: exact boxes, hard for a constant, the same for the same seed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_localize.datasets import make_synthetic, synthetic
from keras_localize.datasets.squares import square_boxes


def test_box_is_that_of_the_painted_pixels(monkeypatch):
    """With a white object on black the image itself says where the object is."""
    monkeypatch.setattr(
        synthetic, "_background", lambda rng, w, h: Image.new("RGB", (w, h))
    )
    monkeypatch.setattr(
        synthetic, "_paint", lambda rng, p, w, h: Image.new("RGB", (w, h), "white")
    )
    dataset = make_synthetic(120, num_classes=6)
    cut = 0
    for record in dataset:
        rows, columns = np.nonzero(record.image[..., 0])
        height, width = record.size
        x0, x1 = columns.min(), columns.max() + 1
        y0, y1 = rows.min(), rows.max() + 1
        expected = np.array([x0, y0, x1, y1]) / [width, height, width, height]
        assert np.allclose(record.box, expected, atol=1e-7)
        cut += x0 == 0 or y0 == 0 or x1 == width or y1 == height
    assert 10 < cut < 110
    assert set(dataset.labels) == set(range(6))


def test_images_vary_and_a_constant_box_is_poor():
    dataset = make_synthetic(300)
    sizes = dataset.image_sizes
    assert sizes.min() >= 96 and sizes.max() <= 256 and len(np.unique(sizes)) > 100
    boxes = square_boxes(dataset.boxes, sizes, 96).astype("float64")

    def mean_iou(constant):
        low = np.maximum(constant[:2], boxes[:, :2])
        high = np.minimum(constant[2:], boxes[:, 2:])
        common = np.clip(high - low, 0, None).prod(axis=1)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        return (common / (areas + (constant[2:] - constant[:2]).prod() - common)).mean()

    grid = np.linspace(0, 1, 11)
    best = max(
        mean_iou(np.array([x0, y0, x1, y1]))
        for x0 in grid
        for y0 in grid
        for x1 in grid[grid > x0]
        for y1 in grid[grid > y0]
    )
    assert 0.1 < best <= 0.40
    assert mean_iou(boxes.mean(axis=0)) <= 0.40


def test_an_image_is_a_function_of_seed_and_index(tmp_path):
    few, many = make_synthetic(3, seed=7), make_synthetic(9, seed=7)
    files = make_synthetic(3, seed=7, directory=tmp_path)
    other = make_synthetic(3, seed=8)
    for i in range(3):
        assert np.array_equal(few[i].image, many[i].image)
        assert np.array_equal(few[i].image, np.asarray(Image.open(files[i].image)))
        assert few[i].name == many[i].name == files[i].name != other[i].name
    assert np.array_equal(few.boxes, files.boxes)
    assert not np.array_equal(few.boxes, other.boxes)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".png"] * 3


def test_bad_arguments():
    for arguments in (
        {"num_images": 0},
        {"num_classes": 7},
        {"min_side": 8},
        {"min_side": 64, "max_side": 32},
        {"num_images": 2.5},
    ):
        with pytest.raises(ValueError, match="must be an integer in"):
            make_synthetic(**arguments)


def test_images_of_an_earlier_dataset_stay(tmp_path):
    options = {"min_side": 32, "max_side": 40, "directory": tmp_path}
    first = make_synthetic(2, **options)
    kept = [Path(path).read_bytes() for path in first.images]
    again = make_synthetic(3, **options)
    assert again.images[:2] == first.images
    with pytest.raises(ValueError, match=r"`directory`.*synthetic_0_000000\.png"):
        make_synthetic(2, negatives=1.0, **options)
    assert kept == [Path(path).read_bytes() for path in first.images]


def test_negatives_are_backgrounds_and_change_nothing_else():
    plain, mixed = make_synthetic(40), make_synthetic(40, negatives=0.3)
    absent = mixed.presence == 0
    assert absent.sum() == 12 and (mixed.labels[absent] == -1).all()
    assert make_synthetic(10, negatives=0.3).presence.tolist() == (
        mixed.presence[:10].tolist()
    )
    for first, second, without in zip(plain, mixed, absent):
        assert first.name == second.name
        assert without != np.array_equal(first.image, second.image)
        assert first.size == second.size
        if without:
            # The background is that of the image with its object.
            same = (first.image == second.image).all(axis=-1)
            y0, y1 = (first.box[[1, 3]] * first.size[0]).round().astype(int)
            x0, x1 = (first.box[[0, 2]] * first.size[1]).round().astype(int)
            assert not same[y0:y1, x0:x1].all()
            same[y0:y1, x0:x1] = True
            assert same.all()
        else:
            assert np.array_equal(first.box, second.box)
    assert make_synthetic(5, negatives=1).presence.sum() == 0
    for bad in (-0.1, 1.5):
        with pytest.raises(ValueError, match="`negatives`"):
            make_synthetic(3, negatives=bad)
