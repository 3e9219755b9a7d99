"""Mistakes that a type checker must report, on each line marked `# wrong: ...`.

It is never run: tests/test_typing.py checks its types.
"""

import keras

import keras_localize as kl
from keras_localize import boxes, images

backbone = keras.applications.MobileNetV2(include_top=False)

kl.build_localizer(backbone, num_classes="37")  # wrong: a string
kl.build_localizer(backbone, 37, class_name=["cat"])  # wrong: no such keyword
kl.build_localizer(backbone, 37, head="spacial")  # wrong: no such head
kl.build_localizer(37, backbone)  # wrong: exchanged
localizer = kl.build_localizer(backbone, 37)

data = kl.read_voc("images", "annotations")
kl.read_voc("images", "annotations", without_box="leave")  # wrong: no such choice
kl.read_voc("images", "annotations", multple="first")  # wrong: no such keyword
kl.read_coco("images", "annotations.json", on_error="continue")  # wrong: no such choice
kl.read_yolo("images", "labels", 37)  # wrong: a number for names
kl.read_csv("images", "a.csv", bounding_box_format="xyhw")  # wrong: no such format
kl.read_vocc("images", "annotations")  # wrong: no such function
data.to_tf_data(224, shufle=True)  # wrong: no such keyword
data.to_tf_data(224, targets="boxes")  # wrong: no such choice
data.to_pydataset("224")  # wrong: a string
data["a.jpg"].split(0.2)  # wrong: one record is no dataset
data.spilt(0.2)  # wrong: no such method

localizer.localize(["a.jpg"], second_look=True)  # wrong: no such option
localizer.localize(["a.jpg"], refine="yes")  # wrong: a string
localizer.localize(["a.jpg"], on_error="ignore")  # wrong: no such choice
localizer.iter_localize(["a.jpg"], flip_averaged=True)  # wrong: no such option
print(localizer.localize(["a.jpg"])[0].boxes)  # wrong: no such field
print(localizer.localize(["a.jpg"], on_error="skip")[0].box)  # wrong: it may be None
kl.evaluate_localizer(localizer, data, flip=True)  # wrong: no such option
kl.evaluate_localizer(data, localizer)  # wrong: exchanged
kl.report_localizations(data, [])  # wrong: exchanged
kl.export_localizer(localizer, "a.tflite", format="tflite")  # wrong: no such format

kl.IoUMetric(threshold="0.5")  # wrong: a string
kl.GIoULoss(bounding_box_format="rel")  # wrong: no such format
kl.BoxLoss(overlap="l2")  # wrong: no such choice
kl.BoxLoss(l1=5.0)  # wrong: no such keyword
kl.PadToSquare("224")  # wrong: a string
kl.RandomSquareView(224, zoom="large")  # wrong: a string
kl.LocalizationHead(kind="flat")  # wrong: no such kind
boxes.convert([[0, 0, 1, 1]], "xyxy", "xyhw")  # wrong: no such format
boxes.iou([[0, 0, 1, 1]], [[0, 0, 1, 1]], format="xyxy")  # wrong: no such keyword
images.letterbox("a.jpg", size="224")  # wrong: a string
print(images.load("a.jpg").shapes)  # wrong: no such attribute
kl.plot_localizations(data, colums=3)  # wrong: no such keyword
