"""The factory: from a backbone to a localizer."""

from collections.abc import Sequence
from typing import Literal

import keras

from keras_localize.layers.localization_head import Kind
from keras_localize.localizer.class_names import ClassNames
from keras_localize.localizer.features import extract_features, set_trainable
from keras_localize.localizer.localizer import Localizer
from keras_localize.localizer.preprocessing import preprocessing_for
from keras_localize.types import Tensor
from keras_localize.warn import warn


def build_localizer(
    backbone: keras.Model | keras.Layer,
    num_classes: int | None,
    *,
    class_names: ClassNames | None = None,
    image_size: int | None = None,
    head: Kind | keras.Layer = "spatial",
    feature_layers: Sequence[str | Tensor] | str | None = None,
    preprocessing: Literal["auto"] | keras.Layer | None = "auto",
    dropout: float = 0.2,
    quality: bool = False,
    presence: bool = False,
    trainable_backbone: bool = False,
    name: str = "localizer",
) -> Localizer:
    """Turns an image model into one that also says where the object is.

    Args:
        backbone: an image model without its top (`include_top=False`, no pooling):
            from `keras.applications`, from KerasHub, or your own: functional,
            sequential or subclassed. Its weights are shared, not copied, and it is
            frozen unless `trainable_backbone`.
        num_classes: number of classes; `None` for a box without a label.
        class_names: the names of the classes, kept with the model: a list, or a
            dict from class id to name. One name is a dataset with one class: it is
            the answer for every image. `num_classes=1` with two names, or without
            names, is one sigmoid unit between the class ids 0 and 1.
        image_size: side of the square images in pixels; needed where the
            backbone takes any size, and for a subclassed one.
        head: design of the box head: a `kind` of `LocalizationHead`, or a layer
            that turns the list of feature maps into `(B, 4)` `rel_xyxy`.
        feature_layers: names (or outputs) of the backbone's layers that feed the
            box head; `None`: the last maps of the three coarsest strides.
        preprocessing: `"auto"`: the scaling that the backbone was trained with
            becomes part of the model, unless it holds one already. For a backbone
            that is not recognized none is added, with a warning: pass a layer from
            [0, 255] pixels to what the backbone takes. `None`: no scaling.
        dropout: rate before the label layer, in [0, 1).
        quality: whether the model also predicts the IoU of its own box.
        presence: whether the model also predicts the probability that there is an
            object at all. It needs images without an object to train on; see
            `keras_localize.datasets.with_hard_negatives` where you have none.
        trainable_backbone: whether the backbone trains from the start; then layers
            that are frozen in it, and not all of them, stay frozen.
        name: the model's name.

    Returns:
        A `Localizer`: RGB images `(B, image_size, image_size, 3)` in [0, 255] to
        `{"label": (B, num_classes), "box": (B, 4)}`, probabilities and `rel_xyxy`,
        with `quality` also `"quality": (B, 1)`, with `presence` `"presence": (B, 1)`,
        all float32.

    Raises:
        ValueError: for a backbone with a top or a fixed input that is not square, a
            missing or contradicting `image_size`, an unknown head or layer name, a
            number of classes that is not positive, names that are not as many, a
            `dropout` outside of [0, 1).

    Example:

    >>> backbone = keras.applications.MobileNet(
    ...     alpha=0.25, include_top=False, weights=None, input_shape=(64, 64, 3)
    ... )
    >>> localizer = keras_localize.build_localizer(backbone, 37)
    >>> outputs = localizer(np.zeros((2, 64, 64, 3)))
    >>> tuple(outputs["label"].shape), tuple(outputs["box"].shape)
    ((2, 37), (2, 4))
    """
    extractor, num_maps, image_size = extract_features(
        backbone, image_size, feature_layers
    )
    if isinstance(preprocessing, str):
        if preprocessing != "auto":
            raise ValueError(
                "`preprocessing` must be 'auto', a layer or None. Received: "
                f"preprocessing={preprocessing!r}"
            )
        preprocessing, known = preprocessing_for(backbone)
        if not known:
            warn(
                f"The scaling that {backbone.name!r} needs is not known, so it "
                "receives pixels in [0, 255]. Pass `preprocessing=` a layer that "
                "scales them, or `preprocessing=None` if this is right.",
            )
    # Layers that the user froze in a trainable backbone stay frozen.
    if not (trainable_backbone and extractor.trainable_variables):
        set_trainable(extractor, trainable_backbone)
    return Localizer(
        extractor,
        num_classes,
        num_maps=num_maps,
        image_size=image_size,
        class_names=class_names,
        head=head,
        preprocessing=preprocessing,
        dropout=dropout,
        quality=quality,
        presence=presence,
        name=name,
    )
