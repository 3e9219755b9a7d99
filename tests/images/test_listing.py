"""Which files of a folder are images: names, order, links, errors."""

import os
from pathlib import Path

import pytest

from keras_localize.images import list_images
from keras_localize.images.listing import files_below, is_stray


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(folder):
    return [path.relative_to(folder).as_posix() for path in list_images(folder)]


def test_images_of_every_suffix_sorted(tmp_path):
    kept = ["10.png", "2.JPG", "a b/ü.webp", "a/1.jpeg", "a/b/c/2.HEIC", "b.gif"]
    kept += ["c.avif", "d.bmp", "e.jfif", "f.TIF", "g.tiff", "h.ppm", "i.heif"]
    touch(tmp_path, *reversed(kept), "notes.txt", "a/readme", "a/jpg", "x.jpg.txt")
    (tmp_path / "folder.jpg").mkdir()
    assert names(tmp_path) == sorted(kept, key=lambda name: Path(name).parts)
    assert names(tmp_path / "a") == ["1.jpeg", "b/c/2.HEIC"]
    assert list_images(str(tmp_path / "a"))[0] == tmp_path / "a" / "1.jpeg"
    assert list_images(tmp_path / "folder.jpg") == []


def test_a_relative_folder_gives_relative_paths(tmp_path, monkeypatch):
    touch(tmp_path, "a/1.jpg")
    monkeypatch.chdir(tmp_path)
    assert list_images("a") == [Path("a/1.jpg")]
    assert list_images(".") == [Path("a/1.jpg")]


def test_hidden_and_system_files_are_left_out(tmp_path):
    top = tmp_path / ".cache" / "pets"  # above the folder nothing matters
    touch(
        top,
        "a.jpg",
        "._a.jpg",
        ".hidden/b.jpg",
        ".ipynb_checkpoints/a-checkpoint.jpg",
        "__MACOSX/a.jpg",
        "cats/__MACOSX/._a.jpg",
        "cats/@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "$RECYCLE.BIN/a.jpg",
    )
    assert names(top) == ["a.jpg"]
    assert files_below(top) == [top / "a.jpg"]
    assert is_stray(Path("cats/._a.jpg")) and not is_stray(Path("cats/a.jpg"))


def link(path, target):
    try:
        path.symlink_to(target, target_is_directory=Path(target).is_dir())
    except OSError:
        pytest.skip("no symbolic links here")


def test_links_are_followed_and_loops_are_not(tmp_path):
    touch(tmp_path, "data/cats/1.jpg", "elsewhere/2.jpg")
    data = tmp_path / "data"
    link(data / "linked", tmp_path / "elsewhere")
    link(data / "cats" / "3.jpg", tmp_path / "elsewhere" / "2.jpg")
    link(data / "loop", data)
    link(data / "cats" / "up", tmp_path)
    link(data / "cats" / "self", data / "cats")
    link(data / "itself", data / "itself")
    link(data / "gone.jpg", tmp_path / "nowhere.jpg")
    link(tmp_path / "elsewhere" / "back", data / "cats")
    link(data / "cats" / "forth", tmp_path / "elsewhere")
    assert names(data) == [
        "cats/1.jpg",
        "cats/3.jpg",
        "cats/forth/2.jpg",
        "linked/2.jpg",
        "linked/back/1.jpg",
        "linked/back/3.jpg",
    ]


def test_what_is_no_folder_is_refused(tmp_path):
    touch(tmp_path, "a.jpg")
    for path in (tmp_path / "a.jpg", tmp_path / "gone", ""):
        if path == "":
            continue
        with pytest.raises(ValueError, match=r"`folder` must be a folder. .*"):
            list_images(path)


def test_an_unreadable_folder_is_an_error(tmp_path, monkeypatch):
    touch(tmp_path, "a/1.jpg", "locked/2.jpg")
    scandir = os.scandir

    def refusing(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(ValueError, match=r"locked.*Permission denied"):
        list_images(tmp_path)
