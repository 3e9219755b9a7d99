"""Answers in COCO's JSON."""

import json
from collections.abc import Sequence
from typing import Any

from keras_localize import types
from keras_localize.datasets.class_names import ClassNames
from keras_localize.datasets.writing.answers import (
    Answer,
    Images,
    Localized,
    collect,
)
from keras_localize.files import replacing


def write_coco(
    path: types.Path,
    localizations: Sequence[Localized | None],
    images: Images,
    *,
    images_dir: types.Path | None = None,
    class_names: ClassNames | None = None,
) -> None:
    """Writes answers in COCO's JSON, as `read_coco` and others read it.

    An annotation has `score` besides, where the model has labels; `pycocotools` takes
    the annotations as results. Ids of images count from 1 in the order of `images`,
    ids of categories from 1 in the order of the class ids. Boxes are in pixels of the
    upright image.

    An image in which the model sees no object is listed without an annotation. An image
    that `localize` skipped is not listed. A box without an area is written as it is;
    readers refuse it.

    Args:
        path: the JSON file; it is replaced if it is there, whole or not at all.
        localizations, images, images_dir, class_names: as in `write_csv`.

    Raises:
        ValueError: as `write_csv`.

    Example:

    >>> from PIL import Image
    >>> from keras_localize import Localization
    >>> from keras_localize.datasets import read_coco, write_coco
    >>> Image.new("RGB", (100, 50)).save("cat.png")
    >>> answers = [Localization(0, "cat", 0.9, (25.0, 0.0, 75.0, 50.0), None)]
    >>> write_coco("answers.json", answers, ["cat.png"])
    >>> read_coco(".", "answers.json")[0].box.tolist()
    [0.25, 0.0, 0.75, 1.0]

    Reference:
        [COCO data format](https://cocodataset.org/#format-data)
    """
    answers, classes = collect(localizations, images, images_dir, class_names)
    listed, annotations = [], []
    for image_id, answer in enumerate(answers, start=1):
        height, width = answer.size
        listed.append(
            {
                "id": image_id,
                "file_name": answer.name,
                "width": width,
                "height": height,
            }
        )
        if answer.box is not None:
            annotation = _annotation(answer, classes)
            ids = {"id": len(annotations) + 1, "image_id": image_id}
            annotations.append(ids | annotation)
    content = {
        "images": listed,
        "categories": [{"id": i, "name": name} for i, name in enumerate(classes, 1)],
        "annotations": annotations,
    }
    text = json.dumps(content, ensure_ascii=False)
    with replacing(path) as unfinished:
        # Surrogates stand for bytes of a file name that are no UTF-8. JSON has the same
        # escape for them, and the rest stays readable.
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")


def _annotation(answer: Answer, classes: list[str]) -> dict[str, Any]:
    assert answer.box is not None
    x0, y0, x1, y1 = map(float, answer.box)  # json takes no number of NumPy
    annotation: dict[str, Any] = {
        "category_id": classes.index(answer.class_name) + 1,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "iscrowd": 0,
    }
    if answer.localization.score is not None:
        annotation["score"] = float(answer.localization.score)
    return annotation
