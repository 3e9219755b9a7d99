"""The head that predicts whether there is an object at all."""

from typing import Any

import keras

from keras_localize.localizer.detached_head import DetachedHead
from keras_localize.types import Tensor


@keras.saving.register_keras_serializable(package="keras_localize")
class PresenceHead(DetachedHead):
    """Predicts the probability that an image holds an object.

    Two dense layers read the mean features of the whole image and of the inside of the
    predicted box, which is where an object would be. The box and the features receive
    no gradient: images without an object train this head and nothing else.

    Args:
        units: width of the hidden layer.
        dropout: rate before both dense layers, in [0, 1).
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        pooled: features of the whole image and of the inside of its box (B, C).

    Output shape: (B, 1), float32 in (0, 1).

    Raises:
        ValueError: for `units` that are not a positive integer, or a `dropout` outside
            of [0, 1).
    """

    def build(self, pooled_shape: Any) -> None:
        self.build_layers(pooled_shape[1])

    def call(self, pooled: Tensor, training: bool | None = None) -> Tensor:
        return self.probability(pooled, [], training)

    def compute_output_spec(
        self, pooled: Any, training: bool | None = None
    ) -> keras.KerasTensor:
        if not self.built:
            self.build(pooled.shape)
        return keras.KerasTensor((pooled.shape[0], 1), dtype="float32")
