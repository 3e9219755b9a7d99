"""The head that points: feature maps in, one box out."""

import math

import keras
from keras import ops

from keras_localize.layers.feature_maps import as_list, as_map, as_shapes, map_shape

KINDS = ("spatial", "pooled", "flatten")

# Distances start near the mean box: 0.18 softplus(0.54) = 0.18, on both sides of a
# point that starts as the mean of all places.
_REACH = 0.18
_REACH_BIAS = 0.54


@keras.saving.register_keras_serializable(package="keras_localize")
class LocalizationHead(keras.layers.Layer):
    """Turns feature maps into one bounding box.

    `kind="spatial"`, the default, lets every place of a feature map say how far off
    it thinks the four sides are, and how much it should be trusted with each:

    1. each map goes to the places of the second coarsest one (of maps of stride 8, 16
       and 32, that of stride 16), a finer map by averaging, a coarser one by
       interpolation, and through a 1x1 convolution to `units` channels; all are added;
    2. one depthwise-separable 3x3 convolution looks around;
    3. a 1x1 convolution gives per place and side (left, top, right, bottom) a
       positive distance and a logit of trust;
    4. each side is the expectation, under the softmax of its logits over all places,
       of the place's centre minus / plus its distance.

    That a side chooses its own places matters: those at the left edge know the left
    side best. Unlike a pooled or flattened dense layer the head keeps the map's
    geometry (moving the object moves the box) with few weights. See *Soft-argmax*
    (arXiv 1505.00487, 1711.08229) for the expectation, *FCOS* (arXiv 1904.01355) for
    the distances, *SABL* (arXiv 1912.04260) for sides found apart.

    The plain designs remain: `"pooled"` (global average pooling and a dense layer)
    and `"flatten"` (flattened map and a dense layer).

    Whatever the design, the weights and the dtype policy, the box is ordered
    (`x0 <= x1`, `y0 <= y1`), inside `[0, 1]` and float32. Where a side is cut off at
    the border, its gradient still passes: a box that starts outside can come back.

    Args:
        kind: `"spatial"`, `"pooled"` or `"flatten"`.
        units: width of the trunk of `"spatial"`.
        num_prefix_tokens: for tokens, how many (class, register) precede the
            patches. `None`: `T - floor(sqrt(T))**2`.
        data_format: `"channels_last"` or `"channels_first"`; `None`: the one of
            `keras.config.image_data_format()`.

    Input shape:
        One map `(B, H, W, C)`, a list of maps of several scales, or tokens
        `(B, T, C)` of a vision transformer (a list may mix them).

    Call arguments:
        inputs: the map or maps.
        return_spread: whether to give `(box, spread)` instead of the box
            (`"spatial"` only). The spread says how much the places disagree: per
            side the standard deviation, under their trust, of where they put it, in
            fractions of the picture's sides. It is large where the box is poor.

    Output shape:
        `(B, 4)`, `rel_xyxy`: fractions of the input picture's sides. The spread has
        the same shape.

    Raises:
        ValueError: for an unknown `kind`, `units` that is not positive, an input
            that is neither a map nor tokens, patches that form no square, or the
            spread of another design than `"spatial"`.

    Example:

    >>> head = keras_localize.LocalizationHead()
    >>> box = head([np.ones((2, 14, 14, 8)), np.ones((2, 7, 7, 16))])
    >>> tuple(box.shape)
    (2, 4)
    """

    def __init__(
        self,
        kind="spatial",
        units=128,
        num_prefix_tokens=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if kind not in KINDS:
            raise ValueError(
                f"`kind` must be one of {', '.join(KINDS)}. Received: kind={kind!r}"
            )
        if not isinstance(units, int) or units <= 0:
            raise ValueError(
                f"`units` must be a positive integer. Received: units={units!r}"
            )
        if num_prefix_tokens is not None and (
            not isinstance(num_prefix_tokens, int) or num_prefix_tokens < 0
        ):
            raise ValueError(
                "`num_prefix_tokens` must be None or an integer >= 0. Received: "
                f"num_prefix_tokens={num_prefix_tokens!r}"
            )
        self.kind = kind
        self.units = units
        self.num_prefix_tokens = num_prefix_tokens
        self.data_format = keras.config.image_data_format()
        if data_format is not None:
            if data_format not in ("channels_last", "channels_first"):
                raise ValueError(
                    "`data_format` must be 'channels_last', 'channels_first' or "
                    f"None. Received: data_format={data_format!r}"
                )
            self.data_format = data_format

        # === Layers ===
        def sublayer(cls, name, *args, **kwargs):
            return cls(*args, name=name, dtype=self.dtype_policy, **kwargs)

        if kind == "spatial":
            self.look_around = sublayer(
                keras.layers.SeparableConv2D,
                "look_around",
                units,
                3,
                padding="same",
                activation="relu",
                data_format="channels_last",
            )
            self.point = sublayer(
                keras.layers.Conv2D,
                "point",
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

    def build(self, input_shape):
        """Creates one lateral convolution per map, and the rest."""
        shapes = [
            map_shape(shape, self.data_format, self.num_prefix_tokens)
            for shape in as_shapes(input_shape)
        ]
        if self.kind == "spatial":
            places = _places(shapes)
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
            self.look_around.build((None, *places, self.units))
            self.point.build((None, *places, self.units))
        else:
            width = sum(
                shape[3] if self.kind == "pooled" else math.prod(shape[1:])
                for shape in shapes
            )
            self.dense.build((None, width))
        self.built = True

    def call(self, inputs, return_spread=False):
        """Gives the boxes (B, 4), and the spread (B, 4) if asked for it."""
        self._check_spread(return_spread)
        maps = [
            as_map(x, self.data_format, self.num_prefix_tokens) for x in as_list(inputs)
        ]
        if self.kind == "spatial":
            trust, sides = self._proposals(self._trunk(maps))
            expected = ops.sum(trust * sides, axis=1)
            box = _inside(expected[:, :2], expected[:, 2:])
            if not return_spread:
                return box
            apart = ops.square(sides - expected[:, None])
            return box, ops.sqrt(ops.sum(trust * apart, axis=1) + 1e-12)
        if self.kind == "pooled":
            vectors = [ops.mean(x, axis=(1, 2)) for x in maps]
        else:
            vectors = [ops.reshape(x, (-1, math.prod(x.shape[1:]))) for x in maps]
        raw = ops.cast(self.dense(ops.concatenate(vectors, axis=-1)), "float32")
        center = ops.sigmoid(raw[:, :2])
        half = ops.sigmoid(raw[:, 2:]) / 2
        return _inside(center - half, center + half)

    def compute_output_spec(self, inputs, return_spread=False):
        """(B, 4) float32 under every dtype policy; twice with the spread."""
        self._check_spread(return_spread)
        if not self.built:
            self.build([x.shape for x in as_list(inputs)])
        batch = as_list(inputs)[0].shape[0]
        box = keras.KerasTensor((batch, 4), dtype="float32")
        spread = keras.KerasTensor((batch, 4), dtype="float32")
        return (box, spread) if return_spread else box

    def compute_output_shape(self, input_shape):
        """(B, 4)."""
        return (as_shapes(input_shape)[0][0], 4)

    def get_config(self):
        """Every constructor argument."""
        return {
            **super().get_config(),
            "kind": self.kind,
            "units": self.units,
            "num_prefix_tokens": self.num_prefix_tokens,
            "data_format": self.data_format,
        }

    def _trunk(self, maps):
        places = _places([x.shape for x in maps])
        total = 0
        for x, lateral in zip(maps, self.laterals):
            # 2 from a map of twice the places to each side, 1 from a coarser one
            step = tuple(max(round(n / m), 1) for n, m in zip(x.shape[1:3], places))
            if max(step) > 1:
                x = ops.average_pool(x, step, step, "same", "channels_last")
            x = lateral(x)
            if tuple(x.shape[1:3]) != places:
                x = ops.image.resize(x, places, "bilinear", data_format="channels_last")
            total = total + x
        return self.look_around(ops.relu(total))

    def _proposals(self, trunk):
        """Per place and side: how far it is trusted, and where it puts the side."""
        # From here on in float32: a half-precision box is off by pixels.
        raw = ops.cast(self.point(trunk), "float32")
        height, width = raw.shape[1:3]
        raw = ops.reshape(raw, (-1, height * width, 8))
        trust = ops.softmax(raw[..., :4], axis=1)
        reach = _REACH * ops.softplus(raw[..., 4:] + _REACH_BIAS)
        centers = ops.convert_to_tensor(_centers(height, width), "float32")
        sides = [centers - reach[..., :2], centers + reach[..., 2:]]
        return trust, ops.concatenate(sides, axis=-1)

    def _check_spread(self, return_spread):
        if return_spread and self.kind != "spatial":
            raise ValueError(
                "`return_spread=True` needs kind='spatial': other designs have one "
                f"opinion only. Received: kind={self.kind!r}"
            )


def _inside(corner0, corner1):
    """Joins corners to boxes in [0, 1], ordered; the gradient passes the border."""
    box = ops.concatenate([corner0, ops.maximum(corner0, corner1)], axis=-1)
    # The value is exactly the clipped one: the difference is 0 and has a gradient.
    return ops.stop_gradient(ops.clip(box, 0.0, 1.0)) + (box - ops.stop_gradient(box))


def _centers(height, width):
    """Centres (x, y) of a map's places, in fractions: (H * W, 2)."""
    return [
        [(column + 0.5) / width, (row + 0.5) / height]
        for row in range(height)
        for column in range(width)
    ]


def _places(shapes):
    """(height, width) of the second coarsest of the maps, or of the only one."""
    sizes = sorted({tuple(shape[1:3]) for shape in shapes}, key=math.prod)
    return sizes[:2][-1]
