"""The features of a frozen backbone, computed once."""

import sys

import keras
import numpy as np

from keras_localize.localizer.mirror import mirror_boxes, mirror_images


def cache_features(features, batches, mirror=True, verbose="auto"):
    """Runs a frozen backbone over a dataset once, and keeps what it gives.

    Training the heads on the result takes seconds where training through the
    backbone takes minutes. The mirrored view of each picture doubles the data for
    the price of a second pass.

    Args:
        features: the first model of `Localizer.split()`.
        batches: what `LocalizationDataset.to_tf_data` or `to_pydataset` gives
            (not shuffled, not augmented), or any iterable of
            `(images, {"label", "box"}, {"label", "box"})`.
        mirror: whether the mirror image of every picture is added.
        verbose: 0 for silence, 1 for a progress bar, 2 for a line at the end;
            `"auto"`: 1 in a terminal, else 2.

    Returns:
        `(maps, targets, weights)`: the list of feature maps, the dict of targets
        and the dict of weights, all NumPy arrays, as
        `heads.fit(maps, targets, sample_weight=weights)` takes them. Maps are
        float16, which halves the memory, unless they overflow it.

    Raises:
        ValueError: for `batches` without any.

    Example:

    >>> backbone = keras.Sequential(
    ...     [keras.Input((64, 64, 3)), keras.layers.Conv2D(8, 8, strides=8)]
    ... )
    >>> localizer = keras_localize.build_localizer(backbone, 4, preprocessing=None)
    >>> features, heads = localizer.split()
    >>> data = keras_localize.make_synthetic(6).to_pydataset(64)
    >>> maps, targets, _ = keras_localize.cache_features(features, data, verbose=0)
    >>> [x.shape for x in maps], targets["box"].shape
    ([(12, 8, 8, 8)], (12, 4))
    """
    count = len(batches) if hasattr(batches, "__len__") else None
    if verbose == "auto":
        verbose = 1 if sys.stdout.isatty() else 2
    progress = keras.utils.Progbar(count, verbose=verbose, unit_name="batch")
    kept_maps, kept_targets, kept_weights = [], [], []

    def keep(images, targets, weights):
        maps = keras.tree.flatten(features.predict_on_batch(images))
        kept_maps.append([_halved(x) for x in maps])
        kept_targets.append(targets)
        kept_weights.append(weights)

    for images, targets, weights in _each(batches):
        images = np.asarray(images)
        targets = {key: np.asarray(value) for key, value in targets.items()}
        weights = {key: np.asarray(value) for key, value in weights.items()}
        keep(images, targets, weights)
        if mirror:
            targets = {**targets, "box": mirror_boxes(targets["box"])}
            keep(mirror_images(images), targets, weights)
        progress.add(1)
    if not kept_maps:
        raise ValueError("`batches` must hold at least one batch. Received none")
    return (
        [np.concatenate(x) for x in zip(*kept_maps)],
        _concatenated(kept_targets),
        _concatenated(kept_weights),
    )


def _each(batches):
    if isinstance(batches, keras.utils.PyDataset):
        # It is indexed; plain iteration would not know its end.
        return (batches[i] for i in range(len(batches)))
    return batches


def _concatenated(dicts):
    return {key: np.concatenate([each[key] for each in dicts]) for key in dicts[0]}


def _halved(x):
    return x.astype("float16") if np.abs(x).max(initial=0) < 6e4 else x
