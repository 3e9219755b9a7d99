"""LiteRT (`.tflite`), for phones and microcontrollers."""

import json
import os
import zipfile
from pathlib import Path

from keras_localize.localizer.exporting.metadata import FILE_NAME
from keras_localize.localizer.exporting.serving import SquareModel
from keras_localize.localizer.exporting.signature import input_signature


def write_litert(model: SquareModel, path: Path, notes: dict[str, str]) -> None:
    """Writes a LiteRT file. It is a zip file too, of the JSON file of its metadata.

    Args:
        model: what to export.
        path: the file.
        notes: its metadata.
    """
    # Keras takes no other ending.
    written = path.with_name("model.tflite")
    model.export(
        str(written),
        format="litert",
        input_signature=input_signature(model),
        verbose=False,
    )
    # Where LiteRT keeps the files that belong to a model.
    with zipfile.ZipFile(written, "a") as archive:
        archive.writestr(FILE_NAME, json.dumps(notes, ensure_ascii=False))
    os.replace(written, path)
