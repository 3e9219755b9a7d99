"""An exported localizer says what the localizer says, without Keras."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import runtimes
from tiny_backbone import tiny_backbone

import keras_localize
from keras_localize import LocalizationDataset, build_localizer, export_localizer
from keras_localize.boxes import from_square, iou
from keras_localize.images import letterbox
from keras_localize.localizer.exporting.serving import ImageModel, SquareModel
from keras_localize.localizer.rebuilding import in_float32

SIZE = 64
NAMES = ["Katze", "Hund", "Zebrafohlen \u00e4"]
BACKEND = keras.backend.backend()
SQUARE = {
    "tensorflow": ["tf_saved_model", "onnx", "litert", "openvino"],
    "jax": ["tf_saved_model", "onnx"],
    "torch": ["onnx", "litert", "openvino", "torch"],
}[BACKEND]
ANY = {"tensorflow": ["tf_saved_model", "onnx"], "jax": [], "torch": ["onnx"]}[BACKEND]


def smooth_image(rng, height, width):
    """Like a photograph: neighbours alike, so that two resamplings agree."""
    coarse = rng.uniform(0, 255, (1, 4, 4, 3)).astype("float32")
    fine = keras.ops.image.resize(coarse, (height, width), "bicubic")
    return np.clip(keras.ops.convert_to_numpy(fine)[0], 0, 255).astype("uint8")


def moved_localizer(num_classes=3, **options):
    """Its boxes depend on the image, though nothing was trained."""
    keras.utils.set_random_seed(0)
    options = {"quality": True, **options}
    localizer = build_localizer(tiny_backbone(SIZE), num_classes, **options)
    if getattr(localizer.head, "kind", None) == "spatial":
        kernel = localizer.head.prediction.kernel
        values = np.random.default_rng(0).normal(size=kernel.shape).astype("float32")
        localizer.head.prediction.set_weights([values, np.zeros(8, "float32")])
    return localizer


@pytest.fixture(scope="module")
def localizer():
    return moved_localizer(class_names=NAMES)


@pytest.fixture(scope="module")
def smooth_dataset():
    rng = np.random.default_rng(0)
    images = [smooth_image(rng, 90, 120) for _ in range(30)]
    boxes = np.tile([[0.25, 0.25, 0.75, 0.75]], (30, 1))
    return LocalizationDataset(images, boxes, [0] * 30, NAMES)


@pytest.fixture(scope="module")
def exported(localizer, smooth_dataset, tmp_path_factory):
    """Gives the path of the localizer in a format, exported once."""
    paths = {}

    def export(format, **options):
        runtimes.skip_without(format, BACKEND)
        also = {}
        if options.get("precision") == "int8":
            pytest.importorskip("ai_edge_quantizer")
            also["representative_dataset"] = smooth_dataset
        key = format, *sorted(options.items())
        if key not in paths:
            name = runtimes.NAMES.get(format, "model")
            paths[key] = tmp_path_factory.mktemp("exported") / "new folder" / name
            export_localizer(localizer, paths[key], format, **options, **also)
        return paths[key]

    return export


def numpy(tensors):
    return {key: keras.ops.convert_to_numpy(x) for key, x in tensors.items()}


def expected_for(localizer, squares, image_sizes):
    """By `predict` and `from_square`, for a batch."""
    outputs = localizer.predict(squares.astype("float32"), verbose=0)
    boxes = from_square(outputs["box"] * SIZE, image_sizes, SIZE)
    limits = image_sizes[:, [1, 0, 1, 0]].astype("float32")
    scores = outputs["label"]
    return {
        "box": np.clip(keras.ops.convert_to_numpy(boxes), 0, limits),
        "label": scores.argmax(axis=1).astype("int32"),
        "score": scores.max(axis=1),
        "scores": scores,
        "quality": outputs["quality"][:, 0],
    }


def check(found, expected, atol=1e-4):
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert found[key].dtype == value.dtype, key
        assert found[key].shape == value.shape, key
    overlap = iou(found["box"], expected["box"], bounding_box_format="xyxy")
    assert keras.ops.convert_to_numpy(overlap).mean() >= 0.999
    np.testing.assert_array_equal(found["label"], expected["label"])
    for key in ("score", "scores", "quality"):
        np.testing.assert_allclose(found[key], expected[key], atol=atol)


@pytest.mark.parametrize("format", SQUARE)
def test_squares_to_pixels_of_the_original_image(format, exported, localizer, rng):
    run = runtimes.load(format, exported(format, image="square"))
    sizes = np.array([[375, 500], [3000, 4001], [40, 31], [1, 5000], [1, 1]], "int32")
    squares = np.stack([letterbox(smooth_image(rng, *s), SIZE)[0] for s in sizes[:3]])
    squares = np.concatenate([squares, squares[:2]])
    expected = expected_for(localizer, squares, sizes)
    answers = [
        run(image=square, image_size=image_size)
        for square, image_size in zip(squares, sizes)
    ]
    check(
        {key: np.stack([one[key] for one in answers]) for key in answers[0]}, expected
    )


@pytest.mark.parametrize(
    "format",
    [
        one
        for one in SQUARE
        if (BACKEND, one) not in (("jax", "onnx"), ("torch", "litert"))
    ],
)
def test_batches_of_any_length(format, exported, localizer, rng):
    run = runtimes.load(format, exported(format, image="square", batched=True))
    for count in (1, 3):
        squares = rng.integers(0, 256, (count, SIZE, SIZE, 3)).astype("uint8")
        sizes = rng.integers(10, 500, (count, 2)).astype("int32")
        found = run(image=squares, image_size=sizes)
        check(found, expected_for(localizer, squares, sizes))


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("format", ANY)
def test_images_of_any_size(format, refine, exported, localizer, rng):
    run = runtimes.load(format, exported(format, refine=refine))
    for height, width in ((375, 500), (500, 333), (40, 31), (300, 7), (1, 900), (1, 1)):
        image = smooth_image(rng, height, width)
        found = run(image=image)
        expected = localizer.localize(image, refine=refine)[0]
        side = max(height, width)
        np.testing.assert_allclose(found["box"], expected.box, atol=0.005 * side)
        assert found["box"].dtype == np.float32 and found["box"].shape == (4,)
        assert found["label"] == expected.label and found["label"].dtype == np.int32
        np.testing.assert_allclose(found["scores"], expected.scores, atol=0.01)
        assert found["score"] == found["scores"].max()
        assert found["quality"] == pytest.approx(expected.quality, abs=0.02)


@pytest.mark.parametrize("format", SQUARE)
def test_the_file_says_what_it_is(format, exported):
    path = exported(format, image="square")
    told = runtimes.read_metadata(format, path)
    assert json.loads(told["class_names"]) == NAMES
    assert told["keras_localize_version"] == keras_localize.__version__
    assert told["image_size"] == str(SIZE) and "letterboxed" in told["inputs"]


HALF = {
    "tensorflow": ["onnx", "litert", "openvino"],
    "jax": ["onnx"],
    "torch": ["onnx", "openvino"],
}[BACKEND]


@pytest.mark.parametrize("format", HALF)
def test_half_the_bytes_for_the_same_answers(format, exported, localizer, rng):
    whole = exported(format, image="square")
    half = exported(format, image="square", precision="float16")
    squares = rng.integers(0, 256, (20, SIZE, SIZE, 3)).astype("uint8")
    sizes = rng.integers(10, 500, (20, 2)).astype("int32")
    expected = expected_for(localizer, squares, sizes)
    run = runtimes.load(format, half)
    answers = [run(image=a, image_size=b) for a, b in zip(squares, sizes)]
    found = {key: np.stack([one[key] for one in answers]) for key in answers[0]}
    check(found, expected, atol=2e-3)
    assert not np.array_equal(found["scores"], expected["scores"])
    suffix = ".bin" if format == "openvino" else half.suffix
    sizes = [path.with_suffix(suffix).stat().st_size for path in (half, whole)]
    numbers = sum(value.nbytes for value in localizer.get_weights())
    assert sizes[1] - sizes[0] > 0.4 * numbers
    assert runtimes.read_metadata(format, half)["precision"] == "float16"


@pytest.mark.skipif("litert" not in SQUARE, reason="Keras writes no LiteRT from JAX")
def test_convolutions_with_integers(exported, smooth_dataset):
    whole = exported("litert", image="square")
    path = exported("litert", image="square", precision="int8")
    assert path.stat().st_size < whole.stat().st_size
    runs = [runtimes.load("litert", one) for one in (whole, path)]
    overlaps = []
    for image in smooth_dataset.images:
        square, size = letterbox(image, SIZE)
        inputs = {"image": square, "image_size": np.array(size, "int32")}
        one, other = (run(**inputs) for run in runs)
        assert {k: x.dtype for k, x in one.items()} == {
            k: x.dtype for k, x in other.items()
        }
        np.testing.assert_allclose(other["scores"], one["scores"], atol=0.05)
        overlaps.append(iou(one["box"], other["box"], "xyxy"))
    assert np.mean([float(one) for one in overlaps]) > 0.95
    assert runtimes.read_metadata("litert", path)["precision"] == "int8"
    from ai_edge_litert.interpreter import Interpreter

    # What is computed, and not only what is stored.
    kinds = {
        one["dtype"]
        for one in Interpreter(str(path)).get_tensor_details()
        if one["name"].count("onv")
    }
    assert np.int8 in kinds


@pytest.mark.parametrize("format", SQUARE)
def test_nothing_but_the_files_of_the_format(format, exported):
    path = exported(format, image="square")
    files = {one.name for one in path.parent.iterdir()}
    also = {"model.bin"} if format == "openvino" else set()
    assert files == {path.name} | also


@pytest.mark.skipif(
    "tf_saved_model" not in SQUARE, reason="SavedModel needs TensorFlow"
)
def test_a_saved_model_takes_batches_of_squares_too(exported, localizer, rng):
    import tensorflow as tf

    served = tf.saved_model.load(str(exported("tf_saved_model", image="square")))
    squares = rng.uniform(0, 255, (5, SIZE, SIZE, 3)).astype("float32")
    answers = served.serve_squares(squares)
    for key, value in localizer.predict(squares, verbose=0).items():
        np.testing.assert_allclose(answers[key], value, atol=1e-5)


# --- input that is not as it should be, as docs/export.md says ---

FILES = [
    *((format, "float32") for format in SQUARE),
    *((format, "float16") for format in HALF),
    *((format, "int8") for format in SQUARE if format == "litert"),
]


@pytest.mark.parametrize("format, precision", FILES)
def test_squares_of_very_small_and_very_long_images(format, precision, exported, rng):
    path = exported(format, image="square", precision=precision)
    run = runtimes.load(format, path)
    for height, width in ((1, 1), (1, 5000), (5000, 1)):
        image = rng.integers(0, 256, (height, width, 3)).astype("uint8")
        square, size = letterbox(image, SIZE)
        check_inside(run(image=square, image_size=np.array(size, "int32")), size)


@pytest.mark.parametrize(
    "format, precision",
    [(format, precision) for format, precision in FILES if format in ANY],
)
def test_very_small_and_very_long_images(format, precision, exported, rng):
    run = runtimes.load(format, exported(format, precision=precision))
    for height, width in ((1, 1), (1, 5000), (5000, 1)):
        image = rng.integers(0, 256, (height, width, 3)).astype("uint8")
        check_inside(run(image=image), (height, width))


def check_inside(answer, size):
    """The box lies inside the image, and the rest of the answer is sound."""
    height, width = size
    x0, y0, x1, y1 = answer["box"]
    assert 0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height
    assert answer["label"] in range(3)
    assert answer["scores"].sum() == pytest.approx(1, abs=0.01)
    assert 0 <= answer["quality"] <= 1


@pytest.mark.parametrize("format, precision", FILES)
def test_a_square_of_another_shape_is_an_error(format, precision, exported):
    """Never an answer, and never the end of the process."""
    path = exported(format, image="square", precision=precision)
    run = runtimes.load(format, path)
    for shape in ((SIZE, SIZE), (SIZE, SIZE, 1), (SIZE, SIZE, 4), (70, 70, 3)):
        assert _fails(run, shape, image_size=np.array([30, 40], "int32")), shape


@pytest.mark.parametrize(
    "format, precision",
    [(format, precision) for format, precision in FILES if format in ANY],
)
def test_an_image_without_three_channels_is_an_error(format, precision, exported):
    run = runtimes.load(format, exported(format, precision=precision))
    for shape in ((30, 40), (30, 40, 1), (30, 40, 4), (0, 0, 3)):
        assert _fails(run, shape), shape


@pytest.mark.parametrize("format, precision", FILES)
def test_float_pixels_are_an_error(format, precision, exported, rng):
    """But for OpenVINO, whose Python interface converts them to uint8."""
    path = exported(format, image="square", precision=precision)
    run = runtimes.load(format, path)
    image_size = np.array([30, 40], "int32")
    if format == "openvino":
        pixels = rng.integers(0, 256, (SIZE, SIZE, 3)).astype("uint8")
        found = run(image=pixels.astype("float32"), image_size=image_size)
        expected = run(image=pixels, image_size=image_size)
        np.testing.assert_array_equal(found["box"], expected["box"])
    else:
        shape = (SIZE, SIZE, 3)
        assert _fails(run, shape, "float32", image_size=image_size)
    if format in ANY:
        run = runtimes.load(format, exported(format, precision=precision))
        assert _fails(run, (30, 40, 3), "float32")


def _fails(run, shape, dtype="uint8", **inputs):
    try:
        run(image=np.zeros(shape, dtype), **inputs)
    except Exception:  # each runtime has its own
        return True
    return False


# --- what is exported, before it is converted ---


@pytest.mark.parametrize(
    "options",
    [
        {"num_classes": None},
        {"num_classes": 1},
        {"num_classes": 1, "class_names": ["cat"]},
        {"num_classes": 1, "class_names": ["cat", "dog"]},
        {"num_classes": 3, "quality": False, "head": "pooled"},
        {"num_classes": 3, "head": "flatten"},
    ],
)
def test_the_answers_of_every_kind_of_model(options, rng):
    localizer = moved_localizer(**options)
    image = smooth_image(rng, 60, 90)
    square, image_size = letterbox(image, SIZE)
    model = SquareModel(localizer)
    found = numpy(model(square, np.array(image_size, "int32")))
    expected = localizer.localize(image)[0]
    assert list(found) == model.answers
    np.testing.assert_allclose(found["box"], expected.box, atol=1e-3)
    assert ("label" in found) == (expected.label is not None)
    assert ("quality" in found) == (expected.quality is not None)
    if expected.label is not None:
        assert found["label"] == expected.label
        np.testing.assert_allclose(found["scores"], expected.scores, atol=1e-5)
    assert ImageModel(localizer).answers == model.answers


@pytest.mark.parametrize(
    ("format", "policy"),
    [*((format, "mixed_float16") for format in SQUARE), ("onnx", "mixed_bfloat16")],
)
def test_a_localizer_of_mixed_precision_is_exported_in_float32(
    format, policy, rng, tmp_path
):
    """Runtimes refuse graphs that compute in both."""
    runtimes.skip_without(format, BACKEND)
    keras.config.set_dtype_policy(policy)
    localizer = moved_localizer(num_classes=3, quality=True)
    keras.config.set_dtype_policy("float32")
    path = tmp_path / runtimes.NAMES.get(format, "model")
    export_localizer(localizer, path, format, image="square")
    assert localizer.dtype_policy.name == policy  # it is as it was
    square, image_size = letterbox(smooth_image(rng, 60, 90), SIZE)
    answer = runtimes.load(format, path)(
        image=square, image_size=np.array(image_size, "int32")
    )
    whole = in_float32(localizer)
    expected = expected_for(whole, square[None], np.array([image_size]))
    check(answer, {name: value[0] for name, value in expected.items()})
    rough = localizer.predict(square[None].astype("float32"), verbose=0)
    np.testing.assert_allclose(answer["scores"], rough["label"][0], atol=0.02)


def test_refinement_crops_as_localize_does(localizer, rng):
    """An object near the border, and a small one."""
    for height, width in ((375, 500), (40, 31), (200, 11), (1, 1)):
        image = smooth_image(rng, height, width)
        found = numpy(ImageModel(localizer, refine=True)(image))
        expected = localizer.localize(image, refine=True)[0]
        side = max(height, width)
        np.testing.assert_allclose(found["box"], expected.box, atol=0.005 * side)
        np.testing.assert_allclose(found["scores"], expected.scores, atol=0.01)


# --- what cannot be written, or not wholly ---


@pytest.mark.skipif(BACKEND != "tensorflow", reason="one writer is enough")
def test_replaces_what_was_there_and_leaves_nothing_else(tmp_path, monkeypatch):
    localizer = build_localizer(tiny_backbone(), 3)
    path = tmp_path / "deep" / "served"
    path.mkdir(parents=True)
    (path / "old").write_text("old")
    with pytest.raises(ValueError, match="`path` must be a new or empty folder"):
        export_localizer(localizer, path)  # it may hold anything
    (path / "saved_model.pb").write_text("old")

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
    assert sorted(each.name for each in path.iterdir()) == ["old", "saved_model.pb"]
    export_localizer(localizer, str(path))
    assert [each.name for each in path.parent.iterdir()] == ["served"]
    assert not (path / "old").exists()
    assert (path / "saved_model.pb").read_bytes() != b"old"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"format": "h5"}, "format='h5'"),
        ({"format": ["onnx"]}, "format="),
        ({"image": "round"}, "image='round'"),
        ({"format": "litert", "image": "any"}, "image='any'.*format='litert'"),
        ({"format": "onnx", "image": "square", "refine": True}, "refine=True"),
        ({"format": "onnx", "batched": True}, "batched=True.*image='square'"),
        ({"format": "openvino", "path": "model.onnx"}, r"`path` must end in \.xml"),
        ({"precision": "half"}, "precision='half'"),
        ({"format": "onnx", "precision": "int8"}, "precision='int8'"),
        ({"format": "onnx", "representative_dataset": []}, "representative_dataset"),
    ],
)
def test_bad_arguments_are_named(options, message, localizer, tmp_path):
    if BACKEND == "jax" and options.get("format") == "openvino":
        pytest.skip("JAX writes no OpenVINO at all")
    options = {"path": "x", **options}
    with pytest.raises(ValueError, match=message):
        export_localizer(localizer, tmp_path / options.pop("path"), **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
@pytest.mark.parametrize("format", ["litert", "openvino"])
def test_quantized_localizers_are_refused(format, tmp_path):
    """OpenVINO's int8 layers gave the same for every image."""
    if format not in SQUARE:
        pytest.skip(f"not from {BACKEND}")
    localizer = build_localizer(tiny_backbone(), 3)
    localizer.quantize("int8")
    with pytest.raises(ValueError, match=r"`localizer`.*quantize.*float localizer"):
        export_localizer(localizer, tmp_path / "x.xml", format)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
@pytest.mark.parametrize(
    ("mode", "format"),
    [
        ("int8", "tf_saved_model"),
        ("int8", "onnx"),
        ("int8", "torch"),
        ("int4", "onnx"),
        ("int4", "litert"),
        ("int4", "openvino"),
    ],
)
def test_quantized_localizers_as_the_docs_promise(mode, format, tmp_path, rng):
    if format not in SQUARE or (format == "openvino" and BACKEND != "tensorflow"):
        pytest.skip(f"not from {BACKEND}")
    runtimes.skip_without(format, BACKEND)
    localizer = moved_localizer(class_names=NAMES)
    localizer.quantize(mode)
    path = tmp_path / runtimes.NAMES.get(format, "model")
    export_localizer(localizer, path, format, image="square")
    run = runtimes.load(format, path)
    for height, width in ((90, 60), (64, 64), (50, 120)):
        image = smooth_image(rng, height, width)
        [expected] = localizer.localize(image)
        square, size = letterbox(image, SIZE)
        found = run(image=square, image_size=np.array(size, "int32"))
        np.testing.assert_allclose(found["scores"], expected.scores, atol=0.02)
        np.testing.assert_allclose(found["box"], expected.box, atol=1.5)


def test_the_working_directory_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    localizer = build_localizer(tiny_backbone(), 3)
    for path in (".", tmp_path):
        with pytest.raises(
            ValueError, match="`path` must not be the working directory"
        ):
            export_localizer(localizer, path, SQUARE[0], image="square")
    assert Path("../" + tmp_path.name).resolve() == Path.cwd()


def test_an_ending_of_another_kind(tmp_path):
    """The package onnx reads and writes JSON where a path ends so."""
    runtimes.skip_without("onnx", BACKEND)
    path = tmp_path / "m.json"
    export_localizer(build_localizer(tiny_backbone(), 3), path, "onnx", image="square")
    assert runtimes.read_metadata("onnx", path)


def test_no_localizer(tmp_path):
    with pytest.raises(ValueError, match=r"Localizer.*Functional"):
        export_localizer(tiny_backbone(), tmp_path / "x")


@pytest.mark.parametrize(
    "format, image",
    [
        (format, image)
        for format in runtimes.READS
        for image, possible in (("any", ANY), ("square", SQUARE))
        if format not in possible
        and (image == "square" or format in ("tf_saved_model", "onnx"))
    ],
)
def test_what_keras_cannot_export_names_a_backend_that_can(
    format, image, localizer, tmp_path
):
    with pytest.raises(ValueError, match=rf"{BACKEND}\. Save.*KERAS_BACKEND=(t|j)"):
        export_localizer(localizer, tmp_path / "x.xml", format, image=image)
    assert not list(tmp_path.iterdir())
