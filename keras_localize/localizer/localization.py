"""What a localizer says of one picture."""

from typing import NamedTuple


class Localization(NamedTuple):
    """Where the object is in a picture, and what it is.

    Attributes:
        label: class id; `None` where the model predicts boxes only.
        class_name: its name; `None` where the model has no names.
        score: probability of that class, in [0, 1]; `None` without a label.
        box: `(x0, y0, x1, y1)`, floats in pixels of the original upright picture,
            inside it.
        quality: the IoU that the model expects of its own box, in [0, 1]; `None`
            where the model has no such output.
    """

    label: int | None
    class_name: str | None
    score: float | None
    box: tuple[float, float, float, float]
    quality: float | None
