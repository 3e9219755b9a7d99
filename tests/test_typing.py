"""What a type checker says about the package and about code that uses it."""

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_localize

PACKAGE = Path(keras_localize.__file__).parent
TYPING = Path(__file__).parent / "typing"
WRONG_USER_CODE = TYPING / "wrong_user_code.py"


def pyright_errors(*arguments):
    """File -> the errors that pyright reports in it, as (line, message)."""
    command = [sys.executable, "-m", "pyright", "--outputjson"]
    command += ["--pythonpath", sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent)
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        pytest.skip(f"pyright does not start: {done.stderr[-300:]}")
    assert report["summary"]["filesAnalyzed"] > 1
    found = {}
    for one in report["generalDiagnostics"]:
        if one["severity"] == "error":
            line = one["range"]["start"]["line"] + 1
            found.setdefault(Path(one["file"]), []).append((line, one["message"]))
    return found


# One test, so that pyright does not run twice at a time, which takes memory.
def test_pyright():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("types do not depend on the backend: checked on TensorFlow")
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    assert pyright_errors(PACKAGE) == {}

    # Users' code is checked as their editors do: they also read the types that
    # Keras's own code shows, which the package's configuration leaves out.
    errors = pyright_errors("--project", TYPING)
    lines = WRONG_USER_CODE.read_text("utf-8").splitlines()
    wrong = {n for n, line in enumerate(lines, start=1) if "  # wrong: " in line}
    assert len(wrong) > 30
    reported = {line for line, _ in errors.pop(WRONG_USER_CODE)}
    assert sorted(wrong - reported) == [], "mistakes that are not reported"
    assert sorted(reported - wrong) == [], "reported, but no mistakes"
    assert errors == {}


def missing_annotations(tree):
    """(line, function, what) of each gap in public functions and classes.

    Public: without an underscore before the name, in a module or in a public class;
    and a public class's own special methods, which users call by other names.
    """

    def visit(body, owner):
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from visit(node.body, f"{owner}{node.name}.")
            elif isinstance(node, (ast.If, ast.Try)):
                yield from visit(node.body + node.orelse, owner)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                special = node.name.startswith("__") and node.name.endswith("__")
                if special or not node.name.startswith("_"):
                    yield from gaps(node, owner)

    def gaps(node, owner):
        arguments = node.args
        static = any(
            isinstance(d, ast.Name) and d.id == "staticmethod"
            for d in node.decorator_list
        )
        given = arguments.posonlyargs + arguments.args
        given = given[1:] if owner and not static else given
        given += arguments.kwonlyargs
        given += [one for one in (arguments.vararg, arguments.kwarg) if one]
        for one in given:
            if one.annotation is None:
                yield node.lineno, owner + node.name, one.arg
        if node.returns is None and node.name != "__init__":
            yield node.lineno, owner + node.name, "return"

    yield from visit(tree.body, "")


def test_missing_annotations_are_found():
    tree = ast.parse(
        "def f(a, *args: int, b: int = 1, **options): ...\n"
        "class C:\n"
        "    def __init__(self, a): ...\n"
        "    def m(self) -> int: ...\n"
        "    def _p(self, a): ...\n"
        "    @staticmethod\n"
        "    def s(a) -> int: ...\n"
        "    @classmethod\n"
        "    def k(cls) -> int: ...\n"
        "class _D:\n"
        "    def m(self, a): ...\n"
        "def _g(a): ...\n"
    )
    assert [gap[1:] for gap in missing_annotations(tree)] == [
        ("f", "a"),
        ("f", "options"),
        ("f", "return"),
        ("C.__init__", "a"),
        ("C.s", "a"),
    ]


@pytest.mark.parametrize(
    "path",
    sorted(PACKAGE.rglob("*.py")),
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_public_functions_are_annotated(path):
    assert [*missing_annotations(ast.parse(path.read_text("utf-8")))] == []
