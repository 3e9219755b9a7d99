"""The layers inside models and inside other layers, and which of them are frozen."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras


def sublayers(model: keras.Model) -> Iterator[tuple[str, keras.Layer]]:
    """(path, layer) of every layer that is not itself a model, outermost first.

    Layers that a layer holds are among them: in attributes, and in lists and dicts of
    these. The path of a layer of a model is its name; of a layer in a layer, the
    attribute's, because Keras numbers names of its own anew in every process.
    """
    for path, layer in _below(model, "", set()):
        if not isinstance(layer, keras.Model):
            yield path, layer


def frozen_paths(model: keras.Model) -> list[str]:
    """The paths of the layers that are not trainable."""
    return [path for path, layer in sublayers(model) if not layer.trainable]


def freeze_paths(model: keras.Model, paths: Iterable[str]) -> None:
    """Makes the layers with these paths, and what they hold, untrainable; no others.

    From the outside in: on some backends a layer hands its flag on to what it holds.
    """
    frozen = set(paths)
    for path, layer in sublayers(model):
        parts = path.split("/")
        holders = ("/".join(parts[: i + 1]) for i in range(len(parts)))
        layer.trainable = frozen.isdisjoint(holders)


@contextlib.contextmanager
def trainable_as_before(model: keras.Model) -> Iterator[None]:
    """Afterwards the same layers are trainable as before."""
    layers = [model, *(layer for _, layer in _below(model, "", set()))]
    flags = [layer.trainable for layer in layers]
    try:
        yield
    finally:
        for layer, flag in zip(layers, flags):
            layer.trainable = flag


def _below(
    holder: keras.Layer, prefix: str, seen: set[int]
) -> Iterator[tuple[str, keras.Layer]]:
    """(path, layer) of all layers in `holder`, models too, but those `seen` before."""
    if isinstance(holder, keras.Model):
        held = [(layer.name, layer) for layer in holder.layers]
    else:
        held = list(_held(holder))
    for name, layer in held:
        if id(layer) not in seen:
            seen.add(id(layer))
            path = prefix + name
            yield path, layer
            yield from _below(layer, path + "/", seen)


def _held(layer: keras.Layer) -> Iterator[tuple[str, keras.Layer]]:
    """(attribute, layer) of the layers that a layer holds, in a fixed order."""
    attributes = dict(vars(layer))
    if keras.backend.backend() == "torch":
        # Modules have a place of their own there.
        attributes |= dict(layer.named_children())
    # Attributes come before lists, and lists of Keras's own last: the same layers stand
    # in them once more.
    in_order = sorted(attributes.items(), key=lambda x: (x[0].startswith("_"), x[0]))
    for several in (False, True):
        for name, value in in_order:
            if not several and isinstance(value, keras.Layer):
                yield name, value
            elif several and isinstance(value, (list, tuple, dict)):
                yield from _in_container(name, value)


def _in_container(name: str, values: Any) -> Iterator[tuple[str, keras.Layer]]:
    items = values.items() if isinstance(values, dict) else enumerate(values)
    for key, value in items:
        if isinstance(value, keras.Layer):
            yield f"{name}/{key}", value
