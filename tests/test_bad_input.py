"""Every public function and layer of boxes names the argument that it cannot take."""

import keras
import numpy as np
import pytest

from keras_localize import boxes
from keras_localize.layers import PadToSquare, RandomSquareView
from keras_localize.losses import BoxLoss, GIoULoss
from keras_localize.metrics import IoUMetric

BOX = [1.0, 2.0, 3.0, 4.0]
IMAGE, BATCH = np.zeros((4, 6, 3), "float32"), np.zeros((2, 4, 6, 3), "float32")
LAYERS = [PadToSquare, RandomSquareView]

# Each takes boxes, a format and (the first four) an image size.
FUNCTIONS = {
    "convert": lambda b, f="xyxy", s=(4, 5): boxes.convert(b, f, "rel_center_xywh", s),
    "clip": lambda b, f="xyxy", s=(4, 5): boxes.clip(b, f, s),
    "to_square": lambda b, f="xyxy", s=(4, 5): boxes.to_square(b, s, 8, f),
    "from_square": lambda b, f="xyxy", s=(4, 5): boxes.from_square(b, s, 8, f),
    "invert": lambda b, f="xyxy", s=(4, 5): PadToSquare(
        8, bounding_box_format=f
    ).invert(b, s),
    "area": lambda b, f="xyxy": boxes.area(b, f),
    "iou": lambda b, f="xyxy": boxes.iou(b, BOX, f),
    "giou": lambda b, f="xyxy": boxes.giou(BOX, b, f),
    "diou": lambda b, f="xyxy": boxes.diou(b, BOX, f),
    "ciou": lambda b, f="xyxy": boxes.ciou(BOX, b, f),
    "loss": lambda b, f="xyxy": GIoULoss(f)(np.array(BOX), b),
    "metric": lambda b, f="xyxy": IoUMetric(bounding_box_format=f).update_state(b, b),
}
SIZED = ["convert", "clip", "to_square", "from_square", "invert"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_boxes_that_are_none(name):
    bad = [[1.0, 2.0, 3.0], 1.0, [], np.zeros((2, 5)), [[1.0, 2], [3]], None, "box"]
    for value in bad[:4] if name == "loss" else bad:
        # Keras turns the arguments of a loss into tensors before the loss sees them.
        with pytest.raises(ValueError, match=r"`(boxes.?|y_true|y_pred)`.*4"):
            FUNCTIONS[name](value)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_formats_that_are_none(name):
    for value in ("coco", "XYXY", None, ["xyxy"], 3):
        with pytest.raises(ValueError, match='must be one of "xyxy", "yxyx"') as error:
            FUNCTIONS[name](BOX, value)
        assert repr(value) in str(error.value)


@pytest.mark.parametrize("name", SIZED)
def test_image_sizes_that_are_none(name):
    for value in (None, (0, 5), (4,), (4, 5, 6), (4, -1), (4.5, 5), (np.nan, 5)):
        with pytest.raises(ValueError, match=r"`image_size`.*height, width"):
            FUNCTIONS[name](BOX, "xyxy", value)
    for value in (True, 4), np.array([4.5, 5]), [[4, 5], [6]], np.array([True, True]):
        with pytest.raises(ValueError, match=r"`image_size`.*height, width"):
            FUNCTIONS[name](np.ones((2, 4)), "xyxy", value)
    for value in ("ab", ("4", "5"), (None, None), np.zeros((1, 2)), np.ones((3, 2))):
        with pytest.raises(ValueError, match="`image_size`"):
            FUNCTIONS[name](np.ones((2, 4)), "xyxy", value)


def test_pairs_that_do_not_broadcast():
    for name in ("iou", "giou", "diou", "ciou"):
        with pytest.raises(ValueError, match=r"boxes1=\(3, 4\), boxes2=\(2, 4\)"):
            getattr(boxes, name)(np.zeros((3, 4)), np.zeros((2, 4)))


@pytest.mark.parametrize("name", [*SIZED, "area", "iou", "giou", "diou", "ciou"])
def test_nan_is_data_and_stays_nan(name):
    value = FUNCTIONS[name]([BOX, [np.nan] * 4])
    value = keras.ops.convert_to_numpy(value)
    assert np.isfinite(value[0]).all() and np.isnan(value[1]).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        *(
            (
                lambda cls=cls, key=key, value=value: cls(**{"size": 8, key: value}),
                [key],
            )
            for cls in LAYERS
            for key, value in [
                ("size", 0),
                ("size", True),
                ("size", "8"),
                ("fill_value", None),
                ("fill_value", [0, 0, 0]),
                ("antialias", "no"),
                ("interpolation", None),
                ("bounding_box_format", None),
                ("data_format", 1),
            ]
        ),
        *(
            (lambda key=key, value=value: RandomSquareView(8, **{key: value}), [key])
            for key, value in [
                ("zoom", "ab"),
                ("zoom", ("a", "b")),
                ("zoom", None),
                ("zoom", (np.nan, 1)),
                ("flip", None),
                ("aspect", "a"),
                ("shift", np.nan),
                ("min_visible", 2),
                ("seed", 1.5),
                ("seed", -1),
                ("seed", 2**63),
            ]
        ),
        *(
            (
                lambda cls=cls: cls(8, fill_value=np.nan, dtype="uint8"),
                ["fill_value", "nan", "uint8"],
            )
            for cls in LAYERS
        ),
        (lambda: BoxLoss(l1_weight="a"), ["l1_weight", "a"]),
        (lambda: BoxLoss(overlap_weight=None), ["overlap_weight", "None"]),
        (lambda: BoxLoss(overlap=["iou"]), ["overlap", "iou"]),
        (lambda: IoUMetric(threshold="a"), ["threshold", "a"]),
        (lambda: IoUMetric(threshold=[0.5]), ["threshold", "0.5"]),
    ],
)
def test_arguments_of_classes(make, words):
    with pytest.raises(ValueError) as error:
        make()
    for word in ["`" + words[0] + "`", "Received", *words[1:]]:
        assert word in str(error.value)


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, ["images"]),
        ("a.jpg", ["images"]),
        ([[1], [1, 2]], ["images"]),
        (np.zeros((4, 6, 0)), ["images", "(4, 6, 0)"]),
        (np.zeros((4, 6)), ["images", "(4, 6)"]),
        (np.zeros((4, 6, 3), "complex64"), ["images", "complex64"]),
        ({"images": IMAGE, "bounding_boxes": None}, ["bounding_boxes", "NoneType"]),
        ({"images": IMAGE, "bounding_boxes": {"boxes": None}}, ["boxes"]),
        ({"images": IMAGE, "bounding_boxes": {"boxes": "a"}}, ["boxes"]),
        ({"images": IMAGE, "bounding_boxes": {"boxes": BOX[:3]}}, ["boxes", "(3,)"]),
        ({"images": BATCH, "bounding_boxes": {"boxes": BOX}}, ["boxes", "(4,)"]),
        ({"images": IMAGE, "segmentation_masks": None}, ["segmentation_masks"]),
        ({"images": IMAGE, "segmentation_masks": np.zeros(4)}, ["segmentation_masks"]),
    ],
)
def test_data_of_layers(cls, data, words):
    with pytest.raises(ValueError) as error:
        cls(8)(data)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("cls", LAYERS)
def test_shapes_of_no_images(cls):
    with pytest.raises(ValueError, match=r"`images`.*\(3, 4\)"):
        cls(8).compute_output_shape((3, 4))


@pytest.mark.parametrize("cls", LAYERS)
def test_boxes_of_words_in_tf_data(cls):
    tf = pytest.importorskip("tensorflow")
    words = tf.data.Dataset.from_tensors((IMAGE, np.array(["a", "b", "c", "d"])))
    with pytest.raises(ValueError, match=r"`boxes` must be real.*string"):
        words.map(lambda x, b: cls(8)({"images": x, "bounding_boxes": {"boxes": b}}))


def test_ragged_images_and_boxes():
    tf = pytest.importorskip("tensorflow")
    images = tf.ragged.constant([[[[1.0]]], [[[1.0], [2.0]]]])
    rows = tf.ragged.constant([[BOX], [BOX, BOX]], inner_shape=(4,))
    ragged = tf.data.Dataset.from_tensors((BATCH, rows))
    for cls in LAYERS:
        with pytest.raises(ValueError, match="`images`"):
            cls(8)(images)
    view = RandomSquareView(8)
    with pytest.raises(ValueError, match="`boxes` must be a dense tensor"):
        ragged.map(lambda x, b: view({"images": x, "bounding_boxes": {"boxes": b}}))


def test_seeds_that_are_none():
    for seed in ("a", 1.5, [1.5, 2], 3, [[1, 2]]):
        with pytest.raises(ValueError, match="`seed`"):
            RandomSquareView(8)(IMAGE, seed=seed)
    with pytest.raises(ValueError, match=r"`seed`.*\(3, 2\)"):
        RandomSquareView(8)(BATCH, seed=np.zeros((3, 2), int))


def test_a_view_of_no_boxes_at_all():
    tf = pytest.importorskip("tensorflow")
    view = RandomSquareView(8)
    data = {"images": IMAGE, "bounding_boxes": {"boxes": np.zeros((0, 4), "float32")}}
    expected = keras.ops.convert_to_numpy(view(IMAGE + 1, seed=[1, 2]))
    data["images"] = IMAGE + 1
    out = view(data, seed=[1, 2])
    assert tuple(out["bounding_boxes"]["boxes"].shape) == (0, 4)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(out["images"]), expected)
    spec = {
        "images": tf.TensorSpec([None, None, 3]),
        "bounding_boxes": {"boxes": tf.TensorSpec([None, 4])},
    }
    dataset = tf.data.Dataset.from_generator(
        lambda: iter([data]), output_signature=spec
    )
    (mapped,) = dataset.map(lambda d: view(d, seed=[1, 2]))
    np.testing.assert_allclose(mapped["images"], expected, atol=1e-5)
    assert mapped["bounding_boxes"]["boxes"].shape == (0, 4)
