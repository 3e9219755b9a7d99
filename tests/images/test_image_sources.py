"""Bytes and open files are read as the path is, and stay usable."""

import io
import os
import pickle
import tempfile
import zipfile

import numpy as np
import pytest
from image_samples import blocks, exif, photograph, psnr, saved

from keras_localize import images
from keras_localize.images import ImageError, fast_jpeg


@pytest.fixture(params=["jpg", "png", "tif"])
def path(request, tmp_path):
    """An image that has to be turned upright."""
    path = tmp_path / f"a.{request.param}"
    if request.param == "tif":
        return saved(path, blocks(300, 401), tiffinfo={274: 6})
    options = {"quality": 95} if request.param == "jpg" else {}
    return saved(path, photograph(300, 401, 1), exif=exif(6), **options)


def results(source):
    return (
        images.load(source),
        images.letterbox(source, 96)[0],
        images.crop(source, (20, 30, 200), 96),
        np.array(images.inspect(source, decode=True)[:3]),
    )


def check_same(source, expected):
    for found, wanted in zip(results(source), expected):
        assert np.array_equal(found, wanted)


class Pipe(io.RawIOBase):
    """Bytes that come once."""

    def __init__(self, content):
        self._content = io.BytesIO(content)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._content.readinto(buffer)


def test_every_source_gives_the_pixels_of_the_path(path, jpeg_path):
    expected = results(path)
    content = path.read_bytes()
    for source in (
        str(path),
        content,
        bytearray(content),
        memoryview(content),
        memoryview(bytearray(b"x" + content))[1:],
        io.BytesIO(content),
    ):
        check_same(source, expected)
    with open(path, "rb") as file:
        check_same(file, expected)
        file.seek(7)
        check_same(file, expected)
        assert file.tell() == 7 and file.read() == content[7:]
    with tempfile.SpooledTemporaryFile() as file:
        file.write(content)  # left at its end, as `Image.save` does
        check_same(file, expected)
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        archive.write(path, "a")
        with archive.open("a") as file:
            check_same(file, expected)


def test_a_pipe_is_read_once(path):
    expected = images.letterbox(path, 96)
    pipe = Pipe(path.read_bytes())
    found = images.letterbox(pipe, 96)
    assert np.array_equal(found[0], expected[0]) and found[1] == expected[1]
    assert not pipe.closed
    with pytest.raises(ImageError, match="<Pipe>: not an image"):
        images.letterbox(pipe, 96)


def test_bytes_take_the_fast_path(tmp_path, monkeypatch):
    pytest.importorskip("cv2")
    pytest.importorskip("simplejpeg")
    content = saved(tmp_path / "a.jpg", photograph(375, 500, 1)).read_bytes()
    fast, _ = images.letterbox(content, 224)
    monkeypatch.setattr(fast_jpeg, "packages", lambda: None)
    plain, _ = images.letterbox(content, 224)
    assert (fast != plain).any() and psnr(fast, plain) > 36


def test_errors_name_the_source(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    with open(tmp_path / "broken.jpg", "rb") as file:
        for source, name in (
            (tmp_path / "broken.jpg", str(tmp_path / "broken.jpg")),
            (file, str(tmp_path / "broken.jpg")),
            (b"nothing", "<bytes>"),
            (b"", "<bytes>"),
            (bytearray(), "<bytearray>"),
            (io.BytesIO(b"nothing"), "<BytesIO>"),
        ):
            for use in (images.load, images.inspect):
                with pytest.raises(ImageError, match="not an image") as caught:
                    use(source)
                assert caught.value.source == name
                assert str(caught.value).startswith(f"{name}: ")
        assert file.tell() == 0
    file = os.fdopen(os.open(tmp_path / "broken.jpg", os.O_RDONLY), "rb")
    with file, pytest.raises(ImageError, match="<BufferedReader>: not an image"):
        images.load(file)  # its name is a number
    file = open(tmp_path / "broken.jpg")  # noqa: SIM115
    with file, pytest.raises(ImageError, match=r"broken\.jpg: .*as text.*\"rb\""):
        images.load(file)
    file = io.BytesIO(b"x")
    file.close()
    with pytest.raises(ImageError, match=r"<BytesIO>: unreadable image: .*closed"):
        images.load(file)


def test_an_error_survives_pickling(tmp_path):
    with pytest.raises(ImageError) as caught:
        images.load(np.zeros((2, 2, 2)))
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert (again.source, again.reason) == ("<ndarray>", "not an image")
    assert again.detail == caught.value.detail


def test_bad_arguments_are_named():
    image = blocks(8, 8)
    for size in (0, -3, 2.0, None, True):
        with pytest.raises(ValueError, match=r"`size` must be a positive integer"):
            images.letterbox(image, size)
        with pytest.raises(ValueError, match=r"`size` must be a positive integer"):
            images.crop(image, (0, 0, 4), size)
    for window in ((0, 0), (0, 0, 0), (0, 0, -1), (0, np.nan, 4), "abc", None):
        with pytest.raises(ValueError, match=r"`window` must be"):
            images.crop(image, window, 8)
    for out in (np.zeros((8, 9, 3), "uint8"), np.zeros((8, 8, 3), "float32")):
        with pytest.raises(ValueError, match=r"`out` must be a uint8 array"):
            images.letterbox(image, 8, out=out)
