"""The square's training twin: a random view of each picture, in one resampling."""

import math
import numbers
import random

import keras

from keras_localize.boxes.formats import (
    from_corners,
    is_relative,
    to_corners,
    to_fractions,
    to_pixels,
)
from keras_localize.layers.draws import as_seeds, fold, uniform
from keras_localize.layers.pad_to_square import (
    PadToSquare,
    check_dense,
    keep_sentinels,
)
from keras_localize.layers.resampling import resample
from keras_localize.layers.tf_data import in_tf_graph, ops_for


@keras.saving.register_keras_serializable(package="keras_localize")
class RandomSquareView(PadToSquare):
    """Shows a random view of each picture in a square, its boxes kept in sight.

    In training each picture is mirrored, zoomed, stretched and shifted by one random
    map, drawn for it alone, and resampled once, straight from its own pixels; its
    boxes go exactly where the pixels go. With `training=False` the layer is
    `PadToSquare`.

    Every box (and all boxes of a picture at once) stays visible by at least
    `min_visible` of its area; a zoom that would forbid this is reduced for that
    picture. What leaves the square is cut off the box. Rows that mark "no box" (all -1
    or all 0) or that hold NaN or inverted corners are not kept in sight.

    Args:
        size: side of the square in pixels.
        flip: probability of a horizontal mirror image, 0 to 1.
        zoom: pair (least, most) of magnifications relative to `PadToSquare`, drawn
            evenly on a logarithmic scale: (0.8, 1.5) shows the picture between 0.8
            and 1.5 times as large.
        aspect: most that the ratio of width to height may change: 0.12 draws it
            between 1/1.12 and 1.12.
        shift: how far the picture may be moved beyond what keeps the square filled
            (or, where it is smaller than the square, beyond the square's border), as
            a share of the square's side.
        min_visible: least share of each box's area (of its part within the picture)
            that is seen, in (0, 1]; 1 keeps boxes whole.
        fill_value: value outside the picture; masks are filled with 0.
        interpolation: `"bilinear"` or `"nearest"`.
        antialias: whether to filter where the picture shrinks. Truer and slower.
        bounding_box_format: see `PadToSquare`.
        data_format: see `PadToSquare`.
        seed: an integer that makes the sequence of draws repeatable where pictures
            come in a fixed order. For draws that do not depend on the order, give
            each call its own `seed`, see below.
        **kwargs: base layer keyword arguments, such as `name` and `dtype`.

    Call arguments:
        data: as `PadToSquare`: an image, a batch, or a dict.
        training: True (the default outside a model) for random views.
        seed: integers that the draws shall be a pure function of, the same on every
            backend and under any parallelism: `(K,)` for one image, `(B, K)` for a
            batch, for example (seed, epoch, index) of each picture. `None`: the next
            draws of the layer.

    Raises:
        ValueError: as `PadToSquare`, and for an argument out of its range.

    Example:

    >>> import keras_localize
    >>> view = keras_localize.layers.RandomSquareView(64, bounding_box_format="xyxy")
    >>> image = np.ones((200, 400, 3), "uint8")
    >>> data = {"images": image, "bounding_boxes": {"boxes": [100, 50, 300, 150]}}
    >>> seen = view(data, seed=(0, 1, 2))
    >>> box = keras.ops.convert_to_numpy(seen["bounding_boxes"]["boxes"])
    >>> bool((box >= 0).all() and (box <= 64).all())
    True
    """

    def __init__(
        self,
        size,
        flip=0.5,
        zoom=(0.8, 1.5),
        aspect=0.12,
        shift=0.1,
        min_visible=1.0,
        fill_value=0.0,
        interpolation="bilinear",
        antialias=False,
        bounding_box_format="xyxy",
        data_format=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(
            size=size,
            fill_value=fill_value,
            interpolation=interpolation,
            antialias=antialias,
            bounding_box_format=bounding_box_format,
            data_format=data_format,
            **kwargs,
        )
        if size is None:
            raise ValueError("`size` must be an int. Received: size=None")
        if interpolation not in ("bilinear", "nearest"):
            raise ValueError(
                "`interpolation` must be bilinear or nearest. "
                f"Received: interpolation={interpolation!r}"
            )
        zoom = tuple(zoom) if isinstance(zoom, (tuple, list)) else (zoom, zoom)
        numeric = all(isinstance(factor, numbers.Real) for factor in zoom)
        if len(zoom) != 2 or not numeric or not 0 < zoom[0] <= zoom[1] < math.inf:
            raise ValueError(
                "`zoom` must be a pair (least, most) of positive numbers. "
                f"Received: zoom={zoom!r}"
            )
        _check_range("flip", flip, 0, 1)
        _check_range("aspect", aspect, 0, 10)
        _check_range("shift", shift, 0, 1)
        _check_range("min_visible", min_visible, 1e-3, 1)
        if seed is not None and not isinstance(seed, numbers.Integral):
            raise ValueError(f"`seed` must be an int or None. Received: seed={seed!r}")
        self.flip = flip
        self.zoom = zoom
        self.aspect = aspect
        self.shift = shift
        self.min_visible = min_visible
        self.seed = seed
        # Python's generator is the one that keras.utils.set_random_seed governs.
        self._first_seed = random.randrange(2**31) if seed is None else int(seed)
        self.generator = keras.random.SeedGenerator(self._first_seed % 2**31)
        self._tf_generator = None

    def __call__(self, data, training=None, seed=None):
        """Draws views (or pads, with `training=False`); see the class."""
        arguments = {} if training is None else {"training": training}
        if seed is not None:
            images = data["images"] if isinstance(data, dict) else data
            like = seed if in_tf_graph(seed) else images
            arguments["seed"] = as_seeds(ops_for(like), seed)
        return super().__call__(data, **arguments)

    def call(self, data, training=True, seed=None):
        """Views of a checked image, or dict of tensors."""
        if not training:
            return super().call(data)
        is_dict = isinstance(data, dict)
        images = data["images"] if is_dict else data
        xp = ops_for(images)
        single = len(images.shape) == 3

        batch = images[None] if single else images
        boxes = None
        if is_dict and "bounding_boxes" in data:
            given = xp.cast(data["bounding_boxes"]["boxes"], "float32")
            boxes = given[None] if single else given
            boxes = boxes if len(boxes.shape) == 3 else boxes[:, None]
            # One row that marks "no box": nothing has a minimum over no boxes at all.
            boxes = xp.pad(boxes, [(0, 0), (0, 1), (0, 0)], constant_values=-1)
        height, width = (xp.shape(batch)[axis] for axis in self._axes)
        corners = None if boxes is None else self._pixel_corners(boxes, height, width)
        hashed = self._hashes(xp, images, xp.shape(batch)[0], seed)
        rows, columns = self._draw(xp, hashed, height, width, boxes, corners)

        def view(pictures, *how):
            first = self.data_format == "channels_first"
            if first:
                pictures = xp.transpose(pictures, (0, 2, 3, 1))
            pictures = resample(xp, pictures, rows, columns, self.size, *how)
            return xp.transpose(pictures, (0, 3, 1, 2)) if first else pictures

        pictures = view(batch, self.interpolation, self.antialias, self._fill())
        pictures = self._to_compute_dtype(xp, pictures)
        pictures = pictures[0] if single else pictures
        if not is_dict:
            return pictures
        moved = {"images": pictures}
        if boxes is not None:
            after = self._view_boxes(xp, corners, rows, columns)[:, :-1]
            after = keep_sentinels(xp, given, xp.reshape(after, xp.shape(given)))
            moved["bounding_boxes"] = {"boxes": after}
        if "segmentation_masks" in data:
            masks = data["segmentation_masks"]
            moved["segmentation_masks"] = self._view_masks(xp, masks, images, view)
        return moved

    def get_config(self):
        """The arguments of the constructor."""
        config = super().get_config()
        config.update(
            {
                "flip": self.flip,
                "zoom": self.zoom,
                "aspect": self.aspect,
                "shift": self.shift,
                "min_visible": self.min_visible,
                "seed": self.seed,
            }
        )
        return config

    def _check_boxes(self, boxes, images):
        check_dense(boxes, "boxes", "pad them with rows of -1, which mark no box")
        return super()._check_boxes(boxes, images)

    # --- the draw ---

    def _hashes(self, xp, images, batch_size, seed):
        """One int32 hash per picture, from its given seeds or the layer's state."""
        single = len(images.shape) == 3
        if seed is None:
            seed = self._next_seed(images)
        elif single and len(seed.shape) == 1:
            return fold(xp, seed[None])
        elif not single and len(seed.shape) == 2 and _same_batch(seed, images):
            return fold(xp, seed)
        elif len(seed.shape) != 1:
            raise ValueError(
                "`seed` must be integers of shape (K,) for one image or (B, K) for a "
                f"batch. Received shape: {tuple(seed.shape)} for images of shape "
                f"{tuple(images.shape)}"
            )
        index = xp.cast(xp.arange(batch_size), "int32")
        state = fold(xp, xp.cast(seed, "int32"))
        return fold(xp, xp.stack([state + xp.zeros_like(index), index], axis=-1))

    def _next_seed(self, images):
        if not in_tf_graph(images):
            return self.generator.next()
        # A generator of Keras's would be a constant in the graph of tf.data on JAX
        # and torch, and on TensorFlow two parallel calls can read one state. This
        # one's step is atomic.
        import tensorflow as tf

        if self._tf_generator is None:
            with tf.init_scope():
                self._tf_generator = tf.random.Generator.from_seed(self._first_seed)
        return self._tf_generator.uniform_full_int([2], dtype=tf.int32)

    def _draw(self, xp, hashed, height, width, boxes, corners):
        """(scale, shift) along y and along x, each (B,), for each picture."""
        height, width = xp.cast(height, "float32"), xp.cast(width, "float32")
        draws = uniform(xp, hashed, 5)
        flipped = draws[:, 0] < self.flip
        least, most = math.log(self.zoom[0]), math.log(self.zoom[1])
        zoom = xp.exp(least + (most - least) * draws[:, 1])
        stretch = xp.exp((draws[:, 2] - 0.5) * math.log1p(self.aspect))
        fitted = self.size / xp.maximum(height, width)
        scale_x, scale_y = fitted * zoom * stretch, fitted * zoom / stretch

        if boxes is None:
            keep_x = keep_y = None
        else:
            x0, y0, x1, y1 = corners
            valid = self._valid(xp, boxes, corners)
            keep_x = self._to_keep(xp, x0, x1, width, valid)
            keep_y = self._to_keep(xp, y0, y1, height, valid)
            reduce = xp.minimum(
                self.size / (keep_x[2] * scale_x), self.size / (keep_y[2] * scale_y)
            )
            reduce = xp.minimum(reduce, 1.0)
            scale_x, scale_y = scale_x * reduce, scale_y * reduce
        shift_x = self._place(xp, draws[:, 3], scale_x, width, keep_x)
        shift_y = self._place(xp, draws[:, 4], scale_y, height, keep_y)
        columns = (
            xp.where(flipped, -scale_x, scale_x),
            xp.where(flipped, self.size - shift_x, shift_x),
        )
        return (scale_y, shift_y), columns

    def _valid(self, xp, boxes, corners):
        x0, y0, x1, y1 = corners
        marks = xp.logical_or(xp.all(boxes == -1, axis=-1), xp.all(boxes == 0, axis=-1))
        ordered = xp.logical_and(x1 >= x0, y1 >= y0)
        return xp.logical_and(ordered, xp.logical_not(marks))

    def _to_keep(self, xp, low, high, side, valid):
        """What of an axis must stay in view: (from, to, least extent), each (B,).

        If a share r of a box's length is to be seen, then the view must begin before
        the last r and end after the first r of it; for several boxes, of each.
        """
        share = math.sqrt(self.min_visible)
        low = xp.minimum(xp.maximum(low, 0.0), side)
        high = xp.minimum(xp.maximum(high, 0.0), side)
        hidden = (1 - share) * (high - low)
        start = xp.min(xp.where(valid, low + hidden, 1e9), axis=-1)
        end = xp.max(xp.where(valid, high - hidden, -1e9), axis=-1)
        longest = xp.max(xp.where(valid, share * (high - low), 1e-6), axis=-1)
        return start, end, xp.maximum(end - start, longest)

    def _place(self, xp, draw, scale, side, keep):
        """A shift that keeps the picture about the square and its boxes in it."""
        slack, spare = self.shift * self.size, self.size - scale * side
        least = xp.minimum(spare, 0.0) - slack
        most = xp.maximum(spare, 0.0) + slack
        if keep is not None:
            start, end, _ = keep
            least = xp.maximum(least, -start * scale)
            most = xp.maximum(xp.minimum(most, self.size - end * scale), least)
        return least + draw * (most - least)

    # --- what is moved ---

    def _pixel_corners(self, boxes, height, width):
        corners = to_corners(boxes, self.bounding_box_format)
        if is_relative(self.bounding_box_format):
            xp = ops_for(boxes)
            height, width = xp.cast(height, "float32"), xp.cast(width, "float32")
            corners = to_pixels(corners, height, width)
        return corners

    def _view_boxes(self, xp, corners, rows, columns):
        def seen(low, high, scale_and_shift):
            scale, shift = (value[:, None] for value in scale_and_shift)
            mirrored = scale < 0
            low, high = scale * low + shift, scale * high + shift
            low, high = xp.where(mirrored, high, low), xp.where(mirrored, low, high)
            side = float(self.size)
            return (
                xp.minimum(xp.maximum(low, 0.0), side),
                xp.minimum(xp.maximum(high, 0.0), side),
            )

        x0, y0, x1, y1 = corners
        x0, x1 = seen(x0, x1, columns)
        y0, y1 = seen(y0, y1, rows)
        corners = (x0, y0, x1, y1)
        if is_relative(self.bounding_box_format):
            corners = to_fractions(corners, self.size, self.size)
        return from_corners(xp, corners, self.bounding_box_format)

    def _view_masks(self, xp, masks, images, view):
        single = len(images.shape) == 3
        flat = len(masks.shape) < len(images.shape)
        channel = -1 if self.data_format == "channels_last" else -3
        batch = masks[None] if single else masks
        batch = xp.expand_dims(batch, channel) if flat else batch
        batch = view(batch, "nearest")
        batch = xp.squeeze(batch, channel) if flat else batch
        return batch[0] if single else batch


def _same_batch(seed, images):
    return seed.shape[0] in (None, images.shape[0]) or images.shape[0] is None


def _check_range(argument, value, least, most):
    if not isinstance(value, numbers.Real) or not least <= value <= most:
        raise ValueError(
            f"`{argument}` must be a number from {least} to {most}. "
            f"Received: {argument}={value!r}"
        )
