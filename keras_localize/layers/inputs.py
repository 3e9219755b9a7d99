"""What a preprocessing layer takes: an image, a batch, or a dict with either."""

from typing import Any, cast

import keras
import numpy as np
from keras import KerasTensor, ops

from keras_localize.arrays import to_numpy
from keras_localize.boxes.tf_data import (
    check_rank,
    in_foreign_graph,
    in_tf_graph,
    namespace_of,
)
from keras_localize.layers.pixels import mask_axes, spatial_axes
from keras_localize.types import DataFormat, Tensor


def images_of(data: Any) -> Tensor:
    """The image or the batch."""
    return data["images"] if isinstance(data, dict) else data


def moving_part(data: Any) -> Any:
    """The part of the input that the layer moves: images, boxes, masks."""
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


def join(data: Any, moved: Any) -> Any:
    """`data` as a new structure, with the moved parts in place of the given ones."""
    if not isinstance(data, dict):
        return moved
    graph = in_tf_graph(moved["images"])

    def beside(value: Any) -> Any:
        return value if graph else _tensor_of(value)

    joined = {k: moved[k] if k in moved else beside(v) for k, v in data.items()}
    if "bounding_boxes" in moved:
        others = {k: beside(v) for k, v in data["bounding_boxes"].items()}
        joined["bounding_boxes"] = others | moved["bounding_boxes"]
    return joined


def _tensor_of(value: Any) -> Any:
    """An array of numbers as a tensor, which layers of Keras want beside tensors.

    Anything else stays what it is, and so does an array whose numbers the backend does
    not have, such as large int64 on JAX.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        return value
    try:
        tensor = ops.convert_to_tensor(value)
    except (TypeError, ValueError):
        return value
    # Of the same dtype the numbers are the same: nothing waits for a device.
    if value.dtype == keras.backend.standardize_dtype(tensor.dtype):
        return tensor
    same = np.array_equal(to_numpy(tensor), value, equal_nan=value.dtype.kind == "f")
    return tensor if same else value


def check_inputs(data: Any, data_format: DataFormat, ragged_boxes: bool) -> Any:
    """`data` (a `moving_part`) as tensors, or a ValueError that names the bad key."""
    if not isinstance(data, dict):
        return _check_images(data, data_format)
    images = _check_images(data["images"], data_format)
    checked: dict[str, Any] = {"images": images}
    if "bounding_boxes" in data:
        boxes = data["bounding_boxes"]["boxes"]
        if not ragged_boxes:
            # Before it is a tensor: in a graph on JAX a ragged one becomes none.
            remedy = "pad them with rows of -1, which mark no box"
            _check_dense(boxes, "boxes", remedy)
        boxes = _as_tensor(boxes, "boxes", images)
        _check_boxes(boxes, images)
        checked["bounding_boxes"] = {"boxes": boxes}
    if "segmentation_masks" in data:
        masks = _as_tensor(data["segmentation_masks"], "segmentation_masks", images)
        _check_masks(masks, images, data_format)
        checked["segmentation_masks"] = masks
    return checked


def check_image_rank(shape: Any) -> None:
    """Raises the ValueError unless the shape is that of an image or a batch."""
    if len(shape) not in (3, 4):
        raise ValueError(
            "`images` must be one image of rank 3, (H, W, C) in channels_last format, "
            f"or a batch of rank 4. Received shape: {tuple(shape)}"
        )


def _check_images(images: Any, data_format: DataFormat) -> Tensor:
    images = _as_tensor(images, "images")
    _check_dense(images, "images", "map the layer before batching")
    shape = tuple(images.shape)
    check_image_rank(shape)
    if 0 in shape[-3:]:
        raise ValueError(
            "`images` must have at least one pixel of one channel. Received shape: "
            f"{shape}, data_format={data_format!r}"
        )
    return images


def _check_boxes(boxes: Tensor, images: Tensor) -> None:
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


def _check_masks(masks: Tensor, images: Tensor, data_format: DataFormat) -> None:
    shape, image_shape = tuple(masks.shape), tuple(images.shape)
    matches = len(shape) in (len(image_shape), len(image_shape) - 1)
    if matches:
        axes = mask_axes(len(shape), len(image_shape), data_format)
        matches = not any(
            _differ(shape[mask_axis], image_shape[axis])
            for mask_axis, axis in zip(axes, spatial_axes(data_format))
        )
    if matches and len(image_shape) == 4:
        matches = not _differ(shape[0], image_shape[0])
    if not matches:
        raise ValueError(
            "`segmentation_masks` must have the images' batch, height and width, "
            "with or without an axis of channels. Received shape: "
            f"{shape} for images of shape {image_shape}"
        )


def _check_dense(tensor: Tensor, argument: str, remedy: str) -> None:
    if hasattr(tensor, "row_splits"):
        raise ValueError(
            f"`{argument}` must be a dense tensor: {remedy}. Received a ragged one of "
            f"shape {tuple(tensor.shape)}"
        )


def _as_tensor(value: Any, argument: str, like: Tensor | None = None) -> Tensor:
    """A tensor of the backend, of `like`'s framework, or a symbolic one."""
    try:
        if isinstance(value, KerasTensor) or in_foreign_graph(value):
            tensor = cast(Any, value)
        elif like is not None and in_foreign_graph(like):
            tensor = namespace_of(like).convert_to_tensor(value)
        else:
            tensor = ops.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{argument}` must be a numeric array of one shape. Received: "
            f"{type(value).__name__}"
        ) from error
    check_rank(tensor, argument)
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if dtype == "string" or "complex" in dtype:
        raise ValueError(
            f"`{argument}` must be real numbers. Received a tensor of dtype {dtype}"
        )
    return tensor


def _differ(a: int | None, b: int | None) -> bool:
    return a is not None and b is not None and a != b
