"""An exported localizer says what the localizer says, without Keras."""

from pathlib import Path

import keras
import numpy as np
import pytest
from tiny_backbone import tiny_backbone

from keras_localize import build_localizer, export_localizer

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="a SavedModel is TensorFlow's"
)


def smooth_picture(rng, height, width):
    """Like a photograph: neighbours alike, so that two resamplings agree."""
    coarse = rng.uniform(0, 255, (1, 4, 4, 3))
    fine = keras.ops.image.resize(coarse, (height, width), "bicubic")
    return np.clip(keras.ops.convert_to_numpy(fine)[0], 0, 255).astype("uint8")


@tensorflow_only
@pytest.mark.parametrize("classes", [3, 1, None])
def test_pictures_of_any_size_to_their_own_pixels(classes, tmp_path, rng):
    import tensorflow as tf

    localizer = build_localizer(tiny_backbone(), classes, quality=True)
    point = localizer.head.prediction
    point.set_weights([rng.normal(size=point.kernel.shape), np.zeros(8)])
    export_localizer(localizer, tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served"))
    for height, width in ((375, 500), (500, 333), (40, 31), (300, 7)):
        picture = smooth_picture(rng, height, width)
        found = {key: x.numpy() for key, x in served.serve(picture).items()}
        expected = localizer.localize(picture)[0]
        side = max(height, width)
        np.testing.assert_allclose(found["box"], expected.box, atol=0.01 * side)
        assert found["quality"] == pytest.approx(expected.quality, abs=0.01)
        if classes is None:
            assert set(found) == {"box", "quality"}
            continue
        assert found["label"] == expected.label and found["label"].dtype == np.int32
        assert found["score"] == pytest.approx(expected.score, abs=0.01)
        assert found["scores"].shape == (max(classes, 2),)
    squares = rng.uniform(0, 255, (5, 32, 32, 3)).astype("float32")
    answers = served.serve_squares(squares)
    for key, value in localizer.predict(squares, verbose=0).items():
        np.testing.assert_allclose(answers[key], value, atol=1e-5)


@tensorflow_only
def test_replaces_what_was_there_and_leaves_nothing_else(tmp_path, monkeypatch):
    localizer = build_localizer(tiny_backbone(), 3)
    path = tmp_path / "deep" / "served"
    path.mkdir(parents=True)
    (path / "old").write_text("old")

    class FullDisk:
        def track(self, *args):
            pass

        add_endpoint = track

        def write_out(self, filepath, **kwargs):
            Path(filepath).mkdir()
            (Path(filepath) / "half").write_text("half")
            raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(keras.export, "ExportArchive", FullDisk)
        with pytest.raises(OSError, match="disk full"):
            export_localizer(localizer, path)
    assert [each.name for each in path.parent.iterdir()] == ["served"]
    assert [each.name for each in path.iterdir()] == ["old"]
    export_localizer(localizer, path)
    assert [each.name for each in path.parent.iterdir()] == ["served"]
    assert not (path / "old").exists() and (path / "saved_model.pb").exists()


def test_what_cannot_be_exported_is_named(tmp_path):
    localizer = build_localizer(tiny_backbone(), 3)
    with pytest.raises(ValueError, match="format='h5'"):
        export_localizer(localizer, tmp_path / "x", format="h5")
    with pytest.raises(ValueError, match=r"Localizer.*Functional"):
        export_localizer(tiny_backbone(), tmp_path / "x")
    if keras.backend.backend() != "tensorflow":
        with pytest.raises(ValueError, match="KERAS_BACKEND=tensorflow"):
            export_localizer(localizer, tmp_path / "x")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch's own format")
def test_another_format_holds_the_model(tmp_path, rng):
    torch = pytest.importorskip("torch")
    localizer = build_localizer(tiny_backbone(), 3)
    export_localizer(localizer, tmp_path / "model.pt2", format="torch")
    program = torch.export.load(tmp_path / "model.pt2").module()
    square = rng.uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    found = program(torch.from_numpy(square))
    expected = localizer.predict(square, verbose=0)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key].detach().numpy(), value, atol=1e-5)
