"""The reference: a page for each module and each public name, from the docstrings."""

import importlib
import inspect
from pathlib import Path

import keras

MODULES = [
    "keras_localize",
    *(
        f"keras_localize.{name}"
        for name in (
            *("boxes", "images", "datasets", "layers", "losses", "metrics"),
            *("report", "evaluation", "visualization", "files", "types"),
        )
    ),
]
# The members of these classes are documented where they come from.
_FOREIGN = "Functional, Model, Layer, Operation, Loss, Metric, Callback, tuple, dict"

_MODULE = """{name}
{underline}

.. automodule:: {name}
   :no-members:

.. list-table::
   :widths: 30 70

{rows}

.. toctree::
   :hidden:

{pages}
"""
_CLASS = """{title}
{underline}

.. autoclass:: {name}
   :members:
   :show-inheritance:
"""
_INHERITED = """   :inherited-members: {foreign}, Exception
"""
_OTHER = """{title}
{underline}

.. auto{kind}:: {name}
"""


def public_names(module):
    """(name, object) of what a module offers, without modules."""
    loaded = importlib.import_module(module)
    for name in loaded.__all__:
        obj = getattr(loaded, name)
        if not inspect.ismodule(obj):
            yield name, obj


def page_of(module, name):
    """The page of a name: what can be imported from the top stands there."""
    top = dict(public_names("keras_localize"))
    loaded = importlib.import_module(module)
    at_the_top = top.get(name) is getattr(loaded, name)
    return f"{'keras_localize' if at_the_top else module}.{name}"


def api_pages():
    """Name of each page -> its text."""
    pages = {}
    for module in MODULES:
        names = []
        for name, obj in public_names(module):
            page = page_of(module, name)
            names.append((name, page, _summary(obj)))
            kind = "function" if inspect.isroutine(obj) else "data"
            text = _CLASS if inspect.isclass(obj) else _OTHER
            # Keras gives its optimizers another base on each backend.
            if inspect.isclass(obj) and not issubclass(obj, keras.optimizers.Optimizer):
                text += _INHERITED
            pages[page] = text.format(
                title=name,
                underline="=" * len(name),
                name=page,
                kind=kind,
                foreign=_FOREIGN,
            )
        rows = [f"   * - :doc:`{n} <{page}>`\n     - {text}" for n, page, text in names]
        # A page has one place in the tree: that of the module which it is named after.
        own = [f"   {page}" for n, page, _ in names if page == f"{module}.{n}"]
        pages[module] = _MODULE.format(
            name=module,
            underline="=" * len(module),
            rows="\n".join(rows),
            pages="\n".join(own),
        )
    return pages


def write_api_pages(folder):
    """Writes the pages; those of names that are gone are removed."""
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    pages = {f"{name}.rst": text for name, text in api_pages().items()}
    for path in folder.glob("*.rst"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _summary(obj):
    """The first sentence of a docstring; aliases of types have none of their own."""
    documented = inspect.isclass(obj) or inspect.isroutine(obj)
    text = inspect.getdoc(obj) if documented else None
    return (text or "").partition("\n\n")[0].replace("\n", " ")
