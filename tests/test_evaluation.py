"""The report against counts made by hand, on answers that are known."""

import numpy as np
import pytest

from keras_localize import (
    Localization,
    LocalizationDataset,
    calibrate_localizations,
    evaluate_localizer,
    report_localizations,
)


class Oracle:
    """Answers that were written down before: (label, box in pixels)."""

    class_names = None

    def __init__(self, answers, num_classes=2):
        self.answers, self.num_classes = answers, num_classes

    def localize(self, images, batch_size, **options):
        self.options = options
        assert len(images) == len(self.answers)
        return [
            Localization(label, None, 1.0, box, None) for label, box in self.answers
        ]


@pytest.fixture
def dataset():
    # 40 x 20 images; the true box is the left half, 20 x 20; the last has none.
    return LocalizationDataset(
        images=[np.zeros((20, 40, 3), "uint8")] * 5,
        boxes=[[0, 0, 0.5, 1]] * 4 + [[0, 0, 0, 0]],
        labels=[0, 0, 1, 1, 1],
        class_names=["cat", "dog"],
        weights=[1, 1, 1, 1, 0],
        names=list("abcde"),
    )


ANSWERS = [
    (0, (0, 0, 20, 20)),  # a: IoU 1, right
    (1, (0, 0, 12, 20)),  # b: IoU 0.6, wrong
    (1, (0, 0, 8, 20)),  # c: IoU 0.4, right
    (1, (20, 0, 40, 20)),  # d: IoU 0, right
    (0, (0, 0, 40, 20)),  # e: no box, wrong
]


def test_every_figure(dataset):
    report = evaluate_localizer(Oracle(ANSWERS), dataset)
    assert (report.images, report.with_box) == (5, 4)
    assert report.mean_iou == pytest.approx((1 + 0.6 + 0.4) / 4)
    assert report.iou_50 == pytest.approx(2 / 4)
    assert report.iou_75 == pytest.approx(1 / 4)
    assert report.max_box_acc == pytest.approx((3 + 2 + 1) / 4 / 3)
    assert report.label_accuracy == pytest.approx(3 / 5)
    assert report.top1_localization == pytest.approx(1 / 4)
    assert report.per_class["cat"].mean_iou == pytest.approx(0.8)
    assert report.per_class["cat"].label_accuracy == pytest.approx(1 / 2)
    assert (report.per_class["dog"].images, report.per_class["dog"].with_box) == (3, 2)
    assert [name for name, _ in report.worst] == ["d", "c", "b", "a"]
    assert "mean_iou" in str(report) and "worst: d 0.000" in str(report)
    (line,) = [x for x in str(report).splitlines() if x.startswith("  cat")]
    assert " ".join(line.split()) == "cat 2 images IoU 0.800 label 0.500"
    assert len(evaluate_localizer(Oracle(ANSWERS), dataset, worst=2).worst) == 2
    # Before any inference.
    for data, worst in ((dataset, -1), (dataset[:0], 2)):
        with pytest.raises(ValueError, match=r"`worst`|`dataset` must hold images"):
            evaluate_localizer(object.__new__(Oracle), data, worst=worst)


def test_options_are_passed_on(dataset):
    oracle = Oracle(ANSWERS)
    evaluate_localizer(oracle, dataset, refine=True, flip_average=False)
    assert oracle.options == {"refine": True, "flip_average": False}


def test_boxes_alone(dataset):
    answers = [(None, box) for _, box in ANSWERS]
    report = evaluate_localizer(Oracle(answers, None), dataset)
    assert report.label_accuracy is None
    assert report.top1_localization == report.iou_50 == pytest.approx(2 / 4)
    assert report.per_class["cat"].label_accuracy is None


def test_bad_datasets(dataset):
    with pytest.raises(ValueError, match="empty"):
        evaluate_localizer(Oracle([]), dataset[:0])
    three = LocalizationDataset(
        dataset.images, dataset.boxes, dataset.labels, ["a", "b", "c"], dataset.weights
    )
    with pytest.raises(ValueError, match="3 classes"):
        evaluate_localizer(Oracle(ANSWERS), three)


def test_batches_are_no_dataset(dataset):
    answers = Oracle(ANSWERS).localize(dataset, 32)
    for call in (
        lambda wrong: evaluate_localizer(Oracle(ANSWERS), wrong),
        lambda wrong: report_localizations(answers, wrong),
        lambda wrong: calibrate_localizations(answers, wrong),
    ):
        for wrong in (dataset.to_pydataset(32), answers):
            with pytest.raises(ValueError, match="`dataset` must be a Localization"):
                call(wrong)
