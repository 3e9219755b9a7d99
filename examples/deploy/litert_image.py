"""LiteRT: `python litert_image.py localizer.tflite cat.jpg` prints the answer.

Needs `ai-edge-litert`, `numpy` and `pillow`, and neither Keras nor keras-localize.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps

runner = Interpreter(sys.argv[1]).get_signature_runner()
size = int(runner.get_input_details()["image"]["shape"][0])
image = ImageOps.exif_transpose(Image.open(sys.argv[2])).convert("RGB")
longer = max(image.size)
scaled = [max(1, (2 * side * size + longer) // (2 * longer)) for side in image.size]
square = Image.new("RGB", (size, size))
corner = tuple((size - side) // 2 for side in scaled)
square.paste(image.resize(scaled, Image.Resampling.BILINEAR), corner)
answer = runner(image=np.array(square), image_size=np.array(image.size[::-1], "int32"))
print({name: np.asarray(value).tolist() for name, value in answer.items()})
