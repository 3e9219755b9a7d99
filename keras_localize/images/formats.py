"""Which file formats are read, and with what they are opened."""

import functools

from PIL import Image

# Never EPS and others that start programs. MPO comes with JPEG.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF", "HEIF")

_OPENED_BY = {
    "AVIF": "Pillow 11.3 or later",
    "HEIF": 'the package pillow-heif, which the extra "heif" installs',
}

# The brands by which a file of the ISO base media format (HEIC is one) tells its kind.
_BRANDS = {
    "AVIF": (b"avif", b"avis"),
    "HEIF": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
}


def installed_formats() -> tuple[str, ...]:
    """Those of `FORMATS` that Pillow and its registered plug-ins open."""
    Image.init()
    if "HEIF" not in Image.OPEN:
        _register_heif()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def missing_format(header: bytes) -> str | None:
    """What to install for a file of a format that cannot be opened here.

    Args:
        header: the first 64 bytes of the file.

    Returns:
        A sentence, or None where the file is of no such format.
    """
    if header[4:8] != b"ftyp":
        return None
    brands = [header[8:12], *(header[i : i + 4] for i in range(16, len(header), 4))]
    for name, known in _BRANDS.items():
        if any(brand in known for brand in brands):
            if name in installed_formats():
                return None
            return f"{name} needs {_OPENED_BY[name]}"
    return None


@functools.cache
def _register_heif() -> None:
    # Unlike other plug-ins it does nothing on import.
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()
