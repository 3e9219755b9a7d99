"""Images per second from a JPEG file to a letterboxed batch with its box.

    python benchmarks/pipeline.py [--images N] [--size 224] [--data-dir PETS] [--memory]

Every pipeline reads the same files on the same cores and makes batches of 32. The
pipelines take turns. A row has the median speed of the rounds, the median of its ratio
to `tf.io.decode_jpeg` in the same round, and the quality: PSNR compared with a float64
antialiased resize of the fully decoded image, without the black border, mean and worst
of 32 images. For each floor of the mean PSNR our rows are compared with the fastest
other pipeline that reaches it.

`--memory` instead measures the peak memory of reading 2,000 and 20,000 images (links to
the same files), each in a process of its own.
"""

import argparse
import contextlib
import functools
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from keras_localize import LocalizationDataset, boxes, load_oxford_pets
from keras_localize.images import load

BATCH = 32
DECODE = "tf.io.decode_jpeg alone, full size"
FLOORS = (30, 40)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--data-dir", help="Oxford Pets instead of generated images")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.child:
            return measure_memory(Path(folder), args)
        if args.memory:
            return compare_memory(args)
        compare_speed(Path(folder), args)


def compare_speed(folder, args):
    if args.data_dir:
        dataset = load_oxford_pets(args.data_dir, split="all")
        dataset = dataset[dataset.weights > 0]  # the others need a box
        plain = [i for i, path in enumerate(dataset.images) if is_plain(path)]
        repeats = -(-args.images // len(plain))
        dataset = repeated(dataset[plain], min(repeats, 16))
    else:
        dataset = make_jpegs(folder, args.images)
    kilobytes = np.mean([os.path.getsize(path) for path in dataset.images]) / 1e3
    print(
        f"{len(dataset)} images of {kilobytes:.0f} KB to {args.size} x {args.size}, "
        f"{cores()} cores, median of {args.repeats} rounds"
    )
    references = [reference(path, args.size) for path in dataset.images[:BATCH]]
    runs, quality = {}, {}
    for name, run in pipelines(dataset, args.size).items():
        try:
            first = run(True)
        except ImportError as error:
            print(f"{name}: not measured ({error})")
            continue
        runs[name] = run
        if first is not None:
            quality[name] = [psnr(*pair) for pair in zip(np.asarray(first), references)]
    speeds = {name: [] for name in runs}
    for _ in range(args.repeats):
        for name, run in runs.items():
            speeds[name].append(len(dataset) / timed(run))
    print(f"{'pipeline':42} {'images/s':>10} {'of decode':>9} {'PSNR dB (worst)':>16}")
    for name in runs:
        shown = "-"
        if name in quality:
            shown = f"{np.mean(quality[name]):.1f} ({min(quality[name]):.1f})"
        of_decode = ratio(speeds[name], speeds[DECODE])
        print(f"{name:42} {np.median(speeds[name]):10.0f} {of_decode:9.2f} {shown:>16}")
    ours = [name for name in quality if name.startswith("keras_localize")]
    for floor in FLOORS:
        others = {
            name: np.median(speeds[name])
            for name in set(quality) - set(ours)
            if np.mean(quality[name]) >= floor
        }
        best = max(others, key=others.get)
        for name in ours:
            times = ratio(speeds[name], speeds[best])
            print(f"at {floor} dB: {name} {times:.2f} times the fastest other, {best}")


def ratio(speeds, others):
    """Median over the rounds: each round's two runs stood next to each other."""
    return np.median(np.divide(speeds, others))


def repeated(dataset, times):
    return LocalizationDataset(
        dataset.images * times,
        np.tile(dataset.boxes, (times, 1)),
        np.tile(dataset.labels, times),
        dataset.class_names,
        np.tile(dataset.weights, times),
        np.tile(dataset.image_sizes, (times, 1)),
        names=range(len(dataset) * times),
    )


def pipelines(dataset, size):
    """{name: function that reads all images, or returns those of the first batch}."""
    paths, true_boxes = dataset.images, dataset.boxes
    places = [place(*image_size, size) for image_size in dataset.image_sizes.tolist()]
    files = tf.data.Dataset.from_tensor_slices((paths, true_boxes))

    def decode(path):
        return tf.io.decode_jpeg(tf.io.read_file(path), channels=3)

    def in_tf(function, batched=True):
        data = files.map(function, num_parallel_calls=cores())
        data = (data.batch(BATCH) if batched else data).prefetch(2)

        def run(first=False):
            for images, _ in data:
                if first:
                    return images if batched else None
            return None

        return run

    def in_threads(function):
        def run(first=False):
            with ThreadPoolExecutor(cores()) as pool:
                for start in range(0, len(paths), BATCH):
                    chosen = range(start, min(start + BATCH, len(paths)))
                    made = list(pool.map(function, chosen))
                    images = np.stack([image for image, _ in made])
                    if first:
                        return images
            return None

        return run

    def in_tf_data(fast):
        ours = dataset.to_tf_data(size, BATCH)

        def run(first=False):
            with fast_jpeg_installed(fast):
                for images, _, _ in ours:
                    if first:
                        return images
            return None

        return run

    def in_pydataset(first=False):
        ours = dataset.to_pydataset(size, BATCH)
        with fast_jpeg_installed(True), ThreadPoolExecutor(cores()) as pool:
            for images, _, _ in pool.map(ours.__getitem__, range(len(ours))):
                if first:
                    return images
        return None

    def reduced_decode(first=False):
        import simplejpeg

        def decode(index):
            left, top, right, bottom = places[index]
            return simplejpeg.decode_jpeg(
                Path(paths[index]).read_bytes(),
                "RGB",
                min_width=right - left,
                min_height=bottom - top,
            )

        if not first:
            with ThreadPoolExecutor(cores()) as pool:
                for _ in pool.map(decode, range(len(paths))):
                    pass
        return None

    def in_grain(first=False):
        import grain.python as grain

        ours = dataset.to_pydataset(size, BATCH)
        options = grain.ReadOptions(num_threads=cores(), prefetch_buffer_size=4)
        with fast_jpeg_installed(True):
            for images, _, _ in grain.MapDataset.source(ours).to_iter_dataset(options):
                if first:
                    return images
        return None

    resizing = keras.layers.Resizing(size, size, pad_to_aspect_ratio=True)

    def keras_resizing(path, box):
        data = {
            "images": tf.cast(decode(path), tf.float32),
            "bounding_boxes": {"boxes": box[None], "labels": tf.zeros([1])},
        }
        resizing.bounding_box_format = "rel_xyxy"
        data = resizing(data)
        return data["images"], data["bounding_boxes"]["boxes"][0]

    def resize_with_pad(antialias):
        def function(path, box):
            image = decode(path)
            sides = tf.cast(tf.shape(image)[:2], tf.float32)
            longer = tf.reduce_max(sides)
            scale = tf.tile(sides[::-1], [2]) / longer
            offset = tf.tile((longer - sides[::-1]) / 2, [2]) / longer
            image = tf.image.resize_with_pad(image, size, size, antialias=antialias)
            return image, box * scale + offset

        return function

    def torchvision_style(index):
        with Image.open(paths[index]) as image:
            image = image.convert("RGB")
        left, top, right, bottom = place(image.height, image.width, size)
        image = image.resize((right - left, bottom - top), Image.Resampling.BILINEAR)
        square = np.zeros((size, size, 3), "float32")
        square[top:bottom, left:right] = image
        return square, true_boxes[index]

    def albumentations(interpolation):
        def run(first=False):
            import albumentations
            import cv2

            cv2.setNumThreads(1)
            how = getattr(cv2, interpolation)
            transform = albumentations.Compose(
                [
                    albumentations.LongestMaxSize(size, interpolation=how),
                    albumentations.PadIfNeeded(size, size, border_mode=0),
                ],
                bbox_params=albumentations.BboxParams("albumentations", ["labels"]),
            )

            def function(index):
                image = cv2.cvtColor(cv2.imread(paths[index]), cv2.COLOR_BGR2RGB)
                made = transform(image=image, bboxes=[true_boxes[index]], labels=[0])
                return made["image"].astype("float32"), made["bboxes"]

            return in_threads(function)(first)

        return run

    return {
        DECODE: in_tf(lambda path, box: (decode(path), box), batched=False),
        "simplejpeg alone, reduced size": reduced_decode,
        "keras_localize to_tf_data [fast]": in_tf_data(True),
        "keras_localize to_tf_data": in_tf_data(False),
        "keras_localize to_pydataset [fast]": in_pydataset,
        "keras_localize with Grain [fast]": in_grain,
        "Keras Resizing(pad_to_aspect_ratio)": in_tf(keras_resizing),
        "tf.image.resize_with_pad": in_tf(resize_with_pad(False)),
        "tf.image.resize_with_pad, antialias": in_tf(resize_with_pad(True)),
        "Pillow full size (torchvision v2 style)": in_threads(torchvision_style),
        "albumentations + OpenCV, linear": albumentations("INTER_LINEAR"),
        "albumentations + OpenCV, area": albumentations("INTER_AREA"),
    }


@contextlib.contextmanager
def fast_jpeg_installed(wanted):
    """With the packages of the extra `fast`, or as if they were not installed."""
    try:
        import simplejpeg
    except ImportError as error:
        if wanted:
            raise ImportError("the extra `fast` is not installed") from error
        yield
        return
    if wanted:
        yield
        return
    # Where its decoder refuses a file, the library reads it with Pillow.
    with mock.patch.object(simplejpeg, "decode_jpeg", side_effect=ValueError):
        yield


def make_jpegs(folder, count):
    """500 x 375 JPEGs of about 100 KB: smooth shapes under noise."""
    rng = np.random.default_rng(0)
    paths = []
    for index in range(count):
        coarse = rng.integers(0, 256, (10, 13, 3)).astype("uint8")
        smooth = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
        noisy = np.asarray(smooth, "float64") + rng.normal(0, 14, (375, 500, 1))
        paths.append(folder / f"{index}.jpg")
        image = Image.fromarray(np.clip(noisy, 0, 255).astype("uint8"))
        image.save(paths[-1], quality=91)
    corners = np.sort(rng.uniform(0, 1, (count, 2, 2)), axis=1).reshape(count, 4)
    return as_dataset(paths, corners)


def as_dataset(paths, true_boxes):
    sizes = np.tile([375, 500], (len(paths), 1))
    labels = np.zeros(len(paths), int)
    return LocalizationDataset(paths, true_boxes, labels, ["object"], image_sizes=sizes)


@functools.cache  # computed before the clock runs, for all pipelines
def place(height, width, size):
    """(left, top, right, bottom) of an image in its square, in pixels."""
    whole = np.array([0, 0, width, height], "float32")
    placed = boxes.to_square(whole, (height, width), size, "xyxy")
    return [round(side) for side in keras.ops.convert_to_numpy(placed).tolist()]


def cores():
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


def is_plain(path):
    with Image.open(path) as image:
        return image.format == "JPEG" and image.mode == "RGB"


def reference(path, size):
    """Place of the image in its square, and its pixels there in float64.

    Each pixel is a mean of the image's pixels with triangular weights.
    """
    image = load(path) / 1.0
    height, width = image.shape[:2]
    left, top, right, bottom = place(height, width, size)

    def matrix(before, after):
        centres = (np.arange(after)[:, None] + 0.5) * before / after
        distance = np.abs(np.arange(before) + 0.5 - centres) / max(before / after, 1)
        weights = np.clip(1 - distance, 0, None)
        return weights / weights.sum(axis=1, keepdims=True)

    rows, columns = matrix(height, bottom - top), matrix(width, right - left)
    expected = np.einsum("ij,kl,jlc->ikc", rows, columns, image, optimize=True)
    return (left, top, right, bottom), expected


def psnr(square, reference):
    (left, top, right, bottom), expected = reference
    pixels = np.asarray(square, "float64")[top:bottom, left:right]
    return 10 * np.log10(255**2 / np.mean((pixels - expected) ** 2))


def timed(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare_memory(args):
    for count in (2_000, 20_000):
        child = [sys.executable, __file__, "--child", str(count)]
        subprocess.run([*child, "--size", str(args.size)], check=True)


def measure_memory(folder, args):
    generated = make_jpegs(folder, 100)
    paths = []
    for index in range(args.child):
        link = folder / f"link_{index}.jpg"
        link.symlink_to(generated.images[index % 100])
        paths.append(link)
    true_boxes = np.resize(generated.boxes, (args.child, 4))
    data = as_dataset(paths, true_boxes).to_tf_data(
        args.size, BATCH, shuffle=True, seed=0
    )
    read = sum(len(images) for images, _, _ in data)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{read} images read, peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
