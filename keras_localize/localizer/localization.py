"""The answer for one image."""

from typing import NamedTuple

from keras_localize.markup import table

# A model of a thousand classes has a thousand scores.
_SHOWN_SCORES = 5


class Localization(NamedTuple):
    """Where the object is in an image, and what it is.

    Each attribute is `None` where the model does not predict it.

    Attributes:
        label: class id.
        class_name: the name of that class; `None` where the model has no names.
        score: probability of that class, in [0, 1].
        box: `(x0, y0, x1, y1)`, floats in pixels of the original upright image,
            inside it; `None` where the model says that there is no object.
        quality: the IoU that the model expects of its own box, in [0, 1]; too high
            on average unless the model was calibrated (`Localizer.calibrate`).
        scores: probabilities of all classes, in the order of their ids.
        presence: probability that the image holds an object, in [0, 1].
        outer_box: a box, in the same pixels, that holds the whole object with the
            probability for which the model was calibrated (`Localizer.calibrate`).
            `None` where there is no `box`.
    """

    label: int | None
    class_name: str | None
    score: float | None
    box: tuple[float, float, float, float] | None
    quality: float | None
    scores: tuple[float, ...] | None = None
    presence: float | None = None
    outer_box: tuple[float, float, float, float] | None = None

    def _repr_html_(self) -> str:
        rows = []
        for name, value in self._asdict().items():
            if name == "scores" and value is not None:
                value = _numbers(value[:_SHOWN_SCORES]) + (
                    ", ..." if value[_SHOWN_SCORES:] else ""
                )
            elif isinstance(value, tuple):
                value = _numbers(value)
            elif isinstance(value, float):
                value = f"{value:.4g}"
            if value is not None:
                rows.append((name, value))
        return table(rows)


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
