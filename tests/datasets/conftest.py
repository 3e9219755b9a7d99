"""What the tests of the readers share."""

import pytest
from label_folder import Folder


@pytest.fixture
def folder(tmp_path):
    """Two images with one object each, to be written in any format."""
    made = Folder(tmp_path)
    made.add("a.png", ("cat", 20, 10, 60, 40))
    made.add("b.png", ("bird", 0, 0, 8, 20))
    return made
