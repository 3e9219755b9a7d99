"""The head that predicts the IoU of the predicted box."""

import math
from typing import Any

import keras
from keras import ops

from keras_localize.localizer.detached_head import DetachedHead
from keras_localize.types import Tensor

# Share that the batches before keep in the mean of the spread.
MOMENTUM = 0.9
# Where the mean begins: about what trained networks have.
TYPICAL_SPREAD = 0.1


@keras.saving.register_keras_serializable(package="keras_localize")
class QualityHead(DetachedHead):
    """Predicts the IoU of a predicted box with the true box.

    Two dense layers read the box, the features that `BoxPooling` computes for it, and
    the spread: how much the locations of the feature map disagree about each side,
    relative to the size of the box. (`LocalizationHead` of kind `"spatial"` computes
    the spread; other heads have none.) The inputs receive no gradient, so that the
    other heads learn the same with and without this one.

    On new images the spread alone tells good boxes from bad ones better than what is
    learned on training images, whose boxes are all good. So outside of training the
    odds of the learned quality are divided by the spread: by the root mean square of
    the relative spreads of the four sides, over the geometric mean of it in training.
    (Of all images, those without an object too: for one model it is a constant.)

    A branch that predicts the IoU of the predicted box was introduced by IoU-Net
    (arXiv 1807.11590).

    Args:
        units: width of the hidden layer.
        dropout: rate before both dense layers, in [0, 1).
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        pooled: features of the whole image and of the inside of its box (B, C).
        box: the predicted boxes (B, 4), `rel_xyxy`.
        spread: the spread of their sides (B, 4), or None.

    Output shape: (B, 1), float32 in (0, 1).

    Raises:
        ValueError: for `units` that are not a positive integer, or a `dropout` outside
            of [0, 1).
    """

    def build(
        self, pooled_shape: Any, box_shape: Any, spread_shape: Any = None
    ) -> None:
        self.build_layers(pooled_shape[1], 4 if spread_shape is None else 8)
        self.log_spread: Any = None
        if spread_shape is not None:
            self.log_spread = self.add_weight(
                shape=(),
                initializer=keras.initializers.Constant(math.log(TYPICAL_SPREAD)),
                dtype="float32",
                trainable=False,
                name="log_spread",
                aggregation="mean",
            )

    def call(
        self,
        pooled: Tensor,
        box: Tensor,
        spread: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        box = ops.stop_gradient(box)
        if spread is None:
            return self.probability(pooled, [box], training)
        sides = ops.maximum(box[:, 2:] - box[:, :2], 0.01)
        relative = ops.stop_gradient(spread) / ops.concatenate([sides, sides], -1)
        # scaled to the order of 1, as the others
        learned = self.probability(pooled, [box, 4.0 * relative], training)
        squares = ops.mean(ops.square(relative), axis=-1, keepdims=True)
        overall = ops.log(ops.maximum(squares, 1e-12)) / 2
        typical = self.log_spread
        if training:
            if self.trainable:
                # A mean of means: the same on any number of devices.
                mean = ops.mean(overall)
                typical.assign(MOMENTUM * typical + (1.0 - MOMENTUM) * mean)
            return learned
        return learned / (learned + (1.0 - learned) * ops.exp(overall - typical))

    def compute_output_spec(
        self, pooled: Any, box: Any, spread: Any = None, training: bool | None = None
    ) -> keras.KerasTensor:
        if not self.built:
            self.build(
                pooled.shape, box.shape, None if spread is None else spread.shape
            )
        return keras.KerasTensor((box.shape[0], 1), dtype="float32")
