"""Which module imports which, read from the source text."""

import ast
import importlib
from pathlib import Path

import keras
import pytest

import keras_localize

PACKAGE = Path(keras_localize.__file__).parent
ROOT = PACKAGE.parent
SCRIPTS = sorted(
    path
    for folder in ("examples", "benchmarks")
    for path in Path(__file__).parents[1].joinpath(folder).rglob("*.py")
)
MAX_LINES = 400

# A part of the package, and the parts that it may import. Any part may import itself.
GROUND = {"types", "arrays", "checks", "files", "version", "boxes", "markup", "warn"}
DATA = {"images", "datasets"}
MODEL = {"layers", "losses", "metrics", "localizer"}
MAY_IMPORT = {
    "types": set(),
    "arrays": set(),
    "version": set(),
    "warn": set(),
    "checks": {"types"},
    "files": {"types"},
    "markup": set(),
    "boxes": {"types", "arrays", "checks"},
    "images": GROUND,
    "datasets": GROUND | {"images"},
    "layers": GROUND,
    "losses": GROUND,
    "metrics": GROUND | {"losses"},
    "localizer": GROUND | DATA | (MODEL - {"localizer"}),
    "figures": set(),
    "curves": {"types"},
    "reporting": GROUND | DATA | {"curves"},
    # Consumers of a model's answers. None of the parts above may import them.
    # The command line uses what users import (None), and checks its arguments first.
    "__main__": {None, "files", "datasets", "localizer", "reporting"},
    "report": GROUND | DATA | MODEL | {"figures", "reporting"},
    "evaluation": GROUND | DATA | MODEL | {"report"},
    "visualization": GROUND | DATA | MODEL | {"report", "curves"},
}

# What users import from; each says in `__all__` which of its names are public.
PUBLIC = (
    "keras_localize",
    "keras_localize.boxes",
    "keras_localize.datasets",
    "keras_localize.evaluation",
    "keras_localize.files",
    "keras_localize.images",
    "keras_localize.layers",
    "keras_localize.losses",
    "keras_localize.metrics",
    "keras_localize.report",
    "keras_localize.types",
    "keras_localize.visualization",
)

# Keras offers no other way to say that a larger IoU is better.
ALLOWED_PRIVATE = {("metrics.py", "_direction")}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in SOURCES.items()}


def imported(tree):
    """(module, name or None) of every import, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            yield from ((node.module, alias.name) for alias in node.names)


def own_imports(tree):
    """The modules of this package that `tree` imports."""
    for module, name in imported(tree):
        if module.split(".")[0] == "keras_localize":
            submodule = f"{module}.{name}"
            yield submodule if submodule in SOURCES else module


def part(module):
    """`keras_localize.boxes.formats` belongs to `boxes`."""
    return module.split(".")[1] if "." in module else None


def dotted(node):
    """`a.b.c` as ["a", "b", "c"]; None for what is not only names."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else None


def is_private(name):
    # A NamedTuple's methods are public in spite of their underscore.
    public = name.endswith("__") or name in ("_asdict", "_replace")
    return name.startswith("_") and not public


IMPORTS = {name: sorted({*own_imports(tree)}) for name, tree in TREES.items()}


def test_every_part_has_its_place():
    parts = {part(name) for name in SOURCES} - {None}
    assert parts <= set(MAY_IMPORT), "say in MAY_IMPORT what the new part may import"


@pytest.mark.parametrize("name", [name for name in SOURCES if part(name)])
def test_imports_only_what_lies_below(name):
    allowed = MAY_IMPORT[part(name)] | {part(name)}
    wrong = [target for target in IMPORTS[name] if part(target) not in allowed]
    assert wrong == []


def test_no_circle():
    finished, path = set(), []

    def visit(module):
        if module in path:
            circle = [*path[path.index(module) :], module]
            pytest.fail(" imports ".join(circle))
        if module not in finished:
            path.append(module)
            for target in IMPORTS[module]:
                visit(target)
            path.pop()
            finished.add(module)

    for module in SOURCES:
        visit(module)
    assert finished == set(SOURCES)


def test_no_long_file():
    lengths = {
        name: len(path.read_text("utf-8").splitlines())
        for name, path in SOURCES.items()
    }
    assert {n: count for n, count in lengths.items() if count > MAX_LINES} == {}


@pytest.mark.parametrize("name", SOURCES)
def test_keras_by_its_public_names(name):
    assert "keras.src" not in SOURCES[name].read_text("utf-8")
    for module, imported_name in imported(TREES[name]):
        names = [*module.split("."), *([imported_name] if imported_name else [])]
        if names[0] == "keras":
            assert "src" not in names
            assert not any(map(is_private, names))
    for node in ast.walk(TREES[name]):
        names = dotted(node) if isinstance(node, ast.Attribute) else None
        if names and names[0] == "keras":
            assert names[1] != "src"
            assert not any(map(is_private, names))


def private_names_of_keras():
    """Private attributes that Keras's objects have, and so those that inherit."""
    layer = keras.layers.Dense(1)
    layer.build((None, 1))
    objects = (
        layer,
        keras.Sequential([keras.Input((1,)), layer]),
        keras.Model(),
        keras.losses.MeanSquaredError(),
        keras.metrics.Mean(),
        keras.callbacks.Callback(),
        keras.optimizers.schedules.CosineDecay(1.0, 1),
    )
    names = {name for one in objects for name in dir(one) if is_private(name)}
    assert "_trainable_variables" in names
    return names | {"_direction"}


def own_attributes(name):
    """Every `self.x` in classes that do not inherit from Keras."""
    for node in TREES[name].body:
        if isinstance(node, ast.ClassDef):
            bases = getattr(importlib.import_module(name), node.name).__mro__
            if not any(base.__module__.split(".")[0] == "keras" for base in bases):
                for child in ast.walk(node):
                    names = dotted(child)
                    if names and names[0] == "self" and len(names) == 2:
                        yield child


def test_no_private_attribute_of_keras():
    inherited = private_names_of_keras()
    used = set()
    for name, tree in TREES.items():
        own = {*own_attributes(name)}
        used |= {
            (SOURCES[name].name, node.attr)
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node not in own
            if node.attr in inherited
        }
    assert used <= ALLOWED_PRIVATE


@pytest.mark.parametrize("name", SOURCES)
def test_no_private_name_of_another_module(name):
    wrong = [
        f"{module}.{imported_name}"
        for module, imported_name in imported(TREES[name])
        if module.startswith("keras_localize") and is_private(imported_name or "")
    ]
    assert wrong == []


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_listed(name):
    module = importlib.import_module(name)
    assert len(module.__all__) == len(set(module.__all__))
    assert [n for n in module.__all__ if is_private(n) or not hasattr(module, n)] == []


def modules_by_alias(tree):
    """The names under which a script knows modules of this package."""
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "keras_localize":
                    shown = alias.name if alias.asname else "keras_localize"
                    aliases[alias.asname or "keras_localize"] = shown
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                if submodule in SOURCES:
                    aliases[alias.asname or alias.name] = submodule
    return aliases


def is_public(name):
    """Whether a dotted name leads through public modules to one of their names."""
    if name in PUBLIC:
        return True
    module, _, last = name.rpartition(".")
    if module not in PUBLIC:
        return False
    # A version is no part of `__all__`.
    return last in importlib.import_module(module).__all__ or last == "__version__"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_use_public_names(path):
    tree = ast.parse(path.read_text("utf-8"))
    used = {
        f"{module}.{name}" if name else module
        for module, name in imported(tree)
        if module.split(".")[0] == "keras_localize"
    }
    aliases = modules_by_alias(tree)
    others = {  # as torch in torch._dynamo
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    } - set(aliases)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        names = dotted(node) or [""]
        if is_private(node.attr) and names[0] not in {"self", *others}:
            used.add(f"{path.name}:{node.lineno}: {node.attr}")
        if names[0] in aliases:
            # `kl.Localizer.localize` is public where `kl.Localizer` is: look at the
            # longest beginning that consists of modules, and the name after it.
            full = aliases[names[0]]
            for name in names[1:]:
                full = f"{full}.{name}"
                if full not in SOURCES:
                    break
            used.add(full)
    assert sorted(name for name in used if not is_public(name)) == []
