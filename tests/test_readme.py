"""README and docs: their code runs as printed, their links and commands exist."""

import functools
import re
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_localize as kl

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "CHANGELOG.md"]
PAGES += [
    path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md"))
]
NOTEBOOKS = ["examples/oxford_pets.md", "examples/your_own_data.md"]
PAGES += NOTEBOOKS
# Pages whose blocks have a test of their own below, or in another file.
TESTED = ["README.md", *(f"docs/{name}.md" for name in ("localizer", "datasets"))]
TESTED += ["docs/geometry.md", "docs/losses.md", "docs/trust.md"]
# Each backend writes other formats: tests/localizer/test_export.py reads them all.
TESTED += ["docs/export.md"]
# tests/test_notebooks.py runs them as notebooks.
TESTED += NOTEBOOKS

VOC = """<annotation><filename>{name}</filename>
<size><width>{width}</width><height>{height}</height><depth>3</depth></size>
<object><name>{label}</name><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>
<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object></annotation>"""


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def code_of(page):
    """(line, code) of each Python block of a page."""
    text = text_of(page)
    return [
        (text[: match.start(1)].count("\n") + 1, match[1])
        for match in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.S)
    ]


def run(page):
    """Runs the blocks of a page one after the other; gives their names."""
    names = {}
    for line, code in code_of(page):
        # The page's own line numbers, so that a failure names the line to mend.
        exec(compile("\n" * (line - 1) + code, str(ROOT / page), "exec"), names)
    return names


def small_backbone(include_top, input_shape):
    """In the place of a pretrained network: what README asks of it, at once."""
    assert not include_top
    x = images = keras.Input(input_shape)
    for filters in (4, 8, 8, 16):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same")(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    # The scaling of a keras.applications model is known by the model's name.
    return keras.Model(images, x, name="mobilenetv2_1.00_224")


@pytest.fixture
def reader_folder(tmp_path, monkeypatch):
    """What the pages' code finds: images, annotations, and no network.

    Pretrained weights are replaced by random ones and every training lasts an epoch.
    """
    monkeypatch.chdir(tmp_path)
    for folder in ("images", "annotations"):
        (tmp_path / folder).mkdir()
    drawn = kl.make_synthetic(10, num_classes=2, seed=0)
    rows = []
    for index, (array, label) in enumerate(zip(drawn.images, drawn.labels)):
        height, width = array.shape[:2]
        sides = np.array([width, height, width, height])
        x0, y0, x1, y1 = np.round(drawn.boxes[index] * sides).astype(int)
        name, label = f"{index}.png", drawn.class_names[label]
        Image.fromarray(array).save(tmp_path / "images" / name)
        fields = {"name": name, "width": width, "height": height}
        (tmp_path / "annotations" / f"{index}.xml").write_text(
            VOC.format(label=label, box=(x0 + 1, y0 + 1, x1, y1), **fields)
        )
        rows.append(f"{name},{x0},{y0},{x1},{y1},{label}")
    (tmp_path / "boxes.csv").write_text("\n".join(rows) + "\n")
    for name, size in (("street.jpg", (80, 60)), ("garden.png", (50, 70))):
        Image.new("RGB", size, "green").save(tmp_path / name)

    monkeypatch.setattr(keras.applications, "MobileNetV2", small_backbone)
    original = keras.Model.fit

    @functools.wraps(original)
    def fit(self, *args, **kwargs):
        return original(self, *args, **{**kwargs, "epochs": 1})

    monkeypatch.setattr(keras.Model, "fit", fit)
    return tmp_path


def test_readme(reader_folder, capsys):
    names = run("README.md")
    found = names["found"]
    assert found.class_name in names["data"].class_names
    x0, y0, x1, y1 = found.box
    assert 0 <= x0 <= x1 <= 80 and 0 <= y0 <= y1 <= 60  # in street.jpg
    assert str(found.box) in capsys.readouterr().out
    loaded = keras.models.load_model(reader_folder / "localizer.keras")
    again = loaded.localize(["street.jpg"], refine=True)[0]
    np.testing.assert_allclose(again.box, found.box, atol=1e-2)
    # Single parts: the model learned from the boxes, and predicts valid ones.
    model = names["model"]
    assert model.history.history["loss"][0] > 0
    assert "iou" in model.history.history
    boxes = keras.ops.convert_to_numpy(model(np.zeros((2, 224, 224, 3), "float32")))
    assert (boxes[:, :2] <= boxes[:, 2:]).all()


def test_the_ten_lines_are_few():
    lines = [line for line in code_of("README.md")[0][1].splitlines() if line.strip()]
    assert len(lines) <= 10


def test_the_first_screen_names_what_a_user_needs_next():
    first_screen = text_of("README.md").partition("\n## What it offers")[0]
    assert len(first_screen.splitlines()) <= 70
    for name in (
        *(
            "docs/images/",
            "pip install",
            "quickstart.py",
            "report.html",
            "docs/start.md",
        ),
        *("#extras-and-backends", "your_own_data.md", "docs/index.md"),
    ):
        assert name in first_screen
    urls = tomllib.loads(text_of("pyproject.toml"))["project"]["urls"]
    assert urls["Documentation"] in first_screen


def test_readme_names_every_extra():
    extras = tomllib.loads(text_of("pyproject.toml"))["project"][
        "optional-dependencies"
    ]
    named = set(re.findall(r'pip install -e "\.\[(\w+)\]"', text_of("README.md")))
    # Backends have a sentence of their own; `dev` is in CONTRIBUTING.md.
    assert named == set(extras) - {"jax", "torch", "dev"}


def test_localizer_page(reader_folder, capsys):
    names = run("docs/localizer.md")
    data, answers = names["data"], names["answers"]
    # What `decode_predictions` gave is what `localize` gives.
    expected = names["localizer"].localize(names["validation"])
    assert len(answers) == len(names["validation"])
    for answer, other in zip(answers, expected):
        assert answer.class_name == other.class_name
        np.testing.assert_allclose(answer.box, other.box, atol=0.05)
    assert names["report"].images == len(names["validation"])
    again = kl.report_localizations(
        names["localizer"].localize(names["validation"], refine=True),
        names["validation"],
    )
    assert again.mean_iou == pytest.approx(names["report"].mean_iou, abs=1e-4)
    # iter_localize printed one line for each image of the folder.
    printed = capsys.readouterr().out
    assert all(Path(image).name in printed for image in data.images)


def test_datasets_page(reader_folder):
    names = run("docs/datasets.md")
    assert names["images"].shape[1:] == (224, 224, 3)
    assert names["boxes"].shape[1:] == (4,)
    assert len(names["data"]) == 10  # the table without a header
    assert len(names["both"]) == 12
    assert names["both"].class_names[: len(names["data"].class_names)] == (
        names["data"].class_names
    )
    assert [path.name for path in names["paths"]] == [f"{i}.png" for i in range(10)]
    assert names["pixels"].shape[:2] == (names["height"], names["width"])
    assert names["square"].shape == (224, 224, 3)
    flipped, targets, _ = next(iter(names["batches"]))
    assert flipped.shape[1:] == (224, 224, 3)
    assert np.asarray(targets["box"]).shape[1:] == (4,)


def test_a_table_without_a_header_gives_the_boxes_of_the_xml_files(reader_folder):
    by_table = kl.read_csv(
        "images", "boxes.csv", columns={"image": 0, "label": 5, "box": (1, 2, 3, 4)}
    )
    by_xml = kl.read_voc("images", "annotations")
    assert by_table.class_names == by_xml.class_names
    np.testing.assert_allclose(by_table.boxes, by_xml.boxes, atol=1e-6)


def test_geometry_page(reader_folder):
    names = run("docs/geometry.md")
    np.testing.assert_allclose(names["back"], names["box"], atol=1e-6)
    np.testing.assert_allclose(names["original"], names["box"], atol=1e-6)
    # 500 x 375 in a square of 224: 168 rows, 28 black ones above.
    y0 = (0.4 * 168 + 28) / 224
    assert float(names["moved"][1]) == pytest.approx(y0, abs=1e-6)
    (element,) = names["dataset"]
    assert element["images"].shape == (224, 224, 3)


def test_losses_page(reader_folder):
    model = run("docs/losses.md")["model"]
    history = model.fit(
        np.zeros((4, 64, 64, 3)), np.tile([0.2, 0.2, 0.6, 0.6], (4, 1)), verbose=0
    )
    assert history.history["loss"][0] > 0


@pytest.mark.filterwarnings("ignore:The outer box is the whole image", "ignore:Only")
def test_trust_page(reader_folder, capsys):
    names = run("docs/trust.md")
    assert names["train"].summary().negatives > 0
    assert names["answer"].outer_box is not None or names["answer"].box is None
    assert names["report"].coverage in (None, 1.0)  # the whole image
    loaded = keras.models.load_model(reader_folder / "localizer.keras")
    assert loaded.calibrations == names["localizer"].calibrations
    assert "look below a quality of" in capsys.readouterr().out


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="takes minutes: on TensorFlow only"
)
@pytest.mark.parametrize(
    "page", [page for page in PAGES if code_of(page) and page not in TESTED]
)
def test_page(page, reader_folder):
    """The blocks of every other page run, one after the other."""
    run(page)


@pytest.mark.parametrize("page", [page for page in PAGES if "/howto/" in page])
def test_how_to_pages_have_a_block(page):
    assert code_of(page)


def test_every_how_to_page_has_an_image():
    how_to = re.search(r":caption: How to\n\n(.*?)```", text_of("docs/index.md"), re.S)
    pages = [f"docs/{name}.md" for name in how_to[1].split()]
    assert len(pages) > 10
    for page in pages:
        assert re.search(r"!\[.+\]\((\.\./)?images/\w+\.png\)", text_of(page)), page


# --- links and commands ---


def anchor(heading):
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.S)
    return {anchor(heading) for heading in re.findall(r"^#+ (.*)", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES)
def test_links(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"https?:", target):
            continue
        file, _, place = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), target
        if place:
            assert place in anchors(path), target


@pytest.mark.parametrize("page", PAGES)
def test_commands_name_files_and_extras_that_exist(page):
    text = text_of(page)
    for script in re.findall(r"(?:python|pytest) ((?:[\w/]+\.py ?)+)", text):
        assert all((ROOT / name).is_file() for name in script.split()), script
    extras = tomllib.loads(text_of("pyproject.toml"))["project"]
    for extra in re.findall(r'pip install -e "\.\[(\w+)\]"', text):
        assert extra in extras["optional-dependencies"], extra


def test_every_page_is_in_the_index():
    pages = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    linked = set(re.findall(r"\]\(([\w/]+\.md)\)", text_of("docs/index.md")))
    assert pages - {"index.md"} <= linked
    in_the_tree = set(re.findall(r"^[\w/]+$", text_of("docs/index.md"), re.MULTILINE))
    assert {page.removesuffix(".md") for page in pages} - {"index"} <= in_the_tree


def test_a_figure_is_told_once():
    """Figures with a spread come from a measurement: they stand on one page each."""
    found = {}
    for page in PAGES:
        for row in re.findall(r"^\|.*±.*\|$", text_of(page), re.MULTILINE):
            found.setdefault(row, []).append(page)
    assert found
    assert {page for pages in found.values() for page in pages} <= {
        "README.md",
        "docs/benchmarks.md",
    }
    assert all(len(pages) == 1 for pages in found.values())


def test_the_index_names_modules_that_exist():
    for row in re.findall(r"^\| .* \| (.*`.*) \|$", text_of("docs/index.md"), re.M):
        for name in re.findall(r"`([\w/]+(?:\.py|/))`", row):
            folders = [ROOT / "keras_localize"]
            folders += [folder for folder in folders[0].iterdir() if folder.is_dir()]
            assert any((folder / name).exists() for folder in folders), name
