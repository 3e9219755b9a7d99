"""One call that trains a localizer: heads on cached features, then fine-tuning."""

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from keras_localize import types
from keras_localize.checks import (
    check_channels_last,
    check_non_negative_int,
    check_positive_int,
    check_seed,
)
from keras_localize.datasets import LocalizationDataset
from keras_localize.datasets.class_weights import ClassWeight, class_weights
from keras_localize.localizer.candidates import Candidate, best, evaluated_candidates
from keras_localize.localizer.defaults import default_optimizer
from keras_localize.localizer.early_quality import EarlyQuality
from keras_localize.localizer.feature_batches import FeatureBatches
from keras_localize.localizer.feature_cache import Cached, cache_features
from keras_localize.localizer.localizer import Localizer
from keras_localize.localizer.resumable import History, joined, resumable_fit
from keras_localize.localizer.sublayers import trainable_as_before
from keras_localize.localizer.training import LocalizationModel
from keras_localize.localizer.training_batches import TrainingBatches, described
from keras_localize.localizer.training_data import training_data
from keras_localize.localizer.training_folder import seed_of_call, training_folder
from keras_localize.localizer.training_plan import (
    BOX_WEIGHT,
    TrainingPlan,
    plan_training,
)
from keras_localize.localizer.verbosity import Verbose, check_verbose, resolve_verbose

Callbacks = Sequence[keras.callbacks.Callback] | keras.callbacks.Callback | None


def train_localizer(
    localizer: Localizer,
    train: LocalizationDataset,
    validation: LocalizationDataset | None = None,
    *,
    head_epochs: int | None = None,
    views: int | None = None,
    fine_tune_epochs: int = 0,
    batch_size: int = 32,
    cache: types.Path | None = None,
    seed: int | None = None,
    augment: Any = None,
    class_weight: ClassWeight = None,
    callbacks: Callbacks = None,
    verbose: Verbose = "auto",
) -> History:
    """Trains a localizer on a dataset, by a recipe that suits its size.

    1. *features*: those of the frozen backbone are computed once, for several random
       views of each image and their horizontal flips.
    2. *heads*: the heads are trained on these features.
    3. *fine-tuning*, with `fine_tune_epochs`: all layers are trained, on a new random
       view of each image in every epoch.
    4. *choice*, after fine-tuning: the weights before it, after it, and four averages
       of both (WiSE-FT, arXiv 2109.01903) are compared on the validation images. A set
       counts only if neither its box IoU nor its label accuracy is lower than before.
       Of these, the set with the best mean of both is kept. So fine-tuning never makes
       the model worse on these images.

    A backbone that is trainable already, because it has no pretrained weights, is
    trained as a whole, in one phase named *all layers*.

    The rules behind the defaults are in docs/localizer.md, and the measurements behind
    the rules in docs/benchmarks.md. For recipes of your own, `Localizer.split`,
    `cache_features`, `FeatureBatches`, `Localizer.unfreeze`, `compile` and `fit` are
    the parts.

    Args:
        localizer: what is trained, in place. Afterwards it is compiled with the
            default configuration; the same layers are trainable as before.
        train: training images. Classes are matched by name. Where the localizer
            predicts the presence and every image holds an object,
            `datasets.with_hard_negatives` adds images that hold none.
        validation: images for the `val_` values of the history and for the choice.
            None: there are no `val_` values; for the choice a tenth of `train` is
            held out of the training.
        head_epochs: epochs of the heads (or of all layers, for a trainable backbone).
            None: as many as give about 3,000 steps, between 3 and 60. Images that hold
            no object are not counted.
        views: random views of each image whose features are cached. None: as many as
            give about 6,000 of the images that hold an object, between 1 and 16; twice
            as many with `augment`.
        fine_tune_epochs: epochs of fine-tuning; 0: none.
        batch_size: images per batch. The heads are trained on twice as many features.
            Fine-tuning for 800 steps or more of a backbone with at most 1 M parameters
            uses half of it, but not less than 16.
        cache: a folder that makes the call resumable: features, and after every epoch
            the training state, are kept in it. The same call continues where an
            interrupted one stopped, and ends with the same weights. (Until then a
            localizer whose fine-tuning was interrupted has the weights before it.) A
            folder is for one call: for another, or for a localizer that was
            fine-tuned since, use a new one. With `validation`, a
            call with other `fine_tune_epochs` takes features and heads from it.
            (Without, images are held out for fine-tuning alone.) None: all of it is
            in memory, or features larger than 4 GB in a temporary folder.
        seed: for order and views. None: from `keras.utils.set_random_seed`.
        augment: what makes the random views, as `augment` of
            `LocalizationDataset.to_tf_data`. With it no horizontal flips are added to
            the views: it must flip them itself. `RandomSquareView`, alone or
            first in a `keras.layers.Pipeline`, gets larger squares than it returns.
            None: `RandomSquareView(image_size, box_crop=0.5)`, and the horizontal
            flip of every view.
        class_weight: weights of the classes in the label loss, as `class_weight` of
            `LocalizationDataset.to_tf_data`: None, `"balanced"` or a dict.
        callbacks: Keras callbacks, called in every phase. In the phase *heads* their
            model is the `LocalizerHeads` that has the localizer's weights.
        verbose: 0: silent; 1: progress bars; 2: a line for each epoch; `"auto"`: 1 in
            a terminal, else 2.

    Returns:
        The history: a dict of lists with one value for each epoch, as the `history`
        of `fit` has them, and `"phase"`, the name of each epoch's phase. With
        `fine_tune_epochs` it has `"choice"` too: one dict for each of the weights that
        were compared, with `"name"`, `"kept"` and the validation values.

    Raises:
        ValueError: for an empty dataset, a class that the localizer lacks, a `cache`
            of a call with other arguments, channels first, `fine_tune_epochs` with a
            backbone that is trainable already, `class_weight` without labels, or what
            `to_tf_data` does not take as `augment` or `class_weight`.

    Example:

    >>> data = keras_localize.make_synthetic(40, num_classes=2)
    >>> backbone = keras.Sequential(
    ...     [keras.Input((64, 64, 3)), keras.layers.Conv2D(8, 8, strides=8)]
    ... )
    >>> localizer = keras_localize.build_localizer(
    ...     backbone, 2, class_names=data.class_names, preprocessing=None
    ... )
    >>> history = keras_localize.train_localizer(
    ...     localizer, data, head_epochs=2, fine_tune_epochs=1, verbose=0
    ... )
    >>> history["phase"]
    ['heads', 'heads', 'fine-tuning']
    """
    if not isinstance(localizer, Localizer):
        raise ValueError(
            "`localizer` must be a Localizer, as `build_localizer` makes it. "
            f"Received: {type(localizer).__name__}"
        )
    check_channels_last()
    batch_size = check_positive_int(batch_size, "batch_size")
    fine_tune_epochs = check_non_negative_int(fine_tune_epochs, "fine_tune_epochs")
    check_verbose(verbose)
    view_text = described(augment, localizer.image_size)
    if class_weight is not None and localizer.num_classes is None:
        raise ValueError(
            "`class_weight` needs a localizer with classes. This one has none. "
            f"Received: class_weight={class_weight!r}"
        )
    if fine_tune_epochs and localizer.backbone.trainable_variables:
        raise ValueError(
            "`fine_tune_epochs` must be 0 for a backbone that is trainable already: "
            "`head_epochs` trains all layers. For a pretrained backbone, build with "
            "trainable_backbone=False. "
            f"Received: fine_tune_epochs={fine_tune_epochs}"
        )
    train, validation, held_out = training_data(
        localizer, train, validation, with_choice=fine_tune_epochs > 0
    )
    weights = class_weights(train.labels, train.class_names, class_weight)
    plan = plan_training(
        localizer,
        objects=int((train.presence > 0).sum()),
        longest_sides=train.image_sizes.max(axis=1),
        views=views,
        head_epochs=head_epochs,
        fine_tune_epochs=fine_tune_epochs,
        batch_size=batch_size,
        augment=augment,
    )
    with training_folder(cache, plan) as folder:
        if cache is None or folder is None:
            seed = check_seed(seed)
        else:
            given = (train, validation, view_text, weights)
            seed = seed_of_call(folder, localizer, plan, seed, *given)
        training = _Training(
            localizer=localizer,
            plan=plan,
            batches=TrainingBatches(
                localizer, plan, train, validation, seed, augment, class_weight
            ),
            folder=folder,
            resumable=cache is not None,
            callbacks=keras.tree.flatten(callbacks) if callbacks else [],
            verbose=resolve_verbose(verbose),
        )
        return training.run(held_out)


@dataclasses.dataclass
class _Training:
    """One call of `train_localizer`, with everything that is decided."""

    localizer: Localizer
    plan: TrainingPlan
    batches: TrainingBatches
    # Features that are too large for memory lie here, and with `resumable` the rest.
    folder: Path | None
    resumable: bool
    callbacks: list[keras.callbacks.Callback]
    verbose: Literal[0, 1, 2]

    def run(self, held_out: LocalizationDataset | None) -> History:
        """All phases; `held_out` are the images for the choice."""
        plan, localizer = self.plan, self.localizer
        if plan.whole:
            return self.all_layers()
        squares = None
        if held_out is not None and self.batches.validation is None:
            squares = self.batches.squares(held_out)
            # An image that cannot be read is found before the training.
            for _ in squares:
                pass
        history = self.heads()
        if not plan.fine_tune_epochs:
            self.compile()
            return history
        before = localizer.get_weights()
        try:
            with trainable_as_before(localizer.backbone):
                history = joined(history, self.fine_tune())
            squares = squares or self.batches.validation_squares
            candidates = self.candidates(before, squares)
        except BaseException:
            # Ready for the same call, whose state is in the folder; and compiled for
            # the variables that are trainable now.
            # (Interrupted in its first step on JAX, it has no values to build with.)
            with contextlib.suppress(TypeError):
                if self.resumable:
                    localizer.set_weights(before)
                self.compile()
            raise
        kept = best(candidates)
        localizer.set_weights(kept.weights)
        history["choice"] = [
            {"name": one.name, "kept": one is kept, **one.values} for one in candidates
        ]
        self.say(f"kept: {kept.name}")
        return history

    def heads(self) -> History:
        """Trains the heads on cached features of the frozen backbone."""
        plan, localizer, batches = self.plan, self.localizer, self.batches
        negatives = int((batches.train.presence == 0).sum())
        self.say(
            f"features: {plan.views} random views of {len(batches.train)} images"
            + (f" ({negatives} of them without an object)" if negatives else "")
            + (", and their horizontal flips" if plan.mirror else "")
        )
        features, heads = localizer.split()
        cache = functools.partial(cache_features, features, verbose=self.verbose)
        cached = cache(
            batches.views(),
            mirror=plan.mirror,
            views=plan.views,
            path=self.part("features"),
        )
        validation: Cached | None = None
        if batches.validation is not None:
            squares = batches.validation_squares
            path = self.part("validation_features")
            validation = cache(squares, mirror=False, path=path)
        heads.compile()
        early = EarlyQuality(plan.quality_epochs, self.kept("quality.npz"))
        batch_size = plan.head_batch_size
        train = FeatureBatches(*cached, batch_size=batch_size, seed=batches.seed)
        held_out = validation and FeatureBatches(*validation, batch_size, shuffle=False)
        history = self.fit(
            "heads",
            heads,
            train,
            plan.head_epochs,
            held_out,
            "heads",
            [early] if localizer.quality else [],
        )
        train.release()
        if held_out is not None:
            held_out.release()
        return history

    def fine_tune(self) -> History:
        """Trains all layers, on a new view of each image in every epoch."""
        plan, localizer = self.plan, self.localizer
        localizer.unfreeze(batch_normalization=plan.batch_normalization)
        backbone = {id(x) for x in localizer.backbone.trainable_variables}
        factors = [
            plan.backbone_factor if id(x) in backbone else 1.0
            for x in localizer.trainable_variables
        ]
        optimizer = default_optimizer(plan.peak_rate, factors)
        localizer.compile(optimizer, loss_weights={"box": BOX_WEIGHT})
        part = f"fine-tuning_{plan.fine_tune_epochs}"
        epochs, batch_size = plan.fine_tune_epochs, plan.fine_tune_batch_size
        return self.fit_squares("fine-tuning", epochs, batch_size, part)

    def all_layers(self) -> History:
        """Trains a network that has no pretrained weights."""
        self.localizer.compile()
        plan = self.plan
        epochs, batch_size = plan.head_epochs, plan.batch_size
        return self.fit_squares("all layers", epochs, batch_size, "all_layers")

    def fit_squares(self, phase: str, epochs: int, batch: int, part: str) -> History:
        """Trains the localizer itself, on random views, `batch` at a time."""
        views = self.batches.views(batch_size=batch, shuffle=True)
        validation = self.batches.validation_squares
        return self.fit(phase, self.localizer, views, epochs, validation, part)

    def fit(
        self,
        phase: str,
        model: LocalizationModel,
        x: Any,
        epochs: int,
        validation: Any,
        part: str,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> History:
        """One phase, whose state is kept in this part of the folder."""
        self.say(f"{phase}: {epochs} epochs")
        history = resumable_fit(
            model,
            self.kept(part),
            x,
            epochs=epochs,
            validation_data=validation,
            callbacks=[*self.callbacks, *callbacks],
            shuffle=False,  # the batches are shuffled already
            verbose=self.verbose,
        )
        return {**history, "phase": [phase] * len(history["loss"])}

    def candidates(self, before: list[np.ndarray], squares: Any) -> list[Candidate]:
        """Weights to choose from, with what they reach on the images held out."""
        localizer = self.localizer
        self.compile()
        after = localizer.get_weights()

        def evaluate(weights: list[np.ndarray]) -> dict[str, float]:
            localizer.set_weights(weights)
            return localizer.evaluate(squares, return_dict=True, verbose=0)

        try:
            return evaluated_candidates(before, after, evaluate)
        except BaseException:
            localizer.set_weights(after)
            raise

    def compile(self) -> None:
        """The default configuration, with an optimizer that a file can hold."""
        self.localizer.compile()
        self.localizer.optimizer.build(self.localizer.trainable_variables)

    def part(self, name: str) -> Path | None:
        """The place of one part in the folder."""
        return self.folder and self.folder / name

    def kept(self, name: str) -> Path | None:
        """The place of what makes the call resumable."""
        return self.part(name) if self.resumable else None

    def say(self, text: str) -> None:
        if self.verbose:
            print(text, flush=True)
