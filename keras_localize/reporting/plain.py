"""Nested results as JSON takes them."""

import dataclasses
import math
from typing import Any

__all__ = ["plain"]


def plain(content: Any) -> Any:
    """Dataclasses and tuples as dicts and lists; NaN, which is no JSON, as None.

    Fields of a dataclass that take no part in comparisons are left out.
    """
    if dataclasses.is_dataclass(content):
        fields = [field for field in dataclasses.fields(content) if field.compare]
        content = {field.name: getattr(content, field.name) for field in fields}
    elif hasattr(content, "_asdict"):
        content = content._asdict()
    if isinstance(content, dict):
        return {key: plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [plain(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content
