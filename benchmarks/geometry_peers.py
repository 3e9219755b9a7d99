"""Do boxes and pixels agree after a layer? This library's layers and Keras's.

    KERAS_BACKEND=tensorflow python benchmarks/geometry_peers.py

Each layer gets images with a painted rectangle, and the box of the rectangle. The box
that comes out is compared with the painted pixels: an edge is where their brightness
is half. Prints a table of docs/benchmarks.md.
"""

import keras
import numpy as np

from keras_localize.layers import PadToSquare, RandomSquareView

NONE = "-"


def painted(rng, height, width, min_side):
    """An image with a painted rectangle, and its box in pixels, `xyxy`."""
    corners = []
    for side in (width, height):
        extent = rng.integers(min(min_side, side), side + 1)
        start = rng.integers(0, side - extent + 1)
        corners.append((start, start + extent))
    (x0, x1), (y0, y1) = corners
    image = np.zeros((height, width, 1), "float32")
    image[y0:y1, x0:x1] = 255
    return image, np.array([x0, y0, x1, y1], "float32")


def edges(image):
    """The box of the painted pixels; NaN where nothing is painted."""
    pixels = np.asarray(image, "float64")[..., 0] / 255
    x0, x1 = _crossings(pixels[pixels.sum(1).argmax()])
    y0, y1 = _crossings(pixels[:, pixels.sum(0).argmax()])
    return np.array([x0, y0, x1, y1])


def _crossings(line):
    line = np.concatenate([[0.0], line, [0.0]])
    centres = np.arange(len(line)) - 0.5
    bright = np.flatnonzero(line >= 0.5)
    if not len(bright):
        return np.nan, np.nan
    first, last = bright[0], bright[-1]
    begin = np.interp(0.5, line[[first - 1, first]], centres[[first - 1, first]])
    end = np.interp(0.5, line[[last + 1, last]], centres[[last + 1, last]])
    return begin, end


def iou(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    overlap = np.prod(np.maximum(high - low, 0))
    areas = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])
    return overlap / (areas - overlap)


def measure(layer, elements):
    """Mean and worst edge error in output pixels and mean IoU, or what failed."""
    errors, overlaps = [], []
    for images, boxes in elements:
        try:
            out = layer({"images": images, "bounding_boxes": boxes})
        except Exception as error:
            return type(error).__name__, NONE, NONE
        moved = keras.ops.convert_to_numpy(out["bounding_boxes"]["boxes"])
        if moved.reshape(-1, 4).shape[0] != len(images):
            return f"boxes come out as {moved.shape}", NONE, NONE
        outputs = keras.ops.convert_to_numpy(out["images"])
        for image, box in zip(outputs, moved.reshape(-1, 4)):
            truth = edges(image)
            if np.isnan(truth).any():
                continue
            errors.append(np.abs(truth - box).max())
            overlaps.append(iou(truth, box))
    return f"{np.mean(errors):.2f}", f"{np.max(errors):.2f}", f"{np.mean(overlaps):.3f}"


def painted_images(rng, size, count):
    """(image, box) of random sizes, each box large enough for a square of `size`."""
    drawn = []
    while len(drawn) < count:
        height, width = rng.integers(16, 289, 2)
        if min(height, width) * size / max(height, width) < 6:
            continue
        drawn.append(painted(rng, height, width, -(-3 * max(height, width) // size)))
    return drawn


def squares(rng, size, count=100):
    """Images of random sizes, as batches of one."""
    return [
        (image[None], boxes_of(box[None, None]))
        for image, box in painted_images(rng, size, count)
    ]


def batches(rng, shape=(200, 300), count=8, rank=3):
    """Batches of 8 images of one size; boxes (8, 1, 4), or (8, 4) with `rank` 2."""
    elements = []
    for _ in range(count):
        images, boxes = zip(*(painted(rng, *shape, 60) for _ in range(8)))
        boxes = np.stack(boxes)
        elements.append(
            (np.stack(images), boxes_of(boxes[:, None] if rank == 3 else boxes))
        )
    return elements


def boxes_of(boxes):
    return {"boxes": boxes, "labels": np.zeros(boxes.shape[:-1], "int32")}


def rows():
    format_ = {"bounding_box_format": "xyxy"}
    for size in (96, 224, 512):
        for antialias in (False, True):
            case = f"letterbox to {size}{', antialias' if antialias else ''}"
            elements = squares(np.random.default_rng(size), size)
            theirs = keras.layers.Resizing(
                size, size, pad_to_aspect_ratio=True, antialias=antialias, **format_
            )
            yield case, "keras Resizing", measure(theirs, elements)
            ours = PadToSquare(size, antialias=antialias)
            yield case, "PadToSquare", measure(ours, elements)
    case = "random view, boxes (B, N, 4)"
    random_layers = {
        "keras RandomFlip": keras.layers.RandomFlip(**format_),
        "keras RandomZoom": keras.layers.RandomZoom(
            0.3, fill_mode="constant", **format_
        ),
        "keras RandomTranslation": keras.layers.RandomTranslation(
            0.2, 0.2, fill_mode="constant", **format_
        ),
        "keras RandomCrop": keras.layers.RandomCrop(150, 200, **format_),
        "RandomSquareView": RandomSquareView(224),
    }
    for name, layer in random_layers.items():
        yield case, name, measure(layer, batches(np.random.default_rng(1)))
    case = "random view, one box per image (B, 4)"
    for name in ("keras RandomFlip", "keras RandomZoom", "RandomSquareView"):
        elements = batches(np.random.default_rng(2), rank=2)
        yield case, name, measure(random_layers[name], elements)


def main():
    keras.utils.set_random_seed(0)
    print(f"Keras {keras.__version__}, {keras.backend.backend()}\n")
    print("| case | layer | mean error, px | worst, px | mean IoU |")
    print("|---|---|---|---|---|")
    for case, name, figures in rows():
        print(f"| {case} | {name} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
