"""The model: a backbone, two heads, and what a trained one does for its user."""

import itertools
import numbers
import os
import warnings

import keras
import numpy as np
from keras import ops

from keras_localize import images as decoding
from keras_localize.boxes import clip, from_square
from keras_localize.layers.box_pooling import BoxPooling
from keras_localize.layers.localization_head import LocalizationHead
from keras_localize.localizer.features import (
    extract_features,
    image_shape,
    no_such_layer,
)
from keras_localize.localizer.localization import Localization
from keras_localize.localizer.mirror import mirror_boxes, mirror_images
from keras_localize.localizer.preprocessing import preprocessing_for
from keras_localize.localizer.quality import QualityHead
from keras_localize.localizer.second_look import out_of_windows, windows_around
from keras_localize.localizer.training import FROZEN, TRAINABLE, LocalizerHeads


def build_localizer(
    backbone,
    num_classes,
    *,
    class_names=None,
    image_size=None,
    head="spatial",
    feature_layers=None,
    preprocessing="auto",
    dropout=0.2,
    quality=False,
    trainable_backbone=False,
    name="localizer",
):
    """Turns an image model into one that also says where the object is.

    Args:
        backbone: any image model without its top (`include_top=False`, no pooling):
            of `keras.applications`, of KerasHub, or your own: functional,
            sequential or subclassed. Its weights are shared, not copied, and it is
            frozen unless `trainable_backbone`.
        num_classes: number of classes; 1: one sigmoid unit; `None`: box only.
        class_names: list of `num_classes` names, kept with the model.
        image_size: side of the square pictures in pixels, needed where the
            backbone takes any size, and for a subclassed one.
        head: design of the box head: a `kind` of `LocalizationHead` or a layer
            that turns the list of feature maps into `(B, 4)` `rel_xyxy`.
        feature_layers: names (or outputs) of the backbone's layers that feed the
            box head; `None` finds them: the last maps of the three coarsest strides.
        preprocessing: `"auto"`: the scaling that the backbone was trained with
            becomes part of the model, unless it holds one already; a layer from
            [0, 255] pixels to what the backbone takes; or `None`.
        dropout: rate before the label layer, in [0, 1).
        quality: whether the model also predicts the IoU of its own box.
        trainable_backbone: whether the backbone trains from the start.
        name: the model's name.

    Returns:
        A `Localizer`: RGB pictures `(B, image_size, image_size, 3)` in [0, 255] to
        `{"label": (B, num_classes), "box": (B, 4)}`, probabilities and `rel_xyxy`,
        with `quality` also `"quality": (B, 1)`, all float32.

    Raises:
        ValueError: for a backbone with a top or a fixed input that is not square, a
            missing or contradicting `image_size`, an unknown head or layer name, a
            number of classes that is not positive, names that are not as many.

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
            warnings.warn(
                f"The scaling that {backbone.name!r} wants is not known, so pixels "
                "reach it in [0, 255]. Pass `preprocessing=` a layer that scales "
                "them, or `preprocessing=None` if this is right.",
                UserWarning,
                stacklevel=2,
            )
    extractor.trainable = trainable_backbone
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
        name=name,
    )


@keras.saving.register_keras_serializable(package="keras_localize")
class Localizer(LocalizerHeads):
    """A model that says what is in a picture and where.

    Made by `build_localizer`, which finds its parts. A functional `keras.Model`:
    everything that Keras does with a model works, and a `.keras` file holds all of
    it: weights, preprocessing, class names, input size, and how it was compiled.

    Attributes:
        backbone: the feature extractor; `backbone.trainable` freezes it.
        num_classes: number of classes, or `None`.
        class_names: tuple of names, or `None`.
        image_size: side of the square pictures it takes, in pixels.
    """

    def __init__(
        self,
        backbone,
        num_classes,
        *,
        num_maps,
        image_size,
        class_names=None,
        head="spatial",
        preprocessing=None,
        dropout=0.2,
        quality=False,
        dtype=None,
        name="localizer",
        **kwargs,
    ):
        class_names = _check_classes(num_classes, class_names)
        head = _head_layer(head)
        if not isinstance(dropout, numbers.Real) or not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Received: {dropout!r}")
        if preprocessing is not None and not isinstance(preprocessing, keras.Layer):
            raise ValueError(
                "`preprocessing` must be a layer or None. Received: "
                f"preprocessing={preprocessing!r}"
            )

        policy = keras.dtype_policies.get(dtype)

        # === Functional model ===
        images = keras.Input(image_shape(image_size), name="images")
        maps = _extract(images, preprocessing, backbone)
        heads = _make_heads(num_classes, dropout, quality, policy)
        outputs = _connect_heads(maps, num_maps, head, heads)
        super().__init__(inputs=images, outputs=outputs, name=name, **kwargs)
        # By it Keras scales the loss in float16, in a loaded model too.
        self.dtype_policy = policy

        # === Config ===
        self.backbone = backbone
        self.preprocessing = preprocessing
        self.head = head
        self.num_classes = None if num_classes is None else int(num_classes)
        self.num_maps = num_maps
        self.image_size = image_size
        self.class_names = class_names
        self.dropout = dropout
        self.quality = quality

    def localize(self, images, batch_size=32, flip_average=False, second_look=False):
        """Finds the object in pictures of any size.

        Args:
            images: a list (or any iterable) of paths, PIL images and arrays
                (H, W, 3) in [0, 255], or a single one of these; arrays of equal
                size may come as one (N, H, W, 3).
            batch_size: how many pictures are predicted at a time.
            flip_average: whether each picture is also seen mirrored, and the two
                answers averaged: a better box for twice the time.
            second_look: whether each picture is seen again from nearer, cut to a
                square of 1.6 times its box, at its own resolution. The box and its
                quality then are those of the second look, the label's probabilities
                the mean of both: a much better box and label where the model was
                trained on views of several sizes (`RandomSquareView`), for twice
                the prediction and a second decoding. A batch of `images` is held
                for it.

        Returns:
            A list of `Localization`, in the order of `images`. Boxes are in pixels
            of the original pictures.

        Raises:
            ValueError: for a picture that cannot be read, naming it, or a
                `batch_size` that is not positive.
        """
        if not isinstance(batch_size, int) or batch_size <= 0:
            raise ValueError(
                "`batch_size` must be a positive integer. Received: "
                f"batch_size={batch_size!r}"
            )
        found, images = [], iter(_each(images))
        while batch := [
            # A picture is only kept for a second look: it may be large.
            (*decoding.letterbox(one, self.image_size), one if second_look else None)
            for one in itertools.islice(images, batch_size)
        ]:
            # A full last batch spares the compilation of a second shape.
            count = batch_size if found else len(batch)
            found += self._localize_batch(*zip(*batch), count, flip_average)
        return found

    def split(self):
        """Splits the model where the frozen backbone ends.

        The features of a frozen backbone never change: compute them once (and those
        of mirrored pictures), then train the heads on them in seconds. Both models
        share the localizer's weights, so that it is trained when they are.

        Returns:
            `(features, heads)`: a model from pictures to the list of feature maps,
            and a `LocalizerHeads` from these to the localizer's outputs, whose
            `compile()` has the same defaults.

        Raises:
            ValueError: while the backbone is trainable.

        Example:

        >>> backbone = keras.Sequential(
        ...     [keras.Input((64, 64, 3)), keras.layers.Conv2D(8, 8, strides=8)]
        ... )
        >>> localizer = keras_localize.build_localizer(backbone, 2, preprocessing=None)
        >>> features, heads = localizer.split()
        >>> maps = features.predict(np.zeros((8, 64, 64, 3)), verbose=0)
        >>> targets = {"label": np.zeros(8), "box": np.full((8, 4), [0, 0, 0.5, 0.5])}
        >>> heads.compile()
        >>> history = heads.fit(maps, targets, verbose=0)
        """
        if self.backbone.trainable_variables:
            raise ValueError(
                "`split()` needs a frozen backbone: its features change while it "
                "trains. Set `localizer.backbone.trainable = False` first."
            )
        images = keras.Input(image_shape(self.image_size), name="images")
        maps = _extract(images, self.preprocessing, self.backbone)
        features = keras.Model(images, maps, name=f"{self.name}_features")
        inputs = [
            keras.Input(x.shape[1:], dtype=x.dtype, name=f"map_{i}")
            for i, x in enumerate(maps)
        ]
        heads = {layer.name: layer for layer in self.layers}
        outputs = _connect_heads(inputs, self.num_maps, self.head, heads)
        return features, LocalizerHeads(inputs, outputs, name=f"{self.name}_heads")

    def unfreeze(self, from_layer=None, batch_normalization=False):
        """Makes the backbone trainable, for fine-tuning. Compile again after it.

        Args:
            from_layer: name of the first layer of `backbone` that trains; `None`:
                all of it.
            batch_normalization: whether batch normalisation trains too. By default
                it keeps its statistics and weights and runs in inference mode:
                small batches would spoil what large ones had learned.

        Raises:
            ValueError: for a layer that the backbone does not have.
        """
        names = [layer.name for layer in self.backbone.layers]
        if from_layer is not None and from_layer not in names:
            raise no_such_layer("from_layer", from_layer, self.backbone.name, names)
        first = 0 if from_layer is None else names.index(from_layer)
        self.backbone.trainable = True
        for i, layer in enumerate(self.backbone.layers):
            layer.trainable = i >= first
        if not batch_normalization:
            for _, layer in _leaves(self.backbone):
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.trainable = False

    def get_config(self):
        """Every constructor argument, and which layers are frozen."""
        serialize = keras.saving.serialize_keras_object
        return {
            "backbone": serialize(self.backbone),
            "num_classes": self.num_classes,
            "num_maps": self.num_maps,
            "image_size": self.image_size,
            "class_names": self.class_names and list(self.class_names),
            "head": serialize(self.head),
            "preprocessing": self.preprocessing and serialize(self.preprocessing),
            "dropout": self.dropout,
            "quality": self.quality,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "name": self.name,
            "frozen": [path for path, layer in _leaves(self) if not layer.trainable],
            "backbone_trainable": self.backbone.trainable,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Builds the localizer that `get_config` described."""
        config = dict(config)
        frozen = set(config.pop("frozen"))
        backbone_trainable = config.pop("backbone_trainable")
        for part in ("backbone", "head", "preprocessing"):
            if config[part] is not None:
                config[part] = keras.saving.deserialize_keras_object(
                    config[part], custom_objects=custom_objects
                )
        localizer = cls(**config)
        # A functional model that is read back sets one flag for all its layers.
        localizer.backbone.trainable = backbone_trainable
        for path, layer in _leaves(localizer):
            layer.trainable = path not in frozen
        return localizer

    def _recipe(self):
        return TRAINABLE if self.backbone.trainable_variables else FROZEN

    def _localize_batch(self, squares, image_sizes, sources, count, flip_average):
        """The Localizations of pictures; `sources` (or None) for a second look."""
        size = self.image_size
        image_sizes = np.array(image_sizes, "int32")
        answer = self._answer(squares, count, flip_average)
        boxes = from_square(answer["box"] * size, image_sizes, size, "xyxy")
        if sources[0] is not None:
            windows = windows_around(ops.convert_to_numpy(boxes), image_sizes, size)
            squares = [decoding.crop(*pair, size) for pair in zip(sources, windows)]
            first, answer = answer, self._answer(squares, count, flip_average)
            boxes = out_of_windows(answer["box"], windows).astype("float32")
            if "label" in answer:
                answer["label"] = (first["label"] + answer["label"]) / 2
        boxes = ops.convert_to_numpy(clip(boxes, "xyxy", image_sizes)).tolist()
        return [
            self._localization(i, tuple(box), answer) for i, box in enumerate(boxes)
        ]

    def _answer(self, squares, count, flip_average):
        """What the model says of squares, in NumPy; they are filled up to `count`."""
        batch = np.stack([*squares, *[squares[-1]] * (count - len(squares))])
        if keras.config.image_data_format() == "channels_first":
            batch = batch.transpose(0, 3, 1, 2)
        answer = self.predict_on_batch(batch)
        if flip_average:
            mirrored = self.predict_on_batch(mirror_images(batch))
            mirrored["box"] = mirror_boxes(mirrored["box"])
            answer = {key: (answer[key] + mirrored[key]) / 2 for key in answer}
        return {key: value[: len(squares)] for key, value in answer.items()}

    def _localization(self, i, box, answer):
        label = class_name = score = None
        if self.num_classes is not None:
            scores = answer["label"][i]
            if self.num_classes == 1:
                scores = np.array([1 - scores[0], scores[0]])
            label = int(np.argmax(scores))
            score = float(scores[label])
            class_name = self._class_name(label)
        quality = float(answer["quality"][i, 0]) if self.quality else None
        return Localization(label, class_name, score, box, quality)

    def _class_name(self, label):
        names = self.class_names
        if names and self.num_classes == 1 and len(names) == 1:
            names = (None, names[0])  # the name of the positive class alone
        return names[label] if names else None


def _check_classes(num_classes, class_names):
    if num_classes is not None and (
        isinstance(num_classes, bool)
        or not isinstance(num_classes, (int, np.integer))
        or num_classes <= 0
    ):
        raise ValueError(
            "`num_classes` must be a positive integer, or None for a box alone. "
            f"Received: num_classes={num_classes!r}"
        )
    if class_names is None:
        return None
    if isinstance(class_names, str):
        raise ValueError(
            "`class_names` must be a list of names. Received: "
            f"class_names={class_names!r}"
        )
    class_names = tuple(str(name) for name in class_names)
    twice = [name for name in class_names if class_names.count(name) > 1]
    if twice:
        raise ValueError(
            f"`class_names` must differ from each other. Received {twice[0]!r} twice"
        )
    allowed = (1, 2) if num_classes == 1 else (num_classes,)
    if len(class_names) not in allowed:
        raise ValueError(
            f"`class_names` must be {' or '.join(map(str, allowed))} names for "
            f"num_classes={num_classes}. Received: {len(class_names)} names"
        )
    return class_names


def _head_layer(head):
    if isinstance(head, str):
        return LocalizationHead(head, name="box")
    if isinstance(head, keras.Layer):
        return head
    raise ValueError(
        f"`head` must be a kind of LocalizationHead or a layer. Received: head={head!r}"
    )


def _extract(images, preprocessing, backbone):
    """Pictures to the list of feature maps."""
    pixels = preprocessing(images) if preprocessing is not None else images
    return keras.tree.flatten(backbone(pixels))


def _make_heads(num_classes, dropout, quality, policy):
    """The layers beside the box head, by name."""
    layers = [BoxPooling(name="pool", dtype=policy)]
    if num_classes is not None:
        layers += [
            keras.layers.Dropout(dropout, name="dropout", dtype=policy),
            keras.layers.Dense(
                num_classes,
                activation="sigmoid" if num_classes == 1 else "softmax",
                dtype="float32",
                name="label",
            ),
        ]
    if quality:
        layers.append(QualityHead(name="quality", dtype=policy))
    return {layer.name: layer for layer in layers}


def _connect_heads(maps, num_maps, head, heads):
    """Feature maps to the dict of outputs.

    Label and quality are read from the last map: from all of it and from inside the
    box. Neither sends a gradient through the box.
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
            "`head` must give one box per picture, (B, 4). Received: a layer that "
            f"gives {tuple(box.shape)}"
        )
    if head.name != "box":  # Keras names losses and metrics after the layer
        box = keras.layers.Identity(name="box", dtype="float32")(box)
    outputs = {"box": box}
    if "label" in heads or "quality" in heads:
        pooled = heads["pool"](maps[-1], box)
    if "label" in heads:
        outputs["label"] = heads["label"](heads["dropout"](pooled))
    if "quality" in heads:
        outputs["quality"] = heads["quality"](pooled, box, *spread)
    return outputs


def _leaves(model, prefix=""):
    """(path, layer) of every layer that is not itself a model."""
    for layer in model.layers:
        path = prefix + layer.name
        if isinstance(layer, keras.Model):
            yield from _leaves(layer, path + "/")
        else:
            yield path, layer


def _each(images):
    if isinstance(images, (str, os.PathLike)) or not hasattr(images, "__iter__"):
        return [images]
    if len(getattr(images, "shape", ())) in (2, 3):
        return [images]
    return images
