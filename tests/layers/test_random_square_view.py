"""RandomSquareView against painted rectangles, and the statistics of its draws."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from painted import edges, painted

from keras_localize import boxes
from keras_localize.layers import PadToSquare, RandomSquareView
from keras_localize.layers.random_numbers import as_seeds, fold, uniform

SIDE = 96


def to_numpy(tensor):
    if tf.is_tensor(tensor):
        return tensor.numpy()
    return keras.ops.convert_to_numpy(tensor)


def dtype_of(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)


def seeds(count, first=0):
    return np.stack([np.full(count, 2**40 + 3), first + np.arange(count)], axis=1)


def painted_batch(rng, count, height=120, width=200, least=12):
    images, corners = zip(*(painted(rng, height, width, least) for _ in range(count)))
    return {
        "images": np.stack(images),
        "bounding_boxes": {"boxes": np.stack(corners)},
    }


def boxes_of(out):
    return to_numpy(out["bounding_boxes"]["boxes"])


# --- pixels and boxes together ---


@pytest.mark.parametrize(
    ("how", "worst", "mean"),
    [({}, 0.45, 0.2), ({"antialias": True}, 0.35, 0.1)],
)
def test_painted_rectangles(how, worst, mean, rng):
    data = painted_batch(rng, 128)
    view = RandomSquareView(SIDE, zoom=(0.7, 2.0), shift=0.3, **how)
    out = view(data, seed=seeds(128))
    images, seen = to_numpy(out["images"]), boxes_of(out)
    found = []
    for image, box in zip(images, seen):
        error = np.abs(edges(image) - box)
        # An edge of the paint that is the image's own edge is cut at a whole
        # pixel, so that the fill never bleeds in: half a pixel is right there.
        found.append(error)
    found = np.array(found)
    at_border = data["bounding_boxes"]["boxes"] == [0, 0, 200, 120]
    inner = ~at_border
    # Flipped images swap left and right: leave out both sides if one touches.
    inner &= inner[:, [2, 3, 0, 1]]
    assert inner.sum() > 200
    assert found[inner].max() <= worst
    assert found[inner].mean() <= mean
    assert found.max() <= 0.75


def test_a_cut_box_ends_where_the_view_does(rng):
    data = painted_batch(rng, 64)
    view = RandomSquareView(
        SIDE, zoom=(1.0, 4.0), shift=0.6, min_visible=0.3, antialias=True
    )
    out = view(data, seed=seeds(64))
    seen = boxes_of(out)
    assert seen.min() >= 0 and seen.max() <= SIDE
    cut = (seen == 0) | (seen == SIDE)
    assert cut.sum() > 20
    for image, box, is_cut in zip(to_numpy(out["images"]), seen, cut):
        if (box[2:] - box[:2]).min() > 4:
            np.testing.assert_allclose(edges(image)[is_cut], box[is_cut], atol=0.01)


@pytest.mark.parametrize(
    "bounding_box_format", ["xyxy", "rel_xyxy", "center_yxhw", "rel_xywh", "yxyx"]
)
def test_formats_and_ranks_of_boxes(bounding_box_format, rng):
    corners = np.sort(rng.uniform(0, 100, (3, 5, 2, 2)), axis=2).reshape(3, 5, 4)
    images = np.zeros((3, 120, 200, 1), "float32")
    expected = boxes_of(
        RandomSquareView(SIDE)(
            {"images": images, "bounding_boxes": {"boxes": corners}}, seed=seeds(3)
        )
    )
    given = boxes.convert(
        corners.astype("float32"), "xyxy", bounding_box_format, (120, 200)
    )
    view = RandomSquareView(SIDE, bounding_box_format=bounding_box_format)
    data = {"images": images, "bounding_boxes": {"boxes": given}}
    out = view(data, seed=seeds(3))["bounding_boxes"]["boxes"]
    back = boxes.convert(out, bounding_box_format, "xyxy", (SIDE, SIDE))
    np.testing.assert_allclose(to_numpy(back), expected, atol=1e-3)
    single = {"images": images[1], "bounding_boxes": {"boxes": given[1]}}
    one = view(single, seed=seeds(3)[1])["bounding_boxes"]["boxes"]
    np.testing.assert_allclose(to_numpy(one), to_numpy(out)[1], atol=1e-4)
    for index in [(slice(None), 0), (0, 0)]:
        pixels = images if index[0] != 0 else images[0]
        data = {"images": pixels, "bounding_boxes": {"boxes": given[index]}}
        out = view(data, training=True)["bounding_boxes"]["boxes"]
        assert tuple(out.shape) == tuple(given[index].shape)
        assert dtype_of(out) == "float32"


def test_box_crops_by_the_painted_pixels(rng):
    """The painted rectangle fills the square as much as in a crop around it."""
    data = painted_batch(rng, 128, least=60)
    view = RandomSquareView(SIDE, box_crop=1.0, aspect=0.0, shift=0.0, antialias=True)
    out = view(data, seed=seeds(128))
    painted_boxes = np.array([edges(image) for image in to_numpy(out["images"])])
    found = (painted_boxes[:, 2:] - painted_boxes[:, :2]).max(axis=1)
    given = data["bounding_boxes"]["boxes"]
    longer = (given[:, 2:] - given[:, :2]).max(axis=1)
    # The crop does not leave the square of the image, whose side is 200.
    least = np.maximum(SIDE / 2.1, longer * SIDE / 200) - 1
    most = np.maximum(SIDE / 1.25, longer * SIDE / 200) + 1
    assert (found >= least).all() and (found <= most).all()
    assert np.ptp(found[longer < 90]) > 20


def test_box_crops_of_several_small_and_missing_boxes(rng):
    images = np.zeros((64, 100, 100, 1), "float32")
    view = RandomSquareView(SIDE, box_crop=1.0, aspect=0.0, zoom=1.0)

    def extents(*corners):
        rows = np.tile(np.array(corners, "float32"), (64, 1, 1))
        data = {"images": images, "bounding_boxes": {"boxes": rows}}
        seen = boxes_of(view(data, seed=seeds(64)))
        return seen[..., 2:].max(1) - seen[..., :2].min(1)

    # Two boxes are cropped together: both stay whole.
    both = extents([10, 10, 20, 20], [50, 10, 60, 20])[:, 0] / SIDE
    assert both.min() >= 1 / 2.11 and both.max() <= 1 / 1.24
    # A box of 2 pixels is not magnified more than one of 25.
    assert extents([40, 40, 42, 42]).max() <= 2 * SIDE / 25 / 1.25 + 1e-3
    # Rows that mark "no box" leave the zoom as it was.
    missing = {"images": images, "bounding_boxes": {"boxes": -np.ones((64, 1, 4))}}
    usual = RandomSquareView(SIDE, aspect=0.0, zoom=1.0)
    np.testing.assert_array_equal(
        to_numpy(view(missing, seed=seeds(64))["images"]),
        to_numpy(usual(missing, seed=seeds(64))["images"]),
    )


def test_the_share_of_box_crops(rng):
    corners = np.tile(np.array([[40, 40, 60, 60]], "float32"), (512, 1, 1))
    images = np.zeros((512, 100, 100, 1), "uint8")
    data = {"images": images, "bounding_boxes": {"boxes": corners}}
    view = RandomSquareView(SIDE, box_crop=0.25, aspect=0.0, zoom=1.0)
    seen = boxes_of(view(data, seed=seeds(512)))
    cropped = seen[:, 0, 2] - seen[:, 0, 0] > 0.3 * SIDE
    assert pytest.approx(cropped.sum(), abs=35) == 0.25 * 512


@pytest.mark.parametrize("min_visible", [1.0, 0.64, 0.1])
def test_boxes_stay_in_sight_by_the_stated_share(min_visible, rng):
    count = 128
    corners = np.sort(rng.uniform(0, 1, (count, 3, 2, 2)), axis=2)
    corners = (corners.reshape(count, 3, 4) * [200, 120, 200, 120]).astype("float32")
    y, x = np.mgrid[0:120, 0:200] + 0.5
    # Pixels that tell where they come from.
    images = np.tile(np.stack([x, y], -1).astype("float32"), (count, 1, 1, 1))
    view = RandomSquareView(
        SIDE,
        zoom=(0.5, 5.0),
        shift=1.0,
        aspect=0.3,
        min_visible=min_visible,
        fill_value=-1e6,
    )
    for given in (corners[:, :1], corners):
        data = {"images": images, "bounding_boxes": {"boxes": given}}
        out = view(data, seed=seeds(count))
        seen = boxes_of(out)
        per_pixel = np.stack([spread(image) for image in to_numpy(out["images"])])
        visible = (seen[..., 2:] - seen[..., :2]) * per_pixel[:, None]
        whole = given[..., 2:] - given[..., :2]
        large = whole.min(-1) > 5
        share = visible.prod(-1)[large] / whole.prod(-1)[large]
        assert share.min() >= min_visible - 0.02
        assert share.max() <= 1.02
        if min_visible < 1:
            assert (share < 0.98).mean() > 0.05


def spread(image):
    """Original pixels per output pixel along x and y, read off the image."""
    image = np.where(image < -1, np.nan, image)
    return np.array(
        [
            np.nanmedian(np.abs(np.diff(image[..., 0], axis=1))),
            np.nanmedian(np.abs(np.diff(image[..., 1], axis=0))),
        ]
    )


def test_no_box_marks_nothing_and_constrains_nothing(rng):
    images = rng.uniform(0, 255, (4, 30, 50, 3)).astype("float32")
    rows = np.array([[-1, -1, -1, -1], [0, 0, 0, 0]], "float32")
    rows = np.tile(rows, (4, 1, 1))
    view = RandomSquareView(32)
    out = view({"images": images, "bounding_boxes": {"boxes": rows}}, seed=seeds(4))
    np.testing.assert_array_equal(boxes_of(out), rows)
    plain = view(images, seed=seeds(4))
    np.testing.assert_allclose(to_numpy(out["images"]), to_numpy(plain), atol=1e-4)


def test_masks_move_with_the_image(rng):
    for data_format in ("channels_last", "channels_first"):
        mask = rng.integers(0, 2, (4, 40, 60, 1)).astype("uint8")
        images = mask if data_format == "channels_last" else mask.transpose(0, 3, 1, 2)
        view = RandomSquareView(32, interpolation="nearest", data_format=data_format)
        data = {"images": images, "segmentation_masks": images}
        out = view(data, seed=seeds(4))
        np.testing.assert_array_equal(
            to_numpy(out["images"]), to_numpy(out["segmentation_masks"])
        )
        assert dtype_of(out["segmentation_masks"]) == "uint8"
        flat = view(
            {"images": images, "segmentation_masks": mask[..., 0]}, seed=seeds(4)
        )
        np.testing.assert_array_equal(
            to_numpy(flat["segmentation_masks"]),
            to_numpy(out["images"]).reshape(4, 32, 32),
        )


def test_the_fill_is_crisp_and_integers_are_rounded():
    images = np.full((16, 30, 50, 1), 100, "uint8")
    for antialias in (False, True):
        view = RandomSquareView(
            32, zoom=(0.5, 0.9), fill_value=300, antialias=antialias, dtype="uint8"
        )
        out = view(images, seed=seeds(16))
        assert dtype_of(out) == "uint8"
        assert set(np.unique(to_numpy(out))) == {100, 255}


# --- the draws ---


def test_each_image_has_its_own_draw_and_the_draw_its_range():
    count = 2000
    box = np.tile(np.array([20, 10, 30, 20], "float32"), (count, 1))
    data = {
        "images": np.zeros((count, 30, 50, 1), "uint8"),
        "bounding_boxes": {"boxes": box},
    }
    view = RandomSquareView(25, zoom=(0.8, 1.25), aspect=0.12, seed=7)
    seen = boxes_of(view(data))
    extent = seen[:, 2:] - seen[:, :2]
    assert len(np.unique(seen, axis=0)) > 0.99 * count
    zoom = np.sqrt(extent.prod(-1)) / (10 * 25 / 50)
    assert 0.799 <= zoom.min() <= 0.81 and 1.24 <= zoom.max() <= 1.251
    # Log-uniform: as often smaller as larger.
    assert abs(np.log(zoom).mean()) < 0.01
    ratio = extent[:, 0] / extent[:, 1]
    assert 1 / 1.121 <= ratio.min() <= 0.9 and 1.11 <= ratio.max() <= 1.121


def test_half_of_the_images_are_flipped():
    images = np.zeros((1000, 8, 8, 1), "float32")
    images[:, :, :2] = 1
    for flip, share in [(0.5, 0.5), (0.0, 0.0), (1.0, 1.0)]:
        view = RandomSquareView(8, flip=flip, zoom=(1, 1), aspect=0, shift=0)
        out = to_numpy(view(images, seed=seeds(1000)))
        flipped = out[:, 4, 7, 0] > 0.5
        assert abs(flipped.mean() - share) <= (0.05 if flip == 0.5 else 0)


def test_without_any_randomness_it_is_the_square():
    images = np.random.default_rng(0).uniform(0, 255, (2, 40, 40, 3))
    images = images.astype("float32")
    view = RandomSquareView(30, flip=0, zoom=(1, 1), aspect=0, shift=0)
    expected = to_numpy(PadToSquare(30)(images))
    np.testing.assert_allclose(to_numpy(view(images)), expected, atol=0.02)


def test_uniform_numbers_are_uniform_independent_and_known():
    words = as_seeds(keras.ops, np.stack(np.mgrid[0:50, 0:200], -1).reshape(-1, 2))
    draws = to_numpy(uniform(keras.ops, fold(keras.ops, words), 5))
    assert draws.shape == (10_000, 5) and draws.dtype == np.float32
    assert draws.min() >= 0 and draws.max() < 1
    counts, _ = np.histogram(draws, bins=20, range=(0, 1))
    # Chi-squared with 19 degrees of freedom: 43.8 is its 0.999 quantile.
    assert ((counts - 2500) ** 2 / 2500).sum() < 43.8
    correlations = np.corrcoef(np.concatenate([draws[:-1], draws[1:]], 1).T)
    assert np.abs(correlations - np.eye(10)).max() < 0.05
    # The same on every backend, forever: pipelines are repeated by these numbers.
    words = as_seeds(keras.ops, [[0, 0], [1, 2], [2**40 + 3, -5]])
    known = to_numpy(uniform(keras.ops, fold(keras.ops, words), 2))
    np.testing.assert_array_equal(known, KNOWN_DRAWS)


def reference_draws(pairs, count):
    """The same numbers from Python's integers of any length."""

    def mix(word):
        word = (word ^ word >> 16) * 0x7FEB352D & 0xFFFFFFFF
        word = (word ^ word >> 15) * 0x846CA68B & 0xFFFFFFFF
        return word ^ word >> 16

    rows = []
    for pair in pairs:
        hashed = 0
        for seed in pair:
            hashed = mix(((hashed ^ seed & 0xFFFFFFFF) + 0x9E3779B9) & 0xFFFFFFFF)
        words = [(hashed + (k + 1) * 0x9E3779B9) & 0xFFFFFFFF for k in range(count)]
        rows.append([(mix(mix(word)) >> 8) / 2**24 for word in words])
    return np.array(rows, "float32")


KNOWN_DRAWS = reference_draws([[0, 0], [1, 2], [2**40 + 3, -5]], 2)


def test_given_seeds_decide_everything_anywhere(rng):
    data = painted_batch(rng, 12)
    data["segmentation_masks"] = data["images"][..., 0].astype("int32")
    view = RandomSquareView(SIDE)
    given = seeds(12)
    expected = view(data, seed=given)
    singles = tf.data.Dataset.from_tensor_slices((data, given)).map(
        lambda element, seed: view(element, seed=seed), num_parallel_calls=4
    )
    batches = tf.data.Dataset.from_tensor_slices((data, given)).batch(12)
    batched = next(iter(batches.map(lambda d, seed: view(d, seed=seed, training=True))))
    stacked = tf.nest.map_structure(lambda *x: np.stack(x), *singles)
    for out in (stacked, batched):
        np.testing.assert_allclose(
            out["images"], to_numpy(expected["images"]), atol=0.01
        )
        np.testing.assert_allclose(
            boxes_of(expected), out["bounding_boxes"]["boxes"], atol=1e-4
        )
        # Nearest neighbour may change its mind where float32 rounds differently.
        same = out["segmentation_masks"] == to_numpy(expected["segmentation_masks"])
        assert np.mean(same) > 0.999
    shuffled = rng.permutation(12)
    again = view(
        keras.tree.map_structure(lambda x: x[shuffled], data), seed=given[shuffled]
    )
    np.testing.assert_allclose(boxes_of(again), boxes_of(expected)[shuffled], atol=1e-5)
    assert singles.element_spec["images"].shape == (SIDE, SIDE, 1)
    spec = batches.map(lambda d, seed: view(d)).element_spec
    assert spec["images"].shape[1:] == (SIDE, SIDE, 1)


def drawn_in_tf_data(view, count=200, parallel=None):
    point = {
        "images": np.zeros((30, 50, 1), "uint8"),
        "bounding_boxes": {"boxes": np.array([20, 10, 30, 20], "float32")},
    }
    dataset = tf.data.Dataset.from_tensors(point).repeat(count)
    return dataset.map(view, num_parallel_calls=parallel)


def test_in_tf_data_every_image_and_every_epoch_draws_anew():
    mapped = drawn_in_tf_data(RandomSquareView(32, seed=5), parallel=8)
    epochs = np.concatenate([[boxes_of(out) for out in mapped] for _ in range(2)])
    assert len(np.unique(epochs, axis=0)) == 400


def test_a_seed_repeats_a_sequence():
    first, second = (
        np.array(
            [boxes_of(o) for o in drawn_in_tf_data(RandomSquareView(32, seed=5), 20)]
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)

    image = np.random.default_rng(0).uniform(0, 255, (2, 30, 50, 1))
    view, again = RandomSquareView(32, seed=5), RandomSquareView(32, seed=5)
    drawn = [to_numpy(view(image)) for _ in range(3)]
    for out in drawn:
        np.testing.assert_array_equal(out, to_numpy(again(image)))
    assert np.abs(drawn[0] - drawn[1]).max() > 1
    assert np.abs(drawn[0][0] - drawn[0][1]).max() > 1


def test_set_random_seed_governs_a_layer_without_a_seed():
    outputs = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        view = RandomSquareView(32)
        outputs += [[boxes_of(o) for o in drawn_in_tf_data(view, 3)]]
    np.testing.assert_array_equal(*outputs)


# --- as a layer ---


def test_without_training_it_is_pad_to_square(rng):
    data = painted_batch(rng, 3)
    data["labels"] = np.array([1, 2, 16_777_217], "int64")
    options = {"fill_value": 3, "antialias": True, "bounding_box_format": "xyxy"}
    view, pad = RandomSquareView(SIDE, **options), PadToSquare(SIDE, **options)
    expected = pad(data)
    element = tf.data.Dataset.from_tensor_slices(data)
    mapped = element.map(lambda d: view(d, training=False))
    outputs = [
        view(data, training=False),
        tf.nest.map_structure(lambda *x: np.stack(x), *mapped),
    ]
    for out, atol in zip(outputs, (0, 0.02)):
        np.testing.assert_allclose(
            to_numpy(out["images"]), to_numpy(expected["images"]), atol=atol
        )
        np.testing.assert_allclose(boxes_of(out), boxes_of(expected), atol=atol)
    for out in outputs:
        np.testing.assert_array_equal(to_numpy(out["labels"]), data["labels"])
    box = boxes_of(expected)
    back = to_numpy(view.invert(box, (120, 200)))
    np.testing.assert_allclose(back, data["bounding_boxes"]["boxes"], atol=1e-3)


def test_in_a_model_it_follows_the_training_phase(tmp_path, rng):
    inputs = keras.Input((None, None, 1), name="images")
    view = RandomSquareView(24, seed=1)(inputs)
    outputs = keras.layers.Dense(1)(keras.layers.Flatten()(view))
    model = keras.Model(inputs, outputs)
    images = rng.uniform(0, 1, (4, 30, 50, 1)).astype("float32")
    calm = to_numpy(model(images, training=False))
    np.testing.assert_allclose(calm, model.predict(images, verbose=0), atol=1e-5)
    wild = [to_numpy(model(images, training=True)) for _ in range(2)]
    assert np.abs(wild[0] - wild[1]).max() > 1e-3
    model.compile("sgd", "mse")
    model.fit(images, np.zeros((4, 1)), epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-5
    )


def test_config_round_trip():
    arguments = {
        "size": 48,
        "flip": 0.25,
        "zoom": (0.9, 1.1),
        "aspect": 0.2,
        "shift": 0.05,
        "min_visible": 0.5,
        "box_crop": 0.3,
        "fill_value": 12.5,
        "interpolation": "nearest",
        "antialias": True,
        "bounding_box_format": "rel_yxyx",
        "data_format": "channels_first",
        "seed": 11,
        "name": "view",
        "dtype": "mixed_bfloat16",
    }
    view = RandomSquareView(**arguments)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(view)
    )
    assert again.get_config() == view.get_config()
    for key in set(arguments) - {"dtype"}:
        assert getattr(again, key) == arguments[key]
    assert again.compute_dtype == "bfloat16"


def test_boxes_stay_float32_and_data_stays_whole(rng):
    data = painted_batch(rng, 2)
    kept = [data["images"].copy(), data["bounding_boxes"]["boxes"].copy()]
    out = RandomSquareView(32, dtype="mixed_bfloat16")({**data, "path": ["a", "b"]})
    assert dtype_of(out["images"]) == "bfloat16"
    assert dtype_of(out["bounding_boxes"]["boxes"]) == "float32"
    assert out["path"] == ["a", "b"]
    np.testing.assert_array_equal(data["images"], kept[0])
    np.testing.assert_array_equal(data["bounding_boxes"]["boxes"], kept[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": None}, ["size", "None"]),
        ({"size": 0}, ["size", "0"]),
        ({"flip": 1.5}, ["flip", "1.5"]),
        ({"zoom": (0, 1)}, ["zoom", "(0, 1)"]),
        ({"zoom": (2, 1)}, ["zoom", "(2, 1)"]),
        ({"zoom": (1, 2, 3)}, ["zoom", "(1, 2, 3)"]),
        ({"aspect": -1}, ["aspect", "-1"]),
        ({"shift": 2}, ["shift", "2"]),
        ({"min_visible": 0}, ["min_visible", "0"]),
        ({"box_crop": 1.5}, ["box_crop", "1.5"]),
        ({"interpolation": "bicubic"}, ["interpolation", "bicubic"]),
        ({"seed": "a"}, ["seed", "a"]),
    ],
)
def test_bad_arguments_name_themselves(arguments, words):
    with pytest.raises(ValueError) as error:
        RandomSquareView(**{"size": 8, **arguments})
    for word in words:
        assert word in str(error.value)


def test_bad_seeds_are_refused():
    image = np.zeros((8, 8, 1))
    for pixels, seed in [(image, 3), (image, np.ones((1, 2))), (image[None], [[[1]]])]:
        with pytest.raises(ValueError, match="seed"):
            RandomSquareView(8)(pixels, seed=seed)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_no_images_at_all(data_format):
    shape = (0, 20, 30, 3) if data_format == "channels_last" else (0, 3, 20, 30)
    given = {"boxes": np.zeros((0, 4), "float32")}
    view = RandomSquareView(16, data_format=data_format)
    out = view({"images": np.zeros(shape, "uint8"), "bounding_boxes": given})
    square = (0, 16, 16, 3) if data_format == "channels_last" else (0, 3, 16, 16)
    assert tuple(out["images"].shape) == square
    assert tuple(out["bounding_boxes"]["boxes"].shape) == (0, 4)


@pytest.mark.parametrize("fill", [-1, 127.5, 300])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_the_fill_of_nearest_is_that_of_the_compute_dtype(fill, dtype):
    view = RandomSquareView(8, zoom=0.5, fill_value=fill, interpolation="nearest")
    image = np.full((6, 8, 3), 7, dtype)
    for training in (True, False):
        out = to_numpy(view(image, training=training))
        assert set(np.unique(out)) == {7.0, float(fill)} and out.dtype == "float32"


def test_a_label_is_no_flag_of_the_training():
    view = RandomSquareView(8)
    with pytest.raises(TypeError, match="positional"):
        view(np.zeros((8, 8, 3)), 1)


@pytest.mark.parametrize("layer", [PadToSquare, RandomSquareView])
def test_arrays_through_layers_of_keras_and_ours(layer):
    data = {
        "images": np.ones((2, 12, 16, 3), "float32"),
        "bounding_boxes": {
            "boxes": np.ones((2, 1, 4), "float32"),
            "labels": np.zeros((2, 1)),
        },
        "labels": np.arange(2),
    }
    flip = keras.layers.RandomFlip(bounding_box_format="xyxy")
    for out in (flip(layer(8)(data)), keras.layers.Pipeline([layer(8), flip])(data)):
        assert tuple(out["images"].shape) == (2, 8, 8, 3)
        assert to_numpy(out["labels"]).tolist() == [0, 1]
