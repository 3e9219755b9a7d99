"""Random augmentation with a square output, in one resampling."""

import math
import numbers
from collections.abc import Callable
from typing import Any, Literal, overload

import keras

from keras_localize.boxes.array_namespace import TensorNamespace
from keras_localize.boxes.formats import (
    Corners,
    from_corners,
    is_relative,
    to_corners,
    to_fractions,
    to_pixels,
)
from keras_localize.boxes.missing import keep_missing
from keras_localize.boxes.tf_data import in_tf_graph, namespace_of
from keras_localize.checks import (
    check_choice,
    check_number,
    check_positive_int,
    check_seed,
)
from keras_localize.layers.inputs import images_of
from keras_localize.layers.pad_to_square import PadToSquare
from keras_localize.layers.pixels import fill_in_dtype, spatial_axes, to_dtype
from keras_localize.layers.random_numbers import as_seeds, fold
from keras_localize.layers.random_views import ViewRanges, draw_views, view_corners
from keras_localize.layers.resampling import resample
from keras_localize.types import (
    ArrayLike,
    BoundingBoxFormat,
    DataFormat,
    ImageSize,
    Tensor,
)


@keras.saving.register_keras_serializable(package="keras_localize")
class RandomSquareView(PadToSquare):
    """Random augmentation with a square output; boxes stay visible.

    In training each image is flipped, zoomed, stretched and shifted by one random map,
    drawn for it alone, and resampled once, from its own pixels. Its boxes move by the
    same map. With `training=False` the layer is `PadToSquare`.

    Every box stays visible by at least `min_visible` of its area, also where an image
    has several. A zoom that would make this impossible is reduced for that image. A
    box that crosses the square's border is clipped. Rows that mark "no box" (all -1 or
    all 0), hold NaN or have inverted corners need not stay visible.

    Args:
        size: side of the square in pixels.
        flip: probability of a horizontal flip, 0 to 1.
        zoom: pair (least, most) of magnifications relative to `PadToSquare`, drawn
            uniformly on a logarithmic scale: with (0.8, 1.5) the image is 0.8 to 1.5
            times as large. One number serves as both.
        aspect: most that the ratio of width to height may change: with 0.12 its factor
            is drawn between 1/1.12 and 1.12.
        shift: how far the image may be moved beyond what keeps the square filled
            (or, where it is smaller than the square, beyond the square's border), as
            a share of the square's side.
        min_visible: least share of each box's area (of its part within the image)
            that stays visible, in [0.001, 1]; 1 keeps boxes whole.
        box_crop: probability that the zoom is drawn so that the view is a crop around
            the boxes: its side is 1.25 to 2.1 times the longer side of what holds
            them all. Smaller boxes count as a quarter of the image. Use 0.5 to train a
            model for `localize(refine=True)`, which predicts again on such crops.
        fill_value: value outside the image; masks are filled with 0.
        interpolation: `"bilinear"` or `"nearest"`.
        antialias: whether to filter where the image shrinks. Slower; see
            `PadToSquare`.
        bounding_box_format: see `PadToSquare`.
        data_format: see `PadToSquare`.
        seed: an integer that makes the sequence of draws repeatable where images
            come in a fixed order. For draws that do not depend on the order, give
            each call its own `seed`, see below.
        **kwargs: base layer keyword arguments, such as `name` and `dtype`.

    Call arguments:
        data: as `PadToSquare`: an image, a batch, or a dict.
        training: True (the default outside a model) for random views. In a model it
            is True in `fit` and where you call the model, False in `predict` and
            `evaluate`. As of Keras's random layers, an exported model is random: leave
            the layer out of it, or call the model with `training=False`.
        seed: integers, `(K,)` for one image or `(B, K)` for a batch, for example
            (seed, epoch, index) of each image. The draws are a pure function of
            them, the same on every backend and under any parallelism. `None`: the
            next draws of the layer.

    Raises:
        ValueError: as `PadToSquare`, and for an argument out of its range.

    Example:

    >>> import keras_localize
    >>> view = keras_localize.layers.RandomSquareView(64, bounding_box_format="xyxy")
    >>> image = np.ones((200, 400, 3), "uint8")
    >>> data = {"images": image, "bounding_boxes": {"boxes": [100, 50, 300, 150]}}
    >>> viewed = view(data, seed=(0, 1, 2))
    >>> box = keras.ops.convert_to_numpy(viewed["bounding_boxes"]["boxes"])
    >>> bool((box >= 0).all() and (box <= 64).all())
    True
    """

    # All boxes of an image are looked at together.
    _takes_ragged_boxes = False

    def __init__(
        self,
        size: int,
        flip: float = 0.5,
        zoom: tuple[float, float] | float = (0.8, 1.5),
        aspect: float = 0.12,
        shift: float = 0.1,
        min_visible: float = 1.0,
        box_crop: float = 0.0,
        fill_value: float = 0.0,
        interpolation: Literal["bilinear", "nearest"] = "bilinear",
        antialias: bool = False,
        bounding_box_format: BoundingBoxFormat = "xyxy",
        data_format: DataFormat | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            size=size,
            fill_value=fill_value,
            interpolation=interpolation,
            antialias=antialias,
            bounding_box_format=bounding_box_format,
            data_format=data_format,
            **kwargs,
        )
        # No None here: the square cannot depend on the image.
        self.size: int = check_positive_int(size, "size")
        check_choice(interpolation, ("bilinear", "nearest"), "interpolation")
        self.flip = check_number(flip, "flip", 0, 1)
        self.zoom = _check_zoom(zoom)
        self.aspect = check_number(aspect, "aspect", 0, 10)
        self.shift = check_number(shift, "shift", 0, 1)
        self.min_visible = check_number(min_visible, "min_visible", 1e-3, 1)
        self.box_crop = check_number(box_crop, "box_crop", 0, 1)
        self.seed = seed
        self._first_seed = check_seed(seed)
        self.generator = keras.random.SeedGenerator(self._first_seed % 2**31)
        self._tf_generator = None

    @overload
    def __call__(
        self, data: dict[str, Any], *, training: bool | None = None, seed: Any = None
    ) -> dict[str, Any]: ...

    @overload
    def __call__(
        self, data: Tensor, *, training: bool | None = None, seed: Any = None
    ) -> Tensor: ...

    def __call__(
        self, data: Any, *, training: bool | None = None, seed: Any = None
    ) -> Any:
        """Draws views (or pads, with `training=False`); see the class."""
        arguments: dict[str, Any] = {} if training is None else {"training": training}
        if seed is not None:
            like = seed if in_tf_graph(seed) else images_of(data)
            arguments["seed"] = as_seeds(namespace_of(like), seed)
        return super().__call__(data, **arguments)

    def call(self, data: Any, training: bool = True, seed: Tensor | None = None) -> Any:
        """Views of a checked image, or dict of tensors."""
        is_dict = isinstance(data, dict)
        images = images_of(data)
        # Of no images at all there is nothing to draw.
        if not training or images.shape[0] == 0:
            return super().call(data)
        xp = namespace_of(images)
        single = len(images.shape) == 3

        batch = images[None] if single else images
        sides = xp.shape(batch)
        height, width = (sides[axis] for axis in spatial_axes(self.data_format))
        given = boxes = corners = None
        if is_dict and "bounding_boxes" in data:
            given = xp.cast(data["bounding_boxes"]["boxes"], "float32")
            boxes = given[None] if single else given
            boxes = boxes if len(boxes.shape) == 3 else boxes[:, None]
            # One row that marks "no box": there is no minimum over no boxes at all.
            boxes = xp.pad(boxes, [(0, 0), (0, 1), (0, 0)], constant_values=-1)
            corners = self._pixel_corners(xp, boxes, height, width)
        hashes = self._hashes(xp, images, sides[0], seed)
        rows, columns = draw_views(
            xp, self._ranges, hashes, height, width, boxes, corners
        )

        def view(pixels: Tensor, *how: Any) -> Tensor:
            first = self.data_format == "channels_first"
            if first:
                pixels = xp.transpose(pixels, (0, 2, 3, 1))
            pixels = resample(xp, pixels, rows, columns, self.size, *how)
            return xp.transpose(pixels, (0, 3, 1, 2)) if first else pixels

        fill = fill_in_dtype(self.fill_value, self.compute_dtype)
        if self.interpolation == "nearest":
            # Then pixels keep their dtype, which may not have the fill value.
            batch = to_dtype(xp, batch, self.compute_dtype)
        viewed = view(batch, self.interpolation, self.antialias, fill)
        viewed = to_dtype(xp, viewed, self.compute_dtype)
        viewed = viewed[0] if single else viewed
        if not is_dict:
            return viewed
        moved: dict[str, Any] = {"images": viewed}
        if corners is not None:
            corners = view_corners(xp, corners, rows, columns, self.size)
            after = self._boxes_of(xp, corners)[:, :-1]
            after = keep_missing(xp, given, xp.reshape(after, xp.shape(given)))
            moved["bounding_boxes"] = {"boxes": after}
        if "segmentation_masks" in data:
            masks = data["segmentation_masks"]
            moved["segmentation_masks"] = self._view_masks(xp, masks, images, view)
        return moved

    def invert(self, boxes: ArrayLike, image_size: ImageSize) -> Tensor:
        """Maps boxes of squares made with `training=False` back to the images.

        A random view has no inverse: what it drew is not kept. See
        `PadToSquare.invert`.
        """
        return super().invert(boxes, image_size)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "flip": self.flip,
            "zoom": self.zoom,
            "aspect": self.aspect,
            "shift": self.shift,
            "min_visible": self.min_visible,
            "box_crop": self.box_crop,
            "seed": self.seed,
        }

    @property
    def _ranges(self) -> ViewRanges:
        return ViewRanges(
            self.size,
            self.flip,
            self.zoom,
            self.aspect,
            self.shift,
            self.min_visible,
            self.box_crop,
        )

    def _hashes(
        self, xp: TensorNamespace, images: Tensor, batch_size: Any, seed: Tensor | None
    ) -> Tensor:
        """One int32 hash per image, from its given seeds or the layer's state."""
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

    def _next_seed(self, images: Tensor) -> Tensor:
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

    def _pixel_corners(
        self, xp: TensorNamespace, boxes: Tensor, height: Any, width: Any
    ) -> Corners:
        corners = to_corners(boxes, self.bounding_box_format)
        if is_relative(self.bounding_box_format):
            height, width = xp.cast(height, "float32"), xp.cast(width, "float32")
            corners = to_pixels(corners, height, width)
        return corners

    def _boxes_of(self, xp: TensorNamespace, corners: Corners) -> Tensor:
        if is_relative(self.bounding_box_format):
            corners = to_fractions(corners, self.size, self.size)
        return from_corners(xp, corners, self.bounding_box_format)

    def _view_masks(
        self,
        xp: TensorNamespace,
        masks: Tensor,
        images: Tensor,
        view: Callable[..., Tensor],
    ) -> Tensor:
        single = len(images.shape) == 3
        flat = len(masks.shape) < len(images.shape)
        channel = -1 if self.data_format == "channels_last" else -3
        batch = masks[None] if single else masks
        batch = xp.expand_dims(batch, channel) if flat else batch
        batch = view(batch, "nearest")
        batch = xp.squeeze(batch, channel) if flat else batch
        return batch[0] if single else batch


def _same_batch(seed: Tensor, images: Tensor) -> bool:
    return seed.shape[0] in (None, images.shape[0]) or images.shape[0] is None


def _check_zoom(zoom: Any) -> tuple[float, float]:
    pair = tuple(zoom) if isinstance(zoom, (tuple, list)) else (zoom, zoom)
    numeric = all(isinstance(factor, numbers.Real) for factor in pair)
    if len(pair) != 2 or not numeric or not 0 < pair[0] <= pair[1] < math.inf:
        raise ValueError(
            "`zoom` must be a pair (least, most) of positive numbers. "
            f"Received: zoom={zoom!r}"
        )
    return float(pair[0]), float(pair[1])
