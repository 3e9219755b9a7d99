"""Pictures scaled and shifted in one resampling, each by its own map.

Output pixel `j` of an axis shows the picture at `(j + 0.5 - shift) / scale`, so the
point `x` of the picture lies at `scale * x + shift` of the output: the map that moves
the boxes. A negative scale mirrors.
"""


def resample(xp, images, rows, columns, size, interpolation, antialias=False, fill=0):
    """Scales and shifts each picture of a batch into a square.

    Args:
        xp: the namespace of operations; see `ops_for`.
        images: tensor (B, H, W, C).
        rows: (scale, shift) along y, float32 tensors (B,), shift in output pixels.
        columns: the same along x.
        size: side of the output.
        interpolation: `"nearest"`, which keeps the dtype, or `"bilinear"`.
        antialias: whether to widen the bilinear kernel where the picture shrinks.
        fill: value of the pixels whose centre lies outside the picture.

    Returns:
        Pictures (B, size, size, C), float32 unless nearest.
    """
    batch, height, width, channels = xp.shape(images)
    y, x = _seen(xp, rows, size), _seen(xp, columns, size)
    inside_y, inside_x = _within(xp, y, height), _within(xp, x, width)
    if interpolation == "nearest":
        pictures = _take_rows(xp, images, _pixel(xp, y, height))
        pictures = _take_columns(xp, pictures, _pixel(xp, x, width))
    elif antialias:
        weights = _triangles(xp, y, rows[0], height)
        pictures = xp.einsum("bsh,bhwc->bswc", weights, xp.cast(images, "float32"))
        weights = _triangles(xp, x, columns[0], width)
        pictures = xp.einsum("btw,bswc->bstc", weights, pictures)
    else:
        # The pictures are blended as lines of numbers, which multiplies by a vector
        # of weights ten times faster than pixels by weights of a pixel each.
        before, after, share = _neighbours(xp, _take_rows, images, y, height)
        lines = (batch, size, width * channels)
        before, after = xp.reshape(before, lines), xp.reshape(after, lines)
        pictures = before + (after - before) * share[:, :, None]

        pictures = xp.reshape(pictures, (batch, size, width, channels))
        before, after, share = _neighbours(xp, _take_columns, pictures, x, width)
        lines = (batch, size, size * channels)
        before, after = xp.reshape(before, lines), xp.reshape(after, lines)
        share = xp.repeat(share, channels, axis=-1)
        pictures = before + (after - before) * share[:, None, :]
    return _fill(xp, pictures, inside_y, inside_x, channels, fill)


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


def _neighbours(xp, take, images, seen, side):
    """The pixels before and after each point, and the share of the one after."""
    lower = xp.floor(seen - 0.5)
    before = xp.cast(take(xp, images, _pixel(xp, lower, side)), "float32")
    after = xp.cast(take(xp, images, _pixel(xp, lower + 1.0, side)), "float32")
    return before, after, seen - 0.5 - lower


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


def _fill(xp, pictures, inside_y, inside_x, channels, fill):
    """`fill` where the picture is not: crisp, never blended with its border."""
    batch, size = xp.shape(inside_y)
    shape = (batch, size, size, channels)
    lines = xp.reshape(pictures, (batch, size, size * channels))
    inside_x = xp.repeat(inside_x, channels, axis=-1)
    inside = xp.logical_and(inside_y[:, :, None], inside_x[:, None, :])
    if lines.dtype == inside.dtype:
        return xp.reshape(xp.logical_and(lines, inside), shape)
    # A product keeps int64, which `where` narrows in tf.data on JAX.
    inside = xp.cast(inside, lines.dtype)
    lines = lines * inside
    if fill:
        lines = lines + xp.cast(fill, lines.dtype) * (1 - inside)
    return xp.reshape(lines, shape)
