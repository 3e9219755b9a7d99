"""Squares kept in a folder: killed and damaged runs, several processes, full disks."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from processes import answer_of

import keras_localize as kl
from keras_localize import make_synthetic
from keras_localize.datasets import squares as squares_module
from keras_localize.datasets.squares import Squares
from keras_localize.images import ImageError

PROCESS = Path(__file__).with_name("squares_process.py")
SIZE = 16
ROW = SIZE * SIZE * 3 + 4


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    return make_synthetic(6, directory=folder, min_side=32, max_side=40).images


@pytest.fixture
def decoded(monkeypatch):
    """The images that were decoded, in order."""
    seen = []
    original = squares_module.letterbox

    def watched(source, size, out):
        seen.append(source)
        return original(source, size, out)

    monkeypatch.setattr(squares_module, "letterbox", watched)
    return seen


def read(images, cache=None, size=SIZE):
    return Squares(images, size, cache).batch(np.arange(len(images)))


@pytest.mark.parametrize("position", [0, 100, ROW - 1, 3 * ROW - 2])
def test_what_is_damaged_is_decoded_again(images, tmp_path, decoded, position):
    expected = read(images, tmp_path / "cache")
    [file] = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    damaged = bytearray(whole)
    damaged[position] ^= 1
    file.write_bytes(damaged)
    decoded.clear()
    np.testing.assert_array_equal(read(images, tmp_path / "cache"), expected)
    assert decoded == [images[position // ROW]]
    assert file.read_bytes() == whole


def test_cut_at_any_byte_it_is_completed(images, tmp_path, decoded):
    expected = read(images, tmp_path / "cache")
    [file] = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    assert len(whole) == len(images) * ROW
    for length in (0, 1, ROW - 4, ROW - 1, ROW, ROW + 1, len(whole) - 1):
        file.write_bytes(whole[:length])
        decoded.clear()
        np.testing.assert_array_equal(read(images, tmp_path / "cache"), expected)
        assert decoded == images[length // ROW :]
        assert file.read_bytes() == whole


def test_a_square_that_is_not_there_is_no_black_image(tmp_path):
    # Its file has a hole of zeros, and so has a black image.
    images = [np.zeros((8, 8, 3), "uint8"), np.full((8, 8, 3), 9, "uint8")]
    squares = Squares(images, SIZE, tmp_path)
    squares.batch(np.array([1]))
    images[0] = np.full((8, 8, 3), 7, "uint8")
    assert (squares.batch(np.array([0])) == 7).all()


def test_a_complete_cache_is_only_read(images, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    expected = read(images, cache)
    [file] = cache.iterdir()
    before = file.stat().st_mtime_ns

    def no_writing(*args, **options):
        raise AssertionError("written")

    for name in ("mkdir", "touch"):
        monkeypatch.setattr(Path, name, no_writing)
    monkeypatch.setattr(squares_module, "naming", no_writing)
    file.chmod(0o444)
    cache.chmod(0o555)
    try:
        np.testing.assert_array_equal(read(images, cache), expected)
    finally:
        cache.chmod(0o755)
    assert file.stat().st_mtime_ns == before


def test_other_images_sizes_and_times_have_other_files(images, tmp_path):
    cache = tmp_path / "cache"
    read(images, cache)
    read(images[:5], cache)
    read(images[::-1], cache)
    read(images, cache, size=8)
    read([np.zeros((8, 8, 3), "uint8")], cache)
    Path(images[0]).write_bytes(Path(images[1]).read_bytes())
    np.testing.assert_array_equal(*read(images, cache)[:2])
    assert len(list(cache.iterdir())) == 6


def test_a_folder_deleted_under_a_running_job_is_named(images, tmp_path):
    squares = Squares(images, SIZE, tmp_path / "cache")
    squares.batch(np.arange(2))
    [file] = (tmp_path / "cache").iterdir()
    file.unlink()
    with pytest.raises(FileNotFoundError, match=file.name):
        squares.batch(np.arange(2))


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_real_processes(tmp_path):
    """Ten killed at random moments; two at a time; and one whose disk is full."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("files do not depend on the backend: checked on TensorFlow")
    result = answer_of(PROCESS, tmp_path, timeout=300)
    for task in result.values():
        assert task["same_bytes"] and task["kept"] == 120
    assert result["kill"]["killed"] >= 5
    assert result["kill"]["partial"] >= 5  # killed while they wrote
    assert result["together"]["ends"] == [0, 0]
    assert ".squares" in result["full"]["message"]
    assert 0 < result["full"]["partial"] < 120


def test_an_image_of_another_shape_than_stated_is_an_error(tmp_path):
    """Readers that open no image trust what the annotations say."""
    dataset = make_synthetic(2, directory=tmp_path, min_side=32, max_side=60)
    sizes = dataset.image_sizes.copy()
    sizes[1] = 2 * sizes[1]  # the same shape: fractions of it are the same

    def batches(sizes):
        parts = dataset.images, dataset.boxes, dataset.labels, dataset.class_names
        changed = kl.LocalizationDataset(*parts, dataset.weights, sizes)
        return changed.to_pydataset(SIZE, 1)

    batches(sizes)[0], batches(sizes)[1]
    sizes[1] = (40, 80)
    with pytest.raises(ImageError, match=r"000001\.png.*stated 80 x 40"):
        batches(sizes)[1]


def test_an_array_of_another_shape_than_stated_is_an_error():
    """(width, height), as Pillow has it, in place of (height, width)."""
    array = np.zeros((20, 40, 3), "uint8")
    arguments = [array], [[0.5, 0.25, 1, 0.75]], [0], ["a"]
    turned = kl.LocalizationDataset(*arguments, image_sizes=[(40, 20)])
    with pytest.raises(ImageError, match="40 x 20, stated 20 x 40"):
        turned.to_pydataset(SIZE)[0]
    kl.LocalizationDataset(*arguments, image_sizes=[(20, 40)]).to_pydataset(SIZE)[0]
