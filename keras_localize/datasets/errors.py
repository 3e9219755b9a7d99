"""Errors of annotations and of names of records."""

from keras_localize.types import Path

_NOTHING = object()


class AnnotationError(ValueError):
    """A record that cannot be used: names the file, the field and what is wrong.

    Args:
        file: the file that is at fault.
        reason: what is wrong, in a few words that do not depend on the record:
            `summary()` counts by it.
        field: the part of the file: an element, a column, a line.
        expected: what should have been there.
        received: what was there.
    """

    def __init__(
        self,
        file: Path,
        reason: str,
        *,
        field: str | None = None,
        expected: object = None,
        received: object = _NOTHING,
    ) -> None:
        parts = [str(file)]
        if field is not None:
            parts.append(str(field))
        message = ": ".join([*parts, reason])
        if expected is not None:
            message += f", expected {expected}"
        if received is not _NOTHING:
            shown = repr(received)
            message += f". Received: {shown[:200]}{'...' if shown[200:] else ''}"
        super().__init__(message)
        self.file = str(file)
        self.field = field
        self.reason = reason


class UnknownNameError(KeyError, ValueError):
    """No record of a dataset has this name."""

    def __str__(self) -> str:
        # KeyError would quote the sentence.
        return str(self.args[0])
