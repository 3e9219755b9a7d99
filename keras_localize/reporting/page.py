"""A report as one self-contained HTML file."""

import math
import string
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

import numpy as np

from keras_localize.checks import check_non_negative_int
from keras_localize.curves import panels_of, phases_of, read_history
from keras_localize.datasets import LocalizationDataset
from keras_localize.files import replacing
from keras_localize.images import ImageError, load
from keras_localize.markup import (
    OUTER_COLOUR,
    PREDICTED_COLOUR,
    TRUE_COLOUR,
    boxed,
    escaped,
    jpeg_uri,
)
from keras_localize.reporting import charts
from keras_localize.reporting.frame import true_boxes
from keras_localize.types import Path

__all__ = ["count_images", "save_page"]

# Longer side of an embedded image in pixels: enough to judge a box when enlarged.
_SIDE = 480
# A matrix of more classes than these fits no screen: the largest confusions are listed.
_MATRIX = 40
_CONFUSIONS = 100

_MEANINGS = {
    "mean_iou": "mean IoU of predicted and true boxes",
    "iou_50": "share of boxes with an IoU of at least 0.5",
    "iou_75": "share of boxes with an IoU of at least 0.75",
    "max_box_acc": "mean of the shares of boxes with an IoU of at least 0.3, 0.5 "
    "and 0.7",
    "label_accuracy": "share of images whose label is right",
    "top1_localization": "share of boxes with the label right and an IoU of at least "
    "0.5",
    "quality_error": "mean of |quality - IoU|",
    "quality_bin_error": "the same for the means of ten groups of similar quality",
    "quality_correlation": "correlation of quality and IoU",
    "presence_auroc": "area under the ROC curve of the presence",
    "presence_fpr95": "share of images without an object that pass the threshold of "
    "95% of the others",
    "coverage": "share of true boxes inside their outer box",
}


def check_page(*, history: Any = None, images: int = 12) -> None:
    """Checks the options of `save_page`, before there is a report.

    Raises:
        ValueError: for a negative `images`, or a `history` without curves.
        OSError: for a file that is not there.
    """
    check_non_negative_int(images, "images")
    if history is not None:
        panels_of(read_history(history))


def save_page(
    path: Path,
    content: dict[str, Any],
    dataset: LocalizationDataset | None,
    *,
    history: Any = None,
    title: str = "Localization report",
    images: int = 12,
) -> None:
    """Writes the page; see `LocalizationReport.save_html`.

    Args:
        path: the file, replaced if it is there.
        content: what `LocalizationReport.to_dict` gives.
        dataset: the records of `content["per_image"]`, in its order.
        history: curves, as `keras_localize.plot_history` takes them.
        title: title of the page.
        images: images per gallery, at most: worst, median and best boxes are at most a
            third of the images each.
    """
    check_non_negative_int(images, "images")
    sections = [
        ("Figures", _figures(content)),
        ("Curves", "" if history is None else _curves(history)),
        ("Boxes", _charts(content["per_image"], dataset)),
        ("Classes", _classes(content["per_class"])),
        ("Confusion", _confusion(content["confusion"])),
        *(() if dataset is None else _galleries(content["per_image"], dataset, images)),
    ]
    sections = [(name, body) for name, body in sections if body]
    links = "".join(f'<a href="#s{i}">{x}</a>' for i, (x, _) in enumerate(sections))
    parts = [f"<h1>{escaped(title)}</h1>", f"<p>{count_images(content)}</p>"]
    parts.append(f"<nav>{links}</nav>")
    for i, (name, body) in enumerate(sections):
        parts.append(f'<section id="s{i}"><h2>{name}</h2>\n{body}</section>')
    source = resources.files("keras_localize.reporting") / "page.html"
    page = string.Template(source.read_text("utf-8")).substitute(
        title=escaped(title), body="\n".join(parts)
    )
    with replacing(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8")


# --- sections ---


def count_images(content: dict[str, Any]) -> str:
    """The counts of a report in one line."""
    parts = [f"{content['images']} images, {content['with_box']} with a box"]
    if content["skipped"]:
        parts.append(f"{content['skipped']} could not be read")
    if content["false_alarms"]:
        parts.append(f"{content['false_alarms']} boxes on images without an object")
    return ", ".join(parts)


def _figures(content: dict[str, Any]) -> str:
    rows = []
    for name, value in content.items():
        if not isinstance(value, float):
            continue
        low, high = content["intervals"].get(name, (value, value))
        spread = f"{low:.3f} to {high:.3f}" if name in content["intervals"] else ""
        bar = ""
        if 0 <= low <= high <= 1:
            bar = f'<i style="left:{low:.2%};width:{high - low:.2%}"></i>'
            bar += f'<b style="left:calc({value:.2%} - 1px)"></b>'
        meaning = _MEANINGS.get(name, "")
        rows.append(
            f'<tr><th scope="row">{escaped(name)}</th><td>{value:.4f}</td>'
            f'<td class="even">{spread}</td><td><span class="span">{bar}</span></td>'
            f'<td style="text-align:left">{escaped(meaning)}</td></tr>'
        )
    header = "<th></th><th>value</th><th>95% interval</th><th>0 to 1</th><th></th>"
    return (
        f'<div class="scroll"><table class="figures"><thead><tr>{header}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _curves(history: Any) -> str:
    columns = read_history(history)
    phases = phases_of(columns)
    if len(phases) == 1:  # its name would only hide a part of each curve
        phases = []
    shown = [
        (charts.curves(panel, phases), panel.title) for panel in panels_of(columns)
    ]
    return _chart_row(shown) + "<p>Training is solid, validation dashed.</p>"


def _charts(
    per_image: list[dict[str, Any]], dataset: LocalizationDataset | None
) -> str:
    chosen = [i for i, one in enumerate(per_image) if one["iou"] is not None]
    if not chosen:
        return ""
    rows = [per_image[i] for i in chosen]
    iou = np.array([one["iou"] for one in rows])
    shown = [(charts.histogram(iou, "IoU"), "IoU of predicted and true boxes")]
    if dataset is not None:
        sides = dataset.boxes[chosen][:, 2:] - dataset.boxes[chosen][:, :2]
        size = np.sqrt(np.prod(sides, axis=1))
        notes = [f"{one['name']}: IoU {one['iou']:.3f}" for one in rows]
        chart = charts.scatter(size, iou, notes, ("size of the object", "IoU"))
        caption = (
            "Size: the square root of the share of the image that the box covers. "
            "The line is the mean."
        )
        shown.append((chart, caption))
    quality = [one["answer"]["quality"] for one in rows]
    told = [i for i, value in enumerate(quality) if value is not None]
    if told:
        chart = charts.reliability(np.array([quality[i] for i in told]), iou[told])
        caption = (
            "Mean IoU where this quality was predicted. Calibrated bars end at the "
            "diagonal."
        )
        shown.append((chart, caption))
    return _chart_row(shown)


def _chart_row(shown: Sequence[tuple[str, str]]) -> str:
    figures = [
        f"<figure>{chart}<figcaption>{escaped(caption)}</figcaption></figure>"
        for chart, caption in shown
    ]
    return f'<div class="charts">{"".join(figures)}</div>'


def _classes(per_class: dict[str, dict[str, Any]]) -> str:
    titles = ("class", "images", "with box", "mean IoU", "label accuracy")
    keys = ("images", "with_box", "mean_iou", "label_accuracy")
    header = "".join(
        f'<th><button type="button">{title}</button></th>' for title in titles
    )
    rows = []
    for name, one in per_class.items():
        cells = [f'<th scope="row" data-value="{escaped(name)}">{escaped(name)}</th>']
        for key in keys:
            value = one[key]
            shown = f"{value:.3f}" if isinstance(value, float) else value
            known = value is not None
            cells.append(
                f'<td data-value="{value if known else ""}">{shown if known else "-"}'
                "</td>"
            )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll"><table class="sortable"><thead><tr>{header}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _confusion(confusion: dict[str, dict[str, int]]) -> str:
    predicted = list(
        dict.fromkeys([*confusion, *(p for r in confusion.values() for p in r)])
    )
    if not confusion:
        return ""
    if len(predicted) > _MATRIX:
        return _largest_confusions(confusion)
    header = "".join(f"<th>{escaped(name)}</th>" for name in predicted)
    rows = []
    for name, counts in confusion.items():
        total = sum(counts.values())
        cells = []
        for other in predicted:
            count = counts.get(other, 0)
            colour = "41,98,255" if other == name else "255,23,68"
            style = f"background:rgba({colour},{0.75 * count / total:.2f})"
            note = f"{name}, predicted as {other}: {count} of {total}"
            cells.append(
                f'<td style="{style}" title="{escaped(note)}">{count or ""}</td>'
            )
        rows.append(f'<tr><th scope="row">{escaped(name)}</th>{"".join(cells)}</tr>')
    return (
        '<p>Rows are true classes, columns predicted ones.</p><div class="scroll">'
        f'<table class="confusion"><thead><tr><th></th>{header}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _largest_confusions(confusion: dict[str, dict[str, int]]) -> str:
    pairs = [
        (count, name, other)
        for name, counts in confusion.items()
        for other, count in counts.items()
        if other != name
    ]
    pairs.sort(key=lambda pair: -pair[0])
    rows = "".join(
        f'<tr><th scope="row">{escaped(name)}</th><td>{escaped(other)}</td>'
        f"<td>{count}</td></tr>"
        for count, name, other in pairs[:_CONFUSIONS]
    )
    header = "<th>true class</th><th>predicted</th><th>images</th>"
    return (
        "<p>The largest confusions.</p>"
        f'<div class="scroll"><table><thead><tr>{header}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


# --- galleries ---


def _galleries(
    per_image: list[dict[str, Any]], dataset: LocalizationDataset, count: int
) -> Iterator[tuple[str, str]]:
    def rank(i: int) -> float:
        return per_image[i]["iou"]

    def score(i: int) -> float:
        return per_image[i]["answer"]["score"] or 0.0

    everything = range(len(per_image))
    order = sorted((i for i in everything if rank(i) is not None), key=rank)
    # Worst, median and best of a small dataset are different images, too.
    third = min(count, math.ceil(len(order) / 3))
    start = (len(order) - third) // 2
    wrong = sorted(
        (i for i in everything if per_image[i]["right"] is False),
        key=score,
        reverse=True,
    )
    alarms = [
        i
        for i in everything
        if dataset.presence[i] == 0 and per_image[i]["answer"]["box"] is not None
    ]
    boxes = true_boxes(dataset)
    outer = any(one["answer"]["outer_box"] is not None for one in per_image)
    key = "".join(_KEYS if outer else _KEYS[:2])
    for title, note, chosen in (
        ("Worst boxes", "Lowest IoU first.", order[:third]),
        ("Median boxes", "Around the median IoU.", order[start : start + third]),
        ("Best boxes", "Highest IoU first.", order[::-1][:third]),
        ("Wrong labels", "Highest score first.", wrong[:count]),
        ("False alarms", "Boxes on images without an object.", alarms[:count]),
    ):
        cards = [_card(per_image[i], dataset.images[i], boxes[i]) for i in chosen]
        if cards:
            yield (
                title,
                f'<p>{note}{key}</p><div class="gallery">{"".join(cards)}</div>',
            )


_KEYS = [
    f'<span class="key" style="color:{colour};border-style:{style} none none"></span>'
    f"{name}"
    for name, colour, style in (
        ("true", TRUE_COLOUR, "solid"),
        ("predicted", PREDICTED_COLOUR, "dashed"),
        ("outer", OUTER_COLOUR, "dotted"),
    )
]


def _finite(box: list[float | None] | None) -> list[float | None] | None:
    """The box, or None where it has a side that was NaN, which is None by now."""
    return None if box is None or None in box else box


def _card(one: dict[str, Any], image: Any, true_box: np.ndarray) -> str:
    answer = one["answer"]
    facts = [] if one["iou"] is None else [f"IoU {one['iou']:.3f}"]
    if answer["label"] is not None:
        name = answer["class_name"] or f"class {answer['label']}"
        score = answer["score"]
        facts.append(name if score is None else f"{name} {score:.2f}")
    if one["right"] is False:
        facts.append(f"is {one['true_class']}")
    if answer["quality"] is not None:
        facts.append(f"quality {answer['quality']:.2f}")
    boxes = {
        "true": None if np.isnan(true_box).any() else true_box,
        "predicted": _finite(answer["box"]),
        "outer": _finite(answer["outer_box"]),
    }
    try:
        pixels = load(image)
        height, width = pixels.shape[:2]
        shown = boxed(jpeg_uri(pixels, _SIDE), (height, width), boxes, one["name"])
    except ImageError:
        shown = "the image cannot be read any more"
    return (
        f'<figure><button type="button" title="enlarge">{shown}</button>'
        f"<figcaption>{escaped(one['name'])}<br>{escaped(', '.join(facts))}"
        "</figcaption></figure>"
    )
