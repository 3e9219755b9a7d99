"""A backbone small enough for every test."""

import keras


def tiny_backbone(size=32, rescale=True, name="tiny"):
    """Two octaves above the final map of 4 x 4 at 32 px; a residual block inside."""
    x = images = keras.Input((size, size, 3))
    if rescale:
        x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(x)
    for i, filters in enumerate((8, 12, 16)):
        x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"pad_{i}")(x)
        x = keras.layers.Conv2D(filters, 3, strides=2, name=f"conv_{i}")(x)
        x = keras.layers.BatchNormalization(name=f"norm_{i}")(x)
        x = keras.layers.ReLU(name=f"relu_{i}")(x)
        inside = keras.layers.Conv2D(filters, 1, name=f"inside_{i}")(x)
        x = keras.layers.Add(name=f"block_{i}")([x, inside])
    return keras.Model(images, x, name=name)
