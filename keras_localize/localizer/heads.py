"""The heads of a localizer, and how they are connected to the feature maps."""

from typing import Any, cast

import keras
from keras import ops

from keras_localize.layers.box_pooling import BoxPooling
from keras_localize.layers.localization_head import Kind, LocalizationHead
from keras_localize.localizer.presence import PresenceHead
from keras_localize.localizer.quality import QualityHead
from keras_localize.types import Tensor


@keras.saving.register_keras_serializable(package="keras_localize")
class SingleClass(keras.layers.Layer):
    """The label output of a dataset with one class: its probability is 1.

    Args:
        **kwargs: of `keras.layers.Layer`.

    Input shape: features `(B, C)`.

    Output shape: `(B, 1)`, float32.
    """

    def call(self, inputs: Tensor) -> Tensor:
        return ops.ones_like(inputs[:, :1], dtype="float32")

    def compute_output_spec(self, inputs: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor((inputs.shape[0], 1), dtype="float32")


def box_head(head: Kind | keras.Layer) -> keras.Layer:
    """The layer for `head`, a kind of `LocalizationHead` or a layer."""
    if isinstance(head, str):
        return LocalizationHead(cast(Kind, head), name="box")
    if isinstance(head, keras.Layer):
        return head
    raise ValueError(
        f"`head` must be a kind of LocalizationHead or a layer. Received: head={head!r}"
    )


def make_heads(
    units: int | None,
    num_classes: int | None,
    dropout: float,
    quality: bool,
    presence: bool,
    policy: Any,
) -> dict[str, keras.Layer]:
    """The layers beside the box head, by name.

    Args:
        units: of the label layer, or None for a model without labels.
        num_classes: how many classes these units tell apart.
        dropout: rate before the label layer.
        quality: whether there is a `QualityHead`.
        presence: whether there is a `PresenceHead`.
        policy: dtype policy of the layers.
    """
    layers = [BoxPooling(name="pool", dtype=policy)]
    if units is not None:
        layers.append(keras.layers.Dropout(dropout, name="dropout", dtype=policy))
        layers.append(_label_layer(units, num_classes))
    if quality:
        layers.append(QualityHead(name="quality", dtype=policy))
    if presence:
        layers.append(PresenceHead(name="presence", dtype=policy))
    return {layer.name: layer for layer in layers}


def extract(
    images: Tensor, preprocessing: keras.Layer | None, backbone: keras.Layer
) -> list[Tensor]:
    """Images to the list of feature maps."""
    pixels = preprocessing(images) if preprocessing is not None else images
    return keras.tree.flatten(backbone(pixels))


def connect_heads(
    maps: list[Tensor], num_maps: int, head: keras.Layer, heads: dict[str, keras.Layer]
) -> dict[str, Tensor]:
    """Feature maps to the dict of outputs.

    Args:
        maps: the feature maps; the label is read from the last one.
        num_maps: how many of them, from the first on, the box head reads.
        head: the box head.
        heads: the other layers, by name; see `make_heads`.

    Raises:
        ValueError: for a box head that does not give `(B, 4)`.
    """
    box_maps = maps[:num_maps] if num_maps > 1 else maps[0]
    spread = []
    spatial = isinstance(head, LocalizationHead) and head.kind == "spatial"
    if "quality" in heads and spatial:
        box, *spread = head(box_maps, return_spread=True)
    else:
        box = head(box_maps)
    if tuple(box.shape[1:]) != (4,):
        raise ValueError(
            "`head` must give one box per image, (B, 4). Received: a layer that "
            f"gives {tuple(box.shape)}"
        )
    if head.name != "box":  # Keras names losses and metrics after the layer
        box = keras.layers.Identity(name="box", dtype="float32")(box)
    outputs = {"box": box}
    # From the whole map and from inside the box; the box receives no gradient by it.
    if not heads.keys().isdisjoint(("label", "quality", "presence")):
        pooled = heads["pool"](maps[-1], box)
    if "label" in heads:
        outputs["label"] = heads["label"](heads["dropout"](pooled))
    if "quality" in heads:
        outputs["quality"] = heads["quality"](pooled, box, *spread)
    if "presence" in heads:
        outputs["presence"] = heads["presence"](pooled)
    return outputs


def _label_layer(units: int, num_classes: int | None) -> keras.Layer:
    if num_classes == 1:
        return SingleClass(name="label", dtype="float32")
    activation = "sigmoid" if units == 1 else "softmax"
    return keras.layers.Dense(
        units, activation=activation, dtype="float32", name="label"
    )
