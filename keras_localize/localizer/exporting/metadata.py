"""What an exported file says of itself."""

import json

from keras_localize.localizer.localizer import Localizer
from keras_localize.version import __version__

# The file's name in formats that hold files.
FILE_NAME = "keras_localize.json"


def metadata(localizer: Localizer, inputs: str) -> dict[str, str]:
    """Texts by key: class names (JSON), input and version.

    Args:
        localizer: the localizer.
        inputs: in words, what the file takes.
    """
    return {
        "keras_localize_version": __version__,
        "class_names": json.dumps(localizer.class_names, ensure_ascii=False),
        "image_size": str(localizer.image_size),
        "inputs": inputs,
        "outputs": "box: xyxy in pixels of the original image; label: the id of the "
        "class, an index into class_names; score, scores: probabilities",
    }
