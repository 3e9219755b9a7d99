"""The report page: read as a browser reads it, with hostile names, and bounded."""

import base64
import html.parser
import io
import json
import re

import numpy as np
import pytest
from browser import shown
from PIL import Image

import keras_localize as kl

HOSTILE = '<script>alert("x")</script>\'"&</td>'


def make_report(classes=("cat", "dog", "eel"), count=24, image=None, **fields):
    """Known IoUs: image i has a predicted box of i + 1 of `count` parts of the true."""
    height, width = 40, 80
    image = np.full((height, width, 3), 90, "uint8") if image is None else image
    labels = [i % len(classes) for i in range(count)]
    data = kl.LocalizationDataset(
        [image] * count,
        np.tile([0.25, 0.5, 0.75, 1.0], (count, 1)),
        labels,
        classes,
        names=[f"image {i:02}{HOSTILE}" for i in range(count)],
    )
    height, width = data.image_sizes[0]
    answers = [
        kl.Localization(
            *((label + (i % 5 == 0)) % len(classes), None, 0.5 + i / 100),
            box=(
                *(width / 4, height / 2),
                *(width / 4 + width / 2 * (i + 1) / count, float(height)),
            ),
            quality=(i + 1) / count,
        )
        for i, label in enumerate(labels)
    ]
    answers = [
        answer._replace(class_name=classes[answer.label], **fields)
        for answer in answers
    ]
    return kl.report_localizations(answers, data)


class Reader(html.parser.HTMLParser):
    """Tags with their attributes, in order."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, tag, **attributes):
        return [
            attrs
            for name, attrs in self.tags
            if name == tag and attributes.items() <= attrs.items()
        ]


HISTORY = {"loss": [3.0, 2.0, 1.0], "val_loss": [3.5, 2.5, 1.5], "phase": list("aab")}


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "new" / "report.html"
    report = make_report(classes=(f"cat{HOSTILE}", "dog", "eel"))
    report.save_html(path, title=f"My {HOSTILE}", history=HISTORY, images=4)
    return path


def test_names_are_text_and_nothing_is_loaded(page):
    text = page.read_text("utf-8")
    reader = Reader(text)
    assert len(reader.all("script")) == 1  # its own
    assert "alert(" in text and "<script>alert" not in text
    addresses = [
        value
        for _, attrs in reader.tags
        for key, value in attrs.items()
        if key in ("src", "href", "action", "data")
    ]
    assert addresses and all(a.startswith(("data:", "#")) for a in addresses)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttp", text)


def test_galleries_show_the_images_with_both_boxes_in_their_pixels(page):
    text = page.read_text("utf-8")
    sections = dict(re.findall(r"<section.*?<h2>(.*?)</h2>(.*?)</section>", text, re.S))
    names = {
        title: [int(n) for n in re.findall(r"<figcaption>image (\d\d)", body)]
        for title, body in sections.items()
        if "gallery" in body
    }
    assert names == {
        "Worst boxes": [0, 1, 2, 3],
        "Median boxes": [10, 11, 12, 13],
        "Best boxes": [23, 22, 21, 20],
        "Wrong labels": [20, 15, 10, 5],  # of every fifth, the surest first
    }
    worst = Reader(sections["Worst boxes"])
    assert all(one["viewbox"] == "0 0 80 40" for one in worst.all("svg"))
    true = worst.all("rect", **{"data-box": "true"})[1]
    predicted = worst.all("rect", **{"data-box": "predicted"})[1]
    corners = [
        [float(box[key]) for key in ("x", "y", "width", "height")]
        for box in (true, predicted)
    ]
    np.testing.assert_allclose(corners[0], [20, 20, 40, 20])
    np.testing.assert_allclose(corners[1], [20, 20, 40 * 2 / 24, 20], atol=0.01)
    embedded = worst.all("image")[0]["href"].partition("base64,")[2]
    image = Image.open(io.BytesIO(base64.b64decode(embedded)))
    assert image.format == "JPEG" and image.size == (80, 40)
    assert abs(int(np.asarray(image).mean()) - 90) < 3


def test_galleries_of_a_small_dataset_show_different_images(tmp_path):
    path = tmp_path / "page.html"
    make_report(count=6).save_html(path)
    text = path.read_text("utf-8")
    bodies = re.findall(
        r"<h2>(?:Worst|Median|Best) boxes</h2>(.*?)</section>", text, re.S
    )
    names = [re.findall(r"<figcaption>image (\d\d)", body) for body in bodies]
    assert names == [["00", "01"], ["02", "03"], ["05", "04"]]


def test_the_key_names_the_boxes_that_are_there(tmp_path):
    def key_of(report):
        report.save_html(tmp_path / "page.html")
        text = (tmp_path / "page.html").read_text("utf-8")
        return re.findall(r'class="key"[^>]*></span>(\w+)', text)[:3]

    assert key_of(make_report()) == ["true", "predicted", "true"]
    outer = make_report(outer_box=(1.0, 1.0, 70.0, 39.0))
    assert key_of(outer) == ["true", "predicted", "outer"]


def test_the_name_of_an_only_phase_hides_no_curve(tmp_path):
    def names(phases):
        history = {"loss": [3.0, 2.0, 1.0], "phase": phases}
        make_report().save_html(tmp_path / "page.html", history=history)
        return re.findall(r">(heads|tuning)<", (tmp_path / "page.html").read_text())

    assert names(["heads"] * 3) == []
    assert names(["heads", "heads", "tuning"]) == ["heads", "tuning"]


def test_every_figure_says_what_it_means(tmp_path):
    make_report().save_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    rows = re.findall(r'<td style="text-align:left">(.*?)</td>', text)
    assert len(rows) > 6 and all(rows)


def test_sections_follow_the_report(tmp_path):
    def titles(report, **options):
        path = tmp_path / "page.html"
        report.save_html(path, **options)
        return re.findall(r"<h2>(.*?)</h2>", path.read_text("utf-8"))

    everything = titles(make_report(), history={"loss": [1.0]})
    assert everything[:5] == ["Figures", "Curves", "Boxes", "Classes", "Confusion"]
    assert "Curves" not in titles(make_report())
    assert "Reliability" in (tmp_path / "page.html").read_text("utf-8")
    titles(make_report(quality=None))
    assert "Reliability" not in (tmp_path / "page.html").read_text("utf-8")
    nothing = kl.report_localizations([None], kl.make_synthetic(1))
    assert titles(nothing) == ["Figures", "Classes"]
    negatives = kl.make_synthetic(2, negatives=1)
    box = kl.Localization(0, "disc", 0.9, (1.0, 2.0, 3.0, 4.0), None)
    alarms = titles(kl.report_localizations([box, box._replace(box=None)], negatives))
    assert alarms[-1] == "False alarms"


@pytest.mark.long
def test_size_is_bounded(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), "uint8")
    classes = [f"class {i}" for i in range(300)]
    report = make_report(classes, 2500, noise)
    report.save_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 10e6
    text = (tmp_path / "page.html").read_text("utf-8")
    assert text.count("<circle") <= 2000
    assert "The largest confusions" in text


def test_names_that_are_no_utf8_and_files_that_are_gone(tmp_path):
    data = kl.make_synthetic(3, directory=tmp_path / "images")
    data.names[0] = "a\udcff.png"
    answers = [kl.Localization(0, "disc", 0.5, (0.0, 0.0, 9.0, 9.0), None)] * 3
    report = kl.report_localizations(answers, data)
    (tmp_path / "images" / "synthetic_0_000001.png").unlink()
    report.save_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "a?.png" in text and "cannot be read any more" in text


def test_bad_arguments_leave_the_old_page(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")
    for options in ({"images": -1}, {"history": {"rate": [1.0]}}, {"history": 3}):
        with pytest.raises(ValueError, match=f"`{next(iter(options))}`"):
            make_report().save_html(path, **options)
    assert path.read_text() == "old"


# --- in a browser ---


def test_a_browser_shows_it_without_an_error(page, tmp_path):
    text, errors = shown(page, tmp_path)
    assert errors == []
    assert len(Reader(text).all("section")) == 9


def test_a_click_sorts_the_classes(page, tmp_path):
    script = """
    const heads = document.querySelectorAll("table.sortable th button");
    const rows = () => [...document.querySelectorAll("table.sortable tbody tr")]
        .map(row => row.cells[0].innerText.slice(0, 3));
    const seen = [rows()];
    for (const column of [0, 0, 3, 3]) { heads[column].click(); seen.push(rows()); }
    document.title = JSON.stringify(seen);
    """
    text, errors = shown(page, tmp_path, script)
    seen = json.loads(html.unescape(re.search(r"<title>(.*?)</title>", text)[1]))
    assert errors == []
    # By name up and down; by mean IoU down and up: later images have better boxes.
    names = ["cat", "dog", "eel"]
    assert seen == [names, names, names[::-1], names[::-1], names]


def test_a_click_enlarges_an_image(page, tmp_path):
    script = """
    const dialog = document.querySelector("dialog");
    const image = document.querySelector(".gallery svg");
    const before = [dialog.open, image.getBoundingClientRect().width];
    document.querySelector(".gallery button").click();
    const large = dialog.querySelector("svg").getBoundingClientRect().width;
    const open = dialog.open;
    const boxes = dialog.querySelectorAll("rect").length;
    dialog.click();
    document.title = JSON.stringify([...before, open, large, boxes, dialog.open]);
    """
    text, errors = shown(page, tmp_path, script)
    assert errors == []
    found = json.loads(html.unescape(re.search(r"<title>(.*?)</title>", text)[1]))
    closed, small, opened, large, boxes, closed_again = found
    assert (closed, opened, closed_again) == (False, True, False)
    assert large > 3 * small and boxes == 2
