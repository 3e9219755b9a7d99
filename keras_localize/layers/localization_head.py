"""The localization head: feature maps in, one box out."""

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args, overload

import keras
from keras import ops

from keras_localize.checks import (
    check_choice,
    check_data_format,
    check_non_negative_int,
    check_positive_int,
)
from keras_localize.layers.feature_maps import (
    Shape,
    as_list,
    as_map,
    as_shapes,
    averaged_down,
    map_shape,
)
from keras_localize.types import DataFormat, Tensor

Kind = Literal["spatial", "pooled", "flatten"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# The first distances are 0.18 softplus(0.54) = 0.18 on both sides of the centre: a box
# of 0.36, near the mean box of common data.
_DISTANCE_SCALE = 0.18
_DISTANCE_BIAS = 0.54


@keras.saving.register_keras_serializable(package="keras_localize")
class LocalizationHead(keras.layers.Layer):
    """Turns feature maps into one bounding box.

    `kind="spatial"`, the default, predicts a box at every location of a feature map
    and takes a weighted mean:

    1. Every map is brought to the size of the second coarsest one (of maps of stride
       8, 16 and 32, that of stride 16): a finer map by average pooling, a coarser one
       by bilinear interpolation. A 1x1 convolution takes each to `units` channels, and
       the results are added.
    2. A depthwise-separable 3x3 convolution, `context_conv`, follows.
    3. A 1x1 convolution, `prediction`, gives for each location and each side of the
       box (left, top, right, bottom) a positive distance and an attention logit.
    4. Each location places a side at its own centre minus (left, top) or plus (right,
       bottom) the distance. The side of the box is the mean of these, weighted by the
       softmax of the side's logits over all locations.

    Each side has an attention of its own because the locations at one edge of the
    object know that edge best. Unlike a pooled or flattened dense layer this design
    keeps the geometry of the map (if the object moves, the box moves) and needs few
    weights. See *Soft-argmax* (arXiv 1505.00487, 1711.08229) for the weighted mean,
    *FCOS* (arXiv 1904.01355) for the distances, *SABL* (arXiv 1912.04260) for separate
    sides.

    Two plain designs serve for comparison: `"pooled"` (global average pooling and a
    dense layer) and `"flatten"` (the flattened map and a dense layer).

    Whatever the design, the weights and the dtype policy, the box is ordered
    (`x0 <= x1`, `y0 <= y1`), inside `[0, 1]` and float32. A side that is clipped at
    the border still passes its gradient on, so that training can bring it back.

    Args:
        kind: `"spatial"`, `"pooled"` or `"flatten"`.
        units: channels of `"spatial"` before the last convolution.
        num_prefix_tokens: for tokens, how many (class, register) precede the
            patches. `None`: `T - floor(sqrt(T))**2`.
        data_format: `"channels_last"` or `"channels_first"`; `None`: the one of
            `keras.config.image_data_format()`.
        **kwargs: arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        One map `(B, H, W, C)`, a list or dict of maps of several scales, or tokens
        `(B, T, C)` of a vision transformer (a list may mix them).

    Call arguments:
        inputs: the map or maps.
        return_spread: whether to return `(box, spread)` instead of the box
            (`"spatial"` only). The spread is the standard deviation, per side and
            under the side's attention, of where the locations place it, in fractions
            of the image's sides. It is large where the locations disagree, which is
            where the box tends to be poor.

    Output shape:
        `(B, 4)`, `rel_xyxy`: fractions of the input image's sides. The spread has
        the same shape.

    Raises:
        ValueError: for an unknown `kind`, `units` that is not positive, an input
            that is neither a map nor tokens, another number of maps than the layer
            was built with, patches that form no square, or the spread of another
            design than `"spatial"`.

    Example:

    >>> head = keras_localize.LocalizationHead()
    >>> box = head([np.ones((2, 14, 14, 8)), np.ones((2, 7, 7, 16))])
    >>> tuple(box.shape)
    (2, 4)
    """

    def __init__(
        self,
        kind: Kind = "spatial",
        units: int = 128,
        num_prefix_tokens: int | None = None,
        data_format: DataFormat | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice(kind, KINDS, "kind")
        if num_prefix_tokens is not None:
            check_non_negative_int(num_prefix_tokens, "num_prefix_tokens")
        self.kind = kind
        self.units = check_positive_int(units, "units")
        self.num_prefix_tokens = num_prefix_tokens
        self.data_format: DataFormat = check_data_format(data_format)

        # === Layers ===
        def sublayer(cls: type, name: str, *args: Any, **kwargs: Any) -> Any:
            return cls(*args, name=name, dtype=self.dtype_policy, **kwargs)

        if kind == "spatial":
            self.context_conv = sublayer(
                keras.layers.SeparableConv2D,
                "context_conv",
                self.units,
                3,
                padding="same",
                activation="relu",
                data_format="channels_last",
            )
            self.prediction = sublayer(
                keras.layers.Conv2D,
                "prediction",
                8,
                1,
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
                data_format="channels_last",
            )
        else:
            self.dense = sublayer(
                keras.layers.Dense,
                "dense",
                4,
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            )

    def build(self, input_shape: Shape | Sequence[Shape]) -> None:
        """Creates one lateral convolution per map, and the weights of the rest."""
        shapes = [
            map_shape(shape, self.data_format, self.num_prefix_tokens)
            for shape in as_shapes(input_shape)
        ]
        self._num_maps = len(shapes)
        if self.kind == "spatial":
            size = _map_size(shapes)
            self.laterals = []
            for i, shape in enumerate(shapes):
                lateral = keras.layers.Conv2D(
                    self.units,
                    1,
                    use_bias=i == 0,
                    data_format="channels_last",
                    dtype=self.dtype_policy,
                    name=f"lateral_{i}",
                )
                lateral.build(shape)
                self.laterals.append(lateral)
            self.context_conv.build((None, *size, self.units))
            self.prediction.build((None, *size, self.units))
        else:
            width = sum(
                shape[3] if self.kind == "pooled" else math.prod(shape[1:])
                for shape in shapes
            )
            self.dense.build((None, width))
        self.built = True

    @overload
    def call(self, inputs: Any, return_spread: Literal[False] = False) -> Tensor: ...

    @overload
    def call(
        self, inputs: Any, return_spread: Literal[True]
    ) -> tuple[Tensor, Tensor]: ...

    def call(self, inputs: Any, return_spread: bool = False) -> Any:
        """Predicts the boxes, and their spread if asked for it; see the class."""
        self._check_spread(return_spread)
        maps = self._maps(inputs)
        if self.kind == "spatial":
            attention, sides = self._per_location(self._trunk(maps))
            mean = ops.sum(attention * sides, axis=1)
            box = _inside(mean[:, :2], mean[:, 2:])
            if not return_spread:
                return box
            squared = ops.square(sides - mean[:, None])
            return box, ops.sqrt(ops.sum(attention * squared, axis=1) + 1e-12)
        if self.kind == "pooled":
            vectors = [ops.mean(x, axis=(1, 2)) for x in maps]
        else:
            vectors = [ops.reshape(x, (-1, math.prod(x.shape[1:]))) for x in maps]
        raw = ops.cast(self.dense(ops.concatenate(vectors, axis=-1)), "float32")
        center = ops.sigmoid(raw[:, :2])
        half = ops.sigmoid(raw[:, 2:]) / 2
        return _inside(center - half, center + half)

    def attention(self, inputs: Any) -> Tensor:
        """How much each location counts for each side of the box.

        Args:
            inputs: as in a call; the layer must have been called before.

        Returns:
            A tensor (B, H, W, 4), float32: left, top, right and bottom, each with the
            sum 1 over the locations of the map.

        Raises:
            ValueError: for another design than `"spatial"`.
        """
        if self.kind != "spatial":
            raise ValueError(
                "`attention` needs kind='spatial': other designs have none. "
                f"Received: kind={self.kind!r}"
            )
        if not self.built:
            raise ValueError("`attention` needs a layer that has been called before.")
        maps = self._maps(inputs)
        height, width = _map_size([x.shape for x in maps])
        attention, _ = self._per_location(self._trunk(maps))
        return ops.reshape(attention, (-1, height, width, 4))

    def compute_output_spec(
        self, inputs: Any, return_spread: bool = False
    ) -> keras.KerasTensor | tuple[keras.KerasTensor, keras.KerasTensor]:
        """float32 under every dtype policy, which Keras would not infer."""
        self._check_spread(return_spread)
        if not self.built:
            self.build([x.shape for x in as_list(inputs)])
        batch = as_list(inputs)[0].shape[0]
        box = keras.KerasTensor((batch, 4), dtype="float32")
        spread = keras.KerasTensor((batch, 4), dtype="float32")
        return (box, spread) if return_spread else box

    def compute_output_shape(
        self, input_shape: Shape | Sequence[Shape]
    ) -> tuple[int | None, int]:
        return (as_shapes(input_shape)[0][0], 4)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kind": self.kind,
            "units": self.units,
            "num_prefix_tokens": self.num_prefix_tokens,
            "data_format": self.data_format,
        }

    def _maps(self, inputs: Any) -> list[Tensor]:
        given = as_list(inputs)
        if len(given) != self._num_maps:
            raise ValueError(
                f"`inputs` must be {self._num_maps} feature maps, as the layer was "
                f"built with. Received: {len(given)}"
            )
        return [as_map(x, self.data_format, self.num_prefix_tokens) for x in given]

    def _trunk(self, maps: list[Tensor]) -> Tensor:
        size = _map_size([x.shape for x in maps])
        total = 0
        for x, lateral in zip(maps, self.laterals):
            # 2 from a map of twice the size to each side, 1 from a coarser one
            step = tuple(max(round(n / m), 1) for n, m in zip(x.shape[1:3], size))
            if max(step) > 1:
                x = averaged_down(x, step)
            x = lateral(x)
            if tuple(x.shape[1:3]) != size:
                x = ops.image.resize(x, size, "bilinear", data_format="channels_last")
            total = total + x
        return self.context_conv(ops.relu(total))

    def _per_location(self, trunk: Tensor) -> tuple[Tensor, Tensor]:
        """The attention to each location and where it places each side: (B, H*W, 4)."""
        # From here on in float32: a half-precision box is off by pixels.
        raw = ops.cast(self.prediction(trunk), "float32")
        height, width = raw.shape[1:3]
        raw = ops.reshape(raw, (-1, height * width, 8))
        attention = ops.softmax(raw[..., :4], axis=1)
        distance = _DISTANCE_SCALE * ops.softplus(raw[..., 4:] + _DISTANCE_BIAS)
        centers = ops.convert_to_tensor(_centers(height, width), "float32")
        sides = [centers - distance[..., :2], centers + distance[..., 2:]]
        return attention, ops.concatenate(sides, axis=-1)

    def _check_spread(self, return_spread: bool) -> None:
        if return_spread and self.kind != "spatial":
            raise ValueError(
                "`return_spread=True` needs kind='spatial': other designs predict one "
                f"box per image only. Received: kind={self.kind!r}"
            )


def _inside(corner0: Tensor, corner1: Tensor) -> Tensor:
    """Joins corners to boxes in [0, 1], ordered; the gradient passes the border."""
    box = ops.concatenate([corner0, ops.maximum(corner0, corner1)], axis=-1)
    # The value is exactly the clipped one: the difference is 0 and has a gradient.
    return ops.stop_gradient(ops.clip(box, 0.0, 1.0)) + (box - ops.stop_gradient(box))


def _centers(height: int, width: int) -> list[list[float]]:
    """Centres (x, y) of a map's locations, in fractions: (H * W, 2)."""
    return [
        [(column + 0.5) / width, (row + 0.5) / height]
        for row in range(height)
        for column in range(width)
    ]


def _map_size(shapes: Sequence[Any]) -> tuple[int, int]:
    """(height, width) of the second coarsest of the maps, or of the only one."""
    sizes = sorted({tuple(shape[1:3]) for shape in shapes}, key=math.prod)
    return sizes[:2][-1]
