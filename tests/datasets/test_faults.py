"""Faults of every day: names, links, deleted folders, full disks."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

import keras_localize as kl
from keras_localize import images, make_synthetic, read_coco
from keras_localize.datasets import AnnotationError
from keras_localize.files import naming, replacing


def coco(folder, name):
    """A file of one image of this name; its folder is `images`."""
    (folder / "images").mkdir(exist_ok=True)
    path = folder / "coco.json"
    content = {
        "images": [{"id": 1, "file_name": name, "width": 40, "height": 30}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 9, 9]}],
    }
    path.write_text(json.dumps(content))
    return folder / "images", path


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", ["x" * 5000 + ".jpg", "a/" * 3000 + "b.jpg"])
def test_names_longer_than_a_system_takes(tmp_path, name, verify):
    arguments = coco(tmp_path, name)
    with pytest.raises(AnnotationError, match="missing image") as caught:
        read_coco(*arguments, verify=verify)
    assert len(str(caught.value)) < 1000
    with pytest.raises(images.ImageError, match="unreadable image"):
        images.load(tmp_path / name)


@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
@pytest.mark.parametrize("verify", [True, False])
def test_links_are_followed_but_names_stay_inside(tmp_path, verify):
    """As the documentation says: who may write links decides what is read."""
    Image.new("RGB", (40, 30)).save(tmp_path / "outside.png")
    arguments = coco(tmp_path, "link.png")
    (tmp_path / "images" / "link.png").symlink_to(tmp_path / "outside.png")
    dataset = read_coco(*arguments, verify=verify)
    assert dataset.names == ["link.png"]
    assert images.list_images(tmp_path / "images") == [tmp_path / "images" / "link.png"]
    for name in ("../outside.png", "link.png/../../outside.png"):
        with pytest.raises(AnnotationError, match="leaves its folder"):
            read_coco(*coco(tmp_path, name), verify=verify)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_folder_deleted_under_a_running_job(tmp_path, workers):
    folder = tmp_path / "images"
    data = make_synthetic(12, directory=folder, max_side=100)
    batches = data.to_pydataset(16, 1, workers=workers, max_queue_size=2)
    batches.on_epoch_begin()
    batches[0]
    shutil.rmtree(folder)
    with pytest.raises(images.ImageError, match=r"synthetic_.*missing image"):
        for index in range(1, 12):
            batches[index]
    batches.on_epoch_end()


def test_a_full_disk_is_named(tmp_path):
    path = tmp_path / "saved.json"
    with (
        pytest.raises(OSError, match=r"\[Errno 28\].*saved\.json"),
        replacing(path),
    ):
        raise OSError(28, os.strerror(28))
    assert not path.exists() and list(tmp_path.iterdir()) == []


def test_only_a_missing_name_is_added():
    for error in (OSError(2, "no such file", "a"), OSError("told"), ValueError("x")):
        with pytest.raises(type(error)) as caught, naming("b"):
            raise error
        assert caught.value is error
    with pytest.raises(FileNotFoundError, match="'b'"), naming("b"):
        raise OSError(2, "no such file")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_device_under_a_cache(tmp_path):
    data = make_synthetic(2, max_side=100)
    batches = data.to_pydataset(16, 1, cache=tmp_path)
    [file] = tmp_path.iterdir()
    file.unlink()
    file.symlink_to("/dev/full")
    # What is read from there is no square; what is written is refused.
    with pytest.raises(OSError, match=rf"No space left on device.*{file.name}"):
        batches[0]
    file.unlink()
    file.touch()
    np.testing.assert_array_equal(batches[0][0], data.to_pydataset(16, 1)[0][0])


def test_a_file_never_replaces_a_folder(tmp_path):
    """A path that names a folder of the user's is a slip, and nothing is lost."""
    kept = tmp_path / "results" / "precious.txt"
    kept.parent.mkdir()
    kept.write_text("x")
    with (
        pytest.raises(IsADirectoryError, match="results"),
        replacing(kept.parent) as unfinished,
    ):
        unfinished.write_text("new")
    assert kept.read_text() == "x" and os.listdir(tmp_path) == ["results"]
    with (
        pytest.raises(NotADirectoryError, match="precious"),
        replacing(kept) as unfinished,
    ):
        unfinished.mkdir()
    assert kept.read_text() == "x"


def test_of_several_files_none_is_moved_where_one_cannot(tmp_path):
    (tmp_path / "a.bin").mkdir()
    (tmp_path / "a.xml").write_text("old")
    with (
        pytest.raises(IsADirectoryError, match=r"a\.bin"),
        replacing(tmp_path / "a.xml") as unfinished,
    ):
        unfinished.write_text("new")
        unfinished.with_name("a.bin").write_text("new")
    assert (tmp_path / "a.xml").read_text() == "old"


@pytest.mark.parametrize("write", ["csv", "coco", "dataset", "json", "html"])
def test_writers_refuse_the_path_of_a_folder(tmp_path, write):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "precious.txt").write_text("x")
    path = tmp_path / "results"
    data = make_synthetic(2, directory=tmp_path / "drawn", max_side=100)
    answers = [kl.Localization(0, "disc", 0.9, (1.0, 1.0, 9.0, 9.0), None)] * 2
    report = kl.report_localizations(answers, data)
    writers = {
        "csv": lambda: kl.write_csv(path, answers, data),
        "coco": lambda: kl.write_coco(path, answers, data),
        "dataset": lambda: data.save(path),
        "json": lambda: report.save_json(path),
        "html": lambda: report.save_html(path),
    }
    with pytest.raises(IsADirectoryError, match="results"):
        writers[write]()
    assert (path / "precious.txt").read_text() == "x"
