"""The command line: `keras-localize`, or `python -m keras_localize`."""

import argparse
import errno
import json
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

import keras

import keras_localize as kl
from keras_localize.datasets.class_names import read_class_names
from keras_localize.datasets.writing.answers import names_of
from keras_localize.datasets.writing.csv import check_names
from keras_localize.datasets.writing.yolo import check_new, text_names
from keras_localize.files import replacing
from keras_localize.localizer.class_names import count_classes
from keras_localize.localizer.export import Format, ImageKind, Precision
from keras_localize.reporting.page import check_page

# Flag -> the reader, and what it is given.
_READERS = {
    "--voc": (kl.read_voc, ("IMAGES", "ANNOTATIONS")),
    "--coco": (kl.read_coco, ("IMAGES", "FILE")),
    "--yolo": (kl.read_yolo, ("IMAGES", "LABELS", "NAMES")),
    "--csv": (kl.read_csv, ("IMAGES", "FILE")),
    "--labelme": (kl.read_labelme, ("IMAGES", "ANNOTATIONS")),
    "--dataset": (kl.LocalizationDataset.load, ("FILE",)),
}
_INFERENCE = ("flip_average", "refine", "presence_threshold", "on_error", "batch_size")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: the words after the program's name; None: those of this process.

    Returns:
        The exit status: 0, or 2 after an error, which is one line.

    Example:

    >>> from keras_localize.__main__ import main
    >>> main(["evaluate", "missing.keras", "--voc", "images", "annotations"])
    2
    """
    args = _parser().parse_args(arguments)
    try:
        args.run(args)
    except BrokenPipeError:  # as of `keras-localize localize ... | head`
        sys.stderr.close()
    except (ImportError, OSError, ValueError) as error:
        message = " ".join(str(error).split())
        print(f"keras-localize {args.command}: error: {message}", file=sys.stderr)
        return 2
    return 0


# --- commands ---


def _evaluate(args: argparse.Namespace) -> None:
    if args.output is not None:
        _check_no_folder(args.output)
    report = _report_on(args)
    if args.output is not None:
        report.save_json(args.output)
    _say(str(report))
    if args.output is not None:
        _say_written(args.output)


def _report(args: argparse.Namespace) -> None:
    # What is wrong is said now, and not after hours of inference.
    check_page(**_chosen(args, "history", "images"))
    _check_no_folder(args.path)
    _report_on(args).save_html(args.path, **_chosen(args, "history", "title", "images"))
    _say_written(args.path)


def _report_on(args: argparse.Namespace) -> kl.LocalizationReport:
    localizer, dataset = _load(args.localizer), _read(args)
    options = _chosen(args, *_INFERENCE, "worst")
    return kl.evaluate_localizer(localizer, dataset, **options)


def _localize(args: argparse.Namespace) -> None:
    if args.output is not None and args.format == "yolo":
        check_new(args.output)
    elif args.output is not None:
        _check_no_folder(args.output)
    localizer = _load(args.localizer)
    writes = args.output is not None and args.format != "json"
    options = _writer_options(args, localizer) if writes else {}
    found = localizer.iter_localize(args.images, **_chosen(args, *_INFERENCE))
    if args.output is None:
        for image, answer in found:
            print(json.dumps(_as_json(image, answer)), flush=True)
        return
    images, answers = map(list, zip(*found))
    if writes:
        getattr(kl, f"write_{args.format}")(args.output, answers, images, **options)
    else:
        content = json.dumps(list(map(_as_json, images, answers)), indent=1)
        with replacing(args.output) as unfinished:
            unfinished.write_text(content + "\n", encoding="utf-8")
    _say_written(args.output)


def _export(args: argparse.Namespace) -> None:
    options = _chosen(args, "format", "image", "precision", "refine", "batched")
    if _dataset_flags(args):
        options["representative_dataset"] = _read(args)
    elif hasattr(args, "without_box"):
        raise ValueError("--without-box needs a dataset. Received: none")
    kl.export_localizer(_load(args.localizer), args.path, **options)
    _say_written(args.path)


def _writer_options(args: argparse.Namespace, localizer: kl.Localizer) -> dict:
    """Options of the writers, checked before any inference."""
    one_folder = len(args.images) == 1 and Path(args.images[0]).is_dir()
    images_dir = args.images[0] if one_folder else None
    if args.format == "csv":
        check_names(names_of(args.images, images_dir))
    elif args.format == "yolo":
        text_names(names_of(args.images, images_dir))
    return {"images_dir": images_dir, "class_names": _class_names(localizer)}


def _class_names(localizer: kl.Localizer) -> list[str] | None:
    """All classes of the model, so that a file numbers them as the model does."""
    if localizer.class_names is not None:
        return read_class_names(localizer.class_names)
    if localizer.num_classes is None:
        return None
    return [str(i) for i in range(count_classes(localizer.num_classes, None))]


def _check_no_folder(path: str) -> None:
    if Path(path).is_dir():
        raise IsADirectoryError(errno.EISDIR, "must be a file, not a folder", path)


def _say(text: str) -> None:
    """Prints; a character that the output's encoding lacks is shown by its number."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def _say_written(path: str) -> None:
    _say(f"wrote {path}")


def _load(path: str) -> kl.Localizer:
    if not Path(path).exists():
        raise ValueError(f"`localizer` must be a saved localizer. Missing: {path}")
    if not (Path(path).is_dir() or zipfile.is_zipfile(path)):
        raise ValueError(
            "`localizer` must be a .keras file, as `Localizer.save` writes it. "
            f"Received: {path}"
        )
    try:
        localizer = keras.saving.load_model(path)
    except TypeError as error:
        # Keras's message is the whole config of the model.
        raise ValueError(
            "`localizer` must consist of layers that are registered in this program. "
            "Where it has layers of your own, import them in Python and use "
            f"`evaluate_localizer`, `localize` or `export_localizer`. Received: {path}"
        ) from error
    except (KeyError, OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            "`localizer` must be a whole .keras file, as `Localizer.save` writes it. "
            f"Received: {path}, which cannot be loaded ({error})"
        ) from error
    if not isinstance(localizer, kl.Localizer):
        raise ValueError(
            "`localizer` must be a saved localizer. "
            f"Received: {path}, a {type(localizer).__name__}"
        )
    return localizer


def _dataset_flags(args: argparse.Namespace) -> list[str]:
    """The flags of a dataset that were given; the parser takes one at most."""
    return [flag for flag in _READERS if getattr(args, flag[2:]) is not None]


def _read(args: argparse.Namespace) -> kl.LocalizationDataset:
    (flag,) = _dataset_flags(args)
    options = _chosen(args, "without_box")
    if options and flag == "--dataset":
        raise ValueError(
            "--without-box is for files of a label tool. Received: --dataset"
        )
    return _READERS[flag][0](*getattr(args, flag[2:]), **options)


def _chosen(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The arguments that were given: the functions know their own defaults."""
    return {name: getattr(args, name) for name in names if hasattr(args, name)}


def _as_json(image: Any, answer: kl.Localization | None) -> dict[str, Any]:
    return {"image": str(image), **({} if answer is None else answer._asdict())}


# --- arguments ---


class _Parser(argparse.ArgumentParser):
    """Errors in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="keras-localize",
        description="Use a saved localizer. Each flag is an argument of the function "
        "of the same name; what is not given has its default.",
    )
    parser.add_argument("--version", action="version", version=kl.__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        # A flag that is not given leaves no attribute: see `_chosen`.
        one = commands.add_parser(
            name, help=text, description=text, argument_default=argparse.SUPPRESS
        )
        one.set_defaults(run=run)
        one.add_argument("localizer", help="a .keras file that Localizer.save wrote")
        return one

    evaluate = command("evaluate", _evaluate, "print the figures on a dataset")
    evaluate.add_argument("--output", default=None, help="a JSON file for all figures")
    report = command("report", _report, "write the figures and images as an HTML page")
    report.add_argument("path", help="the HTML file to write")
    report.add_argument("--history", help="a CSV file as CSVLogger writes it")
    report.add_argument("--title", help="title of the page")
    report.add_argument("--images", type=int, help="images per gallery, at most (12)")
    for one in (evaluate, report):
        _add_dataset(one)
        one.add_argument("--worst", type=int, help="worst images to list (20)")
    localize = command("localize", _localize, "find the object in images")
    localize.add_argument("images", nargs="+", help="image files and folders")
    localize.add_argument("--output", default=None, help="file; else lines of JSON")
    formats = ("csv", "coco", "yolo", "json")
    localize.add_argument("--format", choices=formats, default="csv", help="(csv)")
    for one in (evaluate, report, localize):
        _add_inference(one)
    export = command("export", _export, "write a file for serving without Keras")
    export.add_argument("path", help="the file or folder to write")
    export.add_argument("--format", choices=get_args(Format))
    export.add_argument("--image", choices=get_args(ImageKind))
    export.add_argument("--precision", choices=get_args(Precision))
    export.add_argument("--refine", action="store_true")
    export.add_argument("--batched", action="store_true")
    _add_dataset(export, required=False)
    return parser


def _add_dataset(parser: argparse.ArgumentParser, required: bool = True) -> None:
    group = parser.add_mutually_exclusive_group(required=required)
    for flag, (reader, places) in _READERS.items():
        name = reader.__qualname__
        options = {"nargs": len(places), "metavar": places, "default": None}
        group.add_argument(flag, help=f"read by {name}", **options)
    choices = ("skip", "keep", "negative", "error")
    without = "what to do with images without a box (skip)"
    parser.add_argument("--without-box", choices=choices, help=without)


def _add_inference(parser: argparse.ArgumentParser) -> None:
    flips = "average with the horizontally flipped image"
    parser.add_argument("--flip-average", action="store_true", help=flips)
    parser.add_argument("--refine", action="store_true", help="crop and refine")
    threshold = "below this presence there is no box (0.5)"
    parser.add_argument("--presence-threshold", type=float, help=threshold)
    errors = "what to do with images that cannot be read (raise)"
    parser.add_argument("--on-error", choices=("raise", "skip"), help=errors)
    parser.add_argument("--batch-size", type=int, help="images at a time (32)")


if __name__ == "__main__":
    sys.exit(main())
