"""What the heads of presence and quality have in common."""

from typing import Any

import keras
from keras import ops

from keras_localize.checks import check_positive_int, check_rate
from keras_localize.types import Tensor


class DetachedHead(keras.layers.Layer):
    """Base of the heads that predict one probability and train nothing but themselves.

    Two dense layers read the features that `BoxPooling` computes. The inputs receive
    no gradient, so that the other heads learn the same with and without this one. The
    dropout rate is high because a network recognizes its training images by their
    features.

    Args:
        units: width of the hidden layer.
        dropout: rate before both dense layers, in [0, 1).
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: for `units` that are not a positive integer, or a `dropout` outside
            of [0, 1).
    """

    def __init__(self, units: int = 64, dropout: float = 0.3, **kwargs: Any) -> None:
        # A box among the inputs stays float32 under every policy.
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

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "dropout": self.dropout}

    def build_layers(self, features: int, others: int = 0) -> None:
        """Creates the weights for as many features and other numbers per image."""
        self.normalize.build((None, features))
        self.hidden.build((None, features + others))
        self.out.build((None, self.units))
        self.built = True

    def probability(
        self, pooled: Tensor, others: list[Tensor], training: bool | None
    ) -> Tensor:
        """(B, 1) of the features (B, C) and a list of other numbers, each (B, n)."""
        vectors = [self.normalize(ops.stop_gradient(pooled)), *others]
        x = self.drop(ops.concatenate(vectors, axis=-1), training=training)
        x = self.drop(self.hidden(x), training=training)
        return self.out(x)
