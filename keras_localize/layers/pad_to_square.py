"""The padded square as a layer: pixels and boxes move by one map, and back."""

import numbers
from typing import Any, overload

import keras
import numpy as np
from keras import KerasTensor

from keras_localize.boxes.array_namespace import TensorNamespace
from keras_localize.boxes.formats import as_boxes, check_format
from keras_localize.boxes.missing import keep_missing
from keras_localize.boxes.square import Fit, check_size, fit, from_square, move
from keras_localize.boxes.tf_data import in_foreign_graph, namespace_of
from keras_localize.checks import check_bool, check_choice, check_data_format
from keras_localize.layers.inputs import (
    check_image_rank,
    check_inputs,
    images_of,
    join,
    moving_part,
)
from keras_localize.layers.pixels import (
    INTERPOLATIONS,
    Axes,
    Interpolation,
    fill_in_dtype,
    is_integer,
    mask_axes,
    pad,
    resize,
    resize_nearest,
    spatial_axes,
    to_dtype,
)
from keras_localize.types import (
    ArrayLike,
    BoundingBoxFormat,
    DataFormat,
    ImageSize,
    Tensor,
)


@keras.saving.register_keras_serializable(package="keras_localize")
class PadToSquare(keras.layers.Layer):
    """Centres an image in a square, scales it, and moves its boxes with it.

    The longer side becomes `size` pixels. The shorter side keeps the aspect ratio,
    rounded to whole pixels, and the rest of the square is filled. The image is resized
    first and padded after, so that the fill is never blended into it. Boxes move by
    the scale of the pixels, which rounding makes different per axis: see
    `keras_localize.boxes.to_square`.

    Works eagerly, compiled, inside a model and inside `tf.data`, on TensorFlow, JAX
    and torch.

    Args:
        size: side of the square in pixels. `None`: the longer side of the image, so
            that it is only padded.
        fill_value: value of the padding, a number in the unit of the pixels.
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos3"` or
            `"lanczos5"`.
        antialias: whether to filter when the image is made smaller. Slower; without
            it, an image that shrinks to less than half loses detail and shows jagged
            edges.
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

        Other keys (labels, values of any type) come out as they went in, but arrays of
        numbers as tensors, as from Keras's layers.

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

    # Boxes move one by one, whatever their number; a subclass may need a dense tensor.
    _takes_ragged_boxes = True

    def __init__(
        self,
        size: int | None = None,
        fill_value: float = 0.0,
        interpolation: Interpolation = "bilinear",
        antialias: bool = False,
        bounding_box_format: BoundingBoxFormat = "xyxy",
        data_format: DataFormat | None = None,
        **kwargs: Any,
    ) -> None:
        # Boxes must stay float32 under every policy: `call` casts, the base does not.
        super().__init__(autocast=False, **kwargs)
        check_format(bounding_box_format)
        check_choice(interpolation, INTERPOLATIONS, "interpolation")
        if not isinstance(fill_value, numbers.Real) or (
            is_integer(self.compute_dtype) and not np.isfinite(fill_value)
        ):
            raise ValueError(
                "`fill_value` must be a number, and finite where pixels are integers. "
                f"Received: fill_value={fill_value!r}, dtype={self.compute_dtype!r}"
            )
        self.size = check_size(size)
        self.fill_value = fill_value
        self.interpolation: Interpolation = interpolation
        self.antialias = check_bool(antialias, "antialias")
        self.bounding_box_format: BoundingBoxFormat = bounding_box_format
        self.data_format: DataFormat = check_data_format(data_format)
        exact = antialias or interpolation not in ("nearest", "bilinear")
        if exact and keras.backend.backend() == "tensorflow":
            # XLA has no kernel for these resizings of TensorFlow.
            self.supports_jit = False

    @overload
    def __call__(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]: ...

    @overload
    def __call__(self, data: Tensor, **kwargs: Any) -> Tensor: ...

    def __call__(self, data: Any, **kwargs: Any) -> Any:
        """Moves images, boxes and masks, and passes everything else through."""
        moving = check_inputs(
            moving_part(data), self.data_format, self._takes_ragged_boxes
        )
        if in_foreign_graph(images_of(moving)):
            # On JAX and torch the base class cannot take the tensors of tf.data.
            moved = self.call(moving, **kwargs)
        else:
            moved = super().__call__(moving, **kwargs)
        return join(data, moved)

    def call(self, data: Any) -> Any:
        """Moves a checked image, or dict of tensors, into the square."""
        images = images_of(data)
        xp = namespace_of(images)
        place = self._fit(xp, images)
        if not isinstance(data, dict):
            return self._move_images(xp, images, place)
        moved: dict[str, Any] = {"images": self._move_images(xp, images, place)}
        if "bounding_boxes" in data:
            boxes = xp.cast(data["bounding_boxes"]["boxes"], "float32")
            after = move(xp, boxes, place, self.bounding_box_format)
            moved["bounding_boxes"] = {"boxes": keep_missing(xp, boxes, after)}
        if "segmentation_masks" in data:
            masks = data["segmentation_masks"]
            axes = mask_axes(len(masks.shape), len(images.shape), self.data_format)
            masks = resize_nearest(xp, masks, place, axes)
            moved["segmentation_masks"] = pad(xp, masks, place, axes, 0)
        return moved

    def invert(self, boxes: ArrayLike, image_size: ImageSize) -> Tensor:
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
        tensor = as_boxes(boxes)
        inverted = from_square(tensor, image_size, self.size, self.bounding_box_format)
        return keep_missing(namespace_of(tensor), tensor, inverted)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape, or dict of shapes, for a shape or a dict as `call` takes it."""
        if not isinstance(input_shape, dict):
            return self._image_shape(input_shape)
        shapes = dict(input_shape)
        shapes["images"] = self._image_shape(input_shape["images"])
        if "segmentation_masks" in shapes:
            mask_shape, images = shapes["segmentation_masks"], input_shape["images"]
            shapes["segmentation_masks"] = self._mask_shape(mask_shape, images)
        return shapes

    def compute_output_spec(self, data: Any, **kwargs: Any) -> Any:
        """Images in the compute dtype, boxes in float32, masks in their own dtype."""
        if not isinstance(data, dict):
            return KerasTensor(self._image_shape(data.shape), self.compute_dtype)
        shape = self._image_shape(data["images"].shape)
        spec: dict[str, Any] = {"images": KerasTensor(shape, self.compute_dtype)}
        if "bounding_boxes" in data:
            boxes = data["bounding_boxes"]["boxes"]
            spec["bounding_boxes"] = {"boxes": KerasTensor(boxes.shape, "float32")}
        if "segmentation_masks" in data:
            masks = data["segmentation_masks"]
            shape = self._mask_shape(masks.shape, data["images"].shape)
            spec["segmentation_masks"] = KerasTensor(shape, masks.dtype)
        return spec

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.size,
            "fill_value": self.fill_value,
            "interpolation": self.interpolation,
            "antialias": self.antialias,
            "bounding_box_format": self.bounding_box_format,
            "data_format": self.data_format,
        }

    def _fit(self, xp: TensorNamespace, images: Tensor) -> Fit:
        sides = xp.shape(images)
        height, width = (sides[axis] for axis in spatial_axes(self.data_format))
        if isinstance(height, int) and isinstance(width, int):
            return fit(height, width, self.size)
        return fit(height, width, self.size, xp.maximum)

    def _move_images(self, xp: TensorNamespace, images: Tensor, place: Fit) -> Tensor:
        how = (self.interpolation, self.antialias, self.data_format)
        images = resize(xp, images, place, *how)
        images = to_dtype(xp, images, self.compute_dtype)
        fill = fill_in_dtype(self.fill_value, self.compute_dtype)
        return pad(xp, images, place, spatial_axes(self.data_format), fill)

    def _image_shape(self, shape: Any) -> tuple:
        return self._square_shape(shape, shape, spatial_axes(self.data_format))

    def _mask_shape(self, mask_shape: Any, image_shape: Any) -> tuple:
        axes = mask_axes(len(mask_shape), len(image_shape), self.data_format)
        return self._square_shape(mask_shape, image_shape, axes)

    def _square_shape(self, shape: Any, image_shape: Any, axes: Axes) -> tuple:
        check_image_rank(image_shape)
        height, width = (image_shape[axis] for axis in spatial_axes(self.data_format))
        size = self.size
        if size is None and None not in (height, width):
            size = max(height, width)
        square = list(shape)
        square[axes[0]] = square[axes[1]] = size
        return tuple(square)
