"""The folder of a call of `train_localizer`."""

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_localize import types
from keras_localize.arrays import digest_array
from keras_localize.checks import check_seed
from keras_localize.datasets import LocalizationDataset
from keras_localize.files import replacing
from keras_localize.localizer.localizer import Localizer
from keras_localize.localizer.training_plan import TrainingPlan

# Bytes. Larger features go to a folder.
FEATURES_IN_MEMORY = 4_000_000_000


@contextlib.contextmanager
def training_folder(
    cache: types.Path | None, plan: TrainingPlan
) -> Iterator[Path | None]:
    """The user's folder, or a temporary one for features larger than memory."""
    if cache is not None:
        if not os.fspath(cache):
            raise ValueError(
                f"`cache` must be the path of a folder. Received: {cache!r}"
            )
        yield Path(cache)
    elif plan.feature_bytes > FEATURES_IN_MEMORY and not plan.whole:
        with tempfile.TemporaryDirectory(prefix="keras_localize_") as folder:
            yield Path(folder)
    else:
        yield None


def seed_of_call(
    folder: Path,
    localizer: Localizer,
    plan: TrainingPlan,
    seed: int | None,
    train: LocalizationDataset,
    validation: LocalizationDataset | None,
    augment: str | None,
    class_weights: np.ndarray,
) -> int:
    """The seed of the call that the folder is of; a new folder is marked.

    `augment` is a text that tells the layers of the views apart, and `class_weights`
    are those of the classes, (K,).

    Raises:
        ValueError: where it is of a call with other arguments.
    """
    path = folder / "call.json"
    call = dataclasses.asdict(plan.without_fine_tuning())
    del call["feature_bytes"]  # follows from the others
    call |= {
        "train": _digest(train),
        "validation": validation and _digest(validation),
        "localizer": _digest_of_localizer(localizer, plan),
        "augment": augment,
        "class_weight": _hexdigest(class_weights),
        "seed": seed,
    }
    if plan.whole:
        # Otherwise the folder of the features knows them.
        images = [train] if validation is None else [train, validation]
        call["images"] = [x.to_pydataset(8).content_fingerprint() for x in images]
    if not path.exists():
        call["seed"] = check_seed(seed)
        with replacing(path) as unfinished:
            unfinished.write_text(json.dumps(call), encoding="utf-8")
        return call["seed"]
    try:
        kept = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"`cache` must be the folder of an earlier call, or a new one. Received: "
            f"{folder}, in which call.json is damaged"
        ) from error
    if seed is None:
        call["seed"] = kept["seed"]
    different = [name for name in call if call[name] != kept.get(name)]
    if different:
        raise ValueError(
            f"`cache` must be the folder of a call with the same arguments. {folder} "
            f"differs in: {', '.join(different)}"
        )
    return kept["seed"]


def _digest(data: LocalizationDataset) -> str:
    """A text that is the same for the same records. (Images: see `cache_features`.)"""
    arrays = (data.boxes, data.labels, data.weights, data.presence)
    return _hexdigest(*arrays, about=repr((data.names, data.class_names)))


def _digest_of_localizer(localizer: Localizer, plan: TrainingPlan) -> str:
    """A text that is the same for a localizer that was built in the same way.

    A pretrained backbone has the same weights; other weights are random at first.
    """
    about = localizer.get_config()
    names = ("num_classes", "class_names", "dropout", "quality", "presence", "dtype")
    shapes = [tuple(weight.shape) for weight in localizer.weights]
    weights = [] if plan.whole else localizer.backbone.get_weights()
    return _hexdigest(*weights, about=repr([shapes, *(about[name] for name in names)]))


def _hexdigest(*arrays: np.ndarray, about: str = "") -> str:
    digest = hashlib.sha256(about.encode())
    for array in arrays:
        digest_array(digest, array)
    return digest.hexdigest()
