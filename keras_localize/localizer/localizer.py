"""The model: a backbone, heads, and what a trained one does for its user."""

from typing import Any, Self

import keras

from keras_localize import types
from keras_localize.checks import check_channels_last, check_rate
from keras_localize.datasets.epoch_order import takes_epochs
from keras_localize.layers.localization_head import Kind
from keras_localize.localizer.calibrating import (
    Calibrates,
    Calibrations,
    calibrations_config,
    calibrations_from_config,
)
from keras_localize.localizer.class_names import (
    ClassNames,
    check_class_names,
    check_num_classes,
    count_classes,
)
from keras_localize.localizer.defaults import FROZEN, TRAINABLE, Recipe
from keras_localize.localizer.features import (
    image_shape,
    no_such_layer,
    set_trainable,
)
from keras_localize.localizer.heads import (
    box_head,
    connect_heads,
    extract,
    make_heads,
)
from keras_localize.localizer.pixel_range import warn_of_range
from keras_localize.localizer.quantization import (
    remember,
    repeat,
    without_quantization,
)
from keras_localize.localizer.rebuilding import rebuilt
from keras_localize.localizer.sublayers import freeze_paths, frozen_paths, sublayers
from keras_localize.localizer.training import LocalizationModel, LocalizerHeads


@keras.saving.register_keras_serializable(package="keras_localize")
class Localizer(Calibrates, LocalizationModel):
    """A model that says what is in an image and where.

    Made by `build_localizer`, which finds its parts and describes inputs and outputs;
    do not call the constructor. A functional `keras.Model`: everything that Keras does
    with a model works, and a `.keras` file holds all of it: weights, preprocessing,
    class names, input size, and how it was compiled.

    Attributes:
        backbone: the feature extractor; `backbone.trainable` freezes it.
        num_classes: number of classes, or `None`.
        class_names: tuple of names, or `None`.
        image_size: side of the square images it takes, in pixels.
        calibrations: (flip_average, refine) -> the `Calibration` for these options of
            `localize`; empty before `calibrate`.
    """

    def __init__(
        self,
        backbone: keras.Model,
        num_classes: int | None,
        *,
        num_maps: int,
        image_size: int,
        class_names: ClassNames | None = None,
        head: Kind | keras.Layer = "spatial",
        preprocessing: keras.Layer | None = None,
        dropout: float = 0.2,
        quality: bool = False,
        presence: bool = False,
        dtype: Any = None,
        name: str = "localizer",
        **kwargs: Any,
    ) -> None:
        num_classes = check_num_classes(num_classes)
        class_names = check_class_names(num_classes, class_names)
        head = box_head(head)
        dropout = check_rate(dropout, "dropout")
        if preprocessing is not None and not isinstance(preprocessing, keras.Layer):
            raise ValueError(
                "`preprocessing` must be a layer or None. Received: "
                f"preprocessing={preprocessing!r}"
            )
        policy = keras.dtype_policies.get(dtype)

        # === Functional model ===
        images = keras.Input(image_shape(image_size), name="images")
        maps = extract(images, preprocessing, backbone)
        classes = num_classes and count_classes(num_classes, class_names)
        heads = make_heads(num_classes, classes, dropout, quality, presence, policy)
        outputs = connect_heads(maps, num_maps, head, heads)
        super().__init__(inputs=images, outputs=outputs, name=name, **kwargs)
        # By it Keras scales the loss in float16, in a loaded model too.
        self.dtype_policy = policy

        # === Config ===
        self.backbone = backbone
        self.preprocessing = preprocessing
        self.head = head
        self.num_classes = num_classes
        self.num_maps = num_maps
        self.image_size = image_size
        self.class_names = class_names
        self.dropout = dropout
        self.quality = quality
        self.presence = presence
        self.quantize_calls: list[dict[str, Any]] = []
        self.calibrations: Calibrations = {}

    def split(self) -> tuple[keras.Model, LocalizerHeads]:
        """Splits the model where the frozen backbone ends.

        The features of a frozen backbone never change: compute them once (and those
        of flipped or otherwise augmented images), then train the heads on them in
        seconds. Both models share the localizer's weights, so that it is trained when
        they are.

        Returns:
            `(features, heads)`: a model from images to the list of feature maps,
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
        maps = extract(images, self.preprocessing, self.backbone)
        features = keras.Model(images, maps, name=f"{self.name}_features")
        # `cache_features` compares them with those of its batches.
        features.class_names = None if self.num_classes is None else self.class_names
        inputs = [
            keras.Input(x.shape[1:], dtype=x.dtype, name=f"map_{i}")
            for i, x in enumerate(maps)
        ]
        heads = {layer.name: layer for layer in self.layers}
        outputs = connect_heads(inputs, self.num_maps, self.head, heads)
        return features, LocalizerHeads(inputs, outputs, name=f"{self.name}_heads")

    def unfreeze(
        self, from_layer: str | None = None, batch_normalization: bool = False
    ) -> None:
        """Makes the backbone trainable, for fine-tuning. Compile again after it.

        Args:
            from_layer: name of the first layer of `backbone` that trains; `None`:
                all of it.
            batch_normalization: whether batch normalization trains too. By default
                it keeps its statistics and weights and runs in inference mode, since
                statistics of small batches are noisy.

        Raises:
            ValueError: for a layer that the backbone does not have.

        Example:

        >>> backbone = keras.Sequential(
        ...     [
        ...         keras.Input((64, 64, 3)),
        ...         keras.layers.Conv2D(8, 8, strides=8, name="first"),
        ...         keras.layers.Conv2D(8, 3, padding="same", name="last"),
        ...     ]
        ... )
        >>> localizer = keras_localize.build_localizer(backbone, 2, preprocessing=None)
        >>> localizer.unfreeze(from_layer="last")
        >>> [layer.name for layer in localizer.backbone.layers if layer.trainable]
        ['last']
        >>> localizer.compile()
        """
        names = [layer.name for layer in self.backbone.layers]
        if from_layer is not None and from_layer not in names:
            raise no_such_layer("from_layer", from_layer, self.backbone.name, names)
        first = 0 if from_layer is None else names.index(from_layer)
        set_trainable(self.backbone, True)
        for i, layer in enumerate(self.backbone.layers):
            set_trainable(layer, i >= first)
        if not batch_normalization:
            for _, layer in sublayers(self.backbone):
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.trainable = False

    def quantize(
        self,
        mode: str | None = None,
        config: Any = None,
        filters: str | list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Quantizes the dense layers, as `keras.Model.quantize` does.

        A quantized localizer saves and loads as any other. Keras quantizes no
        convolutions, so that little is saved where the backbone consists of them.

        Args:
            mode: `"int8"`, `"int4"` or `"float8"`.
            config: as in `keras.Model.quantize`.
            filters: only layers whose name matches this regular expression, or one
                of a list of them.
            **kwargs: as in `keras.Model.quantize`.

        Raises:
            ValueError: for `filters` that are a function, which no file can hold.
        """
        options = {"config": config, "filters": filters, **kwargs}
        options = {name: one for name, one in options.items() if one is not None}
        call = remember(mode, options)
        super().quantize(mode, **options)
        self.quantize_calls = [*self.quantize_calls, call]
        if self.compiled:
            # The optimizer's state is that of weights which are gone.
            self.compile_from_config(self.get_compile_config())

    def save(
        self,
        filepath: types.Path,
        overwrite: bool = True,
        zipped: bool | None = None,
        *,
        include_optimizer: bool = True,
        **kwargs: Any,
    ) -> None:
        """Saves the localizer, as `keras.Model.save` does.

        Args:
            filepath, overwrite, zipped: as in `keras.Model.save`, like all others.
            include_optimizer: False leaves out how the localizer was compiled and the
                state of its optimizer, which for a fine-tuned model is twice as large
                as the model. It loads as one that was never compiled: to predict, to
                export, or to be compiled anew.

        Example:

        >>> backbone = keras.Sequential(
        ...     [keras.Input((64, 64, 3)), keras.layers.Conv2D(8, 8, strides=8)]
        ... )
        >>> localizer = keras_localize.build_localizer(backbone, 2, preprocessing=None)
        >>> localizer.compile()
        >>> localizer.save("slim.keras", include_optimizer=False)
        >>> keras.saving.load_model("slim.keras").compiled
        False
        """
        if include_optimizer:
            return super().save(filepath, overwrite, zipped, **kwargs)
        # Keras knows the argument and uses it for HDF5 files alone.
        return rebuilt(self, self.get_config()).save(
            filepath, overwrite, zipped, **kwargs
        )

    def __repr__(self) -> str:
        return (
            f"<Localizer {self.name}: backbone {self.backbone.name}, "
            f"{self.image_size} px, {self.num_classes or 'no'} classes, outputs "
            f"{', '.join(self.output_names)}>"
        )

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument, and which layers are frozen or quantized."""

        def serialize(part):
            config = keras.saving.serialize_keras_object(part)
            return without_quantization(config) if self.quantize_calls else config

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
            "presence": self.presence,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "name": self.name,
            "frozen": frozen_paths(self),
            "backbone_trainable": self.backbone.trainable,
            "quantize_calls": [dict(call) for call in self.quantize_calls],
            "calibrations": calibrations_config(self.calibrations),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Self:
        """Builds the localizer that `get_config` described."""
        config = dict(config)
        frozen = config.pop("frozen")
        backbone_trainable = config.pop("backbone_trainable")
        quantize_calls = config.pop("quantize_calls", [])
        calibrations = config.pop("calibrations", [])
        for part in ("backbone", "head", "preprocessing"):
            if config[part] is not None:
                config[part] = keras.saving.deserialize_keras_object(
                    config[part], custom_objects=custom_objects
                )
        localizer = cls(**config)
        # A functional model that is read back sets one flag for all its layers.
        localizer.backbone.trainable = backbone_trainable
        freeze_paths(localizer, frozen)
        repeat(localizer, quantize_calls)
        localizer.calibrations = calibrations_from_config(calibrations)
        return localizer

    def _check_inputs(self, x: Any) -> None:
        if takes_epochs(x):
            check_channels_last()
        warn_of_range(x)

    def _recipe(self) -> Recipe:
        return TRAINABLE if self.backbone.trainable_variables else FROZEN
