"""Which file formats are read, and what opens them."""

import functools

from PIL import Image

# Never EPS and others that start programs. MPO comes with JPEG.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF", "HEIF")

# Formats that an installation may lack, and what opens them.
_OPENED_BY = {
    "WEBP": "a Pillow that was built with WebP",
    "AVIF": "Pillow 11.3 or later",
    "HEIF": 'the package pillow-heif, which the extra "heif" installs',
}

# The brands by which a file of the ISO base media format (HEIC is one) names its kind.
_BRANDS = {
    "AVIF": (b"avif", b"avis"),
    "HEIF": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
}


def installed_formats() -> tuple[str, ...]:
    """Those of `FORMATS` that Pillow and its registered plug-ins open."""
    Image.init()
    if "HEIF" not in Image.OPEN:
        _register_heif()
    return tuple(name for name in FORMATS if _is_installed(name))


def missing_format(header: bytes) -> str | None:
    """What to install for a file of a format that is not installed.

    Args:
        header: the first 64 bytes of the file.

    Returns:
        A sentence, or None where the file is of no such format.
    """
    name = _optional_format(header)
    if name is None or name in installed_formats():
        return None
    return f"{name} needs {_OPENED_BY[name]}"


def _optional_format(header: bytes) -> str | None:
    if header[:4] == b"RIFF" and header[8:12] == b"WEBP":
        return "WEBP"
    if header[4:8] != b"ftyp":
        return None
    brands = [header[8:12], *(header[i : i + 4] for i in range(16, len(header), 4))]
    for name, known in _BRANDS.items():
        if any(brand in known for brand in brands):
            return name
    return None


# The first bytes of a file of each format that a build of Pillow may be without.
_SAMPLES = {"WEBP": b"RIFF\0\0\0\0WEBPVP8 ", "AVIF": b"\0\0\0\x18ftypavif\0\0\0\0"}


def _is_installed(name: str) -> bool:
    if name not in Image.OPEN:
        return False
    if name not in _SAMPLES:
        return True
    # A build without the library registers the format all the same. Instead of
    # accepting a file it then says why not, and warns about every file like it.
    _, accept = Image.OPEN[name]
    return accept is None or not isinstance(accept(_SAMPLES[name]), str)


@functools.cache
def _register_heif() -> None:
    # Unlike other plug-ins, this one does nothing on import.
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()
