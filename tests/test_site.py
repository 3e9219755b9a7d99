"""The site: every public name has a page, and what the pages show is there."""

import importlib
import re
import runpy
from pathlib import Path

import pytest
from test_architecture import PUBLIC

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def site():
    return runpy.run_path(str(DOCS / "api_pages.py"))


def test_every_public_name_has_a_page_in_the_tree(site):
    pages = site["api_pages"]()
    trees = [text.partition(".. toctree::")[2].split() for text in pages.values()]
    assert set(site["MODULES"]) == set(PUBLIC)
    reference = (DOCS / "reference.md").read_text("utf-8")
    for module in PUBLIC:
        assert re.search(rf"^generated/{re.escape(module)}$", reference, re.MULTILINE)
        loaded = importlib.import_module(module)
        for name in loaded.__all__:
            if f"{module}.{name}" in PUBLIC:
                continue  # a module with a page of its own
            page = site["page_of"](module, name)
            assert f":doc:`{name} <{page}>`" in pages[module]
            assert re.search(rf":: {re.escape(page)}$", pages[page], re.MULTILINE)
            # It stands in the tree of exactly one module.
            trees = [
                text.partition(".. toctree::")[2].split() for text in pages.values()
            ]
            assert sum(page in tree for tree in trees) == 1


def test_pages_of_names_that_are_gone_are_removed(site, tmp_path):
    (tmp_path / "keras_localize.gone.rst").write_text("gone")
    site["write_api_pages"](tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{name}.rst" for name in site["api_pages"]()}


def test_images_are_used_and_small():
    images = {path.name: path.stat().st_size for path in (DOCS / "images").iterdir()}
    assert sum(images.values()) < 1_000_000
    pages = [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]
    used = {
        name
        for page in pages
        for name in re.findall(r"images/(\w+\.png)\)", page.read_text("utf-8"))
    }
    assert used == set(images)
