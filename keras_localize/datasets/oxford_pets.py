"""The Oxford-IIIT Pet dataset: 37 breeds of cats and dogs, with boxes of the heads."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from keras_localize import types
from keras_localize.checks import check_choice
from keras_localize.datasets.annotation import AnnotatedObject, Annotation
from keras_localize.datasets.annotation_files import (
    RECORD_LIMIT,
    existing_folder,
    read_text,
)
from keras_localize.datasets.collector import Collector
from keras_localize.datasets.dataset import LocalizationDataset
from keras_localize.datasets.download import (
    Archive,
    DownloadError,
    keras_home,
    provide,
)
from keras_localize.datasets.errors import AnnotationError
from keras_localize.datasets.policy import OnError, Policy
from keras_localize.datasets.voc import parse_xml, read_objects, stated_size
from keras_localize.images.listing import is_image

ARCHIVES = (
    Archive(
        "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
        "sha256:67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
        "images",
    ),
    Archive(
        "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz",
        "md5:95a8c909bbe2e81eed6a22bccdf3f68f",
        "annotations",
    ),
)

# In the order of the official ids, which is not that of sorted().
_BREEDS = [
    "Abyssinian",
    "american_bulldog",
    "american_pit_bull_terrier",
    "basset_hound",
    "beagle",
    "Bengal",
    "Birman",
    "Bombay",
    "boxer",
    "British_Shorthair",
    "chihuahua",
    "Egyptian_Mau",
    "english_cocker_spaniel",
    "english_setter",
    "german_shorthaired",
    "great_pyrenees",
    "havanese",
    "japanese_chin",
    "keeshond",
    "leonberger",
    "Maine_Coon",
    "miniature_pinscher",
    "newfoundland",
    "Persian",
    "pomeranian",
    "pug",
    "Ragdoll",
    "Russian_Blue",
    "saint_bernard",
    "samoyed",
    "scottish_terrier",
    "shiba_inu",
    "Siamese",
    "Sphynx",
    "staffordshire_bull_terrier",
    "wheaten_terrier",
    "yorkshire_terrier",
]
_LISTS = {"trainval": "trainval.txt", "test": "test.txt", "all": "list.txt"}


def load_oxford_pets(
    data_dir: types.Path | None = None,
    labels: Literal["breed", "species"] = "breed",
    split: Literal["trainval", "test", "all"] = "trainval",
    download: bool = True,
    *,
    on_error: OnError = "raise",
    verify: bool = True,
) -> LocalizationDataset:
    """Loads the Oxford-IIIT Pet dataset, with a box around each head.

    Only images of `trainval` have boxes, and nine of them have none; these and all
    of `test` come with box weight 0, so that they train or measure the label alone.
    The boxes' pixels are counted from 1 and inclusive; they come out half-open.

    The official data has irregular files. They are handled and counted by reason in
    `summary()`: images without a box, GIF and PNG files named .jpg, two animals in
    one image (the larger is taken), unknown EXIF orientations; left out are
    images whose JPEG data is broken, and stray files among the images.

    Args:
        data_dir: the folder that holds `images` and `annotations`. None: the
            folder of downloads, `datasets/oxford_iiit_pet` under `KERAS_HOME`
            (`~/.keras`).
        labels: `"breed"`: 37 classes in the official order; `"species"`: cat, dog.
        split: `"trainval"` (3,680 images), `"test"` (3,669) or `"all"`.
        download: where `data_dir` is None and the data is not there yet, download
            it (811 MB).
        on_error: what none of the above explains (a missing image, a text file
            named .jpg, XML that is not XML, an inverted box) is an AnnotationError
            (`"raise"`), or left out and counted (`"skip"`). A missing folder or
            list is always an error.
        verify: decode every image once now, so that a damaged one is found here
            and not in the middle of the training. False reads only headers.

    Returns:
        A `LocalizationDataset` in the order of the list.

    Raises:
        AnnotationError: a ValueError that names file, field and value.
        DownloadError: an OSError, where the data could not be fetched.
        ValueError: for an unknown `labels` or `split`.

    Reference:
        [Parkhi et al., Cats and Dogs, CVPR 2012](
        https://www.robots.ox.ac.uk/~vgg/data/pets/)
    """
    check_choice(labels, ("breed", "species"), "labels")
    check_choice(split, tuple(_LISTS), "split")
    policy = Policy(
        without_box="keep", on_error=on_error, verify=verify, skip_unreadable=True
    )
    if data_dir is None:
        data_dir = _downloaded(download)
    data_dir = existing_folder(data_dir, "data_dir")
    images = existing_folder(data_dir / "images", "data_dir")
    annotations = existing_folder(data_dir / "annotations", "data_dir")
    xmls = annotations / "xmls"
    if split != "test":
        existing_folder(xmls, "data_dir")

    by_breed = labels == "breed"
    class_names = [_title(b) for b in _BREEDS] if by_breed else ["cat", "dog"]
    collector = Collector(policy, class_names)
    chosen = annotations / _LISTS[split]
    entries = _read_list(chosen)
    for number, line in entries:
        with collector.record(line.split()[0]):
            name, breed, species = _entry(line, chosen, number)
            label = _title(_BREEDS[breed]) if by_breed else ("cat", "dog")[species]
            source = f"{chosen}: line {number}"
            collector.keep(_annotation(name, label, images, xmls, source))
    _count_strays(collector, images, annotations, {line for _, line in entries})
    return collector.dataset(chosen)


def _downloaded(download: bool) -> Path:
    root = keras_home() / "datasets" / "oxford_iiit_pet"
    if download:
        try:
            provide(ARCHIVES, root)
        except DownloadError as error:
            raise DownloadError(
                f"{error}. With the data at hand pass `data_dir=`, the folder that "
                "holds images/ and annotations/ (examples/oxford_pets.py: --data-dir); "
                "without it, `make_synthetic` draws images (the example: --demo)."
            ) from error
    elif not (root / "images").is_dir():
        raise AnnotationError(
            root,
            "missing folder",
            field="`data_dir`",
            expected="images/ and annotations/ in it, or download=True",
        )
    return root


def _annotation(
    name: str, label: str, images: Path, xmls: Path, source: str
) -> Annotation:
    xml = xmls / f"{name}.xml"
    heads, size = [AnnotatedObject(label, None)], None
    if os.path.isfile(xml):  # False, not an error, for impossible names
        root = parse_xml(xml)
        source, size = str(xml), stated_size(root, xml)
        # The XML's own names are only cat and dog; the list knows the breed.
        heads = [
            replace(head, class_name=label)
            for head in read_objects(root, xml, one_based=True, notes=[])
        ] or heads
    return Annotation(name, images / f"{name}.jpg", source, heads, size)


def _read_list(path: Path) -> list[tuple[int, str]]:
    """(line number, line) of every entry of a list; `#` starts a comment."""
    lines = enumerate(read_text(path, RECORD_LIMIT).splitlines(), start=1)
    entries = [
        (n, line)
        for n, line in lines
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not entries:
        raise AnnotationError(path, "empty list", expected="NAME ID SPECIES BREED")
    return entries


def _entry(line: str, path: Path, number: int) -> tuple[str, int, int]:
    """Name, breed (from 0), species (0 cat, 1 dog) of a list's line, checked."""

    def wrong(reason: str, expected: str) -> AnnotationError:
        return AnnotationError(
            path, reason, field=f"line {number}", expected=expected, received=line
        )

    parts = line.split()
    # Python converts no text of thousands of digits.
    if len(parts) != 4 or not all(re.fullmatch("[0-9]{1,9}", p) for p in parts[1:]):
        raise wrong("malformed line", "NAME ID SPECIES BREED")
    name = parts[0]
    breed, species = int(parts[1]), int(parts[2])
    if not 1 <= breed <= len(_BREEDS) or species not in (1, 2):
        raise wrong("unknown class", "ID in 1 to 37, SPECIES 1 or 2")
    if name.rsplit("_", 1)[0] != _BREEDS[breed - 1]:
        raise wrong("name does not fit its class", f"{_BREEDS[breed - 1]}_NUMBER")
    if "/" in name or "\\" in name:
        raise wrong("file name leaves its folder", f"{_BREEDS[breed - 1]}_NUMBER")
    return name, breed - 1, species - 1


def _count_strays(
    collector: Collector, images: Path, annotations: Path, listed: set[str]
) -> None:
    """Counts what lies among the images and is in no list."""
    names = {line.split()[0] for line in listed}
    for other in _LISTS.values():
        if (annotations / other).is_file():
            names |= {line.split()[0] for _, line in _read_list(annotations / other)}
    for path in sorted(images.iterdir()):
        if not is_image(path):
            collector.skip(path.name, f"stray file {path.suffix}".strip())
        elif path.stem not in names:
            collector.skip(path.name, "image in no list")


def _title(breed: str) -> str:
    return " ".join(word.capitalize() for word in breed.split("_"))
