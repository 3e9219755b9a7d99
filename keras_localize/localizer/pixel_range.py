"""Arrays of images in another range than the model takes."""

from typing import Any

import numpy as np

from keras_localize.arrays import to_numpy
from keras_localize.images.arrays import range_advice
from keras_localize.warn import warn

# Images that are looked at: enough that not all of them are black.
_COUNT = 32


def warn_of_range(images: Any) -> None:
    """Warns of an array of images that are not in [0, 255].

    A model that was trained on them would answer `localize`, which gives it pixels in
    [0, 255], with nonsense. Whatever is no array is not looked at.
    """
    if len(getattr(images, "shape", ())) != 4 or not len(images):
        return
    some = to_numpy(images[:_COUNT])
    is_float = some.dtype.kind not in "iub"
    some = some.astype("float32")
    low, high = float(some.min()), float(some.max())
    advice = range_advice(low, high, is_float) if np.isfinite(some).all() else None
    if advice is not None:
        warn(
            "A localizer takes images in [0, 255], and so `localize` gives them to it; "
            f"{advice}. Received: `x` with values in [{low:g}, {high:g}]",
        )
