"""Nested results as JSON takes them."""

import dataclasses
import math
from typing import Any

import numpy as np

__all__ = ["plain"]


def plain(content: Any) -> Any:
    """Dataclasses, tuples and arrays as dicts and lists; numbers as those of Python.

    NaN and infinity, which JSON does not have, are None.
    Fields of a dataclass that take no part in comparisons are left out.
    """
    if dataclasses.is_dataclass(content):
        fields = [field for field in dataclasses.fields(content) if field.compare]
        content = {field.name: getattr(content, field.name) for field in fields}
    elif hasattr(content, "_asdict"):
        content = content._asdict()
    elif isinstance(content, (np.ndarray, np.generic)):
        content = content.tolist()
    if isinstance(content, dict):
        return {key: plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [plain(value) for value in content]
    known = not isinstance(content, float) or math.isfinite(content)
    return content if known else None
