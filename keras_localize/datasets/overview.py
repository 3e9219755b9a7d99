"""A dataset in a notebook: its summary, and its first images with their boxes."""

from collections.abc import Iterable

from keras_localize.datasets.record import Record
from keras_localize.datasets.summary import Summary
from keras_localize.images import ImageError, load
from keras_localize.markup import boxed, escaped, jpeg_uri

__all__ = ["overview"]

_SIDE = 160


def overview(summary: Summary, records: Iterable[Record]) -> str:
    """HTML with the lines of the summary and a thumbnail of each record."""
    figures = "".join(map(_thumbnail, records))
    text = f"<pre>{escaped(summary)}</pre>"
    return f'{text}<div style="display:flex;flex-wrap:wrap;gap:8px">{figures}</div>'


def _thumbnail(record: Record) -> str:
    height, width = record.size
    box = None
    if record.weight > 0:
        x0, y0, x1, y1 = record.box.tolist()
        box = (x0 * width, y0 * height, x1 * width, y1 * height)
    try:
        uri = jpeg_uri(load(record.image), _SIDE)
        image = boxed(uri, record.size, {"true": box}, record.name)
    except ImageError:
        image = "cannot be read"
    shown = escaped(record.class_name or "no object")
    name = f'<div style="font-size:75%;overflow-wrap:anywhere">{escaped(record.name)}'
    return f'<div style="width:{_SIDE}px">{image}<div>{shown}</div>{name}</div></div>'
