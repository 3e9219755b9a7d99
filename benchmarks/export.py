"""What each exported format costs and gives, against the localizer itself.

    python benchmarks/export.py --model localizer.keras --data-dir oxford_pets

Exports a trained localizer in every format that the backend can write and whose runtime
is installed, and runs it on the validation images of Oxford-IIIT Pet that
`examples/oxford_pets.py --seed SEED` holds out, one at a time on the CPU.

- "mean IoU" and "labels" are against the truth.
- "same box" is the mean IoU with the box of the localizer, "same label" the share of
  equal labels: for squares against `predict` on the same square, else against
  `localize`.
- "ms" is the time for one image that a tenth of the images stay below, since other
  programs on the machine only add to it; for squares without the letterboxing, else
  without the decoding.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

import keras_localize as kl


class Variant(NamedTuple):
    """One file: its format and the other arguments of `export_localizer`."""

    format: str
    options: dict[str, Any]

    def __str__(self) -> str:
        values = [f"{value}" for key, value in self.options.items() if key != "refine"]
        refine = ["refine"] if "refine" in self.options else []
        return ", ".join([self.format, *values, *refine])


SMALLER = {"onnx": ["float16"], "litert": ["float16", "int8"], "openvino": ["float16"]}
SQUARES = [
    Variant(format, {"image": "square", **options})
    for format in ("tf_saved_model", "onnx", "litert", "openvino", "torch")
    for options in ({}, *({"precision": one} for one in SMALLER.get(format, [])))
]
WHOLE = [
    Variant(format, {"image": "any", **options})
    for options in ({}, {"refine": True})
    for format in ("tf_saved_model", "onnx")
]
NAMES = {"litert": "a.tflite", "openvino": "a.xml", "torch": "a.pt2"}


class Row(NamedTuple):
    """The figures of one file."""

    file: str
    megabytes: str
    mean_iou: str
    labels: str
    same_box: str
    same_label: str
    ms: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", required=True, help="a .keras file")
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--labels", default="breed", choices=["breed", "species"])
    parser.add_argument("--seed", type=int, default=0, help="of the validation images")
    parser.add_argument("--images", type=int, help="how many of them; all by default")
    parser.add_argument("--only", default="", help="part of the names of the files")
    args = parser.parse_args()
    localizer = keras.saving.load_model(args.model)
    data = kl.load_oxford_pets(args.data_dir, labels=args.labels, verify=False)
    training, tested = data.split(0.2, seed=args.seed)
    tested = tested[np.flatnonzero(tested.weights)][: args.images]
    representative = training[:200]

    columns = list(Row.__annotations__)
    print(f"| {' | '.join(columns)} |".replace("_", " "))
    print("|---" * len(columns) + "|")
    images = [kl.images.load(path) for path in tested.images]
    squares = [kl.images.letterbox(image, localizer.image_size) for image in images]
    inputs = [
        {"image": square, "image_size": np.array(size, "int32")}
        for square, size in squares
    ]
    outputs, ms = timed(
        lambda named: localizer.predict(named["image"][None], verbose=0), inputs
    )
    expected = kl.decode_predictions(
        {name: np.concatenate([one[name] for one in outputs]) for name in outputs[0]},
        [size for _, size in squares],
        localizer.image_size,
        localizer.class_names,
    )
    show("predict on squares", None, expected, expected, ms, tested)
    for variant in SQUARES:
        if args.only in str(variant):
            measure(variant, localizer, inputs, expected, tested, representative)
    inputs = [{"image": image} for image in images]
    for refine in (False, True):
        answers, ms = timed(
            partial(localizer.localize, refine=refine, verbose=0), images
        )
        expected = [one for (one,) in answers]
        name = "localize, refine" if refine else "localize"
        show(name, None, expected, expected, ms, tested)
        for variant in WHOLE:
            same = variant.options.get("refine", False) == refine
            if same and args.only in str(variant):
                measure(variant, localizer, inputs, expected, tested, representative)


def measure(
    variant: Variant,
    localizer: kl.Localizer,
    inputs: list[dict[str, np.ndarray]],
    expected: list[kl.Localization],
    tested: kl.LocalizationDataset,
    representative: kl.LocalizationDataset,
) -> None:
    """Exports, runs and shows one file, or says why it cannot."""
    options = dict(variant.options)
    if options.get("precision") == "int8":
        options["representative_dataset"] = representative
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out" / NAMES.get(variant.format, "a")
        try:
            kl.export_localizer(localizer, path, variant.format, **options)
            run = LOADERS[variant.format](str(path))
        except (ImportError, ValueError) as error:
            print(f"| {variant} | - {str(error)[:60]} |")
            return
        files = path.parent.rglob("*")
        size = sum(one.stat().st_size for one in files if one.is_file())
        answers, ms = timed(lambda named: run(**named), inputs)
    localizations = [
        kl.Localization(
            int(one["label"]), None, float(one["score"]), tuple(one["box"]), None
        )
        for one in answers
    ]
    show(str(variant), size, localizations, expected, ms, tested)


def timed(function: Callable[[Any], Any], items: list[Any]) -> tuple[list[Any], float]:
    """The results, and the milliseconds that a tenth of them stay below."""
    function(items[0])
    results, times = [], []
    for item in items:
        start = time.perf_counter()
        results.append(function(item))
        times.append(time.perf_counter() - start)
    return results, 1000 * float(np.quantile(times, 0.1))


def show(
    name: str,
    size: int | None,
    answers: list[kl.Localization],
    expected: list[kl.Localization],
    ms: float | None,
    tested: kl.LocalizationDataset,
) -> None:
    """Prints one row."""
    report = kl.report_localizations(
        [one._replace(class_name=tested.class_names[one.label]) for one in answers],
        tested,
    )
    overlap = kl.boxes.iou(
        np.array([one.box for one in answers], "float32"),
        np.array([one.box for one in expected], "float32"),
        bounding_box_format="xyxy",
    )
    same = np.mean([a.label == b.label for a, b in zip(answers, expected)])
    row = Row(
        name,
        "" if size is None else f"{size / 1e6:.2f}",
        f"{report.mean_iou:.4f}",
        f"{report.label_accuracy:.3f}",
        f"{float(np.mean(keras.ops.convert_to_numpy(overlap))):.5f}",
        f"{same:.3f}",
        "" if ms is None else f"{ms:.1f}",
    )
    print(f"| {' | '.join(row)} |", flush=True)


# --- each format in its own runtime: a function of named arrays ---


def load_saved_model(path: str) -> Callable:
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    return lambda **inputs: {
        name: value.numpy() for name, value in loaded.serve(*inputs.values()).items()
    }


def load_onnx(path: str) -> Callable:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return lambda **inputs: dict(zip(names, session.run(None, inputs)))


def load_litert(path: str) -> Callable:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(path).get_signature_runner()


def load_openvino(path: str) -> Callable:
    import openvino

    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(path, "CPU", exact)
    return lambda **inputs: {
        port.get_any_name(): value for port, value in model(inputs).items()
    }


def load_torch(path: str) -> Callable:
    import torch

    program = torch.export.load(path).module()
    return lambda **inputs: {
        name: value.numpy(force=True)
        for name, value in program(*map(torch.from_numpy, inputs.values())).items()
    }


LOADERS: dict[str, Callable[[str], Callable]] = {
    "tf_saved_model": load_saved_model,
    "onnx": load_onnx,
    "litert": load_litert,
    "openvino": load_openvino,
    "torch": load_torch,
}


if __name__ == "__main__":
    main()
