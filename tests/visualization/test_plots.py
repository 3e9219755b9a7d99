"""Plots: what is drawn where, read back from the figure."""

import io
import pickle
import sys

import numpy as np
import pytest
from PIL import Image

from keras_localize import visualization
from keras_localize.datasets import LocalizationDataset, make_synthetic
from keras_localize.images import ImageError, load
from keras_localize.localizer.localization import Localization
from keras_localize.visualization import (
    plot_history,
    plot_localizations,
    plot_reliability,
)

IMAGES = [np.zeros((40, 80, 3), "uint8"), np.zeros((60, 20, 3), "uint8")]
TRUE = np.array([[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.0, 0.0]], "float32")


@pytest.fixture(autouse=True)
def no_display(monkeypatch):
    """Importing pyplot fails, so no figure can depend on it."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)


@pytest.fixture
def dataset():
    return LocalizationDataset(IMAGES, TRUE, [1, 0], ["cat", "dog"], [1, 0])


def drawn(axis):
    """(x0, y0, x1, y1) of each rectangle of one image."""
    boxes = []
    for patch in axis.patches:
        (x, y), w, h = patch.get_xy(), patch.get_width(), patch.get_height()
        boxes.append((x, y, x + w, y + h))
    return boxes


def titles(figure):
    return [axis.get_title() for axis in figure.axes]


def test_dataset_with_localizations(dataset):
    found = [
        Localization(1, "dog", 0.875, (20.0, 20.0, 60.0, 30.0), None),
        Localization(1, "dog", 0.5, (1.0, 2.0, 3.0, 4.0), 0.5),
    ]
    figure = plot_localizations(dataset, found)
    first, second = figure.axes
    assert drawn(first) == [(20, 20, 60, 40), (20, 20, 60, 30)]
    assert drawn(second) == [(1, 2, 3, 4)]  # no true box to draw
    assert titles(figure) == ["dog 0.88\nIoU 0.50", "dog 0.50 (is cat)"]
    assert list(first.images[0].get_extent()) == [0, 80, 0 + 40, 0]
    figure.savefig(io.BytesIO(), format="png")


def test_a_dataset_as_the_truth_of_images(dataset):
    found = [Localization(1, "dog", 0.875, (20.0, 20.0, 60.0, 30.0), None)] * 2
    figure = plot_localizations(dataset.images, found, truth=dataset)
    expected = plot_localizations(dataset, found)
    assert list(map(drawn, figure.axes)) == list(map(drawn, expected.axes))
    assert titles(figure) == titles(expected)


def test_model_outputs_and_arrays():
    probabilities = np.array([[0.1, 0.9], [0.75, 0.25]])
    figure = plot_localizations(
        np.zeros((2, 10, 10, 3)),
        {"box": np.array([[0, 0, 0.5, 1], [0, 0, 1, 1]]), "label": probabilities},
        {"box": np.array([[0, 0, 1, 1], [0, 0, 1, 1]]), "label": np.array([1, 1])},
        class_names=("cat", "dog"),
        columns=1,
    )
    assert titles(figure) == ["dog 0.90\nIoU 0.50", "cat 0.75 (is dog)\nIoU 1.00"]
    assert drawn(figure.axes[0]) == [(0, 0, 10, 10), (0, 0, 5, 10)]
    one_unit = plot_localizations(IMAGES, {"label": np.array([[0.25], [0.75]])})
    assert titles(one_unit) == ["class 0 0.75", "class 1 0.75"]
    pixels = plot_localizations(
        IMAGES, [[1, 2, 3, 4], [5, 6, 7, 8]], bounding_box_format="xywh"
    )
    assert drawn(pixels.axes[1]) == [(5, 6, 12, 14)]


def test_images_that_were_all_skipped(dataset):
    figure = plot_localizations(dataset, [None, None])
    assert [len(drawn(axis)) for axis in figure.axes] == [1, 0]


def test_images_that_were_skipped_and_pairs(tmp_path):
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    Image.fromarray(IMAGES[0]).save(paths[0])
    paths[1].write_bytes(b"damaged")
    one = Localization(0, "cat", 0.9, (0, 0, 4, 4), None)
    figure = plot_localizations(paths, [one, None])
    assert [len(drawn(axis)) for axis in figure.axes] == [1, 0]
    assert figure.axes[1].get_title() == "could not be read"
    with pytest.raises(ImageError, match=r"b\.png"):
        plot_localizations(paths, [one, one])
    with pytest.raises(ValueError, match=r"`predictions`.*`iter_localize` gives pairs"):
        plot_localizations(paths, [("a.png", one), ("b.png", None)])


def test_bad_arguments(dataset):
    with pytest.raises(ValueError, match='must hold "box" or "label"'):
        plot_localizations(dataset, {})
    with pytest.raises(ValueError, match="one entry per image, 2"):
        plot_localizations(dataset, TRUE[:1])
    with pytest.raises(ValueError, match="shape"):
        plot_localizations(dataset, np.zeros((2, 5)))
    with pytest.raises(ValueError, match="at least one image"):
        plot_localizations([])
    with pytest.raises(ValueError, match="columns"):
        plot_localizations(dataset, columns=0)
    with pytest.raises(ValueError, match="box_iou"):
        plot_history({"lr": [1.0]})
    with pytest.raises(ValueError, match="Received: int"):
        plot_history(3)


def lines(figure):
    return {
        axis.get_title(): {
            line.get_label(): np.asarray(line.get_ydata()).tolist()
            for line in axis.lines
        }
        for axis in figure.axes
        if axis.lines
    }


def test_history_of_two_outputs_from_dict_object_and_csv(tmp_path):
    names = ["box_iou", "label_accuracy", "box_mse", "loss", "box_loss", "label_loss"]
    history = {}
    for number, name in enumerate(names):
        history[name] = [number + 0.5, number + 0.25]
        history[f"val_{name}"] = [number + 1.5, number + 1.25]
    path = tmp_path / "history.csv"
    rows = [",".join(["epoch", *history])]
    rows += [f"{i}," + ",".join(str(v[i]) for v in history.values()) for i in (0, 1)]
    path.write_text("\n".join(rows))

    class History:
        pass

    returned = History()
    returned.history = history
    expected = lines(plot_history(history))
    assert list(expected) == [
        "box IoU",
        "label accuracy",
        "box MSE",
        "loss",
        "box loss",
        "label loss",
    ]
    assert expected["box MSE"] == {"training": [2.5, 2.25], "validation": [3.5, 3.25]}
    assert lines(plot_history(returned)) == expected
    assert lines(plot_history(path)) == expected
    assert lines(plot_history(str(path))) == expected


def test_history_of_one_output_draws_what_is_there():
    assert lines(plot_history({"iou": [0.5], "val_loss": [2.0]})) == {
        "box IoU": {"training": [0.5]},
        "loss": {"validation": [2.0]},
    }


def test_without_matplotlib(monkeypatch, dataset):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for call in (
        lambda: plot_localizations(dataset),
        lambda: visualization.plot_history({"loss": [1.0]}),
    ):
        with pytest.raises(ImportError, match=r"pip install matplotlib"):
            call()


# --- names, legend, phases, notebooks ---


def labels(figure):
    return [text.get_text() for legend in figure.legends for text in legend.texts]


def names(figure):
    return [axis.texts[0].get_text() for axis in figure.axes]


def test_legend_and_names(tmp_path, dataset):
    box = [[0, 0, 0.5, 0.5]] * 2
    dataset.names = ["first", "second"]
    assert labels(plot_localizations(dataset, box)) == ["true", "predicted"]
    assert labels(plot_localizations(dataset)) == ["true"]
    assert labels(plot_localizations(IMAGES, box)) == ["predicted"]
    assert labels(plot_localizations(IMAGES)) == []
    assert names(plot_localizations(dataset)) == ["first", "second"]
    assert names(plot_localizations(IMAGES)) == ["", ""]
    path = tmp_path / "street.png"
    Image.fromarray(IMAGES[0]).save(path)
    assert names(plot_localizations([str(path), path])) == ["street.png"] * 2


def test_names_are_no_formulas(dataset):
    dataset.names, dataset.class_names = [r"$\frac$", "$"], (r"$\sum{$", "dog")
    figure = plot_localizations(dataset, dataset.boxes)
    figure.savefig(io.BytesIO(), format="png")
    history = {"loss": [1.0, 2.0], "phase": [r"$\frac$", "b"]}
    plot_history(history).savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize("kind", ["dict", "csv"])
def test_a_line_where_phases_meet(tmp_path, kind):
    history = {"loss": [3.0, 2.0, 1.0, 0.5], "phase": ["heads"] * 3 + ["fine-tuning"]}
    given = history
    if kind == "csv":
        given = tmp_path / "history.csv"
        rows = [",".join(map(str, row)) for row in zip(*history.values())]
        given.write_text("\n".join([",".join(history), *rows]))
    (axis,) = plot_history(given).axes
    curve, line = axis.lines
    assert curve.get_ydata().tolist() == history["loss"]
    assert list(line.get_xdata()) == [3.5, 3.5]  # between the epochs 3 and 4
    assert [(text.get_text(), text.xy[0]) for text in axis.texts] == [
        ("heads", 0.5),
        ("fine-tuning", 3.5),
    ]
    assert [text.get_text() for text in axis.get_legend().texts] == ["training"]
    (plain,) = plot_history({"loss": [3.0, 2.0]}).axes
    assert len(plain.lines) == 1 and not plain.texts


def test_a_notebook_shows_figures_once(dataset):
    formatters = pytest.importorskip("IPython.core.formatters")
    for figure in (plot_localizations(dataset), plot_history({"loss": [1.0]})):
        shown, _ = formatters.DisplayFormatter().format(figure)
        image = Image.open(io.BytesIO(shown.pop("image/png")))
        assert image.size == tuple(figure.get_size_inches() * figure.dpi)
        assert list(shown) == ["text/plain"]
        assert not pickle.loads(pickle.dumps(figure)).axes[0].get_title("right")


def test_outer_boxes_and_absent_objects():
    images = [np.zeros((50, 80, 3), "uint8")] * 2
    box, outer = (10.0, 10.0, 30.0, 40.0), (5.0, 8.0, 36.0, 45.0)
    answers = [
        Localization(0, "disc", 0.9, box, None, None, 0.8, outer),
        Localization(0, "disc", 0.9, None, None, None, 0.2, None),
    ]
    figure = plot_localizations(images, answers)
    first, second = figure.axes[:2]
    found = [patch.get_bbox().extents.tolist() for patch in first.patches]
    assert found == [list(box), list(outer)]
    assert len(second.patches) == 0
    assert second.get_title() == "no object (presence 0.20)"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["predicted", "outer"]


def test_single_images_and_folders_as_localize_takes_them(tmp_path):
    data = make_synthetic(3, directory=tmp_path, max_side=100)
    answers = [Localization(0, "disc", 0.9, (1.0, 1.0, 9.0, 9.0), None)] * 3
    path, array = data.images[0], load(data.images[0])
    for one in (path, array, Image.open(path)):
        for answer in (answers[:1], answers[0]):
            (axis,) = plot_localizations(one, answer, data[0]).axes
            assert axis.get_title().startswith("disc 0.90")
            assert len(axis.patches) == 2  # the true box, too
    with pytest.raises(ValueError, match=r"`predictions`.*one entry per image, 3"):
        plot_localizations(tmp_path, answers[0])
    for several in (tmp_path, iter(data.images)):
        titles = [x.get_title() for x in plot_localizations(several, answers).axes]
        assert sum("disc" in title for title in titles) == 3
    with pytest.raises(ValueError, match="`bounding_box_format`"):
        plot_localizations(path, bounding_box_format="coco")


def test_gaps_in_a_history_are_gaps():
    figure = plot_history({"loss": [None, 2.0, 1.0]})
    values = figure.axes[0].lines[0].get_ydata()
    assert np.isnan(values[0]) and list(values[1:]) == [2.0, 1.0]


def test_a_list_of_reports_is_refused():
    with pytest.raises(ValueError, match=r"`reports`.*list"):
        plot_reliability([1])
