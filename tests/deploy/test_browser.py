"""The page in a real browser: an image dropped on it has the box of `localize`."""

import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_localize import export_localizer
from keras_localize.images import load

PAGE = Path(__file__).resolve().parents[2] / "examples/deploy/browser/index.html"
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium")
PACKAGES = Path(os.environ.get("NODE_PATH") or "node_modules").resolve()

pytestmark = [
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="one writer of ONNX is enough"
    ),
    pytest.mark.skipif(
        not (NODE and CHROMIUM), reason="needs node and chromium on the path"
    ),
    pytest.mark.skipif(
        not all(
            (PACKAGES / one).is_dir() for one in ("onnxruntime-web", "playwright-core")
        ),
        reason="needs onnxruntime-web and playwright-core in NODE_PATH",
    ),
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def site(localizer, tmp_path):
    """The address of the page, laid out as docs/export.md says."""
    pytest.importorskip("tf2onnx")
    shutil.copy(PAGE, tmp_path)
    (tmp_path / "node_modules").symlink_to(PACKAGES)
    export_localizer(localizer, tmp_path / "localizer.onnx", "onnx")
    names = json.dumps(localizer.class_names)
    (tmp_path / "class_names.json").write_text(names, encoding="utf-8")
    handler = functools.partial(Quiet, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


def test_an_image_dropped_on_the_page(site, localizer, image_files, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    *answers, refused = dropped([*image_files, broken], site, tmp_path)
    check(answers, image_files, localizer)
    assert refused["box"] is None and refused["text"].startswith("Not an image")


def test_photographs_dropped_on_the_page(site, localizer, oxford_pets_dir, tmp_path):
    files = [
        oxford_pets_dir / "images" / name
        for name in ("Abyssinian_1.jpg", "beagle_10.jpg", "Persian_100.jpg")
    ]
    # `localize` reads a JPEG at a reduced size, a browser reads every pixel.
    pixels = [load(path) for path in files]
    check(dropped(files, site, tmp_path), pixels, localizer)


def dropped(files, site, folder):
    """What the page answers to each file."""
    script = Path(__file__).with_name("drive_browser.mjs")
    screenshot = folder / "page.png"
    shown = subprocess.run(
        [NODE, script, CHROMIUM, site, screenshot, *files],
        capture_output=True,
        text=True,
        env={**os.environ, "NODE_PATH": str(PACKAGES)},
        timeout=300,
    )
    assert shown.returncode == 0, shown.stderr
    assert screenshot.stat().st_size > 0
    said = json.loads(shown.stdout)
    assert said["errors"] == []
    return said["answers"]


def check(answers, images, localizer):
    """Boxes within a pixel of the original image, and drawn."""
    for answer, image in zip(answers, images, strict=True):
        expected = localizer.localize(image, verbose=0)[0]
        np.testing.assert_allclose(answer["box"], expected.box, atol=1)
        assert answer["text"].startswith(expected.class_name)
        assert answer["green"] > 20
