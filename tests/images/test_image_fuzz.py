"""Damaged files, by the thousand (KERAS_LOCALIZE_FUZZ)."""

import contextlib
import io
import os

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from image_samples import blocks, exif
from PIL import Image

from keras_localize import images
from keras_localize.images import ImageError, fast_jpeg
from keras_localize.images.formats import installed_formats


def outcome(path):
    """None for a square, or why there is none."""
    try:
        square, _ = images.letterbox(path, 16)
    except ImageError as error:
        return error.reason
    assert square.shape == (16, 16, 3)
    return None


def test_fuzzed_files_give_an_image_or_an_image_error(tmp_path, rng, monkeypatch):
    installed_formats()  # registers the plug-ins
    seeds = []
    for options in (
        {"format": "JPEG", "exif": exif(6)},
        {"format": "PNG"},
        {"format": "GIF"},
        {"format": "WEBP"},
        {"format": "TIFF"},
        {"format": "TIFF", "tiffinfo": {274: 6}, "compression": "tiff_lzw"},
        *({"format": form} for form in ("AVIF", "HEIF") if form in Image.SAVE),
        {"format": "BMP"},
    ):
        buffer = io.BytesIO()
        Image.fromarray(blocks(24, 32)).save(buffer, **options)
        seeds.append(buffer.getvalue())
    path = tmp_path / "fuzzed.jpg"
    refused = 0
    count = int(os.environ.get("KERAS_LOCALIZE_FUZZ", 500))
    for number in range(count):
        content = np.frombuffer(seeds[number % len(seeds)], "uint8").copy()
        for _ in range(rng.integers(1, 8)):
            content[rng.integers(len(content))] = rng.integers(256)
        damaged = content[: rng.integers(1, 2 * len(content))].tobytes()
        path.write_bytes(damaged)
        found = outcome(path)
        assert outcome(damaged) == outcome(io.BytesIO(damaged)) == found
        refused += found is not None
        with monkeypatch.context() as patch:
            patch.setattr(fast_jpeg, "packages", lambda: None)
            assert outcome(path) == found  # on both paths of a JPEG
    assert count / 10 < refused < count * 0.9


STARTS = (
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"P6 ",
    b"RIFF....WEBP",
    b"\0\0\0\x18ftypheic",
    b"\0\0\0\x18ftypavif",
)


@settings(max_examples=int(os.environ.get("KERAS_LOCALIZE_FUZZ", 200)))
@given(st.binary(max_size=80), st.sampled_from(STARTS))
def test_any_bytes_give_an_image_or_an_image_error(content, start):
    with contextlib.suppress(ImageError):
        images.letterbox(start + content, 4)
    with contextlib.suppress(ImageError):
        images.inspect(io.BytesIO(start + content), decode=True)
