"""Which locations of the feature maps decided each side of a box."""

from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_localize.arrays import to_numpy
from keras_localize.boxes import from_square
from keras_localize.images import letterbox, load
from keras_localize.layers import LocalizationHead
from keras_localize.localizer import Localizer
from keras_localize.localizer.heads import extract
from keras_localize.localizer.predictions import decode_predictions
from keras_localize.markup import PREDICTED_COLOUR
from keras_localize.types import ImageSource, Tensor
from keras_localize.visualization.figure import grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["attention_maps", "plot_attention"]

_SIDES = ("left", "top", "right", "bottom")


def attention_maps(localizer: Localizer, image: ImageSource) -> dict[str, np.ndarray]:
    """The attention of the box head to the locations of its map, for each side.

    A side of the box is the mean of the sides that the locations predict, weighted by
    these values: see `LocalizationHead`.

    Args:
        localizer: a `Localizer` whose head is a `LocalizationHead` of kind `"spatial"`.
        image: one image, as `Localizer.localize` takes it.

    Returns:
        `"left"`, `"top"`, `"right"`, `"bottom"` -> an array (H, W), float32, with the
        sum 1. It covers the letterboxed square, rows from top to bottom.

    Raises:
        ValueError: for another model or another head.
        ImageError: a ValueError, where the image cannot be read.

    Example:

    >>> backbone = keras.Sequential(
    ...     [keras.Input((64, 64, 3)), keras.layers.Conv2D(4, 8, strides=8)]
    ... )
    >>> localizer = keras_localize.build_localizer(backbone, 2, preprocessing=None)
    >>> maps = attention_maps(localizer, np.zeros((40, 90, 3), "uint8"))
    >>> maps["left"].shape, round(float(maps["left"].sum()), 4)
    ((8, 8), 1.0)
    """
    if not isinstance(localizer, Localizer):
        raise ValueError(
            f"`localizer` must be a Localizer. Received: {type(localizer).__name__}"
        )
    head = localizer.head
    if not isinstance(head, LocalizationHead) or head.kind != "spatial":
        shown = getattr(head, "kind", None) or type(head).__name__
        raise ValueError(
            "`localizer` must have a head of kind 'spatial', the one that has an "
            f"attention. Received: a head {shown!r}"
        )
    inputs = _inputs(localizer, image)
    maps = extract(inputs, localizer.preprocessing, localizer.backbone)
    count = localizer.num_maps
    attention = to_numpy(head.attention(maps[:count] if count > 1 else maps[0]))[0]
    return {side: attention[..., i] for i, side in enumerate(_SIDES)}


def plot_attention(localizer: Localizer, image: ImageSource) -> "Figure":
    """Draws which locations decided each side of the box.

    One panel for each side: bright where the attention is high, with the predicted
    box and the side in question. A good head looks at the edge that it places.

    Args:
        localizer: a `Localizer` whose head is a `LocalizationHead` of kind `"spatial"`.
        image: one image, as `Localizer.localize` takes it.

    Returns:
        A `matplotlib.figure.Figure`; `figure.savefig(path)` writes it.

    Raises:
        ImportError: without matplotlib.
        ValueError, ImageError: as `attention_maps`.

    Example:

    >>> backbone = keras.Sequential(
    ...     [keras.Input((64, 64, 3)), keras.layers.Conv2D(4, 8, strides=8)]
    ... )
    >>> localizer = keras_localize.build_localizer(backbone, 2, preprocessing=None)
    >>> figure = keras_localize.plot_attention(
    ...     localizer, np.zeros((40, 90, 3), "uint8")
    ... )
    >>> [axis.get_title() for axis in figure.axes]
    ['left', 'top', 'right', 'bottom']
    """
    pixels = load(image)
    height, width = pixels.shape[:2]
    maps = attention_maps(localizer, pixels)
    # `localize` would look for a calibration, which changes nothing of the box.
    (answer,) = decode_predictions(
        localizer(_inputs(localizer, pixels), training=False),
        [(height, width)],
        localizer.image_size,
        localizer.class_names,
        presence_threshold=0.0,
    )
    size = float(localizer.image_size)
    # Where the square lies in the pixels of the image: its padding lies outside.
    corners = np.array([0, 0, size, size], "float32")
    square = from_square(corners, (height, width), localizer.image_size, "xyxy")
    x0, y0, x1, y1 = to_numpy(square).tolist()
    figure, axes = grid(4, 4, (3, 3 * height / width + 0.4))
    for axis, side in zip(axes, _SIDES):
        axis.imshow(pixels, extent=(0, width, height, 0), alpha=0.55)
        values = maps[side] / maps[side].max()
        # The stronger, the less of the image shows through.
        axis.imshow(
            values, cmap="inferno", alpha=0.85 * values, extent=(x0, x1, y1, y0)
        )
        _draw_box(axis, answer.box, side)
        axis.set(title=side, xlim=(0, width), ylim=(height, 0))
        axis.set_axis_off()
    return figure


def _inputs(localizer: Localizer, image: ImageSource) -> Tensor:
    """The letterboxed square of one image, as a batch."""
    square, _ = letterbox(image, localizer.image_size)
    pixels = square[None].astype("float32")
    if keras.config.image_data_format() == "channels_first":
        pixels = pixels.transpose(0, 3, 1, 2)
    return keras.ops.convert_to_tensor(pixels)


def _draw_box(axis, box, side: str) -> None:
    """The box in a thin line, and one side of it in a thick one."""
    x0, y0, x1, y1 = box
    axis.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], "--", color=PREDICTED_COLOUR)
    ends = {
        "left": ([x0, x0], [y0, y1]),
        "top": ([x0, x1], [y0, y0]),
        "right": ([x1, x1], [y0, y1]),
        "bottom": ([x0, x1], [y1, y1]),
    }
    axis.plot(*ends[side], color=PREDICTED_COLOUR, linewidth=4)
