"""What an exported file says of itself."""

import json

from keras_localize.localizer.exporting.serving import ServingModel
from keras_localize.version import __version__

# The file's name in formats that hold files.
FILE_NAME = "keras_localize.json"


def metadata(model: ServingModel) -> dict[str, str]:
    """Texts by key: class names (JSON), inputs, outputs and version."""
    localizer = model.localizer
    return {
        "keras_localize_version": __version__,
        "class_names": json.dumps(localizer.class_names, ensure_ascii=False),
        "image_size": str(localizer.image_size),
        "inputs": model.takes,
        "outputs": "box: xyxy in pixels of the original image; label: the id of the "
        "class, an index into class_names; score, scores: probabilities",
    }
