"""The head that says how far its neighbour's box can be trusted."""

import keras
from keras import ops

from keras_localize.layers.feature_maps import as_list, as_map, as_shapes, map_shape


@keras.saving.register_keras_serializable(package="keras_localize")
class QualityHead(keras.layers.Layer):
    """Predicts the IoU of a predicted box, from the features in and around it.

    Each map is averaged inside the box and outside of it (a place that the box cuts
    counts by its covered share); these, with the box itself, go through two dense
    layers. Neither the maps nor the box receive a gradient: asking for the quality
    changes nothing of what the other heads learn. A branch that predicts the IoU of
    its own box is the idea of IoU-Net (arXiv 1807.11590).

    Args:
        units: width of the hidden layer.
        data_format: as in `LocalizationHead`.

    Call arguments:
        inputs: the map or tokens, or list of these, that the box head reads.
        box: its boxes `(B, 4)`, `rel_xyxy`.

    Output shape: `(B, 1)`, float32 in (0, 1).
    """

    def __init__(self, units=64, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.data_format = data_format or keras.config.image_data_format()

        # === Layers === in float32: one small vector per picture.
        self.normalize = keras.layers.LayerNormalization(
            dtype="float32", name="normalize"
        )
        self.hidden = keras.layers.Dense(
            units, activation="relu", dtype="float32", name="hidden"
        )
        self.out = keras.layers.Dense(
            1, activation="sigmoid", dtype="float32", name="out"
        )

    def build(self, inputs_shape, box_shape):
        """Builds the dense layers for the maps' channels."""
        shapes = [
            map_shape(shape, self.data_format) for shape in as_shapes(inputs_shape)
        ]
        pooled = 2 * sum(shape[3] for shape in shapes)
        self.normalize.build((None, pooled))
        self.hidden.build((None, pooled + 4))
        self.out.build((None, self.units))
        self.built = True

    def call(self, inputs, box):
        """Gives the qualities (B, 1)."""
        box = ops.stop_gradient(ops.cast(box, "float32"))
        vectors = []
        for features in as_list(inputs):
            features = ops.cast(as_map(features, self.data_format), "float32")
            features = ops.stop_gradient(features)
            covered = _coverage(box, *features.shape[1:3])
            for share in (covered, 1 - covered):
                total = ops.maximum(ops.sum(share, axis=(1, 2)), 1e-3)
                vectors.append(
                    ops.einsum("bhw,bhwc->bc", share, features) / total[:, None]
                )
        vector = self.normalize(ops.concatenate(vectors, axis=-1))
        return self.out(self.hidden(ops.concatenate([vector, box], axis=-1)))

    def compute_output_spec(self, inputs, box):
        """(B, 1) float32 under every dtype policy."""
        if not self.built:
            self.build([x.shape for x in as_list(inputs)], box.shape)
        return keras.KerasTensor((box.shape[0], 1), dtype="float32")

    def get_config(self):
        """Every constructor argument."""
        return {
            **super().get_config(),
            "units": self.units,
            "data_format": self.data_format,
        }


def _coverage(box, height, width):
    """Share of each place (B, H, W) that the box covers."""

    def along(start, end, places):
        left = ops.arange(places, dtype="float32")[None]
        start, end = start[:, None] * places, end[:, None] * places
        covered = ops.minimum(end, left + 1) - ops.maximum(start, left)
        return ops.clip(covered, 0.0, 1.0)

    columns = along(box[:, 0], box[:, 2], width)
    rows = along(box[:, 1], box[:, 3], height)
    return rows[:, :, None] * columns[:, None, :]
