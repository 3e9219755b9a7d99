"""Pictures scaled and shifted in one resampling, each by its own map.

Output pixel `j` of an axis shows the picture at `(j + 0.5 - shift) / scale`, so the
point `x` of the picture lies at `scale * x + shift` of the output: the map that moves
the boxes. A negative scale mirrors.
"""


def resample(xp, images, rows, columns, size, interpolation, antialias=False):
    """Scales and shifts each picture of a batch into a square.

    Args:
        xp: the namespace of operations; see `ops_for`.
        images: tensor (B, H, W, C).
        rows: (scale, shift) along y, float32 tensors (B,), shift in output pixels.
        columns: the same along x.
        size: side of the output.
        interpolation: `"nearest"`, which keeps the dtype, or `"bilinear"`.
        antialias: whether to widen the bilinear kernel where the picture shrinks.

    Returns:
        (pictures, inside): (B, size, size, C), float32 unless nearest, and a mask
        (B, size, size, 1) of the pixels whose centre lies within the picture.
    """
    _, height, width, _ = xp.shape(images)
    y = _seen(xp, rows, size)
    x = _seen(xp, columns, size)
    if interpolation == "nearest":
        pictures = _take_rows(xp, images, _pixel(xp, y, height))
        pictures = _take_columns(xp, pictures, _pixel(xp, x, width))
    elif antialias:
        pictures = xp.cast(images, "float32")
        weights = _triangles(xp, y, rows[0], height)
        pictures = xp.einsum("bsh,bhwc->bswc", weights, pictures)
        weights = _triangles(xp, x, columns[0], width)
        pictures = xp.einsum("btw,bswc->bstc", weights, pictures)
    else:
        pictures = _blend(xp, _take_rows, images, y, height, (-1, size, 1, 1))
        pictures = _blend(xp, _take_columns, pictures, x, width, (-1, 1, size, 1))
    inside = xp.logical_and(
        _within(xp, y, height)[:, :, None, None],
        _within(xp, x, width)[:, None, :, None],
    )
    return pictures, inside


def _seen(xp, scale_and_shift, size):
    """Where on the picture each output pixel's centre looks: (B, size)."""
    scale, shift = scale_and_shift
    centres = xp.cast(xp.arange(size), "float32") + 0.5
    return (centres[None] - shift[:, None]) / scale[:, None]


def _within(xp, seen, side):
    return xp.logical_and(seen >= 0, seen < xp.cast(side, "float32"))


def _pixel(xp, seen, side):
    """The index of the pixel that holds each point, at the border the nearest one."""
    last = xp.cast(side - 1, "float32")
    return xp.cast(xp.minimum(xp.maximum(xp.floor(seen), 0.0), last), "int32")


def _blend(xp, take, images, seen, side, shape):
    lower = xp.floor(seen - 0.5)
    share = xp.reshape(seen - 0.5 - lower, shape)
    before = xp.cast(take(xp, images, _pixel(xp, lower, side)), "float32")
    after = xp.cast(take(xp, images, _pixel(xp, lower + 1.0, side)), "float32")
    return before + share * (after - before)


def _take_rows(xp, images, index):
    """Rows index[b, i] of each picture b."""
    batch, height, width, channels = xp.shape(images)
    index = index + height * xp.arange(batch)[:, None]
    flat = xp.reshape(images, (batch * height, width * channels))
    taken = xp.take(flat, xp.reshape(index, (-1,)), axis=0)
    return xp.reshape(taken, (batch, index.shape[1], width, channels))


def _take_columns(xp, images, index):
    """Columns index[b, j] of each picture b."""
    batch, height, width, channels = xp.shape(images)
    lines = xp.reshape(xp.arange(batch * height), (batch, height, 1))
    index = index[:, None, :] + width * lines
    flat = xp.reshape(images, (batch * height * width, channels))
    taken = xp.take(flat, xp.reshape(index, (-1,)), axis=0)
    return xp.reshape(taken, (batch, height, index.shape[2], channels))


def _triangles(xp, seen, scale, side):
    """Each output pixel's weights over the picture's pixels: (B, size, side)."""
    pixels = xp.cast(xp.arange(side), "float32") + 0.5
    sharpness = xp.minimum(xp.abs(scale), 1.0)[:, None, None]
    # A pixel that looks past the border sees the border, as the other kernels do.
    seen = xp.minimum(xp.maximum(seen, 0.5), xp.cast(side, "float32") - 0.5)
    distance = xp.abs(pixels[None, None, :] - seen[:, :, None]) * sharpness
    weights = xp.maximum(1.0 - distance, 0.0)
    return weights / xp.sum(weights, axis=-1, keepdims=True)
