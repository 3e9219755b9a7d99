"""Answers as YOLO text files."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from keras_localize import types
from keras_localize.datasets.class_names import ClassNames
from keras_localize.datasets.writing.answers import (
    Answer,
    Images,
    Localized,
    collect,
)
from keras_localize.files import replacing

_LABELS, _CLASSES, _YAML = "labels", "classes.txt", "data.yaml"


def write_yolo(
    path: types.Path,
    localizations: Sequence[Localized | None],
    images: Images,
    *,
    images_dir: types.Path | None = None,
    class_names: ClassNames | None = None,
    confidence: bool = False,
) -> None:
    """Writes answers as YOLO text files, as `read_yolo` and label tools read them.

    In the folder `path` there are then `labels/NAME.txt` for each image, `data.yaml`
    with the names of the classes, and the same names in `classes.txt`, a line each.
    `data.yaml` names no images: to train on them, add its `train` and `val`.

    An image in which the model sees no object has an empty text file. An image that
    `localize` skipped has none. A box without an area is written as it is; readers
    refuse it.

    Args:
        path: the folder. Nothing in it is replaced: annotations made by hand have the
            same names.
        localizations, images, images_dir, class_names: as in `write_csv`. With
            `class_names=None` the classes of the answers are numbered from 0 in the
            order of their ids: give `localizer.class_names` to keep the ids.
        confidence: whether a line ends in the score. Ultralytics writes such files,
            `read_yolo` reads them, and label tools do not.

    Raises:
        ValueError: as `write_csv`; for a `path` that holds such files, two images
            whose text file would be the same, a line break in a class name, and for
            `confidence=True` where the model has no labels.

    Example:

    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from keras_localize import Localization
    >>> from keras_localize.datasets import read_yolo, write_yolo
    >>> Image.new("RGB", (100, 50)).save("cat.png")
    >>> answers = [Localization(0, "cat", 0.9, (25.0, 0.0, 75.0, 50.0), None)]
    >>> write_yolo("answers", answers, ["cat.png"])
    >>> Path("answers/labels/cat.txt").read_text()
    '0 0.5 0.5 0.5 1.0\\n'
    >>> dataset = read_yolo(".", "answers/labels", "answers/classes.txt")
    >>> dataset[0].box.tolist()
    [0.25, 0.0, 0.75, 1.0]

    Reference:
        [Ultralytics](https://docs.ultralytics.com/datasets/detect/)
    """
    folder = check_new(path)
    answers, classes = collect(localizations, images, images_dir, class_names)
    texts = _texts(answers, classes, confidence)
    broken = [name for name in classes if len(name.splitlines()) > 1]
    if broken:
        raise ValueError(f"`class_names` must have no line breaks. Received: {broken}")
    # It goes last, so that a folder with a `data.yaml` has all files.
    with replacing(folder / _YAML) as unfinished:
        labels = unfinished.parent / _LABELS
        labels.mkdir()
        for name, text in texts.items():
            file = labels / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        lines = "".join(f"{name}\n" for name in classes)
        (unfinished.parent / _CLASSES).write_text(lines, encoding="utf-8")
        lines = "".join(f"  {i}: {_quoted(name)}\n" for i, name in enumerate(classes))
        unfinished.write_text(f"names:\n{lines}", encoding="utf-8")


def check_new(path: types.Path) -> Path:
    """The folder to write to, which must not have what would be written.

    Raises:
        ValueError: where it has.
    """
    folder = Path(path)
    there = [name for name in (_LABELS, _CLASSES, _YAML) if (folder / name).exists()]
    if there:
        raise ValueError(
            f"`path` must be a folder without {', '.join(there)}: nothing is replaced. "
            f"Received: path={str(folder)!r}"
        )
    return folder


def text_names(names: Iterable[str]) -> list[str]:
    """The text file of each image.

    Raises:
        ValueError: where two images would have the same.
    """
    texts = [str(PurePosixPath(name).with_suffix(".txt")) for name in names]
    text, count = next(iter(Counter(texts).most_common(1)), ("", 0))
    if count > 1:
        raise ValueError(
            "`images` must differ in more than their suffixes: they would have the "
            f"same text file. Received: {count} images for {text}"
        )
    return texts


def _texts(
    answers: list[Answer], classes: list[str], confidence: bool
) -> dict[str, str]:
    """The content of each text file, by its name."""
    names = text_names(each.name for each in answers)
    return {
        name: _line(each, classes, confidence) for name, each in zip(names, answers)
    }


def _line(answer: Answer, classes: list[str], confidence: bool) -> str:
    if answer.box is None:
        return ""
    x0, y0, x1, y1 = answer.box
    height, width = answer.size
    values = [
        classes.index(answer.class_name),
        (x0 + x1) / 2 / width,
        (y0 + y1) / 2 / height,
        (x1 - x0) / width,
        (y1 - y0) / height,
    ]
    if confidence:
        if answer.localization.score is None:
            raise ValueError(
                "`confidence=True` needs a model with labels: the score of "
                f"{answer.name} is None"
            )
        values.append(answer.localization.score)
    return " ".join(map(str, values)) + "\n"


def _quoted(name: str) -> str:
    """A text of YAML; what is no plain letter is written by its number."""
    plain = "".join(
        each if each.isprintable() and each not in '"\\' else f"\\U{ord(each):08x}"
        for each in name
    )
    return f'"{plain}"'
