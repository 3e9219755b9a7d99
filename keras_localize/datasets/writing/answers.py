"""Answers of a model as the writers of all formats need them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from keras_localize import types
from keras_localize.checks import check_answers
from keras_localize.datasets.annotation import Corners
from keras_localize.datasets.class_names import ClassNames, composed, read_class_names
from keras_localize.datasets.dataset import LocalizationDataset
from keras_localize.datasets.real_sizes import with_real_sizes
from keras_localize.images import inspect, list_images

# What was localized: a folder, a dataset, or paths of images and folders.
Images: TypeAlias = types.Path | LocalizationDataset | Iterable[types.Path]


class Localized(Protocol):
    """What the writers read of a `keras_localize.Localization`."""

    @property
    def label(self) -> int | None: ...
    @property
    def class_name(self) -> str | None: ...
    @property
    def score(self) -> float | None: ...
    @property
    def box(self) -> Corners | None: ...
    @property
    def quality(self) -> float | None: ...
    @property
    def presence(self) -> float | None: ...


class Answer(NamedTuple):
    """One image and its answer.

    Attributes:
        name: the image's path below its folder, with forward slashes.
        size: (height, width) of the upright image in pixels.
        class_name: name of the class.
        box: `xyxy` in pixels of the upright image; None where there is no object.
        localization: all that the model said.
    """

    name: str
    size: tuple[int, int]
    class_name: str
    box: Corners | None
    localization: Localized


class Answers(NamedTuple):
    """The answers of all images that have one, and the names of the classes."""

    answers: list[Answer]
    class_names: list[str]


def collect(
    localizations: Sequence[Localized | None],
    images: Images,
    images_dir: types.Path | None,
    class_names: ClassNames | None,
) -> Answers:
    """Joins answers with their images; the arguments are those of the writers.

    Raises:
        ValueError: for a number of answers that is not that of the images, images that
            are not files, an image outside `images_dir`, or a class that is none of
            `class_names`.
    """
    if isinstance(images, LocalizationDataset):
        images = with_real_sizes(images)
    paths = _paths(images)
    localizations = list(localizations)
    if len(localizations) != len(paths):
        raise ValueError(
            "`localizations` must hold one answer, or None, for each of `images`. "
            f"Received: {len(localizations)} answers for {len(paths)} images"
        )
    check_answers(localizations)
    names = _names(paths, _folder(paths, images, images_dir))
    classes = _classes(localizations, class_names)
    answers = []
    for index, (localization, name) in enumerate(zip(localizations, names)):
        if localization is None:
            continue
        class_name = _class_name(localization)
        if class_name not in classes:
            raise ValueError(
                f"`class_names` must hold {class_name!r}, the answer for {name}. "
                f"Received: class_names={classes}"
            )
        if isinstance(images, LocalizationDataset):
            height, width = map(int, images.image_sizes[index])
        else:
            height, width = inspect(paths[index])[:2]
        answers.append(
            Answer(name, (height, width), class_name, localization.box, localization)
        )
    return Answers(answers, classes)


def names_of(images: Images, images_dir: types.Path | None) -> list[str]:
    """The names that the images get in a file; the arguments are as in `collect`."""
    paths = _paths(images)
    return _names(paths, _folder(paths, images, images_dir))


def _paths(images: Images) -> list[Path]:
    """The images in the order in which `Localizer.localize` takes them."""
    if isinstance(images, LocalizationDataset):
        sources = images.images
    elif isinstance(images, (str, os.PathLike)):
        sources = [images]
    else:
        sources = list(images)
    return [path for source in sources for path in _files(source)]


def _files(source: object) -> Iterator[Path]:
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(
            "`images` must be files, so that annotations can name them. "
            f"Received: {type(source).__name__}"
        )
    path = Path(source)
    yield from list_images(path) if path.is_dir() else [path]


def _folder(paths: list[Path], images: Images, images_dir: types.Path | None) -> str:
    if images_dir is not None:
        return os.path.abspath(images_dir)
    if isinstance(images, (str, os.PathLike)) and os.path.isdir(images):
        return os.path.abspath(images)
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}
    return os.path.commonpath(folders) if folders else ""


def _names(paths: list[Path], folder: str) -> list[str]:
    names = []
    for path in paths:
        try:
            # Links are not followed: the image has the name that the user gives it.
            name = Path(os.path.abspath(path)).relative_to(folder)
        except ValueError as error:
            raise ValueError(
                "`images_dir` must be a folder above all images. Received: "
                f"images_dir={folder!r}, and the image {str(path)!r}"
            ) from error
        names.append(name.as_posix())
    return names


def _classes(
    localizations: Sequence[Localized | None], class_names: ClassNames | None
) -> list[str]:
    """The classes in the order of their ids."""
    if class_names is not None:
        return read_class_names(class_names)
    given = [each for each in localizations if each is not None]
    given.sort(key=lambda each: -1 if each.label is None else each.label)
    return list(dict.fromkeys(map(_class_name, given)))


def _class_name(localization: Localized) -> str:
    if localization.class_name is not None:
        return composed(localization.class_name.strip())
    return "object" if localization.label is None else str(localization.label)
