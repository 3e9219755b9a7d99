"""A file of the shape that each label tool writes, read as docs/label_tools.md says.

Every export says the same of the same two images, 80 x 40 pixels: a cat in
(20, 10, 60, 40) and a bird in (0, 0, 8, 20), half-open, in pixels.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from label_folder import HEIGHT, PLAIN, WIDTH
from PIL import Image

from keras_localize.datasets import read_coco, read_labelme, read_voc, read_yolo
from keras_localize.datasets.annotation import turned as turned_box

CAT, BIRD = (20, 10, 60, 40), (0, 0, 8, 20)


@pytest.fixture
def export(tmp_path):
    """Writes files, and the two images into a folder; returns the root."""

    def write(images, *names, **files):
        (tmp_path / images).mkdir(parents=True, exist_ok=True)
        for name in names:
            Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / images / name)
        for path, content in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if not isinstance(content, str):
                content = json.dumps(content)
            file.write_text(content, encoding="utf-8")
        return tmp_path

    return write


def check(dataset, names=("a.jpg", "b.jpg"), notes=()):
    assert [name.rsplit("/", 1)[-1] for name in dataset.names] == list(names)
    assert np.allclose(dataset.boxes, PLAIN, atol=1e-6)
    assert [record.class_name for record in dataset] == ["cat", "bird"]
    assert set(dataset.class_names) == {"bird", "cat"}
    assert list(dataset.summary().handled) == list(notes)
    assert dataset.summary().skipped == {}


def voc(label, box, *, name="a.jpg", extra="", one_based=True, form="{}"):
    x0, y0, x1, y1 = box
    if one_based:
        x0, y0 = x0 + 1, y0 + 1
    x0, y0, x1, y1 = (form.format(value) for value in (x0, y0, x1, y1))
    return (
        f"<annotation><folder>set</folder><filename>{name}</filename>{extra}"
        "<source><database>Unknown</database></source>"
        f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
        f"<segmented>0</segmented><object><name>{label}</name><pose>Unspecified</pose>"
        "<truncated>0</truncated><difficult>0</difficult><bndbox>"
        f"<xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
        "</bndbox></object></annotation>"
    )


def yolo(label, box):
    x0, y0, x1, y1 = np.divide(box, (WIDTH, HEIGHT, WIDTH, HEIGHT))
    return f"{label} {(x0 + x1) / 2} {(y0 + y1) / 2} {x1 - x0} {y1 - y0}\n"


def coco(names, categories, **extra):
    """COCO's JSON of both objects; their categories are the last two listed."""
    cat, bird = categories[-2:]
    return {
        "info": {},
        "licenses": [],
        "images": [
            {"id": i, "file_name": name, "height": HEIGHT, "width": WIDTH}
            for i, name in enumerate(names)
        ],
        "annotations": [
            {
                "id": i,
                "image_id": i,
                "category_id": category["id"],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "segmentation": [],
                "iscrowd": 0,
                **extra,
            }
            for i, (category, (x0, y0, x1, y1)) in enumerate(((cat, CAT), (bird, BIRD)))
        ],
        "categories": categories,
    }


# --- LabelImg ---


def test_labelimg_voc(export):
    """LabelImg writes the same whole numbers as for YOLO, the right side excluded."""
    path = "<path>C:\\Users\\me\\set\\a.jpg</path>"
    files = {
        "set/a.xml": voc("cat", CAT, extra=path, one_based=False),
        "set/b.xml": voc("bird", BIRD, name="b.jpg", extra=path, one_based=False),
    }
    root = export("set", "a.jpg", "b.jpg", **files)
    check(read_voc(root / "set", root / "set", one_based=False))


def test_labelimg_yolo(export):
    files = {
        "set/a.txt": yolo(0, CAT),
        "set/b.txt": yolo(1, BIRD),
        "set/classes.txt": "cat\nbird\n",
    }
    root = export("set", "a.jpg", "b.jpg", **files)
    check(read_yolo(root / "set", root / "set", root / "set" / "classes.txt"))


# --- Label Studio ---


def test_label_studio_voc(export):
    """Label Studio counts from 0."""
    names = ("1f-a.jpg", "2f-b.jpg")
    files = {
        "Annotations/1f-a.xml": voc("cat", CAT, name=names[0], one_based=False),
        "Annotations/2f-b.xml": voc("bird", BIRD, name=names[1], one_based=False),
    }
    root = export("images", *names, **files)
    dataset = read_voc(root / "images", root / "Annotations", one_based=False)
    check(dataset, names)


@pytest.mark.parametrize(
    "stated", ["images/{}", "images\\{}", "/data/upload/3/{}", "http://host/data/{}"]
)
def test_label_studio_coco(export, stated):
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "bird"}]
    names = [stated.format(name) for name in ("1f-a.jpg", "2f-b.jpg")]
    content = coco(names, categories, ignore=0)
    root = export("images", "1f-a.jpg", "2f-b.jpg", **{"result.json": content})
    note = "image found by a name that begins above its folder"
    if "data" in stated:
        note = "image found by the end of an absolute path"
    dataset = read_coco(root / "images", root / "result.json")
    check(dataset, ("1f-a.jpg", "2f-b.jpg"), [note])


def test_label_studio_yolo(export):
    files = {
        "labels/1f-a.txt": yolo(1, CAT),
        "labels/2f-b.txt": yolo(0, BIRD),
        "classes.txt": "bird\ncat",
        "notes.json": {"categories": [{"id": 0, "name": "bird"}]},
    }
    root = export("images", "1f-a.jpg", "2f-b.jpg", **files)
    dataset = read_yolo(root / "images", root / "labels", root / "classes.txt")
    check(dataset, ("1f-a.jpg", "2f-b.jpg"))


# --- CVAT ---


def test_cvat_voc(export):
    """CVAT counts from 0 and writes fractions of pixels."""
    options = {"one_based": False, "form": "{:.2f}"}
    files = {
        "Annotations/a.xml": voc("cat", CAT, **options),
        "Annotations/b.xml": voc("bird", BIRD, name="b.jpg", **options),
        "labelmap.txt": "# label:color_rgb:parts:actions\ncat:0,0,0::",
        "ImageSets/Main/default.txt": "a\nb\n",
    }
    root = export("JPEGImages", "a.jpg", "b.jpg", **files)
    check(read_voc(root / "JPEGImages", root / "Annotations", one_based=False))


def test_rotated_rectangles(tmp_path, export):
    """CVAT writes the box before it was turned, and the degrees."""
    # 20 x 40 and 20 x 8 about the centres of the boxes, turned by 90 degrees.
    turned = [(30, 5, 50, 45), (-6, 6, 14, 14)]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "bird"}]
    content = coco(("a.jpg", "b.jpg"), categories)
    files = {}
    for entry, (x0, y0, x1, y1) in zip(content["annotations"], turned):
        # (30, 5, 50, 45) turned is (20, 15, 60, 35).
        entry["bbox"] = [x0, y0, x1 - x0, y1 - y0]
        entry["attributes"] = {"occluded": False, "rotation": 270.0}
    attributes = "<attribute><name>rotation</name><value>90.0</value></attribute>"
    for name, label, box in zip("ab", ("cat", "bird"), turned):
        text = voc(label, box, name=f"{name}.jpg", one_based=False)
        files[f"Annotations/{name}.xml"] = text.replace(
            "</object>", f"<attributes>{attributes}</attributes></object>"
        )
    assert export("images", "a.jpg", "b.jpg", **files, **{"boxes.json": content})
    root = tmp_path
    expected = [(20, 15, 60, 35), (0, 0, 8, 20)]
    for dataset in (
        read_coco(root / "images", root / "boxes.json"),
        read_coco(root / "images", root / "boxes.json", verify=False),
        read_voc(root / "images", root / "Annotations", one_based=False),
    ):
        boxes = dataset.boxes * (WIDTH, HEIGHT, WIDTH, HEIGHT)
        assert np.allclose(boxes, expected, atol=1e-4)
        names = ("a.jpg", "b.jpg")
        assert dataset.summary().handled == {"box around a rotated rectangle": names}
    assert np.allclose(
        turned_box((0, 0, 2, 2), 45, []), np.array([-1, -1, 1, 1]) * 2**0.5 + 1
    )


def test_cvat_coco(export):
    categories = [
        {"id": 1, "name": "cat", "supercategory": ""},
        {"id": 2, "name": "bird", "supercategory": ""},
    ]
    content = coco(("a.jpg", "b.jpg"), categories, attributes={"occluded": False})
    files = {"annotations/instances_default.json": content}
    root = export("images/default", "a.jpg", "b.jpg", **files)
    file = root / "annotations" / "instances_default.json"
    check(read_coco(root / "images" / "default", file))
    # With the folder above, the names are found in the folder below.
    check(read_coco(root / "images", file), notes=["image found in a folder below"])


def test_cvat_yolo(export):
    files = {
        "obj_train_data/a.txt": yolo(0, CAT),
        "obj_train_data/b.txt": yolo(1, BIRD),
        "obj.names": "cat\nbird\n",
        "obj.data": "classes = 2\nnames = data/obj.names\n",
        "train.txt": "data/obj_train_data/a.jpg\ndata/obj_train_data/b.jpg\n",
    }
    # A subset of another name, whose list stands beside it.
    files["Holdout.txt"] = "data/obj_train_data/b.jpg\n\n"
    root = export("obj_train_data", "a.jpg", "b.jpg", **files)
    data = root / "obj_train_data"
    check(read_yolo(data, data, root / "obj.names"))
    check(read_yolo(root, root, root / "obj.names"))


def test_cvat_ultralytics(export):
    pytest.importorskip("yaml")
    files = {
        "labels/train/a.txt": yolo(0, CAT),
        "labels/train/b.txt": yolo(1, BIRD),
        "data.yaml": "names:\n  0: cat\n  1: bird\npath: .\ntrain: train.txt\n",
        "train.txt": "data/images/train/a.jpg\n",
    }
    root = export("images/train", "a.jpg", "b.jpg", **files)
    check(read_yolo(root / "images", root / "labels", root / "data.yaml"))


# --- Roboflow ---


def test_roboflow_coco(export):
    categories = [
        {"id": 0, "name": "pets-3", "supercategory": "none"},
        {"id": 1, "name": "cat", "supercategory": "pets-3"},
        {"id": 2, "name": "bird", "supercategory": "pets-3"},
    ]
    names = ("a_jpg.rf.1f2e.jpg", "b_jpg.rf.3d4c.jpg")
    files = {
        "train/_annotations.coco.json": coco(names, categories),
        "README.dataset.txt": "# pets > 3\nhttps://example.org",
        "README.roboflow.txt": "thanks",
    }
    root = export("train", *names, **files)
    dataset = read_coco(root / "train", root / "train" / "_annotations.coco.json")
    check(dataset, names, ["root category, no class"])


def test_roboflow_voc(export):
    files = {
        "train/a_jpg.rf.1f.xml": voc("cat", CAT, name="a_jpg.rf.1f.jpg"),
        "train/b_jpg.rf.3d.xml": voc("bird", BIRD, name="b_jpg.rf.3d.jpg"),
        "README.dataset.txt": "thanks",
    }
    names = ("a_jpg.rf.1f.jpg", "b_jpg.rf.3d.jpg")
    root = export("train", *names, **files)
    check(read_voc(root / "train", root / "train"), names)


@pytest.mark.parametrize("names", ["['cat', 'bird']", "\n- cat\n- bird"])
def test_roboflow_yolo(export, names):
    pytest.importorskip("yaml")
    files = {
        "train/labels/a_jpg.rf.1f.txt": yolo(0, CAT),
        "train/labels/b_jpg.rf.3d.txt": yolo(1, BIRD),
        "data.yaml": f"train: ../train/images\nnc: 2\nnames: {names}\n\nroboflow:\n"
        "  workspace: me\n  version: 3\n",
        "README.dataset.txt": "thanks",
    }
    images = ("a_jpg.rf.1f.jpg", "b_jpg.rf.3d.jpg")
    root = export("train/images", *images, **files)
    train, yaml = root / "train", root / "data.yaml"
    check(read_yolo(train / "images", train / "labels", yaml), images)
    check(read_yolo(root, root, yaml), images)


def test_roboflow_darknet(export):
    files = {
        "train/a.txt": yolo(0, CAT),
        "train/b.txt": yolo(1, BIRD),
        "train/_darknet.labels": "cat\nbird\n",
    }
    root = export("train", "a.jpg", "b.jpg", **files)
    train = root / "train"
    check(read_yolo(train, train, train / "_darknet.labels"))


# --- makesense.ai ---


def test_makesense_voc(export):
    """makesense.ai counts from 0."""
    path = "<path>/my-project-name/a.jpg</path>"
    files = {
        "labels/a.xml": voc("cat", CAT, extra=path, one_based=False),
        "labels/b.xml": voc("bird", BIRD, name="b.jpg", one_based=False),
    }
    root = export("images", "a.jpg", "b.jpg", **files)
    check(read_voc(root / "images", root / "labels", one_based=False))


def test_makesense_yolo(export):
    files = {"labels/a.txt": yolo(1, CAT), "labels/b.txt": yolo(0, BIRD)}
    root = export("images", "a.jpg", "b.jpg", **files)
    check(read_yolo(root / "images", root / "labels", ["bird", "cat"]))


def test_makesense_coco(export):
    """Its polygons, with a box around each."""
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "bird"}]
    content = coco(("a.jpg", "b.jpg"), categories)
    for entry, (x0, y0, x1, y1) in zip(content["annotations"], (CAT, BIRD)):
        entry["segmentation"] = [[x0, y0, x1, y0, x1, y1, x0, y1]]
    root = export("images", "a.jpg", "b.jpg", **{"labels.json": content})
    check(read_coco(root / "images", root / "labels.json"))


# --- VoTT ---


def test_vott_voc(export):
    options = {"one_based": False, "form": "{}.000000001"}
    files = {
        "Annotations/a.xml": voc("cat", CAT, **options),
        "Annotations/b.xml": voc("bird", BIRD, name="b.jpg", **options),
        "pascal_label_map.pbtxt": "item {\n id: 1\n name: 'cat'\n}",
    }
    root = export("JPEGImages", "a.jpg", "b.jpg", **files)
    check(read_voc(root / "JPEGImages", root / "Annotations", one_based=False))


# --- VGG Image Annotator ---


def test_via_coco(export):
    """Ids of images are text in one list and numbers in the other."""
    categories = [
        {"id": 1, "name": "cat", "supercategory": "animal"},
        {"id": 2, "name": "bird", "supercategory": "animal"},
    ]
    content = coco(("a.jpg", "b.jpg"), categories)
    for entry in content["annotations"]:
        entry["image_id"] = str(entry["image_id"])
    root = export("images", "a.jpg", "b.jpg", **{"via_coco.json": content})
    check(read_coco(root / "images", root / "via_coco.json"))


# --- LabelMe ---


def test_labelme(export):
    def content(name, label, box):
        x0, y0, x1, y1 = box
        return {
            "version": "5.5.0",
            "flags": {},
            "shapes": [
                {
                    "label": label,
                    "points": [[x1, y1], [x0, y0]],
                    "group_id": None,
                    "description": "",
                    "shape_type": "rectangle",
                    "flags": {},
                    "mask": None,
                }
            ],
            "imagePath": name,
            "imageData": "/9j/4AAQ",
            "imageHeight": HEIGHT,
            "imageWidth": WIDTH,
        }

    files = {
        "set/a.json": content("a.jpg", "cat", CAT),
        "set/b.json": content("b.jpg", "bird", BIRD),
    }
    root = export("set", "a.jpg", "b.jpg", **files)
    check(read_labelme(root / "set", root / "set"))


# --- Ultralytics, predictions ---


def test_ultralytics_predictions(export):
    """`save_txt` with `save_conf`: a confidence after each box."""
    files = {
        "labels/a.txt": yolo(0, CAT).strip() + " 0.91\n",
        "labels/b.txt": yolo(1, BIRD).strip() + " 0.4\n",
    }
    root = export("images", "a.jpg", "b.jpg", **files)
    dataset = read_yolo(root / "images", root / "labels", ["cat", "bird"])
    check(dataset, notes=["confidence left out"])


# --- the table of the docs ---


def test_every_row_of_the_docs_names_a_test():
    here = Path(__file__)
    docs = (here.parents[2] / "docs" / "label_tools.md").read_text()
    rows = [line for line in docs.splitlines() if "| `read_" in line]
    named = {re.search(r"`(test_\w+)` \|$", row).group(1) for row in rows}
    code = here.read_text() + here.with_name("test_csv.py").read_text()
    assert len(rows) > 20 and named <= set(re.findall(r"def (test_\w+)\(", code))
    ours = set(re.findall(r"^def (test_\w+)\(export", here.read_text(), re.M))
    assert ours <= named
