"""From any backbone to its feature maps."""

import difflib
import math

import keras

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
    """A backbone that gives the feature maps which the heads read.

    A functional model whose last output feeds the label head and whose first
    outputs feed the box head. While it is frozen (`trainable = False`) it runs in
    inference mode as a whole: batch normalisation uses its moving statistics and
    dropout or stochastic depth is off, so that its features can be computed once.
    Nothing of that is baked into the graph: set `trainable = True` and it trains.
    """

    def call(self, inputs, training=None, mask=None, **kwargs):
        """Runs the backbone, in inference mode while it is frozen."""
        if not self.trainable:
            training = False
        return super().call(inputs, training=training, mask=mask, **kwargs)


def extract_features(backbone, image_size=None, feature_layers=None):
    """Cuts a backbone at the maps that a localizer reads.

    Args:
        backbone: an image model without its top: functional, sequential, or any
            layer that turns images into a map `(B, H, W, C)` or tokens `(B, T, C)`.
        image_size: the square's side in pixels; needed where the backbone's input
            is dynamic.
        feature_layers: names of layers whose outputs feed the box head. `None`: the
            last map of the three coarsest strides, through which all of the graph
            flows.

    Returns:
        `(extractor, taps, image_size)`: a `FeatureExtractor` that shares the
        backbone's weights, how many of its outputs feed the box head, and the side.

    Raises:
        ValueError: for an input that is not one square RGB image, a missing or
            contradicting `image_size`, an unknown layer name, or a backbone whose
            output is neither a map nor tokens.
    """
    if not isinstance(backbone, keras.Layer):
        raise ValueError(
            "`backbone` must be a model (a keras.Model or layer) that turns pictures "
            f"into feature maps. Received: backbone={backbone!r}"
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
        taps = _taps(backbone, image_size, feature_layers)
    else:
        if feature_layers is not None:
            raise ValueError(
                "`feature_layers` needs a functional or sequential backbone: a "
                "subclassed one shows no layers by name. Received: "
                f"feature_layers={feature_layers!r}"
            )
        image_size = _required(image_size)
        inputs = keras.Input(image_shape(image_size), name="images")
        final = _single(keras.tree.flatten(backbone(inputs)), backbone)
        _check_is_features(final.shape, backbone)
        taps = [final]
    # The final map goes last, where the label head looks for it.
    outputs = [tap for tap in taps if tap is not final] + [final]
    extractor = FeatureExtractor(inputs, outputs, name=backbone.name)
    return extractor, len(taps), image_size


def find_taps(backbone, image_size):
    """The last map of the three coarsest strides, finest first.

    Walks the graph in topological order. A map qualifies where all of the graph
    flows through it (no connection passes it by): the output of a block and never
    the inside of one. Where a network is wired so that none does (NASNet), the last
    map of the stride is taken. Where the last map only widens the sum that ended a
    block, as inverted residuals do before they stride, that sum is taken: it holds
    the same in a sixth of the channels.

    Returns:
        List of one to three symbolic tensors; the last is the backbone's output.
    """
    final = backbone.outputs[0]
    if len(final.shape) != 4:
        return [final]
    candidates = _maps(backbone)
    tensors = [final, *(operation.output for operation in candidates)]
    final_size, *sizes = _sizes(backbone, tensors, image_size)
    through = _passed_by_nothing(backbone)
    best = {}  # stride as a power of two -> (whether all flows through it, tensor)
    sums = {}  # the same -> the last of these tensors that joins several
    for operation, size in zip(candidates, sizes):
        octave = round(math.log2(image_size / size))
        passes = operation.name in through
        if passes or not best.get(octave, (False,))[0]:
            best[octave] = (passes, operation.output)
        if passes and len(keras.tree.flatten(operation.input)) > 1:
            sums[octave] = operation.output

    def tap(octave):
        tensor = best[octave][1]
        joined = sums.get(octave, tensor)
        return joined if _channels(joined) < _channels(tensor) else tensor

    last = round(math.log2(image_size / final_size))
    # Octave 0 holds scaled pixels, no features.
    finer = sorted(octave for octave in best if 0 < octave < last)[-2:]
    return [*(tap(octave) for octave in finer), final]


def image_shape(size):
    """The shape of one square RGB picture in the current data format."""
    if keras.config.image_data_format() == "channels_first":
        return (3, size, size)
    return (size, size, 3)


def no_such_layer(argument, layer, model, names):
    """The error for a layer's name that the model does not have."""
    near = difflib.get_close_matches(str(layer), names, n=3, cutoff=0.3)
    return ValueError(
        f"`{argument}` must name a layer of {model!r}; the nearest names: "
        f"{', '.join(near or names[-3:])}. Received: {layer!r}"
    )


def _taps(backbone, image_size, feature_layers):
    if feature_layers is None:
        return find_taps(backbone, image_size)
    if isinstance(feature_layers, (str, keras.KerasTensor)):
        feature_layers = [feature_layers]
    taps = []
    # By the operations, for a sum of tensors may be no layer (ConvNeXt's blocks).
    named = {operation.name: operation for operation in backbone.operations}
    for layer in feature_layers:
        if not isinstance(layer, keras.KerasTensor):
            if layer not in named:
                raise no_such_layer("feature_layers", layer, backbone.name, [*named])
            layer = _single(keras.tree.flatten(named[layer].output), named[layer])
        else:
            _check_is_reached(layer, backbone)
        _check_is_features(layer.shape, backbone)
        taps.append(layer)
    if not taps:
        raise ValueError(
            "`feature_layers` must name at least one layer, or be None. Received: []"
        )
    final = backbone.outputs[0]
    # The same tensor under its layer's name is still the final map.
    return [t for t in taps if t is not final] + [t for t in taps if t is final]


def _maps(backbone):
    """Every operation that gives a map, in topological order."""
    found = []
    for operation in backbone.operations:
        if isinstance(operation, _NO_MAPS):
            continue
        tensor = operation.output
        if isinstance(tensor, keras.KerasTensor) and len(tensor.shape) == 4:
            found.append(operation)
    return found


def _channels(tensor):
    channels_last = keras.config.image_data_format() == "channels_last"
    return tensor.shape[3 if channels_last else 1]


def _sizes(backbone, tensors, image_size):
    """The longer side of each map for pictures of `image_size`."""
    axes = (1, 2) if keras.config.image_data_format() == "channels_last" else (2, 3)
    shapes = [tensor.shape for tensor in tensors]
    if any(shape[axis] is None for shape in shapes for axis in axes):
        probe = keras.Model(backbone.inputs[0], tensors)
        image = keras.KerasTensor((None, *image_shape(image_size)))
        specs = keras.tree.flatten(probe.compute_output_spec(image))
        shapes = [spec.shape for spec in specs]
    return [max(shape[axis] for axis in axes) for shape in shapes]


def _passed_by_nothing(backbone):
    """Names of the operations that no connection of the graph passes by."""
    # A subclass (KerasHub's) may describe itself by other words than its graph.
    graph = keras.Model(backbone.inputs, backbone.outputs)
    layers = graph.get_config()["layers"]
    position = {layer["name"]: i for i, layer in enumerate(layers)}
    last_use = list(range(len(layers)))
    for i, layer in enumerate(layers):
        for source in _sources(layer["inbound_nodes"]):
            last_use[position[source]] = i
    reach, names = 0, set()
    for i, layer in enumerate(layers):
        if reach <= i:
            names.add(layer["name"])
        reach = max(reach, last_use[i])
    return names


def _sources(config):
    """Names of the layers that a serialized node reads."""
    if isinstance(config, dict):
        if "keras_history" in config:
            yield config["keras_history"][0]
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for child in config:
            yield from _sources(child)


def _is_functional(model):
    try:
        return isinstance(model, keras.Model) and bool(model.inputs)
    except (AttributeError, ValueError):
        return False


def _single(outputs, backbone):
    if len(outputs) != 1:
        raise ValueError(
            "`backbone` must have one output, its feature map. Received: "
            f"{backbone.name!r} with {len(outputs)} outputs"
        )
    return outputs[0]


def _check_is_features(shape, backbone):
    if len(shape) not in (3, 4):
        raise ValueError(
            "`backbone` must give a feature map (B, H, W, C) or tokens (B, T, C): "
            "build it with include_top=False and without pooling. Received: "
            f"{backbone.name!r} with an output of shape {tuple(shape)}"
        )


def _check_is_reached(tensor, backbone):
    try:
        keras.Model(backbone.inputs, tensor)
    except ValueError as error:
        raise ValueError(
            "`feature_layers` must be names or outputs of the backbone's layers. "
            f"Received an output that is not of {backbone.name!r}: {tensor!r}"
        ) from error


def _side(backbone, image_size):
    if len(backbone.inputs) != 1:
        raise ValueError(
            "`backbone` must have one input, the image. Received: "
            f"{backbone.name!r} with {len(backbone.inputs)} inputs"
        )
    shape = tuple(backbone.inputs[0].shape)
    channels_last = keras.config.image_data_format() == "channels_last"
    if len(shape) != 4 or shape[3 if channels_last else 1] not in (3, None):
        raise ValueError(
            "`backbone` must take RGB images, (B, H, W, 3). Received: "
            f"{backbone.name!r} with an input of shape {shape}"
        )
    height, width = shape[1:3] if channels_last else shape[2:]
    if height != width:
        raise ValueError(
            "`backbone` must take square images (or images of any size). Received: "
            f"{backbone.name!r} with an input of {height} x {width}"
        )
    if height is None:
        return _required(image_size)
    if image_size is not None and image_size != height:
        raise ValueError(
            f"`image_size` must be the backbone's own, {height}, or None. Received: "
            f"image_size={image_size}"
        )
    return height


def _required(image_size):
    if type(image_size) is not int or image_size <= 0:
        raise ValueError(
            "`image_size`, the side of the square pictures in pixels, must be a "
            "positive integer here: the backbone takes images of any size. Received: "
            f"image_size={image_size!r}"
        )
    return image_size
