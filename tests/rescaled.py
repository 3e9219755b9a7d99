"""Images that were scaled after they were labelled."""

import numpy as np
from PIL import Image

# The red object, in pixels of the files.
BOX = (250.0, 100.0, 390.0, 200.0)


def write_rescaled(folder, count=1):
    """Files of 400 x 300, and the path of a table that states 800 x 600."""
    pixels = np.zeros((300, 400, 3), "uint8")
    pixels[100:200, 250:390] = (255, 0, 0)
    rows = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    for i in range(count):
        Image.fromarray(pixels).save(folder / f"{i}.png")
        rows.append(f"{i}.png,800,600,red,500,200,780,400")
    (folder / "s.csv").write_text("\n".join(rows))
    return folder / "s.csv"
