"""The command line, in this process, against the functions of the same names."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

import keras_localize as kl
from keras_localize.__main__ import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A saved localizer and a saved dataset with files."""
    folder = tmp_path_factory.mktemp("command_line")
    data = kl.make_synthetic(6, num_classes=2, directory=folder / "images")
    data.save(folder / "data.json")
    backbone = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 8, strides=8)]
    )
    localizer = kl.build_localizer(
        backbone, 2, class_names=data.class_names, preprocessing=None
    )
    localizer.save(folder / "localizer.keras")
    return folder


@pytest.fixture
def run(folder, capsys, monkeypatch):
    """Runs a command; gives its status, output and errors."""
    monkeypatch.chdir(folder)

    def run(*words):
        try:
            status = main(words)
        except SystemExit as done:
            status = done.code
        return (status, *capsys.readouterr())

    return run


def expected(folder, **options):
    localizer = keras.saving.load_model(folder / "localizer.keras")
    data = kl.LocalizationDataset.load(folder / "data.json")
    return kl.evaluate_localizer(localizer, data, **options)


def test_evaluate(run, folder):
    words = ("evaluate", "localizer.keras", "--dataset", "data.json", "--worst", "2")
    status, output, _ = run(*words, "--refine", "--output", "report.json")
    report = expected(folder, refine=True, worst=2)
    assert status == 0
    assert output.strip().endswith(f"{report}\nwrote report.json".strip())
    written = json.loads((folder / "report.json").read_text())
    assert written["mean_iou"] == pytest.approx(report.mean_iou)
    assert len(written["worst"]) == 2


def test_report(run, folder):
    (folder / "history.csv").write_text("epoch,loss\n0,3.0\n1,2.0\n")
    words = ("report", "localizer.keras", "page.html", "--dataset", "data.json")
    status, output, errors = run(
        *words, "--history", "history.csv", "--title", "T&T", "--images", "2"
    )
    assert (status, errors) == (0, "")
    assert output.splitlines()[-1] == "wrote page.html"
    text = (folder / "page.html").read_text("utf-8")
    assert "<title>T&amp;T</title>" in text and "<h2>Curves</h2>" in text
    assert text.count('data-box="true"') == 2 * text.count('class="gallery"')
    assert f"{expected(folder).mean_iou:.4f}" in text


def test_localize_to_json_and_to_lines(run, folder):
    status, output, _ = run("localize", "localizer.keras", "images")
    assert status == 0
    lines = [json.loads(line) for line in output.splitlines() if line[:1] == "{"]
    one = str(folder / "images" / "synthetic_0_000000.png")
    words = ("localize", "localizer.keras", one, "images", "--output", "found.json")
    status, output, _ = run(*words, "--format", "json")
    assert status == 0 and output.splitlines()[-1] == "wrote found.json"
    found = json.loads((folder / "found.json").read_text())
    answers = [row.answer for row in expected(folder).per_image]
    assert len(lines) == 6 and len(found) == 7
    for row, answer in zip([*lines, *found[1:]], [*answers, *answers]):
        assert row["class_name"] == answer.class_name
        assert row["box"] == pytest.approx(answer.box, abs=1e-3)
    assert found[0]["image"] == one


@pytest.mark.skipif(not hasattr(kl, "write_csv"), reason="needs the writers")
@pytest.mark.parametrize("format", ["csv", "coco"])
def test_localize_to_annotations(run, folder, format):
    words = ("localize", "localizer.keras", "images", "--output", f"found.{format}")
    assert run(*words, "--format", format)[0] == 0
    reader = {"csv": kl.read_csv, "coco": kl.read_coco}[format]
    options = {"bounding_box_format": "xyxy"} if format == "csv" else {}
    data = reader(folder / "images", folder / f"found.{format}", **options)
    answers = [row.answer for row in expected(folder).per_image]
    assert [one.class_name for one in data] == [a.class_name for a in answers]


def test_localize_skips_what_cannot_be_read(run, folder):
    (folder / "broken.jpg").write_bytes(b"no image")
    status, _, errors = run("localize", "localizer.keras", "broken.jpg")
    assert status == 2 and "broken.jpg" in errors
    with pytest.warns(UserWarning, match="broken.jpg"):
        words = ("localize", "localizer.keras", "broken.jpg", "--on-error", "skip")
        status, output, _ = run(*words)
    assert status == 0 and json.loads(output.splitlines()[-1]) == {
        "image": "broken.jpg"
    }


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="each backend has its own formats"
)
def test_export(run, folder):
    words = ("export", "localizer.keras", "served", "--image", "square")
    status, output, _ = run(*words)
    assert status == 0 and output.splitlines()[-1] == "wrote served"
    assert (folder / "served" / "saved_model.pb").is_file()


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="each backend has its own formats"
)
def test_export_to_int8(run, folder):
    pytest.importorskip("ai_edge_litert")
    words = ("export", "localizer.keras", "small.tflite", "--format", "litert")
    words = (*words, "--precision", "int8")
    status, _, errors = run(*words)
    assert status == 2 and "representative_dataset" in errors
    assert run(*words, "--dataset", "data.json")[0] == 0
    assert (folder / "small.tflite").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "COMMAND"),
        (("evaluate", "localizer.keras"), "--dataset"),
        (("evaluate", "missing.keras", "--dataset", "data.json"), "missing.keras"),
        (("evaluate", "data.json", "--dataset", "data.json"), "data.json"),
        (("evaluate", "localizer.keras", "--dataset", "none.json"), "none.json"),
        (("evaluate", "localizer.keras", "--voc", "images"), "expected 2"),
        (("localize", "localizer.keras", "nowhere.jpg"), "nowhere.jpg"),
        (("localize", "localizer.keras", "images", "--batch-size", "0"), "batch_size"),
        (("export", "localizer.keras", "x", "--format", "tape"), "--format"),
        (("export", "localizer.keras", "x", "--image", "any", "--batched"), "batched"),
    ],
)
def test_errors_are_one_line_and_2(run, words, message):
    status, _, errors = run(*words)
    assert status == 2
    assert errors.count("\n") == 1 and message in errors
    assert errors.startswith("keras-localize")


@pytest.mark.parametrize("command", ["evaluate", "localize", "export", "report"])
def test_help(run, command):
    status, output, _ = run(command, "--help")
    assert status == 0 and "LOCALIZER" in output.upper()


def test_as_a_module():
    words = [sys.executable, "-m", "keras_localize", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == kl.__version__


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("localize", "localizer.keras", "images", "--output", "images"), "folder"),
        (
            ("localize", "localizer.keras", "images", "--output=.", "--format=yolo"),
            "nothing is replaced",
        ),
        (("evaluate", "localizer.keras", "--output", "images"), "folder"),
        (("report", "localizer.keras", "images"), "folder"),
        (("report", "localizer.keras", "r.html", "--history", "no.csv"), "no.csv"),
        (("report", "localizer.keras", "r.html", "--images", "-3"), "`images`"),
        (("evaluate", "localizer.keras", "--without-box", "keep"), "--without-box"),
        (("export", "localizer.keras", "x", "--without-box", "keep"), "--without-box"),
    ],
)
def test_what_is_wrong_is_said_before_any_inference(
    run, folder, words, message, monkeypatch
):
    def never(*args, **options):
        raise AssertionError("images were predicted")

    monkeypatch.setattr(kl, "evaluate_localizer", never)
    monkeypatch.setattr(kl.Localizer, "iter_localize", never)
    (folder / "classes.txt").write_text("kept")
    if words[0] != "localize":
        words = (*words, "--dataset", "data.json")
    status, _, errors = run(*words)
    assert status == 2 and message in errors and errors.count("\n") == 1
    assert (folder / "classes.txt").read_text() == "kept"
    assert len(list((folder / "images").iterdir())) == 6


def test_a_layer_of_ones_own_is_an_error_of_one_line(run, folder):
    class Own(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    layers = [keras.Input((32, 32, 3)), Own(), keras.layers.Conv2D(4, 8, strides=8)]
    localizer = kl.build_localizer(keras.Sequential(layers), 2, preprocessing=None)
    localizer.save(folder / "own.keras")
    status, _, errors = run("localize", "own.keras", "images")
    assert status == 2 and "layers of your own" in errors and errors.count("\n") == 1


NAMES = ["ape", "bee", "cat", "dog"]


def save_constant(path, label, class_names, num_classes):
    """Saves a localizer that gives every image this label."""
    backbone = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 8, strides=8)]
    )
    localizer = kl.build_localizer(
        backbone, num_classes, class_names=class_names, preprocessing=None
    )
    kernel, bias = localizer.get_layer("label").weights
    kernel.assign(np.zeros(kernel.shape))
    bias.assign(20.0 * (np.arange(bias.shape[0]) == label))
    localizer.save(path)


@pytest.fixture
def below(folder, tmp_path):
    """A folder whose two images all lie in a folder below it."""
    (tmp_path / "new" / "sub").mkdir(parents=True)
    for i in range(2):
        Image.new("RGB", (40, 30)).save(tmp_path / "new" / "sub" / f"{i}.png")
    return tmp_path


@pytest.mark.parametrize("format", ["csv", "coco", "yolo"])
@pytest.mark.parametrize("class_names", [NAMES, None])
def test_files_have_the_models_class_ids_and_names_below_the_folder(
    run, below, format, class_names
):
    save_constant(below / "m.keras", 2, class_names, 4)
    out = below / "out"
    words = ("localize", str(below / "m.keras"), str(below / "new"))
    status, *_ = run(*words, "--output", str(out), "--format", format)
    assert status == 0
    images = below / "new"
    data = {
        "csv": lambda: kl.read_csv(images, out, bounding_box_format="xyxy"),
        "coco": lambda: kl.read_coco(images, out),
        "yolo": lambda: kl.read_yolo(images, out / "labels", out / "data.yaml"),
    }[format]()
    expected = class_names or ["0", "1", "2", "3"]
    assert data.names == ["sub/0.png", "sub/1.png"]
    assert [record.class_name for record in data] == [expected[2]] * 2
    if format != "yolo":  # readers also find an image by its last part
        assert "sub/0.png" in out.read_text()
    if format != "csv":  # a table lists no classes
        assert list(data.class_names) == expected and list(data.labels) == [2, 2]


def test_class_ids_of_one_unit_and_of_a_model_without_labels(run, below):
    for num_classes, expected in ((1, ["0", "1"]), (None, ["object"])):
        backbone = keras.Sequential(
            [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 8, strides=8)]
        )
        localizer = kl.build_localizer(backbone, num_classes, preprocessing=None)
        localizer.save(below / "m.keras")
        out = below / f"out{num_classes}"
        words = ("localize", str(below / "m.keras"), str(below / "new"), "--output")
        assert run(*words, str(out), "--format", "yolo")[0] == 0
        assert (out / "classes.txt").read_text().split() == expected


class Terminal(io.TextIOWrapper):
    """A terminal that shows Western European letters alone."""

    def __init__(self):
        super().__init__(io.BytesIO(), encoding="cp1252")

    def shown(self):
        self.flush()
        return self.buffer.getvalue().decode("cp1252")


def test_letters_that_the_terminal_lacks_destroy_nothing(run, below, monkeypatch):
    names = ["ko\u010dka", "\u017eaba"]  # only the second is in cp1252
    data = kl.make_synthetic(2, num_classes=2, directory=below / "drawn")
    data = kl.LocalizationDataset(data.images, data.boxes, data.labels, names)
    data.save(below / "cz.json")
    save_constant(below / "cz.keras", 0, names, 2)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    out = below / "\u010d.json"
    words = ("evaluate", str(below / "cz.keras"), "--dataset", str(below / "cz.json"))
    assert run(*words, "--output", str(out))[0] == 0
    assert set(json.loads(out.read_text())["per_class"]) == set(names)
    shown = terminal.shown()
    assert "ko\\u010dka" in shown and names[1] in shown and "mean_iou" in shown
    assert shown.splitlines()[-1].endswith("\\u010d.json")


def test_a_result_is_saved_before_anything_is_printed(run, below, monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError("no space left")

    monkeypatch.setattr(sys, "stdout", Full())
    out = below / "out.json"
    words = ("evaluate", "localizer.keras", "--dataset", "data.json")
    status, _, errors = run(*words, "--output", str(out))
    assert status == 2 and "no space left" in errors
    assert json.loads(out.read_text())["images"] == 6


@pytest.fixture
def odd(below):
    """A folder with an image whose name is no UTF-8."""
    folder = below / "new"
    name = os.fsencode(folder) + b"/odd\xff.png"
    try:
        shutil.copy(os.fsencode(folder / "sub" / "0.png"), name)
    except OSError:
        pytest.skip("this file system takes no such name")
    return folder


def test_a_file_name_that_is_no_utf8_is_refused_before_any_inference(
    run, odd, below, monkeypatch
):
    def never(*args, **options):
        raise AssertionError("images were predicted")

    monkeypatch.setattr(kl.Localizer, "iter_localize", never)
    out = below / "x.csv"
    words = ("localize", "localizer.keras", str(odd), "--output", str(out))
    status, _, errors = run(*words)
    assert status == 2 and r"odd\udcff.png" in errors and errors.count("\n") == 1
    assert not out.exists()


def test_images_with_one_text_file_are_refused_before_any_inference(
    run, below, monkeypatch
):
    def never(*args, **options):
        raise AssertionError("images were predicted")

    monkeypatch.setattr(kl.Localizer, "iter_localize", never)
    folder, out = below / "new" / "sub", below / "y"
    shutil.copy(folder / "0.png", folder / "0.jpg")
    words = ("localizer.keras", str(folder), "--output", str(out), "--format", "yolo")
    status, _, errors = run("localize", *words)
    assert status == 2 and "2 images for 0.txt" in errors
    assert not out.exists()


@pytest.mark.parametrize("format", ["coco", "yolo", "json"])
def test_a_file_name_that_is_no_utf8_in_other_files(run, odd, below, format):
    out = below / "out"
    words = ("localize", "localizer.keras", str(odd), "--output", str(out))
    assert run(*words, "--format", format)[0] == 0
    name = "odd\udcff.png"
    if format == "coco":
        data = kl.read_coco(odd, out)
        assert name in data.names
        data.save(below / "odd.json")
        words = ("evaluate", "localizer.keras", "--dataset", str(below / "odd.json"))
        status, output, _ = run(*words)
        assert status == 0 and r"odd\udcff.png" in output
    elif format == "yolo":
        data = kl.read_yolo(odd, out / "labels", out / "data.yaml")
        assert name in data.names
    else:
        found = json.loads(out.read_text("utf-8"))
        assert str(odd / name) in [one["image"] for one in found]


def changed(content, **members):
    """A zip file with other members; None leaves one out."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(file, "w") as new,
    ):
        for name in old.namelist():
            data = members.get(name.split(".")[0], old.read(name))
            if data is not None:
                new.writestr(name, data)
    return file.getvalue()


def test_a_damaged_localizer_is_an_error_of_one_line(run, folder, tmp_path):
    content = (folder / "localizer.keras").read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as whole:
        config = whole.read("config.json")
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 255
    for damaged in (
        changed(content, config=None),
        changed(content, config=b"{"),
        changed(content, config=config.replace(b'"frozen"', b'"thawed"')),
        changed(content, model=None),
        changed(content, model=b"no HDF5"),
        bytes(flipped),
    ):
        path = tmp_path / "bad.keras"
        path.write_bytes(damaged)
        status, _, errors = run("localize", str(path), "images")
        assert status == 2 and errors.count("\n") == 1
        assert "`localizer`" in errors and "bad.keras" in errors
