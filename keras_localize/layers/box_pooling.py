"""What a feature map says inside a box."""

import keras
from keras import ops

from keras_localize.layers.feature_maps import as_map, map_shape


@keras.saving.register_keras_serializable(package="keras_localize")
class BoxPooling(keras.layers.Layer):
    """The mean of a feature map over the picture, and the mean inside a box.

    A place that the box cuts counts by its covered share, so that the mean is exact
    for boxes that follow no grid (of a map that is constant within each place; see
    *Precise RoI pooling*, arXiv 1807.11590). The box receives no gradient.

    Args:
        data_format: as in `LocalizationHead`.

    Call arguments:
        inputs: a map `(B, H, W, C)` or tokens `(B, T, C)`.
        box: boxes `(B, 4)`, `rel_xyxy`. A box without area gives zeros.

    Output shape: `(B, 2 * C)`, float32.
    """

    def __init__(self, data_format=None, **kwargs):
        # The box stays float32 under every policy.
        super().__init__(autocast=False, **kwargs)
        self.data_format = data_format or keras.config.image_data_format()

    def call(self, inputs, box):
        """Gives the means (B, 2 * C)."""
        box = ops.stop_gradient(ops.cast(box, "float32"))
        features = ops.cast(as_map(inputs, self.data_format), "float32")
        covered = _coverage(box, *features.shape[1:3])
        inside = ops.einsum("bhw,bhwc->bc", covered, features)
        area = ops.maximum(ops.sum(covered, axis=(1, 2)), 1e-3)
        everywhere = ops.mean(features, axis=(1, 2))
        return ops.concatenate([everywhere, inside / area[:, None]], axis=-1)

    def compute_output_shape(self, inputs_shape, box_shape):
        """(B, 2 * C)."""
        shape = map_shape(inputs_shape, self.data_format)
        return (shape[0], 2 * shape[3])

    def compute_output_spec(self, inputs, box):
        """(B, 2 * C) float32 under every dtype policy."""
        shape = self.compute_output_shape(inputs.shape, box.shape)
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self):
        """Every constructor argument."""
        return {**super().get_config(), "data_format": self.data_format}


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
