"""Keras's augmentation layers, our own, and functions, applied to batches.

An `augment` is a list of steps, one for each layer of a `keras.layers.Pipeline`. The
box of an image goes through every step in the format and shape that the step takes;
between the steps it is `rel_xyxy`, (B, 4).
"""

import contextlib
import functools
import inspect
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import keras
import numpy as np

from keras_localize.boxes.formats import (
    from_corners,
    is_relative,
    to_corners,
    to_fractions,
    to_pixels,
)
from keras_localize.datasets.keras_augmentation import (
    COLOUR,
    KERAS_LAYERS,
    in_pixels,
    keras_name,
    problem_of,
)


@dataclass(frozen=True)
class Step:
    """One layer or function.

    Attributes:
        function: what is called.
        takes: "images"; or a dict of a batch with the boxes as Keras wants them,
            (B, 1, 4) in "xyxy" ("keras boxes"), or (B, 4) in the format that the
            function names ("boxes").
        takes_seed: whether it is called with `seed`, (B, 3) integers.
        number: its place in the list.
    """

    function: Callable[..., Any]
    takes: Literal["images", "keras boxes", "boxes"]
    takes_seed: bool
    number: int

    @property
    def on_host(self) -> bool:
        """Whether it runs on NumPy arrays outside the graph of tf.data.

        There a layer's random state is one of the backend, which `reseed` can set; in
        a graph of tf.data its draws would be constants on JAX and torch.
        """
        return isinstance(self.function, keras.layers.Layer) and not self.takes_seed


class Augmentation:
    """What `augment=` names, ready for batches.

    Args:
        augment: a layer, a `keras.layers.Pipeline` or a function on dicts.
        size: side in pixels of the squares that it must give.

    Raises:
        ValueError: for what is none of these, and for a layer whose boxes would not
            be right; it names the layer and the reason.
    """

    def __init__(self, augment: Any, size: int):
        self.size = size
        self.steps = [
            _step(function, number)
            for number, function in enumerate(_flattened(augment))
        ]
        # The state of a layer is set and used in one piece.
        self._lock = threading.Lock()

    def config(self) -> tuple[Any, ...] | None:
        """What every step draws from; None where a step is a function."""
        if not all(isinstance(s.function, keras.layers.Layer) for s in self.steps):
            return None
        return tuple(_config(step.function) for step in self.steps)

    def __getstate__(self) -> dict[str, Any]:
        return {"size": self.size, "steps": self.steps}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def __call__(
        self, xp: ModuleType, images: Any, boxes: Any, labels: Any, seeds: Any
    ) -> tuple[Any, Any, Any, Any]:
        """Augments one batch.

        Args:
            xp: the module of the arrays, `numpy` or `tensorflow`; `stack`, `where`,
                `minimum` and `maximum` of it are used.
            images: (B, S, S, 3) float32.
            boxes: (B, 4) float32 `rel_xyxy`.
            labels: (B,) int32.
            seeds: (B, 3) integers, (seed, epoch, index) of each image, which all draws
                are a function of.

        Returns:
            The images, boxes and labels, and (B,) float32: 1 where something of the box
            is in the image. Boxes are cut at the border; where nothing is left, zeros.
            Labels are the same object where no function returned others.

        Raises:
            ValueError: if they have another shape than they must, naming `augment`.
        """
        shape = (images.shape[0], self.size, self.size, 3)
        for on_host, group in itertools.groupby(self.steps, lambda s: s.on_host):
            steps = list(group)
            if on_host and xp is not np:
                run = functools.partial(self._on_host, xp, steps)
            else:
                run = functools.partial(self._run, xp, steps)
            images, boxes, labels = run(images, boxes, labels, seeds)
        boxes, kept = _within(xp, boxes)
        return _same_shape(xp, images, shape), boxes, labels, kept

    def _run(
        self,
        xp: ModuleType,
        steps: list[Step],
        images: Any,
        boxes: Any,
        labels: Any,
        seeds: Any,
    ) -> tuple[Any, Any, Any]:
        for step in steps:
            with self._lock if step.on_host else contextlib.nullcontext():
                if step.on_host:
                    reseed(step.function, [*seeds[0].tolist(), step.number])
                images, boxes, labels = _apply(xp, step, images, boxes, labels, seeds)
        return images, boxes, labels

    def _on_host(
        self, tf: Any, steps: list[Step], images: Any, boxes: Any, labels: Any, *rest
    ) -> tuple[Any, Any, Any]:
        def run(*arrays: np.ndarray) -> list[np.ndarray]:
            moved = self._run(np, steps, *arrays)[:2]
            return [np.asarray(x, "float32") for x in moved]

        # What runs here are Keras's layers, which keep the labels.
        images, boxes = tf.numpy_function(
            run, [images, boxes, labels, *rest], [tf.float32, tf.float32]
        )
        images.set_shape([labels.shape[0], None, None, 3])
        boxes.set_shape([labels.shape[0], 4])
        return images, boxes, labels


def reseed(layer: Any, seeds: list[int]) -> None:
    """Makes the next draws of a layer a function of `seeds`, on every backend."""
    rng = np.random.default_rng(seeds)
    weights = {id(weight) for weight in layer.weights}
    # What is no weight is the state of a random generator.
    for state in layer.variables:
        if id(state) not in weights:
            state.assign(np.array([rng.integers(2**31), 0], state.dtype))


# --- from `augment` to steps ---


def _config(layer: keras.layers.Layer) -> tuple[str, str]:
    """A layer's class and arguments, but for what changes nothing of its draws."""

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: kept(v) for k, v in value.items() if k not in ("name", "seed")}
        return value

    cls = type(layer)
    return f"{cls.__module__}.{cls.__qualname__}", repr(kept(layer.get_config()))


def _in_float32(function: Any) -> Any:
    """A layer of ours, in float32 under every policy: half precision rounds pixels."""
    cls = type(function)
    if not cls.__module__.startswith(f"{__name__.partition('.')[0]}.layers."):
        return function
    return cls.from_config({**function.get_config(), "dtype": "float32"})


def _flattened(augment: Any) -> Iterator[Any]:
    if isinstance(augment, keras.layers.Pipeline):
        for layer in augment.layers:
            yield from _flattened(layer)
    else:
        yield augment


def _step(function: Any, number: int) -> Step:
    if not callable(function) or isinstance(function, (keras.Model, type)):
        raise ValueError(
            "`augment` must be a layer, a keras.layers.Pipeline or a function on dicts "
            '{"images", "bounding_boxes"}. '
            f"Received: augment={function!r}"
        )
    name = keras_name(function)
    if name is None:
        function = _in_float32(function)
        takes_seed = "seed" in inspect.signature(function).parameters
        return Step(function, "boxes", takes_seed, number)
    problem = problem_of(name, function)
    if problem:
        raise ValueError(
            f"`augment` cannot be {name}, or hold it: {problem}. "
            "keras_localize.RandomSquareView or a Pipeline of other layers can take "
            f"its place. Received: augment={function!r}"
        )
    takes = "images" if KERAS_LAYERS[name] == COLOUR else "keras boxes"
    return Step(in_pixels(name, function), takes, False, number)


# --- one step ---


def _apply(
    xp: ModuleType, step: Step, images: Any, boxes: Any, labels: Any, seeds: Any
) -> tuple[Any, Any, Any]:
    convert: Callable[[Any], Any] = (
        keras.ops.convert_to_numpy if xp is np else xp.convert_to_tensor
    )
    options = {"seed": seeds} if step.takes_seed else {}
    if step.takes == "images":
        return convert(step.function(images, training=True)), boxes, labels
    augment_format = "xyxy"
    if step.takes == "boxes":
        named = getattr(step.function, "bounding_box_format", None)
        augment_format = named or "rel_xyxy"

    def side(axis: int) -> Any:
        if is_relative(augment_format):
            return 1
        # In tf.data it may be known only when it runs.
        return images.shape[axis] or xp.cast(xp.shape(images)[axis], "float32")

    corners = to_pixels(to_corners(boxes, "rel_xyxy"), side(1), side(2))
    namespace: Any = xp  # a module, which no Protocol describes
    given = from_corners(namespace, corners, augment_format)
    given_labels = labels
    if step.takes == "keras boxes":
        given, given_labels = given[:, None], labels[:, None]
        options["training"] = True
    bounding_boxes = {"boxes": given, "labels": given_labels}
    returned = step.function(
        {"images": images, "bounding_boxes": bounding_boxes}, **options
    )
    images, boxes = _returned(step, convert, returned)
    if step.takes == "boxes":
        labels = _returned_labels(xp, step, convert, returned, labels)
    corners = to_fractions(to_corners(boxes, augment_format), side(1), side(2))
    boxes = from_corners(namespace, corners, "rel_xyxy")
    return _cast(xp, images, "float32"), _cast(xp, boxes, "float32"), labels


def _returned(step: Step, convert: Callable[[Any], Any], data: Any) -> tuple[Any, Any]:
    """Images and (B, 4) boxes of what a step returned, or an error."""
    try:
        images = convert(data["images"])
        boxes = convert(data["bounding_boxes"]["boxes"])
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(
            '`augment` must return a dict {"images", "bounding_boxes": {"boxes", ...}}.'
            f" Received from {step.function!r}: {type(data).__name__}"
        ) from error
    if len(boxes.shape) == 3 and boxes.shape[1] == 1:
        boxes = boxes[:, 0]
    if len(boxes.shape) != 2 or boxes.shape[1] != 4 or len(images.shape) != 4:
        raise ValueError(
            "`augment` must return images of shape (B, height, width, 3) and boxes of "
            f"shape (B, 4). Received from {step.function!r}: images of shape "
            f"{tuple(images.shape)}, boxes of shape {tuple(boxes.shape)}"
        )
    return images, boxes


def _returned_labels(
    xp: ModuleType, step: Step, convert: Callable[[Any], Any], data: Any, labels: Any
) -> Any:
    """The labels that a function returned, (B,); those that it got if it has none."""
    returned = data["bounding_boxes"].get("labels")
    if returned is None or returned is labels:
        return labels
    returned = convert(returned)
    # In tf.data the rank may be known only when it runs.
    known = xp is np or returned.shape.rank is not None
    if known and tuple(returned.shape[1:]) not in ((), (1,)):
        raise ValueError(
            "`augment` must return labels of shape (B,). "
            f"Received from {step.function!r}: labels of shape {tuple(returned.shape)}"
        )
    returned = _cast(xp, xp.reshape(returned, [-1]), labels.dtype)
    return returned if xp is np else xp.ensure_shape(returned, labels.shape)


def _cast(xp: ModuleType, x: Any, dtype: Any) -> Any:
    return x.astype(dtype, copy=False) if xp is np else xp.cast(x, dtype)


def _same_shape(xp: ModuleType, images: Any, shape: Any) -> Any:
    wanted, received = tuple(shape)[1:], tuple(images.shape)[1:]
    message = f"`augment` must return images of the shape (B, *{wanted})"
    if any(b not in (a, None) for a, b in zip(wanted, received)):
        raise ValueError(f"{message}. Received: (B, *{received})")
    if None in received:  # in tf.data, known when it runs
        shape_now = xp.shape(images)[1:]
        check = xp.debugging.assert_equal(shape_now, wanted, message=message)
        # What uses the images waits for the check.
        with xp.control_dependencies([check]):
            images = xp.identity(images)
        images.set_shape(shape)
    return images


def _within(xp: ModuleType, boxes: Any) -> tuple[Any, Any]:
    """Boxes cut at the image's border, and whether something is left of each."""
    boxes = xp.minimum(xp.maximum(boxes, 0.0), 1.0)
    kept = xp.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) > 0
    kept = xp.where(kept, xp.ones_like(boxes[:, 0]), xp.zeros_like(boxes[:, 0]))
    return xp.where(kept[:, None] > 0, boxes, xp.zeros_like(boxes)), kept
