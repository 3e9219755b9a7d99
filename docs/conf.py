"""The documentation site: sphinx-build -W docs build/site"""

import inspect
import re
import sys
from pathlib import Path

import keras_localize

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from api_pages import write_api_pages  # noqa: E402

project = "keras-localize"
author = copyright = "The keras-localize authors"
version = release = keras_localize.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
html_theme = "furo"
html_title = "keras-localize"
html_theme_options = {
    "source_repository": "https://github.com/keras-localize/keras-localize/",
    "source_branch": "main",
    "source_directory": "docs/",
}

myst_heading_anchors = 4
# Text of other languages than Python is shown as it is.
suppress_warnings = ["misc.highlighting_failure"]

autodoc_typehints = "none"  # docstrings say shapes, ranges and units too
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False  # "The history: a dict ..." names what it is, not a type
napoleon_custom_sections = [
    ("Call arguments", "params_style"),
    "Input shape",
    "Output shape",
]
# A name in single backticks is code.
default_role = "code"

_REPOSITORY = "https://github.com/keras-localize/keras-localize/blob/main/"


def _escape_bars(app, what, name, obj, options, lines):
    """|x| is an absolute value, not a substitution."""
    lines[:] = [
        line if "`" in line or ">>>" in line else line.replace("|", r"\|")
        for line in lines
    ]


def _arguments_of_init(app, what, name, obj, options, signature, returned):
    """Classes of Keras hide their arguments behind `__new__`."""
    if what != "class" or signature != "(*args, **kwargs)":
        return None
    full = inspect.signature(obj.__init__)
    _, *parameters = full.parameters.values()
    bare = [one.replace(annotation=one.empty) for one in parameters]
    return str(inspect.Signature(bare)), None


def _link_to_the_repository(app, name, source):
    """Files outside of the site: relative links on GitHub, absolute ones here."""
    source[0] = re.sub(r"\]\((?:\.\./)+([A-Z]\w+\.md|examples/)", _absolute, source[0])


def _absolute(match):
    return f"]({_REPOSITORY}{match[1]}"


def setup(app):
    app.connect("builder-inited", lambda app: write_api_pages(HERE / "generated"))
    app.connect("autodoc-process-signature", _arguments_of_init)
    app.connect("autodoc-process-docstring", _escape_bars)
    app.connect("source-read", _link_to_the_repository)
