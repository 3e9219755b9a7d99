"""Answers as a CSV table, a row for each image."""

import csv
from collections.abc import Iterable, Sequence

from keras_localize import types
from keras_localize.datasets.class_names import ClassNames
from keras_localize.datasets.writing.answers import (
    Answer,
    Images,
    Localized,
    collect,
)
from keras_localize.files import replacing

_COLUMNS = ["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]
# Columns of what only some models answer.
_OF_SOME_MODELS = ("score", "quality", "presence")


def write_csv(
    path: types.Path,
    localizations: Sequence[Localized | None],
    images: Images,
    *,
    images_dir: types.Path | None = None,
    class_names: ClassNames | None = None,
) -> None:
    """Writes answers as a CSV table that `read_csv` reads.

    The columns are `filename, width, height, class, xmin, ymin, xmax, ymax`, and
    `score`, `quality` and `presence` where the model answers them. Boxes are in pixels
    of the upright image; give `read_csv` `bounding_box_format="xyxy"`, which saves it
    the decision between pixels and fractions.

    An image in which the model sees no object has empty cells for class and box:
    `read_csv(..., without_box="negative")` reads it as an image without an object. An
    image that `localize` skipped has no row. A box without an area is written as it
    is; readers refuse it.

    Args:
        path: the file; it is replaced if it is there, whole or not at all.
        localizations: what `Localizer.localize` gave, one `Localization` or None for
            each image.
        images: what it was given: a folder, a `LocalizationDataset`, or paths. Images
            must be files.
        images_dir: folder that the names of the images are relative to. None: the
            folder in `images`, or the innermost folder that holds all images.
        class_names: the classes, as in `read_csv`; another class is an error. None:
            those of the answers. A class without a name is written as its id, and the
            answer of a model without labels as `object`.

    Raises:
        ValueError: for a number of answers that is not that of the images, images that
            are not files, an image outside `images_dir`, or an unknown class; here
            also for a file name that UTF-8 cannot hold.

    Example:

    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from keras_localize import Localization
    >>> from keras_localize.datasets import read_csv, write_csv
    >>> Image.new("RGB", (100, 50)).save("cat.png")
    >>> answers = [Localization(0, "cat", 0.9, (25.0, 0.0, 75.0, 50.0), None)]
    >>> write_csv("answers.csv", answers, ["cat.png"])
    >>> print(Path("answers.csv").read_text().strip())
    filename,width,height,class,xmin,ymin,xmax,ymax,score
    cat.png,100,50,cat,25.0,0.0,75.0,50.0,0.9
    >>> read_csv(".", "answers.csv", bounding_box_format="xyxy")[0].box.tolist()
    [0.25, 0.0, 0.75, 1.0]
    """
    answers, _ = collect(localizations, images, images_dir, class_names)
    check_names(answer.name for answer in answers)
    more = [
        name
        for name in _OF_SOME_MODELS
        if any(getattr(each.localization, name) is not None for each in answers)
    ]
    with (
        replacing(path) as unfinished,
        unfinished.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_COLUMNS, *more])
        writer.writerows(_row(each, more) for each in answers)


def check_names(names: Iterable[str]) -> None:
    """Checks that a table can name the images.

    Raises:
        ValueError: for a name that UTF-8 cannot hold.
    """
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                "`images` must have names in UTF-8, as the CSV file is; the JSON of "
                f"COCO takes others. Received: {name!a}"
            ) from error


def _row(answer: Answer, more: list[str]) -> list[object]:
    height, width = answer.size
    found = (None,) * 5 if answer.box is None else (answer.class_name, *answer.box)
    others = (getattr(answer.localization, name) for name in more)
    return [answer.name, width, height, *found, *others]
