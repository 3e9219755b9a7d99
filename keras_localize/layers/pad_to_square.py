"""The square as a layer: pixels and boxes moved by one map, and the way back."""

import numbers

import keras
import numpy as np
from keras import KerasTensor, ops

from keras_localize.boxes.formats import as_boxes, check_format
from keras_localize.boxes.square import check_size, fit, from_square, move
from keras_localize.layers.tf_data import in_foreign_graph, ops_for

_BAD_RANK = (
    "`images` must be one image of rank 3, (H, W, C) in channels_last format, or a "
    "batch of rank 4. Received shape: {}"
)

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")


@keras.saving.register_keras_serializable(package="keras_localize")
class PadToSquare(keras.layers.Layer):
    """Centres an image in a square, scales it, and moves its boxes with it.

    The longer side becomes `size` pixels, the shorter keeps the aspect ratio, rounded
    to whole pixels, and the rest of the square is filled. The image is resized first
    and padded after, so the fill never bleeds into it. Boxes move by the scale that
    the pixels really had, per axis: see `keras_localize.boxes.to_square`.

    Works eagerly, compiled, inside a model and inside `tf.data`, on TensorFlow, JAX
    and torch.

    Args:
        size: side of the square in pixels. `None`: the longer side of the image, so
            that it is only padded.
        fill_value: value of the padding, a number in the unit of the pixels.
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos3"` or
            `"lanczos5"`.
        antialias: whether to filter when the image is made smaller. Slower, and much
            truer where it shrinks to less than half.
        bounding_box_format: format of the boxes: `"xyxy"`, `"yxyx"`, `"xywh"`,
            `"center_xywh"`, `"center_yxhw"` in pixels, or `"rel_xyxy"`, `"rel_yxyx"`,
            `"rel_xywh"`, `"rel_center_xywh"`, relative to the image on the way in and
            to the square on the way out.
        data_format: `"channels_last"` or `"channels_first"`; defaults to
            `keras.config.image_data_format()`.
        **kwargs: base layer keyword arguments, such as `name` and `dtype`. With
            `dtype="uint8"` pixels are rounded and saturated.

    Input:
        An image `(H, W, C)` or a batch `(B, H, W, C)` of any numeric dtype and any
        number of channels, or a dict with such a tensor under `"images"` and, if
        wanted:

        - `"bounding_boxes"`: a dict with `"boxes"` of shape `(4,)` or `(N, 4)` for
          one image, `(B, 4)` or `(B, N, 4)` for a batch.
        - `"segmentation_masks"`: `(H, W, 1)` or `(H, W)`, or a batch of these, moved
          by the same map, nearest neighbour, filled with 0, dtype kept.

        All else (labels, extra keys of any type) comes out as it went in.

    Output:
        The same structure; the dict is a new one. Images `(size, size, C)` in the
        layer's compute dtype; boxes in float32 under every dtype policy. Rows that
        mark "no box" (all -1 or all 0) stay what they are; NaN stays NaN.

    Raises:
        ValueError: for an unknown format, interpolation or data format, a size below
            1, an image that is not of rank 3 or 4 or that has no pixels, or boxes or
            masks whose shape does not go with the image's.

    Example:

    >>> import keras_localize
    >>> layer = keras_localize.layers.PadToSquare(size=100)
    >>> image = np.ones((200, 400, 3), "uint8")
    >>> square = layer({
    ...     "images": image,
    ...     "bounding_boxes": {"boxes": [0, 0, 400, 200], "labels": "cat"},
    ... })
    >>> tuple(square["images"].shape)
    (100, 100, 3)
    >>> box = square["bounding_boxes"]["boxes"]
    >>> keras.ops.convert_to_numpy(box).tolist()
    [0.0, 25.0, 100.0, 75.0]
    >>> original = layer.invert(box, image_size=(200, 400))
    >>> keras.ops.convert_to_numpy(original).tolist()
    [0.0, 0.0, 400.0, 200.0]
    """

    def __init__(
        self,
        size=None,
        fill_value=0.0,
        interpolation="bilinear",
        antialias=False,
        bounding_box_format="xyxy",
        data_format=None,
        **kwargs,
    ):
        # Boxes must stay float32 under every policy: `call` casts, the base does not.
        super().__init__(autocast=False, **kwargs)
        check_size(size)
        check_format(bounding_box_format)
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"`interpolation` must be one of {', '.join(INTERPOLATIONS)}. "
                f"Received: interpolation={interpolation!r}"
            )
        if data_format not in (None, "channels_last", "channels_first"):
            raise ValueError(
                "`data_format` must be channels_last, channels_first or None. "
                f"Received: data_format={data_format!r}"
            )
        if not isinstance(fill_value, numbers.Real) or (
            _is_integer(self.compute_dtype) and not np.isfinite(fill_value)
        ):
            raise ValueError(
                "`fill_value` must be a number, and finite where pixels are integers. "
                f"Received: fill_value={fill_value!r}, dtype={self.compute_dtype!r}"
            )
        if not isinstance(antialias, (bool, np.bool_)):
            raise ValueError(
                f"`antialias` must be a bool. Received: antialias={antialias!r}"
            )
        self.size = None if size is None else int(size)
        self.fill_value = fill_value
        self.interpolation = interpolation
        self.antialias = bool(antialias)
        self.bounding_box_format = bounding_box_format
        self.data_format = data_format or keras.config.image_data_format()

    def __call__(self, data, **kwargs):
        """Moves images, boxes and masks; carries everything else around."""
        moving = self._check(_moving_part(data))
        if in_foreign_graph(_images_of(moving)):
            # On JAX and torch the base class cannot take the tensors of tf.data.
            moved = self.call(moving, **kwargs)
        else:
            moved = super().__call__(moving, **kwargs)
        return _join(data, moved)

    def call(self, data):
        """Moves a checked image, or dict of tensors, into the square."""
        images = _images_of(data)
        xp = ops_for(images)
        place = self._fit(xp, images)
        if not isinstance(data, dict):
            return self._move_images(xp, images, place)
        moved = {"images": self._move_images(xp, images, place)}
        if "bounding_boxes" in data:
            boxes = xp.cast(data["bounding_boxes"]["boxes"], "float32")
            boxes = keep_sentinels(xp, boxes, self._move_boxes(xp, boxes, place))
            moved["bounding_boxes"] = {"boxes": boxes}
        if "segmentation_masks" in data:
            moved["segmentation_masks"] = self._move_masks(
                xp, data["segmentation_masks"], images, place
            )
        return moved

    def invert(self, boxes, image_size):
        """Maps boxes of this layer's output back to the original image.

        Args:
            boxes: tensor of shape `(..., 4)` in the layer's `bounding_box_format`.
            image_size: `(height, width)` of the original image in pixels: a pair, or
                an integer tensor `(B, 2)` that matches `boxes` from the left.

        Returns:
            Tensor of the shape and format of `boxes`, float32 (float64 if given
            float64), not clipped. Rows that mark "no box" stay what they are.

        Raises:
            ValueError: for a last axis that is not 4, or a bad `image_size`.
        """
        boxes = as_boxes(boxes)
        inverted = from_square(boxes, image_size, self.size, self.bounding_box_format)
        return keep_sentinels(ops, boxes, inverted)

    def compute_output_shape(self, input_shape):
        """Shapes in, shapes out: a tuple, or a dict as `call` takes it."""
        if not isinstance(input_shape, dict):
            return self._image_shape(input_shape)
        shapes = dict(input_shape)
        shapes["images"] = self._image_shape(input_shape["images"])
        if "segmentation_masks" in shapes:
            mask_shape, images = shapes["segmentation_masks"], input_shape["images"]
            shapes["segmentation_masks"] = self._mask_shape(mask_shape, images)
        return shapes

    def compute_output_spec(self, data, **kwargs):
        """Images in the compute dtype, boxes in float32, masks in their own dtype."""
        if not isinstance(data, dict):
            return KerasTensor(self._image_shape(data.shape), self.compute_dtype)
        shape = self._image_shape(data["images"].shape)
        spec = {"images": KerasTensor(shape, self.compute_dtype)}
        if "bounding_boxes" in data:
            boxes = data["bounding_boxes"]["boxes"]
            spec["bounding_boxes"] = {"boxes": KerasTensor(boxes.shape, "float32")}
        if "segmentation_masks" in data:
            masks = data["segmentation_masks"]
            shape = self._mask_shape(masks.shape, data["images"].shape)
            spec["segmentation_masks"] = KerasTensor(shape, masks.dtype)
        return spec

    def get_config(self):
        """The arguments of the constructor."""
        config = super().get_config()
        config.update(
            {
                "size": self.size,
                "fill_value": self.fill_value,
                "interpolation": self.interpolation,
                "antialias": self.antialias,
                "bounding_box_format": self.bounding_box_format,
                "data_format": self.data_format,
            }
        )
        return config

    # --- one picture's or batch's place, and what is moved by it ---

    @property
    def _axes(self):
        """The axes of height and width, from the right."""
        return (-3, -2) if self.data_format == "channels_last" else (-2, -1)

    def _fit(self, xp, images):
        height, width = (xp.shape(images)[axis] for axis in self._axes)
        if isinstance(height, int) and isinstance(width, int):
            return fit(height, width, self.size)
        return fit(height, width, self.size, xp.maximum)

    def _move_images(self, xp, images, place):
        images = self._to_compute_dtype(xp, self._resize(xp, images, place))
        return self._pad(xp, images, place, self._axes, self._fill())

    def _fill(self):
        if not _is_integer(self.compute_dtype):
            return self.fill_value
        info = np.iinfo(self.compute_dtype)
        return int(np.clip(round(self.fill_value), info.min, info.max))

    def _resize(self, xp, images, place):
        if _is_unscaled(place):
            return images
        if self.interpolation == "nearest":
            return _nearest(xp, images, place, self._axes)
        images = xp.cast(images, "float32")
        on_torch = xp is ops and keras.backend.backend() == "torch"
        if on_torch and self.interpolation != "bilinear":
            return self._resize_by_weights(images, place)
        return xp.image.resize(
            images,
            (place.rows, place.columns),
            interpolation=self.interpolation,
            antialias=self.antialias,
            data_format=self.data_format,
        )

    def _resize_by_weights(self, images, place):
        # torch lacks Lanczos, and its bicubic kernel is not the other backends'.
        shape = list(images.shape)
        rank = len(shape)
        axes = tuple(rank + axis for axis in self._axes)
        shape[axes[0]], shape[axes[1]] = place.rows, place.columns
        return ops.image.scale_and_translate(
            images,
            tuple(shape),
            scale=np.array(
                [place.rows / place.height, place.columns / place.width], "float32"
            ),
            translation=np.zeros(2, "float32"),
            spatial_dims=axes,
            method=self.interpolation,
            antialias=self.antialias,
        )

    def _to_compute_dtype(self, xp, images):
        dtype = self.compute_dtype
        if (
            _is_integer(dtype)
            and keras.backend.standardize_dtype(images.dtype) != dtype
        ):
            info = np.iinfo(dtype)
            if not _is_integer(keras.backend.standardize_dtype(images.dtype)):
                images = xp.round(images)
            images = xp.clip(images, info.min, info.max)
        return xp.cast(images, dtype)

    def _move_boxes(self, xp, boxes, place):
        return move(xp, boxes, place, self.bounding_box_format)

    def _move_masks(self, xp, masks, images, place):
        axes = self._mask_axes(len(masks.shape), len(images.shape))
        return self._pad(xp, _nearest(xp, masks, place, axes), place, axes, 0)

    def _mask_axes(self, mask_rank, image_rank):
        return self._axes if mask_rank == image_rank else (-2, -1)

    def _pad(self, xp, images, place, axes, value):
        rank = len(images.shape)
        widths = [(0, 0)] * rank
        bottom = place.size - place.top - place.rows
        right = place.size - place.left - place.columns
        widths[axes[0]] = (place.top, bottom)
        widths[axes[1]] = (place.left, right)
        shape = list(xp.shape(images))
        shape[axes[0]] = shape[axes[1]] = place.size
        padded = xp.pad(images, widths, constant_values=value)
        # tf.data forgets the shape where the padding is a tensor.
        return xp.reshape(padded, shape)

    def _image_shape(self, shape):
        return self._square_shape(shape, shape, self._axes)

    def _mask_shape(self, mask_shape, image_shape):
        axes = self._mask_axes(len(mask_shape), len(image_shape))
        return self._square_shape(mask_shape, image_shape, axes)

    def _square_shape(self, shape, image_shape, axes):
        if len(image_shape) not in (3, 4):
            raise ValueError(_BAD_RANK.format(tuple(image_shape)))
        height, width = (image_shape[axis] for axis in self._axes)
        unknown = height is None or width is None
        size = self.size or (None if unknown else max(height, width))
        shape = list(shape)
        shape[axes[0]] = shape[axes[1]] = size
        return tuple(shape)

    # --- what may come in ---

    def _check(self, data):
        if not isinstance(data, dict):
            return self._check_images(data)
        images = self._check_images(data["images"])
        checked = {"images": images}
        if "bounding_boxes" in data:
            boxes = data["bounding_boxes"]["boxes"]
            boxes = self._check_boxes(_as_tensor(boxes, "boxes", images), images)
            checked["bounding_boxes"] = {"boxes": boxes}
        if "segmentation_masks" in data:
            masks = _as_tensor(data["segmentation_masks"], "segmentation_masks", images)
            checked["segmentation_masks"] = self._check_masks(masks, images)
        return checked

    def _check_images(self, images):
        images = _as_tensor(images, "images")
        check_dense(images, "images", "map the layer before batching")
        shape = tuple(images.shape)
        if len(shape) not in (3, 4):
            raise ValueError(_BAD_RANK.format(shape))
        if 0 in shape[-3:]:
            raise ValueError(
                "`images` must have at least one pixel of one channel. Received shape: "
                f"{shape}, data_format={self.data_format!r}"
            )
        return images

    def _check_boxes(self, boxes, images):
        shape, batched = tuple(boxes.shape), len(images.shape) == 4
        expected = "(B, 4) or (B, N, 4)" if batched else "(4,) or (N, 4)"
        ranks = (2, 3) if batched else (1, 2)
        if len(shape) not in ranks or shape[-1] != 4:
            raise ValueError(
                f"`boxes` must be of shape {expected} for images of shape "
                f"{tuple(images.shape)}. Received shape: {shape}"
            )
        if batched and _differ(shape[0], images.shape[0]):
            raise ValueError(
                f"`boxes` must be of shape {expected} with B={images.shape[0]}, the "
                f"batch of the images. Received shape: {shape}"
            )
        return boxes

    def _check_masks(self, masks, images):
        shape, image_shape = tuple(masks.shape), tuple(images.shape)
        matches = len(shape) in (len(image_shape), len(image_shape) - 1)
        if matches:
            axes = self._mask_axes(len(shape), len(image_shape))
            matches = not any(
                _differ(shape[mask_axis], image_shape[axis])
                for mask_axis, axis in zip(axes, self._axes)
            )
        if matches and len(image_shape) == 4:
            matches = not _differ(shape[0], image_shape[0])
        if not matches:
            raise ValueError(
                "`segmentation_masks` must have the images' batch, height and width, "
                "with or without an axis of channels. Received shape: "
                f"{shape} for images of shape {image_shape}"
            )
        return masks


def check_dense(tensor, argument, remedy):
    """Raises the ValueError that names `argument` for a ragged tensor."""
    if hasattr(tensor, "row_splits"):
        raise ValueError(
            f"`{argument}` must be a dense tensor: {remedy}. Received a ragged one of "
            f"shape {tuple(tensor.shape)}"
        )


def keep_sentinels(xp, before, after):
    """`after`, but rows that marked "no box" (all -1 or all 0) as they were."""
    absent = xp.logical_or(
        xp.all(before == -1, axis=-1, keepdims=True),
        xp.all(before == 0, axis=-1, keepdims=True),
    )
    return xp.where(absent, before, after)


def _is_unscaled(place):
    return all(
        after is before or (isinstance(after, int) and after == before)
        for before, after in [(place.height, place.rows), (place.width, place.columns)]
    )


def _nearest(xp, images, place, axes):
    """The pixel under each output pixel's centre, by integers: dtype and value kept."""
    if _is_unscaled(place):
        return images
    rows = ((2 * xp.arange(place.rows) + 1) * place.height) // (2 * place.rows)
    columns = (2 * xp.arange(place.columns) + 1) * place.width // (2 * place.columns)
    rank = len(images.shape)
    images = xp.take(images, rows, axis=rank + axes[0])
    return xp.take(images, columns, axis=rank + axes[1])


def _moving_part(data):
    """What of the input goes through the layer: images, boxes, masks."""
    if not isinstance(data, dict):
        return data
    if "images" not in data:
        raise ValueError(
            f"A dict of data must have the key `images`. Received keys: {list(data)}"
        )
    moving = {"images": data["images"]}
    if "bounding_boxes" in data:
        bounding_boxes = data["bounding_boxes"]
        if not isinstance(bounding_boxes, dict) or "boxes" not in bounding_boxes:
            received = (
                f"keys {list(bounding_boxes)}"
                if isinstance(bounding_boxes, dict)
                else type(bounding_boxes).__name__
            )
            raise ValueError(
                f"`bounding_boxes` must be a dict with the key `boxes`. "
                f"Received: {received}"
            )
        moving["bounding_boxes"] = {"boxes": bounding_boxes["boxes"]}
    if "segmentation_masks" in data:
        moving["segmentation_masks"] = data["segmentation_masks"]
    return moving


def _join(data, moved):
    """`data` as a new structure with the moved parts in their places."""
    if not isinstance(data, dict):
        return moved
    joined = {key: moved.get(key, value) for key, value in data.items()}
    if "bounding_boxes" in moved:
        joined["bounding_boxes"] = {
            **data["bounding_boxes"],
            **moved["bounding_boxes"],
        }
    return joined


def _images_of(data):
    return data["images"] if isinstance(data, dict) else data


def _as_tensor(value, argument, like=None):
    """A tensor of the backend, of `like`'s framework, or a symbolic one."""
    try:
        if isinstance(value, KerasTensor) or in_foreign_graph(value):
            tensor = value
        elif like is not None and in_foreign_graph(like):
            tensor = ops_for(like).convert_to_tensor(value)
        else:
            tensor = ops.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{argument}` must be a numeric array of one shape. Received: "
            f"{type(value).__name__}"
        ) from error
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if dtype == "string" or "complex" in dtype:
        raise ValueError(
            f"`{argument}` must be real numbers. Received a tensor of dtype {dtype}"
        )
    return tensor


def _is_integer(dtype):
    return "int" in dtype


def _differ(a, b):
    return a is not None and b is not None and a != b
