"""From any backbone to the feature maps that the heads read."""

import difflib
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import keras

from keras_localize.checks import check_positive_int
from keras_localize.types import Tensor

# Names of layers of the backbone, or their outputs.
FeatureLayers: TypeAlias = str | Tensor | Sequence[str | Tensor] | None

# Padding and cropping shift a map by a pixel (NASNet's do) or make it larger than its
# stride; the output of a nested model belongs to that model's graph.
_NO_MAPS = (
    keras.layers.InputLayer,
    keras.layers.ZeroPadding2D,
    keras.layers.Cropping2D,
    keras.Model,
)


@keras.saving.register_keras_serializable(package="keras_localize")
class FeatureExtractor(keras.Model):
    """A backbone whose outputs are the feature maps that the heads read.

    A functional model whose last output feeds the label head and whose first
    outputs feed the box head. While it is frozen (`trainable = False`) it runs in
    inference mode as a whole: batch normalization uses its moving statistics and
    dropout and stochastic depth are off, so that its features can be computed once.
    With `trainable = True` it trains like any model.
    """

    def call(
        self,
        inputs: Any,
        training: bool | None = None,
        mask: Any = None,
        **kwargs: Any,
    ) -> Any:
        if not self.trainable:
            training = False
        return super().call(inputs, training=training, mask=mask, **kwargs)


def set_trainable(layer: keras.Layer, value: bool) -> None:
    """`layer.trainable = value`, for every layer inside of it too.

    On TensorFlow Keras sets nothing where the layer's own flag has this value already,
    whatever those inside have.
    """
    layer.trainable = not value
    layer.trainable = value


def extract_features(
    backbone: keras.Layer,
    image_size: int | None = None,
    feature_layers: FeatureLayers = None,
) -> tuple[FeatureExtractor, int, int]:
    """Makes a model of the backbone that has the heads' feature maps as outputs.

    Args:
        backbone: an image model without its classifier: functional, sequential, or
            any layer from images to a map (B, H, W, C) or tokens (B, T, C).
        image_size: side of the square images in pixels; needed where the backbone
            takes images of any size.
        feature_layers: names or outputs of the layers that feed the box head. None:
            those that `find_feature_maps` finds.

    Returns:
        `(extractor, num_maps, image_size)`: a `FeatureExtractor` that shares the
        backbone's weights, how many of its outputs feed the box head, and the side
        of the images.

    Raises:
        ValueError: for an input that is not one square RGB image, a missing or
            contradicting `image_size`, an unknown layer name, or a backbone whose
            output is neither a map nor tokens.
    """
    if not isinstance(backbone, keras.Layer):
        raise ValueError(
            "`backbone` must be a keras.Model or layer from images to feature maps. "
            f"Received: backbone={backbone!r}"
        )
    if isinstance(backbone, keras.Sequential):
        if not _is_functional(backbone):
            backbone.build((None, *image_shape(_required(image_size))))
        backbone = keras.Model(backbone.inputs, backbone.outputs, name=backbone.name)
    if _is_functional(backbone):
        image_size = _side(backbone, image_size)
        inputs = backbone.inputs[0]
        final = _single(backbone.outputs, backbone)
        _check_is_features(final.shape, backbone)
        maps = _feature_maps(backbone, image_size, feature_layers)
    else:
        if feature_layers is not None:
            raise ValueError(
                "`feature_layers` needs a functional or sequential backbone: the "
                "layers inside of a subclassed one have no outputs. Received: "
                f"feature_layers={feature_layers!r}"
            )
        image_size = _required(image_size)
        inputs = keras.Input(image_shape(image_size), name="images")
        final = _single(keras.tree.flatten(backbone(inputs)), backbone)
        _check_is_features(final.shape, backbone)
        maps = [final]
    # The final map goes last: the label head reads the last one.
    outputs = [x for x in maps if x is not final] + [final]
    extractor = FeatureExtractor(inputs, outputs, name=backbone.name)
    return extractor, len(maps), image_size


def find_feature_maps(backbone: Any, image_size: int) -> list[keras.KerasTensor]:
    """The last map of each of the three coarsest strides, finest first.

    A map is taken where it is a cut of the graph: every path from the input to the
    output goes through it. That is the output of a block, never a map inside of
    one. Where no map of a stride is a cut (NASNet), the last one is taken. Where the
    last map only expands the channels of the sum that ended a block, as inverted
    residual blocks do before their strided convolution, that sum is taken: the same
    information in a sixth of the channels.

    Args:
        backbone: a functional model.
        image_size: side of the square images in pixels.

    Returns:
        One to three symbolic tensors; the last is the backbone's output.
    """
    final = backbone.outputs[0]
    if len(final.shape) != 4:
        return [final]
    candidates = _operations_with_maps(backbone)
    tensors = [final, *(operation.output for operation in candidates)]
    final_size, *sizes = _sizes(backbone, tensors, image_size)
    cuts = _cuts(backbone)
    best = {}  # log2 of the stride -> (whether it is a cut, tensor)
    sums = {}  # log2 of the stride -> the last cut that joins several tensors
    for operation, size in zip(candidates, sizes):
        octave = round(math.log2(image_size / size))
        is_cut = operation.name in cuts
        if is_cut or not best.get(octave, (False,))[0]:
            best[octave] = (is_cut, operation.output)
        if is_cut and len(keras.tree.flatten(operation.input)) > 1:
            sums[octave] = operation.output

    def chosen(octave: int) -> keras.KerasTensor:
        tensor = best[octave][1]
        joined = sums.get(octave, tensor)
        return joined if _channels(joined) < _channels(tensor) else tensor

    last = round(math.log2(image_size / final_size))
    # Octave 0 holds scaled pixels, no features.
    finer = sorted(octave for octave in best if 0 < octave < last)[-2:]
    return [*(chosen(octave) for octave in finer), final]


def image_axes() -> tuple[int, int, int]:
    """The axes of height, width and channels of a batch in the current data format."""
    if keras.config.image_data_format() == "channels_first":
        return (2, 3, 1)
    return (1, 2, 3)


def image_shape(size: int) -> tuple[int, int, int]:
    """The shape of a square RGB image in the current data format."""
    *_, channels = image_axes()
    return (3, size, size) if channels == 1 else (size, size, 3)


def no_such_layer(
    argument: str, layer: Any, model: str, names: Sequence[str]
) -> ValueError:
    """The error for the name of a layer that the model does not have."""
    near = difflib.get_close_matches(str(layer), names, n=3, cutoff=0.3)
    return ValueError(
        f"`{argument}` must name a layer of {model!r}; the nearest names: "
        f"{', '.join(near or names[-3:])}. Received: {layer!r}"
    )


def _feature_maps(
    backbone: Any, image_size: int, feature_layers: FeatureLayers
) -> list[keras.KerasTensor]:
    if feature_layers is None:
        return find_feature_maps(backbone, image_size)
    if isinstance(feature_layers, (str, keras.KerasTensor)):
        feature_layers = [feature_layers]
    maps: list[Any] = []
    # A sum of tensors is an operation, but not always a layer (ConvNeXt's blocks).
    named = {operation.name: operation for operation in backbone.operations}
    given: Any = feature_layers
    for layer in given:
        if not isinstance(layer, keras.KerasTensor):
            if layer not in named:
                raise no_such_layer("feature_layers", layer, backbone.name, [*named])
            layer = _single(keras.tree.flatten(named[layer].output), named[layer])
        else:
            _check_is_reached(layer, backbone)
        _check_is_features(layer.shape, backbone)
        maps.append(layer)
    if not maps:
        raise ValueError(
            "`feature_layers` must name at least one layer, or be None. Received: []"
        )
    final = backbone.outputs[0]
    # The final map may be named too.
    return [x for x in maps if x is not final] + [x for x in maps if x is final]


def _operations_with_maps(backbone: Any) -> list[Any]:
    """The operations whose output is a feature map, in topological order."""
    found = []
    for operation in backbone.operations:
        if isinstance(operation, _NO_MAPS):
            continue
        tensor = operation.output
        if isinstance(tensor, keras.KerasTensor) and len(tensor.shape) == 4:
            found.append(operation)
    return found


def _channels(tensor: keras.KerasTensor) -> int:
    *_, channels = image_axes()
    return tensor.shape[channels]


def _sizes(
    backbone: Any, tensors: list[keras.KerasTensor], image_size: int
) -> list[int]:
    """The longer side of each map for images of `image_size`."""
    *axes, _ = image_axes()
    shapes = [tensor.shape for tensor in tensors]
    if any(shape[axis] is None for shape in shapes for axis in axes):
        model = keras.Model(backbone.inputs[0], tensors)
        image = keras.KerasTensor((None, *image_shape(image_size)))
        specs = keras.tree.flatten(model.compute_output_spec(image))
        shapes = [spec.shape for spec in specs]
    return [max(shape[axis] for axis in axes) for shape in shapes]


def _cuts(backbone: Any) -> set[str]:
    """Names of the operations that every path from input to output goes through."""
    # The config of a subclass (KerasHub's) may not describe the graph.
    graph = keras.Model(backbone.inputs, backbone.outputs)
    layers = graph.get_config()["layers"]
    position = {layer["name"]: i for i, layer in enumerate(layers)}
    last_use = list(range(len(layers)))
    for i, layer in enumerate(layers):
        for source in _sources(layer["inbound_nodes"]):
            last_use[position[source]] = i
    last_so_far, names = 0, set()
    for i, layer in enumerate(layers):
        if last_so_far <= i:
            names.add(layer["name"])
        last_so_far = max(last_so_far, last_use[i])
    return names


def _sources(config: Any) -> Iterator[str]:
    """Names of the layers that a serialized node reads."""
    if isinstance(config, dict):
        if "keras_history" in config:
            yield config["keras_history"][0]
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for child in config:
            yield from _sources(child)


def _is_functional(model: Any) -> bool:
    try:
        return isinstance(model, keras.Model) and bool(model.inputs)
    except (AttributeError, ValueError):
        return False


def _single(outputs: Sequence[Any], backbone: Any) -> Any:
    if len(outputs) != 1:
        raise ValueError(
            "`backbone` must have one output, its feature map. Received: "
            f"{backbone.name!r} with {len(outputs)} outputs"
        )
    return outputs[0]


def _check_is_features(shape: Iterable[Any], backbone: keras.Layer) -> None:
    shape = tuple(shape)
    if len(shape) not in (3, 4):
        raise ValueError(
            "`backbone` must output a feature map (B, H, W, C) or tokens (B, T, C): "
            "build it with include_top=False and without pooling. Received: "
            f"{backbone.name!r} with an output of shape {shape}"
        )


def _check_is_reached(tensor: keras.KerasTensor, backbone: Any) -> None:
    try:
        keras.Model(backbone.inputs, tensor)
    except ValueError as error:
        raise ValueError(
            "`feature_layers` must be names or outputs of the backbone's layers. "
            f"Received an output that is not of {backbone.name!r}: {tensor!r}"
        ) from error


def _side(backbone: Any, image_size: int | None) -> int:
    """The side of the square images that a functional backbone takes."""
    if len(backbone.inputs) != 1:
        raise ValueError(
            "`backbone` must have one input, the image. Received: "
            f"{backbone.name!r} with {len(backbone.inputs)} inputs"
        )
    shape = tuple(backbone.inputs[0].shape)
    *sides, channels = image_axes()
    if len(shape) != 4 or shape[channels] not in (3, None):
        raise ValueError(
            "`backbone` must take RGB images, (B, H, W, 3). Received: "
            f"{backbone.name!r} with an input of shape {shape}"
        )
    height, width = (shape[axis] for axis in sides)
    if height != width:
        raise ValueError(
            "`backbone` must take square images (or images of any size). Received: "
            f"{backbone.name!r} with an input of {height} x {width}"
        )
    if height is None:
        return _required(image_size)
    if image_size is not None and image_size != height:
        raise ValueError(
            f"`image_size` must be the backbone's own, {height}, or None; for another "
            "size build the backbone with another `input_shape`. Received: "
            f"image_size={image_size}"
        )
    return height


def _required(image_size: Any) -> int:
    if image_size is None:
        raise ValueError(
            "`image_size`, the side of the square images in pixels, must be a "
            "positive integer: the backbone takes images of any size. Received: "
            "image_size=None"
        )
    return check_positive_int(image_size, "image_size")
