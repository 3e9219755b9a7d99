"""Keras's augmentation layers: which of them move boxes with the pixels, and how."""

from typing import Any

import keras

COLOUR = "colour"
GEOMETRY = "geometry"
# What each of Keras's layers does with a box. Colour layers leave every pixel in its
# place: they get the images alone. Geometry layers move boxes with the pixels, in
# "xyxy"; in "rel_xyxy" RandomRotation does not. Measured on painted rectangles (Keras
# 3.15.1, three backends) they are 0 to 1.1 pixels off in the mean and at most 2, but
# for RandomPerspective with a scale above 0.3 (8). For the other layers the table holds
# the reason for which they are refused.
KERAS_LAYERS = {
    "AutoContrast": COLOUR,
    "Equalization": COLOUR,
    "RandomBrightness": COLOUR,
    "RandomColorDegeneration": COLOUR,
    "RandomColorJitter": COLOUR,
    "RandomContrast": COLOUR,
    "RandomErasing": COLOUR,
    "RandomGaussianBlur": COLOUR,
    "RandomGrayscale": COLOUR,
    "RandomHue": COLOUR,
    "RandomInvert": COLOUR,
    "RandomPosterization": COLOUR,
    "RandomSaturation": COLOUR,
    "RandomSharpness": COLOUR,
    "Solarization": COLOUR,
    "CenterCrop": GEOMETRY,
    "RandomCrop": GEOMETRY,
    "RandomFlip": GEOMETRY,
    "RandomPerspective": GEOMETRY,
    "RandomRotation": GEOMETRY,
    "RandomShear": GEOMETRY,
    "RandomTranslation": GEOMETRY,
    "RandomZoom": GEOMETRY,
    "Resizing": GEOMETRY,
    "AugMix": "it moves pixels and leaves the boxes where they were",
    "CutMix": "it puts parts of other images, with other labels, into each image",
    "MaxNumBoundingBoxes": "there is one box per image",
    "MixUp": "it blends images with different labels",
    "RandAugment": "it moves boxes in another order than pixels, up to a side off",
    "RandomElasticTransform": "Keras does not move boxes with it",
}


def keras_name(function: Any) -> str | None:
    """The layer of Keras that this is, or is derived from; None for what is ours."""
    if type(function).__module__.startswith(f"{__name__.partition('.')[0]}."):
        return None
    for kind in type(function).__mro__:
        if kind is keras.layers.Layer:
            break
        if getattr(keras.layers, kind.__name__, None) is kind:
            return kind.__name__
    return None


def problem_of(name: str, layer: Any) -> str | None:
    """Why a layer of Keras is refused; None if it is not."""
    kind = KERAS_LAYERS.get(name, "it is not known to move boxes with the pixels")
    if kind not in (COLOUR, GEOMETRY):
        return kind
    if name == "RandomCrop" and _keras_version() < (3, 16):
        return "before Keras 3.16 it moves boxes by the offset of the other axis"
    if name == "RandomShear" and any(layer.x_factor) and any(layer.y_factor):
        return (
            "with both `x_factor` and `y_factor` it moves boxes several pixels off; "
            "with one of them it does not"
        )
    value_range = getattr(layer, "value_range", (0, 255))
    if tuple(value_range) != (0, 255):
        return (
            f"its `value_range` must be (0, 255), as the images are, not {value_range}"
        )
    # A subclass is used as it is: what its constructor takes is not known.
    if type(layer) is not getattr(keras.layers, name):
        if layer.data_format != "channels_last":
            return "its `data_format` must be channels_last"
        if kind == GEOMETRY and layer.bounding_box_format != "xyxy":
            return 'as a subclass it needs bounding_box_format="xyxy"'
    return None


def in_pixels(name: str, layer: Any) -> Any:
    """The same layer for boxes in pixels, images of channels last, and float32."""
    kind = getattr(keras.layers, name)
    if type(layer) is not kind:
        return layer
    config = layer.get_config()
    config.update(
        bounding_box_format="xyxy", data_format="channels_last", dtype="float32"
    )
    if name == "RandomShear":
        # Its constructor refuses the negative bound that it has made of one number.
        for argument in ("x_factor", "y_factor"):
            low, high = config[argument]
            config[argument] = high if low < 0 else (low, high)
    return kind.from_config(config)


def _keras_version() -> tuple[int, ...]:
    return tuple(int(part) for part in keras.version().split(".")[:2])
