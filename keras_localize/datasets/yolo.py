"""YOLO: a folder of images and a folder with one text file for each."""

from os import PathLike
from pathlib import Path
from typing import get_args

from keras_localize import types
from keras_localize.checks import check_choice, check_positive_int
from keras_localize.datasets.annotation import AnnotatedObject, Annotation
from keras_localize.datasets.annotation_files import (
    RECORD_LIMIT,
    annotation_files,
    base_stem,
    existing_folder,
    read_text,
    relative_name,
)
from keras_localize.datasets.class_names import (
    ClassNames,
    composed,
    read_yaml,
)
from keras_localize.datasets.collector import Collector
from keras_localize.datasets.dataset import LocalizationDataset
from keras_localize.datasets.errors import AnnotationError
from keras_localize.datasets.image_folder import ImageFolder
from keras_localize.datasets.policy import (
    Multiple,
    OnError,
    Outside,
    Pixels,
    Policy,
    WithoutBox,
)
from keras_localize.datasets.yolo_lines import (
    Task,
    are_poses,
    corners,
    end_in_tracks,
    read_line,
)
from keras_localize.images.listing import is_image

# Text files that tools put beside the label files, in lower case.
_NO_LABELS = {
    "classes.txt",
    "labels.txt",
    "predefined_classes.txt",
    "train.txt",
    "val.txt",
    "valid.txt",
    "test.txt",
}

# Where a line was read, the name of its class, and the numbers that follow it.
_Line = tuple[str, str, list[float]]


def read_yolo(
    images_dir: types.Path,
    labels_dir: types.Path,
    class_names: ClassNames,
    *,
    without_box: WithoutBox = "skip",
    multiple: Multiple = "largest",
    on_error: OnError = "raise",
    outside: Outside = "clip",
    task: Task = "auto",
    pixels: Pixels = "upright",
    verify: bool = True,
    max_bytes: int = RECORD_LIMIT,
) -> LocalizationDataset:
    """Reads images and their YOLO text files.

    `labels_dir/NAME.txt` belongs to `images_dir/NAME.*`; where NAME holds a folder
    `images`, a file in a folder `labels` in its place does, too. Each line is one
    object: `class x_center y_center width height`, in fractions of the image's sides.
    Lines that say more are read as well and counted:

    - with a confidence after the box, the id of a track, or both;
    - of a segmentation, `class x1 y1 x2 y2 x3 y3 ...`: the box around the polygon;
    - of a pose, keypoints of two or three numbers after the box;
    - predicted polygons or keypoints, followed by a confidence or the id of a track.

    Args:
        images_dir: folder of the images; folders below are read too.
        labels_dir: folder of the text files. A README and lists of names or of images
            are no label files.
        class_names: the classes in the order of their ids: a list, a dict id -> name,
            or the path of a text file with one name per line or of a `data.yaml`.
        task: what the lines are: `"detect"`, `"segment"` or `"pose"`, in the words of
            Ultralytics. `"auto"`: each line by its count of numbers. A keypoint of
            three numbers ends in 0, 1 or 2; keypoints of two numbers, or with a
            confidence, cannot always be distinguished from polygons: that is then an
            error that asks for `task`. A `data.yaml` with a `kpt_shape` says `"pose"`.
        without_box, multiple, on_error, outside, pixels, verify: as in `read_voc`. An
            image with an empty text file, or with none, has no object.
        max_bytes: a larger text file is refused. By default 16 MiB.

    Returns:
        A `LocalizationDataset`.

    Raises:
        AnnotationError: a ValueError that names file, line and value.

    Example:

    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from keras_localize.datasets import read_yolo
    >>> Image.new("RGB", (100, 50)).save("cat.png")
    >>> _ = Path("cat.txt").write_text("0 0.5 0.5 0.5 1.0")
    >>> read_yolo(".", ".", ["cat"])[0].box.tolist()
    [0.25, 0.0, 0.75, 1.0]
    """
    check_choice(task, get_args(Task), "task")
    policy = Policy(without_box, multiple, on_error, outside, pixels, verify)
    check_positive_int(max_bytes, "max_bytes")
    images = ImageFolder(images_dir)
    labels_dir = existing_folder(labels_dir, "labels_dir")
    if task == "auto" and _says_pose(class_names):
        task = "pose"
    if class_names is None:
        raise AnnotationError(
            "`class_names`",
            "no class names",
            expected="a list, a dict, or the path of a file: the lines hold only ids",
            received=None,
        )
    collector = Collector(policy, class_names)
    files = {
        composed(relative_name(path.with_suffix(""), labels_dir)): path
        for path in annotation_files(labels_dir, ".txt")
    }
    used = {stem: _label_stem(stem, files) for stem in images.by_stem}
    lines = {
        stem: _read_lines(files[stem], collector.class_names or [], max_bytes)
        for stem in used.values()
        if stem is not None
    }
    good = [each for each in lines.values() if not isinstance(each, AnnotationError)]
    if task == "auto":
        task = _task_of(good, labels_dir)
    if task in ("auto", "segment"):
        _leave_tracks_out(good)
    without_image = {
        stem: file
        for stem, file in files.items()
        if stem not in lines and not _is_other_file(file, class_names, max_bytes)
    }
    lost = set(map(base_stem, without_image))
    for image_stem, paths in images.by_stem.items():
        stem = used[image_stem]
        for path in paths:
            name = images.name(path)
            if stem is None and base_stem(image_stem) in lost:
                # It may be the image of this file.
                collector.skip(name, "a text file of this name belongs to no image")
                continue
            with collector.record(name):
                if stem is None:
                    collector.keep(Annotation(name, path, str(path), []))
                else:
                    objects, notes = _objects(lines[stem], files[stem], task)
                    collector.keep(
                        Annotation(name, path, str(files[stem]), objects, notes=notes)
                    )
    for stem, file in without_image.items():
        with collector.record(stem):
            raise AnnotationError(
                file, "missing image", expected=f"{stem}.* in {images.path}"
            )
    return collector.dataset(labels_dir)


def _says_pose(class_names: ClassNames) -> bool:
    """Whether the classes stand in a `data.yaml` of a set with keypoints."""
    return (
        isinstance(class_names, (str, PathLike))
        and Path(class_names).suffix.lower() in (".yaml", ".yml")
        and "kpt_shape" in read_yaml(Path(class_names))
    )


def _label_stem(stem: str, files: dict[str, Path]) -> str | None:
    """The stem of an image's label file: `train/images/a` -> `train/labels/a`."""
    if stem in files:
        return stem
    before, folder, after = f"/{stem}".rpartition("/images/")
    swapped = f"{before}/labels/{after}".lstrip("/")
    return swapped if folder and swapped in files else None


def _read_lines(
    file: Path, class_names: list[str], max_bytes: int
) -> list[_Line] | AnnotationError:
    """The lines of a label file, or what is wrong with it."""
    lines = []
    try:
        text = read_text(file, max_bytes)
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                place = f"line {number}"
                label, values = read_line(line, file, place, len(class_names))
                lines.append((place, class_names[label], values))
    except AnnotationError as error:
        return error
    return lines


def _task_of(files: list[list[_Line]], labels_dir: Path) -> Task:
    """What the lines of a set are: `"pose"`, or boxes and polygons, `"auto"`."""
    poses = are_poses(values for lines in files for *_, values in lines)
    if poses is None:
        raise AnnotationError(
            labels_dir,
            "polygons, poses or tracks",
            expected=(
                '`task="segment"`, `task="pose"` or (a box with a confidence and the '
                'id of a track) `task="detect"`: these lines may be either'
            ),
        )
    return "pose" if poses else "auto"


def _leave_tracks_out(files: list[list[_Line]]) -> None:
    """Cuts confidences and ids of tracks off polygons, where all have them."""
    if end_in_tracks(values for lines in files for *_, values in lines):
        for lines in files:
            lines[:] = [
                (place, name, values[:-2] if len(values) >= 8 else values)
                for place, name, values in lines
            ]


def _objects(
    lines: list[_Line] | AnnotationError, file: Path, task: Task
) -> tuple[list[AnnotatedObject], list[str]]:
    if isinstance(lines, AnnotationError):
        raise lines
    objects, notes = [], {}
    for place, class_name, values in lines:
        box, note = corners(values, task, file, place)
        objects.append(AnnotatedObject(class_name, box, relative=True, field=place))
        notes[note] = None
    return objects, [note for note in notes if note is not None]


def _is_other_file(file: Path, class_names: ClassNames, max_bytes: int) -> bool:
    """Whether a text file without an image is known to hold no labels."""
    if isinstance(class_names, (str, PathLike)) and (
        file.resolve() == Path(class_names).resolve()
    ):
        return True
    name = file.name.lower()
    return (
        name in _NO_LABELS
        or name.startswith(("readme", "license"))
        or _lists_images(file, max_bytes)
    )


def _lists_images(file: Path, max_bytes: int) -> bool:
    """Whether it lists the images of a part of the set: a path in each line."""
    try:
        lines = read_text(file, max_bytes).split("\n")
    except AnnotationError:
        return False
    paths = [Path(line.strip()) for line in lines if line.strip()]
    return bool(paths) and all(map(is_image, paths))
