"""Draws images, trains a small localizer on them, and writes a report page.

python examples/quickstart.py     # needs no data and no network
"""

import keras
from keras import layers

import keras_localize as kl


def small_backbone():
    """Small enough to learn from scratch on a CPU."""
    x = images = keras.Input((64, 64, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(x)
    for filters in (16, 32, 64, 128):
        x = layers.Conv2D(filters, 3, strides=2, padding="same")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        y = layers.SeparableConv2D(filters, 3, padding="same")(x)
        x = layers.ReLU()(layers.Add()([x, layers.BatchNormalization()(y)]))
    return keras.Model(images, x)


keras.utils.set_random_seed(0)
train, validation = kl.make_synthetic(1500, num_classes=3, max_side=128).split(0.2)
names, backbone = train.class_names, small_backbone()
localizer = kl.build_localizer(
    backbone, len(names), class_names=names, trainable_backbone=True
)
history = kl.train_localizer(
    localizer, train, validation, head_epochs=25, batch_size=16, seed=0
)

report = kl.evaluate_localizer(localizer, validation, refine=True)
print(report)
report.save_html("runs/quickstart/report.html", history=history)
localizer.save("runs/quickstart/localizer.keras")
print("Open runs/quickstart/report.html in a browser.")
