"""PadToSquare against painted rectangles, and against NumPy in float64."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf
from painted import edges, painted

from keras_localize import boxes
from keras_localize.boxes.square import fit
from keras_localize.layers import PadToSquare

FORMATS = [
    "xyxy",
    "yxyx",
    "xywh",
    "center_xywh",
    "center_yxhw",
    "rel_xyxy",
    "rel_yxyx",
    "rel_xywh",
    "rel_center_xywh",
]


def to_numpy(tensor):
    if tf.is_tensor(tensor):
        return tensor.numpy()
    return keras.ops.convert_to_numpy(tensor)


def dtype_of(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)


def letterboxed(image, size, fill=0.0):
    """float64 bilinear letterbox of (H, W, C), from the definition."""
    height, width = image.shape[:2]
    place = fit(height, width, size)

    def sampled(array, count, side):
        seen = (np.arange(count) + 0.5) * side / count - 0.5
        lower = np.floor(seen).astype(int)
        share = (seen - lower).reshape(-1, 1, 1)
        before = array[np.clip(lower, 0, side - 1)]
        after = array[np.clip(lower + 1, 0, side - 1)]
        return before * (1 - share) + after * share

    array = sampled(image.astype("float64"), place.rows, height)
    array = sampled(array.swapaxes(0, 1), place.columns, width).swapaxes(0, 1)
    square = np.full((size, size, image.shape[2]), float(fill))
    rows = slice(place.top, place.top + place.rows)
    columns = slice(place.left, place.left + place.columns)
    square[rows, columns] = array
    return square


def in_tf_data(layer, *elements):
    """The layer over single elements whose sizes the graph does not know."""
    specs = tf.nest.map_structure(
        lambda x: tf.TensorSpec(
            [None, None, x.shape[-1]] if np.ndim(x) == 3 else np.shape(x),
            np.asarray(x).dtype if not isinstance(x, str) else tf.string,
        ),
        elements[0],
    )
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(elements), output_signature=specs
    )
    return list(dataset.map(layer))


def errors_of_painted(layer, size, rng, count, mapped):
    found = []
    elements = []
    for _ in range(count):
        # At k original pixels per output pixel two taps can be off by (1 - 1/k) / 2.
        height, width = rng.integers(16, 289, 2)
        least = int(np.ceil(3 * max(height, width) / size))
        image, box = painted(rng, height, width, least)
        elements.append({"images": image, "bounding_boxes": {"boxes": box}})
    for element, out in zip(elements, mapped(layer, elements)):
        place = fit(*element["images"].shape[:2], size)
        if min(place.rows, place.columns) < 6:
            continue
        box = to_numpy(out["bounding_boxes"]["boxes"])
        found.append(np.abs(edges(to_numpy(out["images"])) - box).max())
    return found


@pytest.mark.parametrize(("antialias", "worst"), [(False, 0.45), (True, 0.35)])
def test_painted_rectangles_in_tf_data(antialias, worst, rng):
    found = []
    for size in (32, 47, 64, 96, 129, 160, 224, 320, 400, 512):
        layer = PadToSquare(size, antialias=antialias)
        found += errors_of_painted(
            layer, size, rng, 55, lambda layer, e: in_tf_data(layer, *e)
        )
    assert len(found) >= 500
    assert max(found) <= worst
    assert np.mean(found) <= 0.2


@pytest.mark.parametrize(("antialias", "worst"), [(False, 0.45), (True, 0.35)])
def test_painted_rectangles_eagerly(antialias, worst, rng):
    found = []
    for size in (47, 224):
        layer = PadToSquare(size, antialias=antialias)
        found += errors_of_painted(layer, size, rng, 5, map)
    assert len(found) >= 7
    assert max(found) <= worst


@pytest.mark.parametrize(
    "interpolation", ["nearest", "bicubic", "lanczos3", "lanczos5"]
)
def test_every_interpolation_keeps_pixels_and_boxes_together(interpolation, rng):
    layer = PadToSquare(96, interpolation=interpolation)
    for mapped in (map, lambda layer, e: in_tf_data(layer, *e)):
        found = errors_of_painted(layer, 96, rng, 3, mapped)
        # The nearest pixel is up to half an output pixel away.
        assert max(found) <= (0.51 if interpolation == "nearest" else 0.45)
    plain = to_numpy(layer(np.full((30, 50, 2), 77, "uint8")))
    place = fit(30, 50, 96)
    inside = plain[place.top : place.top + place.rows]
    np.testing.assert_allclose(inside, 77, atol=1e-3)


def test_pixels_are_those_of_float64(rng):
    for height, width, size in [(37, 91, 64), (90, 40, 128), (50, 50, 50)]:
        image = rng.integers(0, 256, (height, width, 3)).astype("uint8")
        expected = letterboxed(image, size, fill=9)
        layer = PadToSquare(size, fill_value=9)
        np.testing.assert_allclose(to_numpy(layer(image)), expected, atol=2e-3)
        (out,) = in_tf_data(layer, image)
        np.testing.assert_allclose(out, expected, atol=2e-3)


def test_nearest_is_the_pixel_under_the_centre(rng):
    image = rng.integers(0, 256, (37, 91, 3)).astype("uint8")
    place = fit(37, 91, 64)
    rows = [int((i + 0.5) * 37 / place.rows) for i in range(place.rows)]
    columns = [int((j + 0.5) * 91 / place.columns) for j in range(place.columns)]
    out = to_numpy(PadToSquare(64, interpolation="nearest", dtype="uint8")(image))
    inside = out[place.top : place.top + place.rows]
    np.testing.assert_array_equal(inside, image[rows][:, columns])


@pytest.mark.parametrize("antialias", [False, True])
def test_the_border_is_crisp(antialias):
    layer = PadToSquare(64, fill_value=250, antialias=antialias)
    place = fit(200, 90, 64)
    out = to_numpy(layer(np.full((200, 90, 1), 100, "uint8")))
    np.testing.assert_allclose(out[:, : place.left], 250)
    np.testing.assert_allclose(out[:, place.left + place.columns :], 250)
    inside = out[:, place.left : place.left + place.columns]
    np.testing.assert_allclose(inside, 100, atol=1e-3)


@pytest.mark.parametrize("bounding_box_format", FORMATS)
def test_every_format_and_every_rank_of_boxes(bounding_box_format, rng):
    layer = PadToSquare(64, bounding_box_format=bounding_box_format)
    images = np.zeros((2, 30, 50, 1), "float32")
    corners = rng.uniform(0, 1, (2, 3, 4)).astype("float32") * [25, 15, 25, 15]
    corners += [0, 0, 25, 15]
    given = boxes.convert(corners, "xyxy", bounding_box_format, (30, 50))
    given = to_numpy(given).astype("float32")
    # The definition: 50 columns become 64, 30 rows become 38, 13 above.
    scale = np.array([64 / 50, 38 / 30] * 2)
    expected = boxes.convert(
        corners * scale + [0, 13, 0, 13], "xyxy", bounding_box_format, (64, 64)
    )
    expected = to_numpy(expected)
    for index in [(), (slice(None), 0), (0,), (0, 0)]:
        pixels = images if index[:1] != (0,) else images[0]
        data = {"images": pixels, "bounding_boxes": {"boxes": given[index]}}
        out = layer(data)["bounding_boxes"]["boxes"]
        assert dtype_of(out) == "float32"
        np.testing.assert_allclose(to_numpy(out), expected[index], atol=3e-5)


def test_everything_else_is_carried_around(rng):
    marker = object()
    data = {
        "images": rng.integers(0, 256, (20, 30, 3)).astype("uint8"),
        "bounding_boxes": {
            "boxes": np.array([[1.0, 2, 3, 4]]),
            "labels": ["cat"],
            "confidence": np.array([0.5], "float64"),
        },
        "labels": np.array(16_777_217, "int64"),
        "path": "a/b.jpg",
        "extra": {"any": marker, "list": [1, "two", None]},
    }
    before = copy.deepcopy({k: v for k, v in data.items() if k != "extra"})
    out = PadToSquare(16, dtype="uint8")(data)
    assert list(out) == list(data)
    assert list(out["bounding_boxes"]) == ["boxes", "labels", "confidence"]
    # Arrays become tensors, as in Keras's layers, which take no mixture.
    assert keras.ops.is_tensor(out["labels"]) and int(out["labels"]) == 16_777_217
    assert keras.ops.is_tensor(out["bounding_boxes"]["confidence"])
    assert out["extra"] is data["extra"]
    assert out["bounding_boxes"]["labels"] is data["bounding_boxes"]["labels"]
    assert out is not data and out["bounding_boxes"] is not data["bounding_boxes"]
    for key, value in before.items():
        if key != "path":
            keras.tree.map_structure(np.testing.assert_array_equal, data[key], value)


def test_everything_else_is_carried_around_in_tf_data():
    data = {
        "images": np.zeros((20, 30, 3), "uint8"),
        "bounding_boxes": {"boxes": np.zeros((1, 4), "float32"), "labels": 300},
        "labels": np.array(16_777_217, "int64"),
        "path": "a/b.jpg",
    }
    for dtype in ("uint8", "mixed_bfloat16"):
        (out,) = in_tf_data(PadToSquare(16, dtype=dtype), data)
        assert out["labels"].numpy() == 16_777_217
        assert out["labels"].dtype == tf.int64
        assert out["bounding_boxes"]["labels"].numpy() == 300
        assert out["path"].numpy() == b"a/b.jpg"


def test_rows_that_mark_no_box_stay_what_they_are():
    rows = np.array([[-1, -1, -1, -1], [0, 0, 0, 0], [0, 0, 5, 5]], "float32")
    for name in ("xyxy", "rel_xyxy", "center_xywh"):
        layer = PadToSquare(32, bounding_box_format=name)
        data = {"images": np.zeros((8, 16, 1)), "bounding_boxes": {"boxes": rows}}
        out = to_numpy(layer(data)["bounding_boxes"]["boxes"])
        np.testing.assert_array_equal(out[:2], rows[:2])
        assert np.abs(out[2] - rows[2]).max() > 0.1
        back = to_numpy(layer.invert(out, (8, 16)))
        np.testing.assert_allclose(back, rows, atol=1e-5)


def test_nan_boxes_stay_nan():
    data = {"images": np.zeros((8, 16, 1)), "bounding_boxes": {"boxes": [np.nan] * 4}}
    assert np.isnan(to_numpy(PadToSquare(32)(data)["bounding_boxes"]["boxes"])).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_bfloat16", "float32"])
def test_float_policies_and_float_images(dtype, rng):
    image = rng.uniform(0, 255, (20, 30, 3)).astype("float32")
    expected = letterboxed(image, 24)
    layer = PadToSquare(24, dtype=dtype)
    compute = layer.compute_dtype
    tolerance = {"float16": 0.2, "bfloat16": 1.1, "float32": 1e-3}[compute]
    box = np.array([1001.7, 3, 2003.1, 7], "float32")
    cases = [image, keras.ops.cast(image, "float16"), keras.ops.cast(image, compute)]
    for pixels in cases:
        out = layer({"images": pixels, "bounding_boxes": {"boxes": box}})
        assert dtype_of(out["images"]) == compute
        given = to_numpy(keras.ops.cast(pixels, "float32"))
        slack = tolerance + np.abs(given - image).max()
        values = to_numpy(keras.ops.cast(out["images"], "float32"))
        np.testing.assert_allclose(values, expected, atol=slack)
        moved = out["bounding_boxes"]["boxes"]
        assert dtype_of(moved) == "float32"
        np.testing.assert_allclose(to_numpy(moved), box * 0.8 + [0, 4, 0, 4], atol=2e-4)


def test_integer_output_is_rounded_and_saturated(rng):
    image = rng.integers(0, 256, (20, 30, 3)).astype("uint8")
    exact = letterboxed(image, 24)
    out = PadToSquare(24, dtype="uint8")(image)
    assert dtype_of(out) == "uint8"
    assert np.abs(to_numpy(out) - exact).max() <= 0.501
    # Bicubic rings beyond [0, 255] at a hard edge; 300 does not fit either.
    image = np.zeros((20, 30, 1), "uint8")
    image[:, 15:] = 255
    layer = PadToSquare(64, 300, interpolation="bicubic", dtype="uint8")
    exact = to_numpy(PadToSquare(64, interpolation="bicubic")(image))
    assert exact.min() < -1 and exact.max() > 256
    saturated = to_numpy(layer(image))
    assert saturated[0, 0, 0] == 255
    place = fit(20, 30, 64)
    rows = slice(place.top, place.top + place.rows)
    np.testing.assert_allclose(saturated[rows], exact[rows].clip(0, 255), atol=0.51)
    (out,) = in_tf_data(layer, image)
    np.testing.assert_allclose(out, saturated, atol=1)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_channels_first_grey_and_alpha(channels, rng):
    images = rng.integers(0, 256, (2, 20, 30, channels)).astype("uint8")
    masks = (images[..., :1] > 99).astype("int32")
    expected = np.stack([letterboxed(image, 24) for image in images])
    last = PadToSquare(24, data_format="channels_last")
    np.testing.assert_allclose(to_numpy(last(images)), expected, atol=1e-3)
    first = PadToSquare(24, data_format="channels_first")
    data = {
        "images": images.transpose(0, 3, 1, 2),
        "segmentation_masks": masks.transpose(0, 3, 1, 2),
    }
    out = first(data)
    moved = to_numpy(out["images"]).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(moved, expected, atol=1e-3)
    np.testing.assert_array_equal(
        to_numpy(out["segmentation_masks"]).transpose(0, 2, 3, 1),
        to_numpy(
            last({"images": images, "segmentation_masks": masks})["segmentation_masks"]
        ),
    )
    assert first.compute_output_shape((None, 3, 8, 9)) == (None, 3, 24, 24)


def test_size_none_only_pads(rng):
    image = rng.integers(0, 256, (7, 12, 3)).astype("uint8")
    data = {"images": image, "bounding_boxes": {"boxes": [1, 2, 3, 4]}}
    layer = PadToSquare(fill_value=5, dtype="uint8")
    results = [layer(data), *in_tf_data(layer, {"images": image})]
    for out in results:
        pixels = to_numpy(out["images"])
        np.testing.assert_array_equal(pixels[2:9], image)
        assert (pixels[:2] == 5).all() and (pixels[9:] == 5).all()
        assert pixels.shape == (12, 12, 3)
    box = to_numpy(results[0]["bounding_boxes"]["boxes"])
    np.testing.assert_array_equal(box, [1, 4, 3, 6])
    assert layer.compute_output_shape((7, 12, 3)) == (12, 12, 3)
    assert layer.compute_output_shape((None, 12, 3)) == (None, None, 3)


def test_thin_images_keep_a_pixel():
    for shape in [(3000, 1, 1), (1, 3000, 1)]:
        box = np.array([0, 0, shape[1], shape[0]], "float32")
        data = {"images": np.full(shape, 7.0), "bounding_boxes": {"boxes": box}}
        out = PadToSquare(64)(data)
        assert to_numpy(out["images"]).sum() == pytest.approx(7 * 64, rel=1e-3)
        x0, y0, x1, y1 = to_numpy(out["bounding_boxes"]["boxes"])
        assert (x1 - x0) * (y1 - y0) == pytest.approx(64)


@pytest.mark.parametrize("dtype", ["int32", "int64", "bool", "uint8"])
def test_masks_move_with_the_image(dtype, rng):
    if dtype == "int64" and keras.backend.backend() == "jax":
        eager = []  # JAX has no int64 outside tf.data
    else:
        eager = [map]
    mask = rng.integers(0, 2, (37, 91, 1)).astype(dtype)
    nearest = PadToSquare(64, interpolation="nearest")
    expected = to_numpy(nearest(mask.astype("uint8"))).astype(dtype)
    layer = PadToSquare(64, fill_value=9)
    data = {"images": np.zeros((37, 91, 3), "uint8"), "segmentation_masks": mask}
    for mapped in [*eager, lambda layer, e: in_tf_data(layer, *e)]:
        (out,) = mapped(layer, [data])
        assert dtype_of(out["segmentation_masks"]) == dtype
        np.testing.assert_array_equal(to_numpy(out["segmentation_masks"]), expected)
    flat = layer({**data, "segmentation_masks": mask[..., 0].astype("uint8")})
    np.testing.assert_array_equal(
        to_numpy(flat["segmentation_masks"]), expected[..., 0].astype("uint8")
    )


def test_batches_compiled_functional_and_in_tf_data_are_the_same(rng):
    images = rng.integers(0, 256, (3, 40, 25, 3)).astype("float32")
    box = rng.uniform(0, 25, (3, 4)).astype("float32")
    layer = PadToSquare(32)
    data = {"images": images, "bounding_boxes": {"boxes": box}}
    expected = np.stack([letterboxed(image, 32) for image in images])
    expected_box = box * np.array([20 / 25, 32 / 40] * 2) + [6, 0, 6, 0]

    inputs = {
        "images": keras.Input((None, None, 3), name="images"),
        "bounding_boxes": {"boxes": keras.Input((4,), name="boxes")},
    }
    model = keras.Model(inputs, layer(inputs))
    batched = tf.data.Dataset.from_tensor_slices(data).batch(3).map(layer)
    results = {
        "eager": layer(data),
        "functional": model(data),
        "predict": model.predict(data, verbose=0),
        "tf.data": next(iter(batched)),
        "compiled": compiled(layer)(data),
    }
    for out in results.values():
        np.testing.assert_allclose(to_numpy(out["images"]), expected, atol=2e-3)
        moved = to_numpy(out["bounding_boxes"]["boxes"])
        np.testing.assert_allclose(moved, expected_box, atol=1e-5)
    assert batched.element_spec["images"].shape[1:] == (32, 32, 3)
    assert model.output["images"].shape == (None, 32, 32, 3)


def compiled(layer):
    if keras.backend.backend() == "tensorflow":
        return tf.function(layer, jit_compile=True)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(layer)
    return layer


def test_inside_a_saved_model(tmp_path, rng):
    inputs = keras.Input((None, None, 3), name="images")
    square = PadToSquare(24, fill_value=3, antialias=True)(inputs)
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3)(square))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for shape in [(2, 40, 25, 3), (1, 20, 60, 3)]:
        images = rng.uniform(0, 255, shape).astype("float32")
        np.testing.assert_allclose(
            to_numpy(loaded(images)), to_numpy(model(images)), atol=1e-4
        )


def test_a_model_with_boxes_is_saved_and_loaded(tmp_path, rng):
    inputs = {
        "images": keras.Input((None, None, 3), name="images"),
        "bounding_boxes": {"boxes": keras.Input((4,), name="boxes")},
    }
    model = keras.Model(inputs, PadToSquare(24, dtype="mixed_bfloat16")(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    box = rng.uniform(0, 999, (2, 4)).astype("float32")
    data = {"images": np.zeros((2, 20, 30, 3)), "bounding_boxes": {"boxes": box}}
    out = loaded(data)
    assert dtype_of(out["images"]) == "bfloat16"
    np.testing.assert_allclose(
        to_numpy(out["bounding_boxes"]["boxes"]), box * 0.8 + [0, 4, 0, 4], rtol=1e-6
    )


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf_saved_model")
def test_a_model_that_holds_it_is_exported(tmp_path, rng):
    inputs = {
        "images": keras.Input((None, None, 3), name="images"),
        "bounding_boxes": {"boxes": keras.Input((None, 4), name="boxes")},
    }
    square = PadToSquare(24, antialias=True)(inputs)
    # The outputs of a SavedModel's signature cannot be nested.
    flat = {"images": square["images"], "boxes": square["bounding_boxes"]["boxes"]}
    model = keras.Model(inputs, flat)
    model.export(tmp_path / "model", format="tf_saved_model", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "model"))
    for shape, count in [((2, 40, 25, 3), 1), ((1, 20, 60, 3), 3)]:
        box = rng.uniform(0, 20, (shape[0], count, 4)).astype("float32")
        images = rng.uniform(0, 255, shape).astype("float32")
        data = {"images": images, "bounding_boxes": {"boxes": box}}
        out, layered = served.serve(data), PadToSquare(24, antialias=True)(data)
        np.testing.assert_allclose(out["images"], layered["images"], atol=1e-3)
        np.testing.assert_allclose(
            out["boxes"],
            boxes.to_square(box, shape[1:3], 24),
            atol=1e-5,
        )


def test_config_round_trip():
    arguments = {
        "size": 48,
        "fill_value": 12.5,
        "interpolation": "lanczos3",
        "antialias": True,
        "bounding_box_format": "rel_yxyx",
        "data_format": "channels_first",
        "name": "square",
        "dtype": "mixed_bfloat16",
        "trainable": False,
    }
    layer = PadToSquare(**arguments)
    config = layer.get_config()
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert again.get_config() == config
    for key in set(arguments) - {"dtype"}:
        assert getattr(again, key) == arguments[key]
    assert again.dtype_policy.name == "mixed_bfloat16"
    assert PadToSquare().get_config()["size"] is None


def test_invert_brings_predictions_back(rng):
    sizes = np.array([[375, 500], [1200, 300]])
    for name in FORMATS:
        layer = PadToSquare(96, bounding_box_format=name)
        original = rng.uniform(0.1, 0.4, (2, 3, 4)).astype("float32")
        if not name.startswith("rel_"):
            original *= 300
        seen = boxes.to_square(original, sizes, 96, name)
        back = to_numpy(layer.invert(seen, sizes))
        np.testing.assert_allclose(back, original, rtol=1e-5, atol=1e-4)
        one = to_numpy(layer.invert(seen[0], (375, 500)))
        np.testing.assert_allclose(one, original[0], rtol=1e-5, atol=1e-4)
    with pytest.raises(ValueError, match="image_size"):
        PadToSquare(96).invert([1, 2, 3, 4], None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 0}, ["size", "0"]),
        ({"size": -4}, ["size", "-4"]),
        ({"size": 2.5}, ["size", "2.5"]),
        ({"size": (4, 5)}, ["size", "(4, 5)"]),
        ({"interpolation": "cubic"}, ["interpolation", "cubic"]),
        ({"bounding_box_format": "coco"}, ["bounding_box_format", "coco"]),
        ({"data_format": "NHWC"}, ["data_format", "NHWC"]),
        ({"fill_value": "black"}, ["fill_value", "black"]),
    ],
)
def test_bad_arguments_name_themselves(arguments, words):
    with pytest.raises(ValueError) as error:
        PadToSquare(**arguments)
    for word in words:
        assert word in str(error.value)


IMAGE, BATCH = np.zeros((4, 6, 3), "float32"), np.zeros((2, 4, 6, 3), "float32")


def with_boxes(images, *shape):
    return {"images": images, "bounding_boxes": {"boxes": np.zeros(shape)}}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.zeros((4, 6)), ["images", "(4, 6)"]),
        (np.zeros((1, 2, 4, 6, 3)), ["images", "(1, 2, 4, 6, 3)"]),
        (np.zeros((0, 6, 3)), ["images", "(0, 6, 3)"]),
        ({"image": IMAGE}, ["images", "image"]),
        ({"images": "a.jpg"}, ["images"]),
        ({"images": IMAGE, "bounding_boxes": [1, 2, 3, 4]}, ["bounding_boxes"]),
        ({"images": IMAGE, "bounding_boxes": {"box": 1}}, ["boxes", "box"]),
        (with_boxes(IMAGE, 3), ["boxes", "(3,)"]),
        (with_boxes(IMAGE, 5, 3), ["boxes", "(5, 3)"]),
        (with_boxes(IMAGE, 1, 5, 4), ["boxes", "(1, 5, 4)"]),
        (with_boxes(BATCH, 4), ["boxes", "(4,)"]),
        (with_boxes(BATCH, 5, 4), ["boxes", "(5, 4)", "B=2"]),
        ({"images": IMAGE, "segmentation_masks": np.zeros((4, 5, 1))}, ["masks"]),
        ({"images": BATCH, "segmentation_masks": np.zeros((3, 4, 6))}, ["masks"]),
    ],
)
def test_bad_data_names_itself(data, words):
    with pytest.raises(ValueError) as error:
        PadToSquare(8)(data)
    for word in words:
        assert word in str(error.value)


def test_real_images_match_pillow(oxford_pets_dir):
    from PIL import Image

    paths = sorted(oxford_pets_dir.rglob("*.jpg"))[:3]
    layer = PadToSquare(96, antialias=True)
    assert paths
    for path in paths:
        with Image.open(path) as file:
            pixels = file.convert("RGB")
        place = fit(pixels.height, pixels.width, 96)
        resized = pixels.resize((place.columns, place.rows), Image.Resampling.BILINEAR)
        out = to_numpy(layer(np.asarray(pixels)))
        rows = slice(place.top, place.top + place.rows)
        columns = slice(place.left, place.left + place.columns)
        # Pillow rounds to uint8 between its two passes.
        assert np.abs(out[rows, columns] - np.asarray(resized)).max() <= 2


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="XLA of TensorFlow")
@pytest.mark.parametrize(
    ("options", "compiles"),
    [
        ({}, True),
        ({"interpolation": "nearest"}, True),
        ({"antialias": True}, False),
        ({"interpolation": "bicubic"}, False),
        ({"interpolation": "lanczos5"}, False),
    ],
)
def test_keras_compiles_no_resizing_that_xla_lacks(options, compiles):
    layer = PadToSquare(8, **options)
    assert layer.supports_jit == compiles
    function = tf.function(layer, jit_compile=True)
    if compiles:
        function(tf.zeros((2, 12, 16, 3)))
    else:  # or the flag is no longer needed
        with pytest.raises(tf.errors.InvalidArgumentError):
            function(tf.zeros((2, 12, 16, 3)))


def test_arrays_whose_numbers_a_backend_lacks_stay_arrays():
    ids = np.array([2**40 + 7, 1])
    data = {
        "images": np.zeros((8, 8, 3), "uint8"),
        "ids": ids,
        "big": ids.astype(">i8"),
    }
    out = PadToSquare(8)(data)
    for key in ("ids", "big"):
        np.testing.assert_array_equal(to_numpy(out[key]), ids)
