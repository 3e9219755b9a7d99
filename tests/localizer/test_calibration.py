"""`Localizer.calibrate`: outer boxes and quality, against counts of their own."""

import math
import warnings

import keras
import numpy as np
import pytest
from tiny_backbone import tiny_backbone

from keras_localize import (
    Calibration,
    Localization,
    LocalizationDataset,
    build_localizer,
    calibrate_localizations,
    evaluate_localizer,
    export_localizer,
)
from keras_localize.boxes import convert, iou
from keras_localize.datasets import make_synthetic
from keras_localize.localizer.calibration import digest_of

NAMES = ["disc", "square", "triangle", "star"]


@pytest.fixture(scope="module")
def held_out():
    return make_synthetic(60, seed=5)


def make_localizer(**options):
    keras.utils.set_random_seed(0)
    return build_localizer(
        tiny_backbone(), 4, class_names=NAMES, **{"quality": True, **options}
    )


@pytest.fixture
def localizer():
    return make_localizer()


def truth_of(data):
    boxes = convert(data.boxes, "rel_xyxy", "xyxy", data.image_sizes)
    return keras.ops.convert_to_numpy(boxes)


def column(answers, name):
    return np.array([getattr(answer, name) for answer in answers])


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.95])
def test_outer_boxes_by_the_formula(coverage, localizer, held_out):
    before = localizer.localize(held_out)
    calibration = localizer.calibrate(held_out, coverage)
    after = localizer.localize(held_out)
    box, true = column(before, "box"), truth_of(held_out)
    np.testing.assert_allclose(column(after, "box"), box, atol=1e-3)
    # The formula, image by image: a box of high quality gets less.
    scale = 1.2 - column(before, "quality")
    scores = []
    for (x0, y0, x1, y1), (a0, b0, a1, b1), s in zip(
        box.tolist(), true.tolist(), scale
    ):
        w, h = x1 - x0, y1 - y0
        most = max((x0 - a0) / w, (y0 - b0) / h, (a1 - x1) / w, (b1 - y1) / h)
        scores.append(most / s)
    margin = sorted(scores)[math.ceil(61 * coverage) - 1]
    assert calibration.margin == pytest.approx(margin, abs=1e-4)
    assert (calibration.images, calibration.coverage) == (60, coverage)
    for answer, (height, width), (x0, y0, x1, y1), s in zip(
        after, held_out.image_sizes.tolist(), box.tolist(), scale
    ):
        dx, dy = s * margin * (x1 - x0), s * margin * (y1 - y0)
        outer = (max(x0 - dx, 0), max(y0 - dy, 0), min(x1 + dx, width))
        outer = (*outer, min(y1 + dy, height))
        np.testing.assert_allclose(answer.outer_box, outer, atol=0.05)
    # As many of the calibration images as the rank says.
    report = evaluate_localizer(localizer, held_out)
    assert report.coverage >= math.ceil(61 * coverage) / 60 - 1e-6


def test_quality_becomes_the_mean_iou(localizer, held_out):
    localizer.get_layer("quality").out.bias.assign([3.0])  # it is too sure
    before = column(localizer.localize(held_out), "quality")
    localizer.calibrate(held_out)
    answers = localizer.localize(held_out)
    quality = column(answers, "quality")
    overlap = keras.ops.convert_to_numpy(
        iou(truth_of(held_out), column(answers, "box").astype("float32"), "xyxy")
    )
    assert quality.mean() == pytest.approx(overlap.mean(), abs=0.01)
    assert before.mean() - overlap.mean() > 0.2
    # The map increases: the order stays.
    assert (np.diff(quality[np.argsort(before)]) >= -1e-6).all()


def test_other_options_are_not_calibrated(localizer, held_out):
    plain = localizer.localize(held_out[:4])
    refined = localizer.localize(held_out[:4], refine=True)
    localizer.calibrate(held_out)
    assert localizer.localize(held_out[:4])[0].outer_box is not None
    with pytest.warns(UserWarning, match="not calibrated for.*refine=True") as caught:
        answers = localizer.localize(held_out[:4], refine=True)
    (warned,) = (one for one in caught if "calibrated for" in str(one.message))
    assert warned.filename == __file__
    for answer, expected in zip(answers, refined):
        assert answer.outer_box is None
        assert answer.quality == pytest.approx(expected.quality, abs=1e-5)
    localizer.calibrate(held_out, refine=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "The localizer")
        both = [localizer.localize(held_out[:4], refine=r) for r in (False, True)]
    for answers, expected in zip(both, (plain, refined)):
        for answer, one in zip(answers, expected):
            assert answer.outer_box is not None
            np.testing.assert_allclose(answer.box, one.box, atol=1e-3)
    # Options that change no answer make no difference.
    assert localizer.localize(held_out[:4], 2, verbose=0)[0].outer_box is not None


def test_training_ends_a_calibration(localizer, held_out):
    localizer.calibrate(held_out)
    localizer.head.prediction.bias.assign(np.full(8, 0.1))
    with pytest.warns(UserWarning, match="other weights"):
        assert localizer.localize(held_out[:2])[0].outer_box is None
    localizer.calibrate(held_out)
    assert localizer.localize(held_out[:2])[0].outer_box is not None


@pytest.mark.parametrize("part", ["first", "last", "label"])
def test_training_of_any_part_ends_a_calibration(part, localizer, held_out):
    """Box and quality head need not be trained for it."""
    localizer.calibrate(held_out)
    kernels = [x for x in localizer.backbone.weights if len(x.shape) > 1]
    label = localizer.get_layer("label").weights[-1]
    weight = {"first": kernels[0], "last": kernels[-1], "label": label}[part]
    weight.assign(weight + 1e-3)
    with pytest.warns(UserWarning, match="other weights"):
        assert localizer.localize(held_out[:2])[0].outer_box is None


def test_too_few_images_give_the_whole_image(localizer, held_out, tmp_path):
    with pytest.warns(UserWarning, match="at least 9 images.* there are 8"):
        calibration = localizer.calibrate(held_out[:8], 0.9)
    assert calibration.margin == math.inf
    localizer.save(tmp_path / "few.keras")
    for model in (localizer, keras.models.load_model(tmp_path / "few.keras")):
        for answer, (height, width) in zip(
            model.localize(held_out[:3]), held_out.image_sizes
        ):
            assert answer.outer_box == (0, 0, width, height)


def test_a_file_keeps_it(localizer, held_out, tmp_path):
    localizer.calibrate(held_out, 0.8)
    localizer.calibrate(held_out, 0.7, flip_average=True)
    localizer.save(tmp_path / "calibrated.keras")
    loaded = keras.models.load_model(tmp_path / "calibrated.keras")
    assert loaded.calibrations == localizer.calibrations
    for flip_average in (False, True):
        answers = [
            model.localize(held_out[:5], flip_average=flip_average)
            for model in (localizer, loaded)
        ]
        np.testing.assert_allclose(*(column(x, "outer_box") for x in answers))
        np.testing.assert_allclose(*(column(x, "quality") for x in answers))
    again = type(localizer).from_config(localizer.get_config())
    assert again.calibrations == localizer.calibrations


def test_every_object_counts_whatever_its_presence(held_out):
    localizer = make_localizer(presence=True)
    localizer.get_layer("presence").out.bias.assign([-50.0])  # declares all absent
    mixed = held_out + make_synthetic(20, negatives=1, seed=9)
    calibration = localizer.calibrate(mixed, 0.8, presence_threshold=0.5)
    assert calibration.images == 60
    absent = localizer.localize(held_out[:2])
    assert all(a.box is None and a.outer_box is None for a in absent)
    found = localizer.localize(held_out[:2], presence_threshold=0)
    assert all(a.box is not None and a.outer_box is not None for a in found)


def test_a_box_alone_can_be_calibrated(held_out):
    localizer = build_localizer(tiny_backbone(), None)
    calibration = localizer.calibrate(held_out, 0.8, per_class=True)
    assert calibration.quality is None and calibration.class_margins == {}
    answer = localizer.localize(held_out[:1])[0]
    assert answer.quality is None and answer.outer_box is not None


def answers_and_truth(boxes, true, labels, quality=None):
    """Answers in images of 400 x 400, and their dataset."""
    count = len(boxes)
    answers = [
        Localization(int(label), None, 0.9, tuple(box), q)
        for label, box, q in zip(labels, boxes.tolist(), quality or [None] * count)
    ]
    images = [np.zeros((1, 1, 3), "uint8")] * count
    data = LocalizationDataset(
        images, true / 400, labels, NAMES, image_sizes=[(400, 400)] * count
    )
    return answers, data


def test_margins_by_class():
    """Errors of 0.1 in one class, 0.4 in another, and in a third too few images."""
    boxes = np.tile(np.array([100.0, 100, 200, 200]), (230, 1))
    labels = np.repeat([0, 1, 2], [100, 120, 10])
    errors = np.choose(labels, [10, 40, 90])
    true = boxes.copy()
    true[:, 2] += errors
    answers, data = answers_and_truth(boxes, true, labels)
    made = calibrate_localizations(answers, data, 0.8, per_class=True)
    assert made.margin == pytest.approx(0.4, abs=1e-4)
    assert made.class_margins == pytest.approx({0: 0.1, 1: 0.4}, abs=1e-4)
    found = made.apply([answers[0], None, answers[150], answers[229]], [(400, 400)] * 4)
    assert found[1] is None
    x1 = [answer.outer_box[2] for answer in found if answer is not None]
    np.testing.assert_allclose(x1, [210, 240, 240], atol=0.02)
    assert Calibration.from_config(made.to_config()) == made
    plain = calibrate_localizations(answers, data, 0.8)
    assert plain.class_margins == {} and plain.margin == made.margin
    # 100 images are just enough for 0.9.
    most = calibrate_localizations(answers, data, 0.9, per_class=True)
    assert most.class_margins == pytest.approx({0: 0.1, 1: 0.4}, abs=1e-4)


def test_a_box_of_low_quality_gets_a_wider_margin():
    boxes = np.tile(np.array([100.0, 100, 200, 200]), (100, 1))
    true = boxes.copy()
    quality = [0.9, 0.4] * 50
    true[:, 2] += np.array([30.0, 80.0] * 50)  # 0.3 and 0.8 widths: proportional
    answers, data = answers_and_truth(boxes, true, [0] * 100, quality)
    made = calibrate_localizations(answers, data, 0.8)
    assert made.margin == pytest.approx(1.0, abs=1e-4)
    x1 = [a.outer_box[2] for a in made.apply(answers[:2], data.image_sizes[:2])]
    np.testing.assert_allclose(x1, [230, 280], atol=0.02)
    without = [answer._replace(quality=None) for answer in answers[:2]]
    with pytest.raises(ValueError, match="quality"):
        made.apply(without, data.image_sizes[:2])


def test_the_outer_box_is_never_smaller_than_the_box():
    boxes = np.tile(np.array([10.0, 10, 90, 90]), (20, 1))
    answers, data = answers_and_truth(boxes, boxes + [5, 5, -5, -5], [0] * 20)  # noqa: RUF005
    made = calibrate_localizations(answers, data)
    assert made.margin == 0
    assert made.apply(answers, data.image_sizes)[0].outer_box == (10, 10, 90, 90)


def test_answers_without_a_box_are_left_out():
    boxes = np.tile(np.array([10.0, 10, 90, 90]), (30, 1))
    answers, data = answers_and_truth(boxes, boxes, [0] * 30, [0.5] * 30)
    some = [None, answers[1]._replace(box=None), *answers[2:]]
    made = calibrate_localizations(some, data)
    assert made.images == 28
    found = made.apply(some, data.image_sizes)
    assert found[:2] == some[:2] and found[2].outer_box == (10, 10, 90, 90)
    assert found[2].quality == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="one answer for each of 30 images"):
        calibrate_localizations(answers[1:], data)


def test_errors_name_the_argument(localizer, held_out):
    for coverage in (0, 1, 1.5, "0.9"):
        with pytest.raises(ValueError, match="`coverage` must be"):
            localizer.calibrate(held_out, coverage)
    with pytest.raises(ValueError, match="`dataset` must have images with boxes"):
        localizer.calibrate(make_synthetic(3, negatives=1))
    with pytest.raises(TypeError, match="'second_look'"):
        localizer.calibrate(held_out, second_look=True)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="exported from TensorFlow"
)
@pytest.mark.parametrize("refine", [False, True])
def test_a_saved_model_gives_the_same(refine, held_out, tmp_path):
    import tensorflow as tf

    localizer = make_localizer(presence=True)
    localizer.calibrate(held_out, 0.8, refine=refine)
    export_localizer(localizer, tmp_path / "served", refine=refine)
    served = tf.saved_model.load(tmp_path / "served")
    expected = localizer.localize(held_out[:4], refine=refine, presence_threshold=0)
    for image, answer in zip(held_out.images, expected):
        found = served.serve(image)
        assert set(found) == {
            *("box", "label", "outer_box", "presence", "quality", "score", "scores")
        }
        np.testing.assert_allclose(found["outer_box"], answer.outer_box, atol=0.5)
        assert float(found["quality"]) == pytest.approx(answer.quality, abs=0.02)
        assert float(found["presence"]) == pytest.approx(answer.presence, abs=0.02)


def test_weights_in_half_precision_are_known_in_float32():
    """An export is in float32; its calibration is that of the same weights."""
    values = np.random.default_rng(0).normal(size=(3, 4))
    half = keras.Variable(values, dtype="bfloat16")
    whole = keras.Variable(keras.ops.cast(half, "float32"), dtype="float32")
    assert digest_of([half]) == digest_of([whole])
    assert digest_of([keras.Variable(values, dtype="float32")]) != digest_of([whole])
