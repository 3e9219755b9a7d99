"""The head that predicts the IoU of the predicted box."""

from typing import Any

import keras
from keras import ops

from keras_localize.checks import check_positive_int, check_rate
from keras_localize.types import Tensor


@keras.saving.register_keras_serializable(package="keras_localize")
class QualityHead(keras.layers.Layer):
    """Predicts the IoU of a predicted box with the true box.

    Two dense layers read the box, the features that `BoxPooling` computes for it, and
    the spread: how much the locations of the feature map disagree about each side,
    relative to the size of the box. (`LocalizationHead` of kind `"spatial"` computes
    the spread; other heads have none.) The inputs receive no gradient, so that the
    other heads learn the same with and without this one. The dropout rate is high
    because a network recognizes its training images by their features, and its boxes
    are better on these.

    A branch that predicts the IoU of the predicted box was introduced by IoU-Net
    (arXiv 1807.11590).

    Args:
        units: width of the hidden layer.
        dropout: rate before both dense layers, in [0, 1).

    Call arguments:
        pooled: features of the whole image and of the inside of its box (B, C).
        box: the predicted boxes (B, 4), `rel_xyxy`.
        spread: the spread of their sides (B, 4), or None.

    Output shape: (B, 1), float32 in (0, 1).

    Raises:
        ValueError: for `units` that are not a positive integer, or a `dropout` outside
            of [0, 1).
    """

    def __init__(self, units: int = 64, dropout: float = 0.3, **kwargs: Any) -> None:
        # The box stays float32 under every policy.
        super().__init__(autocast=False, **kwargs)
        self.units = check_positive_int(units, "units")
        self.dropout = check_rate(dropout, "dropout")

        # === Layers === in float32: one small vector per image.
        def sublayer(cls: Any, name: str, *args: Any, **kwargs: Any) -> Any:
            return cls(*args, name=name, dtype="float32", **kwargs)

        self.normalize = sublayer(keras.layers.LayerNormalization, "normalize")
        self.drop = sublayer(keras.layers.Dropout, "drop", dropout)
        self.hidden = sublayer(keras.layers.Dense, "hidden", units, activation="relu")
        self.out = sublayer(keras.layers.Dense, "out", 1, activation="sigmoid")

    def build(
        self, pooled_shape: Any, box_shape: Any, spread_shape: Any = None
    ) -> None:
        self.normalize.build(pooled_shape)
        extra = 4 if spread_shape is None else 8
        self.hidden.build((None, pooled_shape[1] + extra))
        self.out.build((None, self.units))
        self.built = True

    def call(
        self,
        pooled: Tensor,
        box: Tensor,
        spread: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        box = ops.stop_gradient(box)
        vectors = [self.normalize(ops.stop_gradient(pooled)), box]
        if spread is not None:
            sides = ops.maximum(box[:, 2:] - box[:, :2], 0.01)
            relative = ops.stop_gradient(spread) / ops.concatenate([sides, sides], -1)
            vectors.append(4.0 * relative)  # scaled to the order of 1, as the others
        x = self.drop(ops.concatenate(vectors, axis=-1), training=training)
        x = self.drop(self.hidden(x), training=training)
        return self.out(x)

    def compute_output_spec(
        self, pooled: Any, box: Any, spread: Any = None, training: bool | None = None
    ) -> keras.KerasTensor:
        if not self.built:
            self.build(
                pooled.shape, box.shape, None if spread is None else spread.shape
            )
        return keras.KerasTensor((box.shape[0], 1), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "dropout": self.dropout}
