"""A folder of images whose objects are written in any format."""

import json
import shutil

from PIL import Image

from keras_localize.datasets import (
    read_coco,
    read_csv,
    read_labelme,
    read_voc,
    read_yolo,
)

NAMES = ["bird", "cat"]
HEIGHT, WIDTH = 40, 80
FORMS = ("voc", "coco", "yolo", "csv", "labelme")
# What the fixture `folder` holds, as fractions.
PLAIN = [[0.25, 0.25, 0.75, 1], [0, 0, 0.1, 0.5]]


class Folder:
    """Images with objects, written as any format and read back.

    Objects are (class name, x0, y0, x1, y1), half-open, in pixels; a box of None is
    an object without one.
    """

    def __init__(self, path):
        self.path = path
        self.images = path / "images"
        self.images.mkdir()
        self.size = (HEIGHT, WIDTH)
        self.records = {}

    def add(self, name, *objects, image=True, **options):
        if image:
            Image.new("RGB", (WIDTH, HEIGHT)).save(self.images / name, **options)
        self.records[name] = objects

    def read(self, form, **options):
        return getattr(self, f"read_{form}")(**{"class_names": NAMES, **options})

    def read_voc(self, **options):
        folder = self.path / "voc"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, objects in self.records.items():
            xml = f"<annotation><filename>{name}</filename>"
            if self.size:
                height, width = self.size
                xml += f"<size><width>{width}</width><height>{height}</height></size>"
            for label, *box in objects:
                xml += f"<object><name>{label}</name>"
                if box[0] is not None:
                    x0, y0, x1, y1 = box
                    corners = zip(
                        ("xmin", "ymin", "xmax", "ymax"), (x0 + 1, y0 + 1, x1, y1)
                    )
                    inner = "".join(f"<{tag}>{v}</{tag}>" for tag, v in corners)
                    xml += f"<bndbox>{inner}</bndbox>"
                xml += "</object>"
            stem = name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
            (folder / f"{stem}.xml").write_text(xml + "</annotation>")
        return read_voc(self.images, folder, **options)

    def read_coco(self, **options):
        images, annotations = [], []
        for number, (name, objects) in enumerate(self.records.items()):
            image = {"id": number, "file_name": name}
            if self.size:
                image |= {"height": self.size[0], "width": self.size[1]}
            images.append(image)
            for label, *box in objects:
                entry = {"image_id": number, "category_id": 7 + NAMES.index(label)}
                if box[0] is not None:
                    x0, y0, x1, y1 = box
                    entry["bbox"] = [x0, y0, x1 - x0, y1 - y0]
                annotations.append(entry)
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 7 + i, "name": n} for i, n in enumerate(NAMES)],
        }
        (self.path / "coco.json").write_text(json.dumps(content))
        return read_coco(self.images, self.path / "coco.json", **options)

    def read_yolo(self, class_names=NAMES, **options):
        folder = self.path / "yolo"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, objects in self.records.items():
            lines = []
            for label, x0, y0, x1, y1 in objects:
                values = ((x0 + x1) / 2 / WIDTH, (y0 + y1) / 2 / HEIGHT)
                values += ((x1 - x0) / WIDTH, (y1 - y0) / HEIGHT)
                lines.append(f"{NAMES.index(label)} " + " ".join(map(repr, values)))
            (folder / f"{name.rsplit('.', 1)[0]}.txt").write_text("\n".join(lines))
        return read_yolo(self.images, folder, class_names, **options)

    def read_csv(self, **options):
        rows = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
        for name, objects in self.records.items():
            size = f"{self.size[1]},{self.size[0]}" if self.size else ","
            for label, *box in objects:
                cells = ",,," if box[0] is None else ",".join(map(str, box))
                rows.append(f"{name},{size},{label},{cells}")
        (self.path / "table.csv").write_text("\n".join(rows))
        return read_csv(self.images, self.path / "table.csv", **options)

    def read_labelme(self, **options):
        folder = self.path / "labelme"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, objects in self.records.items():
            shapes = []
            for label, *box in objects:
                shape = {"label": label, "shape_type": "rectangle", "group_id": None}
                if box[0] is None:
                    shape |= {"shape_type": "point", "points": [[3, 4]]}
                else:
                    shape["points"] = [box[:2], box[2:]]
                shapes.append(shape)
            content = {"version": "5.5.0", "imagePath": name, "shapes": shapes}
            if self.size:
                content |= {"imageHeight": self.size[0], "imageWidth": self.size[1]}
            stem = name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
            (folder / f"{stem}.json").write_text(json.dumps(content))
        return read_labelme(self.images, folder, **options)

    def file(self, form):
        """The file that says what the first image holds."""
        return {
            "voc": self.path / "voc" / "a.xml",
            "coco": self.path / "coco.json",
            "yolo": self.path / "yolo" / "a.txt",
            "csv": self.path / "table.csv",
            "labelme": self.path / "labelme" / "a.json",
        }[form]

    def read_again(self, form, **options):
        """Reads the files as they are."""
        if form == "coco":
            return read_coco(self.images, self.path / "coco.json", **options)
        if form == "csv":
            return read_csv(self.images, self.path / "table.csv", **options)
        if form == "yolo":
            options = {"class_names": NAMES, **options}
        read = {"voc": read_voc, "yolo": read_yolo, "labelme": read_labelme}[form]
        return read(self.images, self.path / form, **options)
