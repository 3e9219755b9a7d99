"""The scaling of pixels that each backbone was trained with."""

import re
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_localize.checks import check_data_format
from keras_localize.types import DataFormat, Tensor

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)

# The three modes of keras.applications' `preprocess_input`, and EfficientNetV2's.
_SYMMETRIC = {"scale": 1 / 127.5, "offset": -1.0}
_SYMMETRIC_128 = {"scale": 1 / 128, "offset": -1.0}
_STANDARD = {
    "scale": [1 / (255 * std) for std in _IMAGENET_STD],
    "offset": [-mean / std for mean, std in zip(_IMAGENET_MEAN, _IMAGENET_STD)],
}
_CAFFE = {"offset": [-mean for mean in _CAFFE_MEAN_BGR], "bgr": True}

# Only the name of a keras.applications model says which family it belongs to.
_FAMILIES: dict[str, dict[str, Any]] = {
    r"mobilenet_\d\.\d+_(\d+|rows)": _SYMMETRIC,
    r"mobilenetv2_\d\.\d+_(\d+|None|rows)": _SYMMETRIC,
    r"MobileNetV3(Small|Large)": _SYMMETRIC,
    r"inception_v3|inception_resnet_v2|xception": _SYMMETRIC,
    r"NASNet|nasnet_(mobile|large)": _SYMMETRIC,
    r"resnet(50|101|152)v2": _SYMMETRIC,
    r"resnet(50|101|152)": _CAFFE,
    r"vgg(16|19)": _CAFFE,
    r"densenet(121|169|201)?": _STANDARD,
    r"efficientnetb\d": _STANDARD,
    r"efficientnetv2-b\d": _STANDARD,
    r"efficientnetv2-(s|m|l)": _SYMMETRIC_128,
    r"convnext_(tiny|small|base|large|xlarge)": _STANDARD,
}


@keras.saving.register_keras_serializable(package="keras_localize")
class PixelScaling(keras.layers.Layer):
    """Scales RGB pixels per channel: `x * scale + offset`.

    Args:
        scale: factor; a number, or one for each channel of the output.
        offset: added after scaling; a number, or one for each channel of the output.
        bgr: whether to exchange red and blue before, from RGB to BGR.
        data_format: `"channels_last"` or `"channels_first"`; `None`: the one of
            `keras.config.image_data_format()`.

    Input and output shape: (B, H, W, 3), or (B, 3, H, W). It computes in float32; the
    output has the layer's compute dtype.

    Example:

    >>> from keras_localize.localizer.preprocessing import PixelScaling
    >>> layer = PixelScaling(scale=1 / 127.5, offset=-1.0)
    >>> np.asarray(layer(np.full((1, 1, 1, 3), 255.0))).ravel().tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        scale: float | Sequence[float] = 1.0,
        offset: float | Sequence[float] = 0.0,
        bgr: bool = False,
        data_format: DataFormat | None = None,
        **kwargs: Any,
    ) -> None:
        # It computes in float32, so the input must not be cast before.
        super().__init__(autocast=False, **kwargs)
        self.scale = scale
        self.offset = offset
        self.bgr = bgr
        self.data_format = check_data_format(data_format)

    def call(self, images: Tensor) -> Tensor:
        first = self.data_format == "channels_first"
        images = ops.cast(images, "float32")
        if self.bgr:
            images = ops.flip(images, axis=1 if first else -1)
        shape = (-1, 1, 1) if first else (-1,)
        scale = ops.reshape(ops.convert_to_tensor(self.scale, "float32"), shape)
        offset = ops.reshape(ops.convert_to_tensor(self.offset, "float32"), shape)
        return ops.cast(images * scale + offset, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "offset": self.offset,
            "bgr": self.bgr,
            "data_format": self.data_format,
        }


def preprocessing_for(backbone: keras.Layer) -> tuple[PixelScaling | None, bool]:
    """The layer that scales pixels in [0, 255] as `backbone` was trained with.

    Returns:
        `(layer, known)`: the layer is None where the backbone contains its scaling,
        and where its scaling is not known.
    """
    if _scales_by_itself(backbone):
        return None, True
    for pattern, scaling in _FAMILIES.items():
        if re.fullmatch(pattern, backbone.name):
            return PixelScaling(**scaling, name="preprocessing"), True
    return None, False


def _scales_by_itself(model: Any) -> bool:
    for layer in getattr(model, "layers", []):
        if isinstance(layer, (keras.layers.Rescaling, keras.layers.Normalization)):
            return True
        if _scales_by_itself(layer):
            return True
    return False
