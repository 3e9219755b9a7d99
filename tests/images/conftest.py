"""Fixtures of the tests of images."""

import pytest

from keras_localize.images import fast_jpeg


@pytest.fixture(params=["fast", "pillow"])
def jpeg_path(request, monkeypatch):
    """Every test that asks for it runs on both paths of a JPEG."""
    if request.param == "fast":
        pytest.importorskip("cv2")
        pytest.importorskip("simplejpeg")
        assert fast_jpeg.packages() is not None
    else:
        monkeypatch.setattr(fast_jpeg, "packages", lambda: None)
    return request.param
