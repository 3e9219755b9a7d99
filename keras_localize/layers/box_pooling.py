"""Means of a feature map over the image and inside a box."""

from typing import Any

import keras
from keras import ops

from keras_localize.checks import check_data_format
from keras_localize.layers.feature_maps import Shape, as_map, map_shape
from keras_localize.types import DataFormat, Tensor


@keras.saving.register_keras_serializable(package="keras_localize")
class BoxPooling(keras.layers.Layer):
    """The mean of a feature map over the image, and the mean inside a box.

    A location that the box covers in part counts by the covered share. So the mean is
    exact for boxes that follow no grid, for a map that is constant within each
    location (see *Precise RoI pooling*, arXiv 1807.11590). The box receives no
    gradient.

    Args:
        data_format: as in `LocalizationHead`.
        **kwargs: arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        inputs: a map `(B, H, W, C)` or tokens `(B, T, C)`.
        box: boxes `(B, 4)`, `rel_xyxy`. A box without area gives zeros.

    Output shape: `(B, 2 * C)`, float32 under every dtype policy: the mean over the
        image, then the mean inside the box.
    """

    def __init__(self, data_format: DataFormat | None = None, **kwargs: Any) -> None:
        # The box stays float32 under every policy.
        super().__init__(autocast=False, **kwargs)
        self.data_format: DataFormat = check_data_format(data_format)

    def call(self, inputs: Tensor, box: Tensor) -> Tensor:
        box = ops.stop_gradient(ops.cast(box, "float32"))
        features = ops.cast(as_map(inputs, self.data_format), "float32")
        covered = _coverage(box, *features.shape[1:3])
        # A product and a sum: LiteRT's converter fails on the batched matrix product
        # that an einsum becomes.
        inside = ops.sum(covered[..., None] * features, axis=(1, 2))
        area = ops.maximum(ops.sum(covered, axis=(1, 2)), 1e-3)
        everywhere = ops.mean(features, axis=(1, 2))
        return ops.concatenate([everywhere, inside / area[:, None]], axis=-1)

    def compute_output_shape(
        self, inputs_shape: Shape, box_shape: Shape
    ) -> tuple[int | None, int]:
        shape = map_shape(inputs_shape, self.data_format)
        return (shape[0], 2 * shape[3])

    def compute_output_spec(self, inputs: Tensor, box: Tensor) -> keras.KerasTensor:
        shape = self.compute_output_shape(inputs.shape, box.shape)
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


def _coverage(box: Tensor, height: int, width: int) -> Tensor:
    """Share of each location (B, H, W) that the box covers."""

    def along(start: Tensor, end: Tensor, count: int) -> Tensor:
        left = ops.arange(0, count, dtype="float32")[None]
        start, end = start[:, None] * count, end[:, None] * count
        covered = ops.minimum(end, left + 1) - ops.maximum(start, left)
        return ops.clip(covered, 0.0, 1.0)

    columns = along(box[:, 0], box[:, 2], width)
    rows = along(box[:, 1], box[:, 3], height)
    return rows[:, :, None] * columns[:, None, :]
