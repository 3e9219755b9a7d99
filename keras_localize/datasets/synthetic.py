"""Drawn images with exact boxes: for demos and tests, without a download."""

from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from keras_localize import types
from keras_localize.checks import check_number, check_seed
from keras_localize.datasets.dataset import LocalizationDataset
from keras_localize.datasets.progress import Progress
from keras_localize.files import replacing
from keras_localize.images import load

Colour: TypeAlias = tuple[int, int, int]
SHAPES = ("disc", "square", "triangle", "star", "cross", "ring")


def make_synthetic(
    num_images: int = 1000,
    num_classes: int = 4,
    *,
    min_side: int = 96,
    max_side: int = 256,
    seed: int = 0,
    directory: types.Path | None = None,
    negatives: float = 0.0,
) -> LocalizationDataset:
    """Draws images that show one object each, with its exact box.

    Images vary in size and aspect ratio, backgrounds are textured and cluttered with
    lines, dots and soft blobs that are no objects; the object varies in class, size,
    position, rotation and colour, and may be cut by the border. The box is that of
    the object's painted mask, exact to the pixel. The best constant box reaches a mean
    IoU below 0.4.

    Args:
        num_images: how many.
        num_classes: 1 to 6 of disc, square, triangle, star, cross, ring.
        min_side: least side of an image in pixels, at least 32.
        max_side: greatest side in pixels, at least `min_side`.
        seed: image `i` is a function of (seed, i, the other arguments) alone: a
            larger dataset begins with the images of a smaller one, and another
            seed gives other images.
        directory: None keeps the images in memory as arrays; with a folder they are
            written there as PNG files.
        negatives: share of images without an object, in [0, 1]: backgrounds alone,
            evenly spread. The other images are as without them.

    Returns:
        A `LocalizationDataset`.

    Raises:
        ValueError: for arguments out of their ranges.
        OSError: where a file cannot be written.

    Example:

    >>> from keras_localize.datasets import make_synthetic
    >>> dataset = make_synthetic(3, num_classes=2)
    >>> len(dataset), dataset.class_names, dataset[0].image.dtype
    (3, ('disc', 'square'), dtype('uint8'))
    """
    for argument, value, low, high in (
        ("num_images", num_images, 1, 10**8),
        ("num_classes", num_classes, 1, len(SHAPES)),
        ("min_side", min_side, 32, max_side),
        ("max_side", max_side, min_side, 2**13),
    ):
        if not isinstance(value, (int, np.integer)) or not low <= value <= high:
            raise ValueError(
                f"`{argument}` must be an integer in [{low}, {high}]. "
                f"Received: {argument}={value!r}"
            )

    check_number(negatives, "negatives", 0, 1)
    seed = check_seed(seed)
    # As many of the first n images as n * negatives, rounded.
    counts = np.floor(np.arange(num_images + 1) * negatives + 0.5)
    presence = np.diff(counts) == 0
    names = [f"synthetic_{seed}_{index:06d}" for index in range(num_images)]
    drawn = []
    with Progress(num_images, "drawing images") as progress:
        for index, name in enumerate(names):
            rng = np.random.default_rng([seed, index])
            classes = num_classes if presence[index] else 0
            image, box, label = _draw(rng, classes, min_side, max_side)
            kept = np.array(image)
            if directory is not None:
                kept = Path(directory) / f"{name}.png"
                _keep(image, kept)
            drawn.append((kept, box, label, (image.height, image.width)))
            progress.update()
    images, boxes, labels, sizes = zip(*drawn)
    return LocalizationDataset(
        images,
        boxes,
        labels,
        SHAPES[:num_classes],
        image_sizes=sizes,
        presence=presence,
        names=names,
    )


def _keep(image: Image.Image, path: Path) -> None:
    """Saves the image, unless another is there, which an earlier dataset may need."""
    if path.exists():
        if not np.array_equal(load(path), np.asarray(image)):
            raise ValueError(
                "`directory` must hold no other images of these names; use a new one "
                f"for other arguments. Received: {path}, which is another image"
            )
        return
    with replacing(path) as unfinished:
        image.save(unfinished, format="PNG", compress_level=1)


def _draw(
    rng: np.random.Generator, num_classes: int, min_side: int, max_side: int
) -> tuple[Image.Image, np.ndarray, int]:
    """One image: (RGB image, box rel_xyxy, label); without classes no object."""
    width, height = (int(side) for side in rng.integers(min_side, max_side + 1, 2))
    image = _background(rng, width, height)
    if not num_classes:
        return image, np.zeros(4, "float32"), -1
    label = int(rng.integers(num_classes))
    mask, box = _object_mask(rng, SHAPES[label], width, height)
    image.paste(_paint(rng, image, width, height), mask=mask)
    relative = box / np.array([width, height, width, height])
    return image, relative.astype("float32"), label


def _background(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Muted texture of two scales, with blobs, lines and dots on it."""
    base = rng.uniform(50, 200) + rng.uniform(-25, 25, 3)
    cells = rng.integers(2, 7, 2)
    coarse = base + rng.normal(0, 28, (cells[0], cells[1], 1)) + rng.normal(0, 6, 3)
    image = _image(coarse).resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    sides = [width, height, width, height]
    blobs = int(rng.integers(0, 4))
    muted = rng.uniform(60, 190, (blobs, 1)) + rng.uniform(-30, 30, (blobs, 3))
    for spot, colour in zip(
        _spots(rng, blobs, width, height, 0.04, 0.15), _tuples(muted)
    ):
        draw.ellipse(spot, fill=colour)
    lines = int(rng.integers(3, 10))
    ends = (rng.uniform(-0.1, 1.1, (lines, 4)) * sides).tolist()
    for line, colour, thick in zip(
        ends, _colours(rng, lines), rng.integers(1, 3, lines)
    ):
        draw.line(line, fill=colour, width=int(thick))
    dots = int(rng.integers(5, 25))
    for spot, colour in zip(
        _spots(rng, dots, width, height, 0.005, 0.02), _colours(rng, dots)
    ):
        draw.ellipse(spot, fill=colour)
    grain = rng.integers(0, int(rng.integers(8, 40)), (height // 2, width // 2))
    grain = Image.fromarray(grain.astype("uint8"))
    grain = grain.resize((width, height), Image.Resampling.BILINEAR)
    return ImageChops.add(image, Image.merge("RGB", [grain] * 3), offset=-10)


def _object_mask(
    rng: np.random.Generator, shape: str, width: int, height: int
) -> tuple[Image.Image, np.ndarray]:
    """The object's mask, and the half-open box (x0, y0, x1, y1) of what is seen."""
    while True:
        radius = np.exp(rng.uniform(np.log(0.2), np.log(0.5))) * min(width, height)
        stretch = np.exp(rng.uniform(-0.4, 0.4))
        turn = rng.uniform(0, 2 * np.pi)
        centre = rng.uniform(0, 1, 2) * [width, height]
        outlines = [
            _placed(outline, radius, stretch, turn, centre)
            for outline in _outline(shape)
        ]
        mask = Image.new("1", (width, height))
        draw = ImageDraw.Draw(mask)
        for outline, fill in zip(outlines, (1, 0)):
            draw.polygon(outline.ravel().tolist(), fill=fill)
        bounds = mask.getbbox()
        if bounds is None:
            continue
        whole = np.ptp(outlines[0], axis=0)
        seen = np.array([bounds[2] - bounds[0], bounds[3] - bounds[1]])
        # Half hidden is hard to find; nearly wholly hidden, the label would be wrong.
        if (seen >= 0.6 * whole).all() and seen.min() >= 8:
            return mask, np.array(bounds, "float64")


def _outline(shape: str) -> list[np.ndarray]:
    """Corners of the shape in the unit circle; a second one is a hole."""
    if shape in ("disc", "ring"):
        circle = _polygon(40)
        return [circle] if shape == "disc" else [circle, 0.55 * circle]
    if shape == "cross":
        a, b = 0.33, 0.94
        x = [-a, a, a, b, b, a, a, -a, -a, -b, -b, -a]
        y = [-b, -b, -a, -a, a, a, b, b, a, a, -a, -a]
        return [np.stack([x, y], axis=-1)]
    if shape == "star":
        points = _polygon(10)
        points[1::2] *= 0.42
        return [points]
    return [_polygon({"triangle": 3, "square": 4}[shape])]


def _polygon(corners: int) -> np.ndarray:
    angles = np.arange(corners) * 2 * np.pi / corners
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def _placed(
    outline: np.ndarray, radius: float, stretch: float, turn: float, centre: np.ndarray
) -> np.ndarray:
    cos, sin = np.cos(turn), np.sin(turn)
    stretched = outline * radius * [np.sqrt(stretch), 1 / np.sqrt(stretch)]
    return stretched @ np.array([[cos, sin], [-sin, cos]]) + centre


def _paint(
    rng: np.random.Generator, image: Image.Image, width: int, height: int
) -> Image.Image:
    """A vivid colour over the whole canvas, striped with a second one, and grainy."""
    vivid, second = _vivid(rng), _vivid(rng)
    paint = Image.new("RGB", (width, height), vivid)
    draw = ImageDraw.Draw(paint)
    if rng.random() < 0.5:
        step = int(rng.integers(8, 24))
        slope = int(rng.integers(-height, height + 1))
        for x in range(-height, width + height, step):
            draw.line((x, 0, x + slope, height), fill=second, width=step // 3)
    return Image.blend(paint, image, rng.uniform(0.0, 0.2))


def _vivid(rng: np.random.Generator) -> Colour:
    """One channel high, one low, the third anything."""
    colour = np.array([rng.uniform(200, 255), rng.uniform(0, 40), rng.uniform(0, 255)])
    red, green, blue = (int(value) for value in rng.permutation(colour))
    return red, green, blue


def _colours(rng: np.random.Generator, count: int) -> list[Colour]:
    return _tuples(rng.integers(0, 256, (count, 3)))


def _tuples(colours: np.ndarray) -> list[Colour]:
    return [(r, g, b) for r, g, b in colours.astype(int).tolist()]


def _spots(
    rng: np.random.Generator,
    count: int,
    width: int,
    height: int,
    low: float,
    high: float,
) -> list[list[float]]:
    """Corners of ellipses at random positions, as lists."""
    centres = rng.uniform(0, 1, (count, 2)) * [width, height]
    radii = rng.uniform(low, high, (count, 2)) * max(width, height)
    return np.concatenate([centres - radii, centres + radii], axis=1).tolist()


def _image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype("uint8"))
