"""HTML for notebooks and report pages: escaped text, tables, images with boxes."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

__all__ = ["OUTER_COLOUR", "PREDICTED_COLOUR", "TRUE_COLOUR", "boxed", "escaped"]
__all__ += ["jpeg_uri", "printable", "table"]

TRUE_COLOUR = "#00c853"
PREDICTED_COLOUR = "#ff1744"
OUTER_COLOUR = "#ffab00"

Corners: TypeAlias = Sequence[float]
# kind -> colour and dashes
_STYLES = {
    "true": (TRUE_COLOUR, ""),
    "predicted": (PREDICTED_COLOUR, "6 3"),
    "outer": (OUTER_COLOUR, "1 3"),
}


def escaped(text: Any) -> str:
    """Text that HTML shows as it is, in content and in quoted attributes."""
    return html.escape(printable(str(text)), quote=True)


def printable(text: str) -> str:
    """Text without the surrogates of a file name that is no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def table(rows: Iterable[Sequence[Any]], header: Sequence[Any] = ()) -> str:
    """A table of escaped cells; the first cell of a row is its heading."""
    lines = ["<table>"]
    if header:
        cells = "".join(f"<th>{escaped(cell)}</th>" for cell in header)
        lines.append(f"<thead><tr>{cells}</tr></thead>")
    lines.append("<tbody>")
    for first, *others in rows:
        cells = "".join(f"<td>{escaped(cell)}</td>" for cell in others)
        lines.append(f'<tr><th scope="row">{escaped(first)}</th>{cells}</tr>')
    return "\n".join([*lines, "</tbody></table>"])


def jpeg_uri(pixels: np.ndarray, side: int) -> str:
    """An image as a JPEG within a `data:` address.

    Args:
        pixels: uint8 (height, width, 3).
        side: what the longer side is reduced to; smaller images stay as they are.
    """
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def boxed(
    uri: str,
    size: tuple[int, int],
    boxes: dict[str, Corners | None],
    title: str = "",
) -> str:
    """An image with boxes over it, as SVG: sharp at any size.

    Args:
        uri: address of the image.
        size: its (height, width) in the pixels of the boxes.
        boxes: kind (`"true"`, `"predicted"` or `"outer"`) -> `xyxy`, or None.
        title: what screen readers read.
    """
    height, width = size
    parts = [
        f'<svg class="boxed" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escaped(title)}" xmlns="http://www.w3.org/2000/svg">',
        f'<image href="{uri}" width="{width}" height="{height}" '
        'preserveAspectRatio="none"/>',
    ]
    for kind, box in boxes.items():
        if box is None:
            continue
        colour, dashes = _STYLES[kind]
        x0, y0, x1, y1 = (round(float(value), 2) for value in box)
        parts.append(
            f'<rect data-box="{kind}" x="{x0}" y="{y0}" width="{x1 - x0:.2f}" '
            f'height="{y1 - y0:.2f}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{dashes}" vector-effect="non-scaling-stroke"/>'
        )
    return "".join([*parts, "</svg>"])
