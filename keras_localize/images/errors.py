"""The error of an image that cannot be read, and how it names the image."""

from os import PathLike
from typing import Any

from PIL import Image

from keras_localize.types import Region


class ImageError(ValueError):
    """An image that cannot be read. The message names it and says why.

    Attributes:
        source: the name of the image: its path, or its type where it has none.
        reason: why, in a few words that are the same for every image of the kind:
            "missing image", "not an image", "unreadable image", "empty image",
            "too large", "format not installed", "unknown pixel format",
            "not finite", "wrong range of values". The datasets count by it.
        detail: more about this one image, or "".

    Example:

    >>> from keras_localize.images import ImageError, load
    >>> try:
    ...     load("no_such_file.jpg")
    ... except ImageError as error:
    ...     print(error)
    no_such_file.jpg: missing image
    """

    def __init__(self, source: Any, reason: str, detail: str = "") -> None:
        self.source = source_name(source)
        self.reason = reason
        self.detail = detail
        super().__init__(f"{self.source}: {reason}{detail and ': '}{detail}")

    def __reduce__(self) -> tuple:
        # Process pools pickle errors. The source itself may be anything.
        return type(self), (self.source, self.reason, self.detail)


def source_name(source: Any) -> str:
    """What an error calls a source: its path, or its type where it has none."""
    name = source
    if isinstance(source, Image.Image):
        name = getattr(source, "filename", None)
    elif isinstance(source, Region):
        name = str(source)
    elif hasattr(source, "read"):
        name = getattr(source, "name", None)  # a number if it has only a descriptor
    if isinstance(name, (str, PathLike)):
        return str(name) or repr(name)
    return f"<{type(source).__name__}>"
