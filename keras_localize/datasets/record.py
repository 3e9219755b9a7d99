"""One image of a dataset, as indexing gives it."""

from dataclasses import dataclass

import numpy as np

from keras_localize.types import Region


@dataclass(frozen=True)
class Record:
    """One image of a dataset.

    Attributes:
        image: path of the file, the uint8 array (height, width, 3), or a `Region` of
            one of these.
        box: float32 array (4,), `rel_xyxy` relative to the upright image; zeros where
            there is none.
        label: class id; -1 where the image holds no object.
        class_name: the class's name; None where the image holds no object.
        weight: weight of the box, usually 1.0; 0.0 where there is no box.
        size: (height, width) of the upright image in pixels.
        name: what the record is called in errors, summaries and splits.
        presence: 1.0, or 0.0 for an image that holds no object.
    """

    image: str | np.ndarray | Region
    box: np.ndarray
    label: int
    class_name: str | None
    weight: float
    size: tuple[int, int]
    name: str
    presence: float = 1.0

    @property
    def path(self) -> str | None:
        """Path of the file; None for an image in memory."""
        return self.image if isinstance(self.image, str) else None
