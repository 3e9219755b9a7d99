"""What an exported file computes: from pixels to the answer, all in `keras.ops`."""

from collections.abc import Callable, Mapping

import keras
from keras import ops

from keras_localize.boxes import clip
from keras_localize.localizer.exporting.sampling import crop, letterbox, size_of
from keras_localize.localizer.localizer import Localizer
from keras_localize.localizer.predictions import (
    calibrated,
    class_probabilities,
    join_refined,
    most_probable,
    to_original,
)
from keras_localize.localizer.refinement import out_of_windows, windows_around
from keras_localize.types import ImageSize, Tensor


class ServingModel(keras.Model):
    """The base of what is exported.

    Args:
        localizer: the localizer.

    Attributes:
        takes: the inputs in words.
        answers: the names of the outputs, in their order.
        batched: whether inputs and outputs have a leading axis.
    """

    takes: str

    def __init__(
        self, localizer: Localizer, batched: bool = False, refine: bool = False
    ) -> None:
        super().__init__(name="serving")
        self.localizer = localizer
        self.batched = batched
        self.refine = refine
        self.calibration = localizer.calibration(False, refine)
        self.answers = _answer_names(localizer, self.calibration is not None)
        self.built = True  # it has no variables but the localizer's

    def to_answer(
        self, outputs: Mapping[str, Tensor], box: Tensor, image_size: ImageSize
    ) -> dict[str, Tensor]:
        """What the files give, sorted by name, each with a leading axis.

        Args:
            outputs: the localizer's outputs.
            box: the boxes in pixels of the original images.
            image_size: (B, 2), (height, width) of the original images.
        """
        class_names = self.localizer.class_names
        outputs = calibrated(outputs, box, class_names, image_size, self.calibration)
        answer = {"box": box}
        if "label" in outputs:
            scores = class_probabilities(outputs["label"], class_names)
            answer["label"] = most_probable(scores)
            answer["score"] = ops.max(scores, axis=-1)
            answer["scores"] = scores
        for name in ("quality", "presence"):
            if name in outputs:
                answer[name] = outputs[name][:, 0]
        if "outer_box" in outputs:
            answer["outer_box"] = outputs["outer_box"]
        return {name: answer[name] for name in sorted(answer)}


class SquareModel(ServingModel):
    """Takes a letterboxed square, and the size that its image had before.

    Args:
        localizer: the localizer.
        batched: whether inputs and outputs have a leading axis.

    Call arguments:
        image: uint8 (size, size, 3), always channels last.
        image_size: int32 (2,), (height, width) of the original image.
    """

    takes = "image: letterboxed RGB; image_size: (height, width) before"

    def call(self, image: Tensor, image_size: Tensor) -> dict[str, Tensor]:
        if not self.batched:
            image, image_size = image[None], image_size[None]
        outputs = predict(self.localizer, image)
        box = to_original(outputs["box"], image_size, self.localizer.image_size)
        answer = self.to_answer(outputs, box, image_size)
        return answer if self.batched else _first(answer)


class ImageModel(ServingModel):
    """Takes an image of any size and letterboxes it.

    Args:
        localizer: the localizer.
        refine: whether to predict again on a crop around the box.

    Attributes:
        letterbox: from an image (H, W, 3) and a size to the square, by operations that
            every runtime has. A format with better ones may replace it.

    Call arguments:
        image: uint8 (height, width, 3), always channels last.
    """

    takes = "image: RGB (height, width, 3)"

    def __init__(self, localizer: Localizer, refine: bool = False) -> None:
        super().__init__(localizer, refine=refine)
        self.letterbox: Callable[[Tensor, int], Tensor] = letterbox

    def call(self, image: Tensor) -> dict[str, Tensor]:
        size = self.localizer.image_size
        image_size = size_of(image)[None]
        outputs = predict(self.localizer, self.letterbox(image, size)[None])
        box = to_original(outputs["box"], image_size, size)
        if self.refine:
            sides = ops.cast(image_size, "float32")
            window = windows_around(box, sides, size, ops)
            refined = predict(self.localizer, crop(image, window[0], size)[None])
            box = clip(out_of_windows(refined["box"], window, ops), "xyxy", image_size)
            outputs = join_refined(outputs, refined)
        return _first(self.to_answer(outputs, box, image_size))


def predict(localizer: Localizer, squares: Tensor) -> dict[str, Tensor]:
    """The localizer's outputs for squares (B, size, size, 3)."""
    squares = ops.cast(squares, "float32")
    if keras.config.image_data_format() == "channels_first":
        squares = ops.transpose(squares, (0, 3, 1, 2))
    return localizer(squares, training=False)


def _answer_names(localizer: Localizer, calibrated: bool) -> list[str]:
    names = set(localizer.output)
    if "label" in names:
        names |= {"score", "scores"}
    return sorted(names | {"outer_box"} if calibrated else names)


def _first(answer: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value[0] for name, value in answer.items()}
