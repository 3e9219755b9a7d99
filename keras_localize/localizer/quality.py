"""The head that says how far its neighbour's box can be trusted."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_localize")
class QualityHead(keras.layers.Layer):
    """Predicts the IoU of a predicted box.

    It reads how much the places of the map disagree about each side, in units of
    the box (`LocalizationHead` gives this spread; other heads have none), the box
    itself, and what `BoxPooling` gives for it; two dense layers follow. Much
    dropout, since the features of training pictures tell which these are. Nothing
    that it reads receives a gradient: asking for the quality changes nothing of what
    the other heads learn. A branch that predicts the IoU of its own box is the idea
    of IoU-Net (arXiv 1807.11590).

    Args:
        units: width of the hidden layer.
        dropout: rate before both dense layers, in [0, 1).

    Call arguments:
        pooled: features of the picture and of the inside of its box `(B, C)`.
        box: the boxes `(B, 4)`, `rel_xyxy`.
        spread: their spread `(B, 4)`, or `None`.

    Output shape: `(B, 1)`, float32 in (0, 1).
    """

    def __init__(self, units=64, dropout=0.3, **kwargs):
        # The box stays float32 under every policy.
        super().__init__(autocast=False, **kwargs)
        self.units = units
        self.dropout = dropout

        # === Layers === in float32: one small vector per picture.
        def sublayer(cls, name, *args, **kwargs):
            return cls(*args, name=name, dtype="float32", **kwargs)

        self.normalize = sublayer(keras.layers.LayerNormalization, "normalize")
        self.drop = sublayer(keras.layers.Dropout, "drop", dropout)
        self.hidden = sublayer(keras.layers.Dense, "hidden", units, activation="relu")
        self.out = sublayer(keras.layers.Dense, "out", 1, activation="sigmoid")

    def build(self, pooled_shape, box_shape, spread_shape=None):
        """Builds the dense layers for the width of the features."""
        self.normalize.build(pooled_shape)
        extra = 4 if spread_shape is None else 8
        self.hidden.build((None, pooled_shape[1] + extra))
        self.out.build((None, self.units))
        self.built = True

    def call(self, pooled, box, spread=None, training=None):
        """Gives the qualities (B, 1)."""
        box = ops.stop_gradient(box)
        vectors = [self.normalize(ops.stop_gradient(pooled)), box]
        if spread is not None:
            sides = ops.maximum(box[:, 2:] - box[:, :2], 0.01)
            share = ops.stop_gradient(spread) / ops.concatenate([sides, sides], -1)
            vectors.append(4.0 * share)  # of the order of 1, as the rest
        x = self.drop(ops.concatenate(vectors, axis=-1), training=training)
        x = self.drop(self.hidden(x), training=training)
        return self.out(x)

    def compute_output_spec(self, pooled, box, spread=None, training=None):
        """(B, 1) float32 under every dtype policy."""
        if not self.built:
            self.build(
                pooled.shape, box.shape, None if spread is None else spread.shape
            )
        return keras.KerasTensor((box.shape[0], 1), dtype="float32")

    def get_config(self):
        """Every constructor argument."""
        return {**super().get_config(), "units": self.units, "dropout": self.dropout}
