"""Reports of answers that are known, against counts made by hand."""

import json

import numpy as np
import pytest
from rescaled import BOX, write_rescaled

from keras_localize import (
    Localization,
    LocalizationDataset,
    calibrate_localizations,
    evaluate_localizer,
    read_csv,
    report_localizations,
)

NAMES = ("cat", "dog")


def dataset(labels, presence=None, weights=None, class_names=NAMES):
    """40 x 20 images; the true box is the left half, 20 x 20 pixels."""
    labels = np.array(labels)
    objects = (labels >= 0) if presence is None else np.array(presence) > 0
    weights = objects.astype(float) if weights is None else np.array(weights)
    return LocalizationDataset(
        images=[np.zeros((20, 40, 3), "uint8")] * len(labels),
        boxes=np.where(weights[:, None] > 0, [[0, 0, 0.5, 1]], 0),
        labels=labels,
        class_names=class_names,
        weights=weights,
        presence=objects.astype(float),
        names=[f"image {i}" for i in range(len(labels))],
    )


def answer(name="cat", width=20, **attributes):
    """A box whose IoU with the truth is `width` / 20."""
    fields = {
        "label": NAMES.index(name),
        "class_name": name,
        "score": 0.9,
        "box": (0.0, 0.0, float(width), 20.0),
        "quality": None,
    }
    return Localization(**{**fields, **attributes})


def test_skipped_images_count_in_skipped_alone():
    data = dataset([0, 1, 1, 0])
    answers = [answer("cat", 20), None, answer("cat", 10), None]
    report = report_localizations(answers, data)
    alone = report_localizations([answers[0], answers[2]], data[[0, 2]])
    assert report.skipped == 2 and alone.skipped == 0
    found, expected = report.to_dict(), alone.to_dict()
    assert found.pop("skipped") == 2 and expected.pop("skipped") == 0
    assert found == expected
    assert report.mean_iou == pytest.approx(0.75)
    assert [one.name for one in report.per_image] == ["image 0", "image 2"]
    assert "2 images could not be read" in str(report)


def test_all_images_skipped():
    report = report_localizations([None, None], dataset([0, 1]))
    assert (report.images, report.with_box, report.skipped) == (0, 0, 2)
    assert np.isnan(report.mean_iou) and report.label_accuracy is None
    json.dumps(report.to_dict(), allow_nan=False)
    assert report.confusion == {} and report.worst == [] and report.intervals == {}


def test_an_object_declared_absent_is_iou_0_and_a_wrong_label():
    data = dataset([0, 0])
    absent = answer("cat", box=None, presence=0.1)
    report = report_localizations([absent, answer("cat", presence=0.9)], data)
    assert report.mean_iou == pytest.approx(0.5)
    assert report.label_accuracy == report.top1_localization == pytest.approx(0.5)
    assert report.confusion == {"cat": {"no object": 1, "cat": 1}}
    assert report.worst[0] == ("image 0", 0.0)
    assert report.false_alarms == 0
    # Nothing to tell apart: every image holds an object.
    assert report.presence_auroc is None and report.presence_fpr95 is None


def test_a_box_on_an_image_without_an_object_is_a_false_alarm():
    data = dataset([0, -1, -1, -1])
    answers = [
        answer("cat", 20, presence=0.6),
        answer("dog", 20, presence=0.7),
        answer("dog", 20, presence=0.6),
        answer("dog", box=None, presence=0.2),
    ]
    report = report_localizations(answers, data)
    assert report.false_alarms == 2
    assert (report.images, report.with_box) == (4, 1)
    # What was answered there changes nothing else.
    assert report.mean_iou == report.label_accuracy == 1.0
    assert report.presence_auroc == pytest.approx((0 + 0.5 + 1) / 3)
    assert report.presence_fpr95 == pytest.approx(2 / 3)
    assert report.confusion == {"cat": {"cat": 1}}
    assert "2 boxes on images without an object" in str(report)


def test_coverage_counts_the_boxes_inside_of_their_outer_box():
    data = dataset([0, 0, 0, 0, 0], weights=[1, 1, 1, 1, 0])
    answers = [
        answer(outer_box=(0.0, 0.0, 20.0, 20.0)),  # exactly
        answer(outer_box=(0.0, 0.0, 30.0, 20.0)),
        answer(outer_box=(0.0, 0.0, 19.0, 20.0)),  # a pixel too few
        answer(outer_box=None),
        answer(outer_box=(0.0, 0.0, 1.0, 1.0)),  # has no true box
    ]
    assert report_localizations(answers, data).coverage == pytest.approx(2 / 3)
    assert report_localizations([answer()] * 5, data).coverage is None


def test_quality():
    data = dataset([0, 0, 0])
    answers = [answer(width=w, quality=q) for w, q in ((20, 0.9), (10, 0.5), (5, 0.4))]
    report = report_localizations(answers, data)
    assert report.quality_error == pytest.approx((0.1 + 0 + 0.15) / 3)
    expected = np.corrcoef([1, 0.5, 0.25], [0.9, 0.5, 0.4])[0, 1]
    assert report.quality_correlation == pytest.approx(expected)
    without = report_localizations([answer()] * 3, data)
    assert without.quality_error is None and without.quality_correlation is None


def test_confusion():
    data = dataset([0, 0, 0, 1, -1])
    answers = [answer(name) for name in ("cat", "dog", "dog", "dog", "cat")]
    report = report_localizations(answers, data)
    assert report.confusion == {"cat": {"cat": 1, "dog": 2}, "dog": {"dog": 1}}
    total = sum(sum(row.values()) for row in report.confusion.values())
    assert total == 4  # the last image has no label
    right = sum(report.confusion[name].get(name, 0) for name in NAMES)
    assert report.label_accuracy == pytest.approx(right / total)


def test_confusion_of_a_localizer_without_class_names():
    data = dataset([0, 1, 1])
    answers = [answer()._replace(label=i, class_name=None) for i in (0, 1, 7)]
    report = report_localizations(answers, data)
    names = {"cat": {"cat": 1}, "dog": {"dog": 1, "class 7": 1}}
    assert report.confusion == names


def test_pairs_of_iter_localize_are_named():
    data = dataset([0, 1])
    pairs = [("a.png", answer()), ("b.png", None)]
    for function in (report_localizations, calibrate_localizations):
        with pytest.raises(ValueError, match="`iter_localize` gives pairs"):
            function(pairs, data)


def test_intervals_hold_their_figure():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    answers = [
        answer(NAMES[i], width, quality=0.5)
        for i, width in zip(rng.integers(0, 2, 60), rng.integers(1, 21, 60))
    ]
    report = report_localizations(answers, dataset(labels))
    assert {"mean_iou", "label_accuracy", "quality_error"} <= set(report.intervals)
    for name, (low, high) in report.intervals.items():
        assert low <= getattr(report, name) <= high
        assert low < high
    assert "coverage" not in report.intervals


def test_to_dict_is_json():
    data = dataset([0, 1, -1], weights=[1, 0, 0])
    answers = [
        answer("cat", 20, quality=0.5, scores=(0.9, 0.1), presence=0.9),
        None,
        answer("dog", 20, outer_box=(0.0, 0.0, 40.0, 20.0)),
    ]
    for given, truth in ((answers, data), (answers[1:], data[1:])):
        report = report_localizations(given, truth)
        content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
        assert content["images"] == report.images
        assert content["per_class"]["cat"]["images"] == report.per_class["cat"].images
    # No true box: no figure, which JSON writes as null.
    assert np.isnan(report.mean_iou) and content["mean_iou"] is None
    assert content["per_image"][0]["answer"]["box"] == [0.0, 0.0, 20.0, 20.0]


# --- classes by name ---


class Oracle:
    """Gives answers that were written down before."""

    num_classes = 2

    def __init__(self, class_names, answers):
        self.class_names, self.answers = class_names, answers

    def localize(self, images, batch_size, **options):
        return self.answers


def test_classes_are_matched_by_name_in_any_order():
    data = dataset([0, 0, 1])
    answers = [answer("cat"), answer("dog"), answer("dog")]
    expected = evaluate_localizer(Oracle(NAMES, answers), data).to_dict()
    assert expected["label_accuracy"] == pytest.approx(2 / 3)
    # The localizer has its classes in another order, and one more.
    names = ["bird", "dog", "cat"]
    other = [one._replace(label=names.index(one.class_name)) for one in answers]
    found = evaluate_localizer(Oracle(names, other), data).to_dict()
    for one in (*found["per_image"], *expected["per_image"]):
        del one["answer"]["label"]
    assert found == expected


def test_a_class_that_the_localizer_lacks_is_refused():
    data = dataset([0, 1])
    with pytest.raises(ValueError, match=r"images of dog.*cat, bird.*cat, dog"):
        evaluate_localizer(Oracle(("cat", "bird"), []), data)
    # A class that has no image is no problem.
    answers = [answer("cat")]
    report = evaluate_localizer(Oracle(("cat", "bird"), answers), data[:1])
    assert report.label_accuracy == 1


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"one answer for each of 2 images.*: 1"):
        report_localizations([answer()], dataset([0, 1]))
    with pytest.raises(ValueError, match="empty"):
        report_localizations([], dataset([0])[:0])
    with pytest.raises(ValueError, match="worst=-1"):
        report_localizations([answer()], dataset([0]), worst=-1)


def test_growth_of_the_outer_box():
    """Boxes of 20 x 20 and 10 x 20; the second outer box cuts the true one."""
    data = dataset([0, 0, 0, -1], weights=[1, 1, 1, 0])
    answers = [
        answer(width=20, outer_box=(0.0, 0.0, 30.0, 20.0)),
        answer(width=10, outer_box=(0.0, 0.0, 15.0, 20.0)),
        answer(width=10),
        answer(outer_box=(0.0, 0.0, 40.0, 20.0)),
    ]
    report = report_localizations(answers, data)
    assert report.outer_growth == pytest.approx(1.5)
    assert report.coverage == 0.5
    assert report_localizations(answers[2:], data[2:]).outer_growth is None


def test_scores_that_are_nan_are_wrong_labels(tmp_path):
    """Weights that became NaN: their class is the first one, and says nothing."""
    nan = float("nan")
    answers = [answer("cat", score=nan, box=(nan,) * 4, quality=nan)] * 2
    report = report_localizations(answers, dataset([0, 0]))
    assert report.label_accuracy == report.mean_iou == 0
    report.save_html(tmp_path / "page.html")
    assert "cat" in (tmp_path / "page.html").read_text("utf-8")


@pytest.mark.parametrize("verify", [True, False])
def test_boxes_are_compared_in_pixels_of_the_files(tmp_path, verify):
    data = read_csv(tmp_path, write_rescaled(tmp_path), verify=verify)
    answers = [Localization(0, "red", 1.0, BOX, None)]
    assert report_localizations(answers, data).mean_iou == pytest.approx(1)
    calibration = calibrate_localizations(answers * 20, joined(data, 20), coverage=0.9)
    assert calibration.margin == pytest.approx(0, abs=1e-5)


def joined(data, count):
    """As many records of the same image."""
    return LocalizationDataset(
        data.images * count,
        np.repeat(data.boxes, count, axis=0),
        [0] * count,
        data.class_names,
        image_sizes=np.repeat(data.image_sizes, count, axis=0),
        names=[str(i) for i in range(count)],
    )


def test_numbers_and_arrays_of_numpy_are_those_of_python(tmp_path):
    given = [
        answer("cat", 20, quality=0.5, presence=0.75, outer_box=(0.0, 0.0, 30.0, 20.0)),
        answer("dog", 10, quality=0.25, presence=0.5, scores=(0.25, 0.75)),
    ]
    arrays = [
        Localization(
            np.int64(one.label),
            np.str_(one.class_name),
            np.float32(0.5),
            np.array(one.box),
            np.float16(one.quality),
            None if one.scores is None else np.array(one.scores, "float32"),
            np.float64(one.presence),
            None if one.outer_box is None else np.array(one.outer_box, "float32"),
        )
        for one in given
    ]
    data = dataset([0, 0])
    expected = report_localizations([one._replace(score=0.5) for one in given], data)
    report = report_localizations(arrays, data)
    assert report.to_dict() == expected.to_dict()
    report.save_json(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text()) == expected.to_dict()
    report.save_html(tmp_path / "page.html")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("side", range(4))
def test_a_box_with_a_side_that_is_not_finite_has_iou_0(tmp_path, bad, side):
    box = [0.0, 0.0, 20.0, 20.0]
    box[side] = bad
    answers = [answer("cat", box=tuple(box)), answer("cat", 20)]
    report = report_localizations(answers, dataset([0, 0]))
    assert [one.iou for one in report.per_image] == [0, 1]
    assert report.mean_iou == report.top1_localization == 0.5
    report.save_json(tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    box[side] = None
    assert written["per_image"][0]["answer"]["box"] == box
    report.save_html(tmp_path / "page.html")
