"""read_csv: which columns hold what, in which unit, in every tool's table."""

import csv
import io
import json
import math
import os
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_localize import boxes
from keras_localize.datasets import AnnotationError, read_csv

HEIGHT, WIDTH = 40, 80
HEAD = "filename,class,xmin,ymin,xmax,ymax\n"
NUMBERED = {"image": 0, "label": 5, "box": (1, 2, 3, 4)}
# Two boxes in pixels, and in fractions of 80 x 40.
PIXELS = [[20, 10, 60, 40], [0, 0, 8, 20]]
FRACTIONS = [[0.25, 0.25, 0.75, 1], [0, 0, 0.1, 0.5]]


class Tables:
    """A folder with the images a.png and b.png, and tables that are read with it."""

    def __init__(self, path):
        self.images = path / "images"
        self.images.mkdir()
        self.file = path / "table.csv"
        for name in ("a.png", "b.png"):
            self.add(name)

    def add(self, name, size=(WIDTH, HEIGHT)):
        path = self.images / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", size).save(path)

    def read(self, text, **options):
        self.file.write_bytes(text.encode())
        return read_csv(self.images, self.file, **options)

    def refuse(self, text, **options):
        with pytest.raises(AnnotationError) as caught:
            self.read(text, **options)
        assert str(self.file) in str(caught.value)
        return caught.value


@pytest.fixture
def tables(tmp_path):
    return Tables(tmp_path)


def rows_of(boxes_, form="{image},{label},{box}"):
    """A row for each box, of the images a.png and b.png in turn."""
    names = (("a.png", "cat"), ("b.png", "bird"))
    return "".join(
        form.format(image=image, label=label, box=",".join(map(str, box))) + "\n"
        for (image, label), box in zip(names, boxes_)
    )


def box_of(dataset, name):
    return dataset[dataset.names.index(name)].box


def check(dataset):
    assert np.allclose(dataset.boxes, FRACTIONS, atol=1e-6)
    assert [record.class_name for record in dataset] == ["cat", "bird"]
    assert dataset.names == ["a.png", "b.png"]


# --- the names of columns ---


@pytest.mark.parametrize(
    ("header", "rows", "options"),
    [
        ("filename,class,xmin,ymin,xmax,ymax", "20,10,60,40|0,0,8,20", {}),
        ("FILE,Label,X_min,Y_min,X_max,Y_max", "20,10,60,40|0,0,8,20", {}),
        ("image,category,x1,y1,x2,y2", ".25,.25,.75,1|0,0,.1,.5", {}),
        ("path,name,x,y,w,h", "20,10,40,30|0,0,8,20", {}),
        ("image_path,class_name,cx,cy,w,h", ".5,.625,.5,.75|.05,.25,.1,.5", {}),
        ("img,Class Name,X,Y,Width,Height", "20,10,40,30|0,0,8,20", {}),
        ("Path,ClassId,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2", "20,10,60,40|0,0,8,20", {}),
        ("#filename,label,left,top,width,height", "20,10,40,30|0,0,8,20", {}),
        (
            "file,label,x_center,y_center,width,height",
            "40,25,40,30|4,10,8,20",
            {},
        ),
        (
            "filename,class,top,left,bottom,right",
            "10,20,40,60|0,0,20,8",
            {
                "columns": {"box": ("top", "left", "bottom", "right")},
                "bounding_box_format": "yxyx",
            },
        ),
        ("filename,class,top,left,bottom,right", "10,20,40,60|0,0,20,8", {}),
        (
            "pic,kind,p,q,r,s",
            "20,10,60,40|0,0,8,20",
            {"columns": {"image": "pic", "label": "kind", "box": ("p", "q", "r", "s")}},
        ),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_headers(tables, header, rows, options, delimiter):
    first, second = rows.split("|")
    text = f"{header}\na.png,cat,{first}\nb.png,bird,{second}\n\n"
    check(tables.read("\ufeff" + text.replace(",", delimiter), **options))


KNOWN = [
    (("xmin", "ymin", "xmax", "ymax"), "xyxy"),
    (("left", "top", "right", "bottom"), "xyxy"),
    (("x1", "y1", "x2", "y2"), "xyxy"),
    (("x", "y", "w", "h"), "xywh"),
    (("x", "y", "width", "height"), "xywh"),
    (("xmin", "ymin", "width", "height"), "xywh"),
    (("bbox_x", "bbox_y", "bbox_width", "bbox_height"), "xywh"),
    (("cx", "cy", "w", "h"), "center_xywh"),
    (("x_center", "y_center", "width", "height"), "center_xywh"),
]


@pytest.mark.parametrize(("names", "layout"), KNOWN)
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 3, 2), (0, 2, 1, 3)])
def test_guessed_and_named_columns_are_one(tables, names, layout, relative, order):
    """In whichever order, named or numbered: the names say which number is which."""
    source = FRACTIONS if relative else PIXELS
    unit = "rel_" * relative
    values = np.asarray(
        boxes.convert(np.array(source, "float64"), f"{unit}xyxy", f"{unit}{layout}")
    )
    shuffled = [names[i] for i in order]
    text = "image,label," + ",".join(shuffled) + "\n"
    text += rows_of(values[:, order].tolist())
    check(tables.read(text))
    check(tables.read(text, bounding_box_format=unit + layout))
    for given_names in (names, shuffled, [name.upper() for name in shuffled]):
        check(tables.read(text, columns={"box": given_names}))
    check(tables.read(text, columns={"box": (2, 3, 4, 5)}))
    check(tables.read(text, columns={"image": 0, "label": 1, "box": (2, 3, 4, 5)}))
    said = {"columns": {"box": names}, "bounding_box_format": unit + layout}
    check(tables.read(text, **said))


def test_columns_that_are_named_leave_the_others_to_be_guessed(tables):
    text = "name,image,x,y,w,h\ncat,a.png,20,10,40,30\nbird,b.png,0,0,8,20\n"
    check(tables.read(text))
    check(tables.read(text, columns={"image": "image"}))
    check(tables.read(text, columns={"label": "name"}))
    check(tables.read(text, columns={"label": 0, "box": ("x", "y", "w", "h")}))
    check(tables.read(text, columns={"image": -5}))
    # `name` is the image's here, so that it is not the class's too.
    text = "name,species,x,y,w,h\na.png,cat,20,10,40,30\nb.png,bird,0,0,8,20\n"
    error = tables.refuse(text, columns={"image": "name"})
    assert error.reason == "no column for the label"
    check(tables.read(text, columns={"image": "name", "label": "species"}))
    # The box's columns are not the image's size.
    header = "file,label,x,y,width,height\n"
    rows = "a.png,cat,20,10,40,30\nb.png,bird,0,0,8,20\n"
    check(tables.read(header + rows))
    check(tables.read(header + rows, columns={"box": ("x", "y", "width", "height")}))
    for columns in (
        {"box": ("x", "y", "w", "w")},
        {"image": "name", "label": "Name"},
        {"image": 0, "label": -6},
    ):
        assert tables.refuse(text, columns=columns).reason == "column named twice"


@pytest.mark.parametrize("size", ["width,height", "image_width,image_height"])
def test_sizes_beside_boxes_with_sides(tables, size):
    """`width height` are the image's size unless the box needs them."""
    stated = f"{WIDTH // 2},{HEIGHT // 2}"  # a reduced copy was annotated
    note = "stated size differs from the image's, same shape"
    for names, values in (
        ("xmin,ymin,xmax,ymax", "10,5,30,20|0,0,4,10"),
        ("x,y,w,h", "10,5,20,15|0,0,4,10"),
        ("bbox_x,bbox_y,bbox_width,bbox_height", "10,5,20,15|0,0,4,10"),
    ):
        first, second = values.split("|")
        text = f"filename,{size},class,{names}\n"
        text += f"a.png,{stated},cat,{first}\nb.png,{stated},bird,{second}\n"
        dataset = tables.read(text)
        check(dataset)
        assert list(dataset.summary().handled) == [note]
    text = "filename,image_width,image_height,class,x,y,width,height\n"
    text += f"a.png,{stated},cat,10,5,20,15\nb.png,{stated},bird,0,0,4,10\n"
    check(tables.read(text))
    error = tables.refuse(text.replace(stated, "40,80"))
    assert error.reason == "size differs from the image's"


def test_size_named_by_hand(tables):
    text = "a.png,cat,10,5,30,20,20,40\nb.png,bird,0,0,4,10,20,40\n"
    columns = {"image": 0, "label": 1, "box": (2, 3, 4, 5)}
    check(tables.read(text, columns={**columns, "image_size": (6, 7)}))
    error = tables.refuse(text, columns={**columns, "image_size": (7, 6)})
    assert error.reason == "size differs from the image's"


def test_format_that_contradicts_the_names(tables):
    corners = HEAD + rows_of(PIXELS)
    check(tables.read(corners, bounding_box_format="yxyx"))  # the names say which is x
    for box_format in ("xywh", "rel_center_xywh"):
        error = tables.refuse(corners, bounding_box_format=box_format)
        assert error.reason == "names of the columns contradict the format"
    centers = "file,class,x,y,w,h\n" + rows_of([[40, 25, 40, 30], [4, 10, 8, 20]])
    check(tables.read(centers, bounding_box_format="center_xywh"))
    error = tables.refuse(centers, bounding_box_format="xyxy")
    assert error.reason == "names of the columns contradict the format"
    # The unit is said, and the names still say which number is which.
    said = {"box": ("ymin", "xmin", "ymax", "xmax")}
    for box_format in ("xyxy", "yxyx"):
        check(tables.read(corners, columns=said, bounding_box_format=box_format))
    swapped = {"box": ("y", "x", "h", "w")}
    for box_format in ("center_xywh", "center_yxhw"):
        said = {"columns": swapped, "bounding_box_format": box_format}
        check(tables.read(centers, **said))
    # Where both are said and disagree, the user knows the table.
    said = {"box": ("xmin", "ymin", "xmax", "ymax")}
    text = HEAD + rows_of([[20, 10, 40, 30], [0, 0, 8, 20]])
    check(tables.read(text, columns=said, bounding_box_format="xywh"))
    # Names that nobody knows, but that speak of sides.
    for names in ("px,py,pw,width_px", "a,b,box w,box h", "a,b,BoxWidth,BoxHeight"):
        text = f"file,class,{names}\n" + rows_of([[20, 10, 40, 30], [0, 0, 8, 20]])
        columns = {"box": names.split(",")}
        error = tables.refuse(text, columns=columns)
        assert error.reason == "format of the box unclear"
        check(tables.read(text, columns=columns, bounding_box_format="xywh"))


def test_names_that_occur_twice(tables):
    rows = rows_of(PIXELS, "{image},{label},{box},9")
    for name in ("xmin", "X_Min", "class", "filename"):
        error = tables.refuse(f"filename,class,xmin,ymin,xmax,ymax,{name}\n" + rows)
        assert error.reason == "columns of the same name"
    twice = "note,note,filename,class,xmin,ymin,xmax,ymax\n"
    check(tables.read(twice + rows_of(PIXELS, ",,{image},{label},{box}")))
    by_number = {"image": 2, "label": 3, "box": (4, 5, 6, 7)}
    twice = "xmin,class,filename,class,xmin,ymin,xmax,ymax\n"
    text = twice + rows_of(PIXELS, ",,{image},{label},{box}")
    check(tables.read(text, columns=by_number))


def test_corners_of_a_polygon_are_no_box(tables):
    for numbers in (range(1, 5), range(4), range(3)):
        names = [f"{axis}{number}" for number in numbers for axis in "xy"]
        text = f"image,label,{','.join(names)}\na.png,cat,{','.join('1' * len(names))}"
        assert tables.refuse(text).reason == "no column for the box"


@pytest.mark.parametrize("sizes", [False, True])
@pytest.mark.parametrize("verify", [False, True])
def test_ids_of_classes_get_their_names(sizes, verify, tables):
    """In both readers: of plain tables with sizes, and of all others."""
    head = "filename,class_id,xmin,ymin,xmax,ymax"
    rows = ["a.png,1,20,10,60,40", "b.png,0,0,0,8,20"]
    if sizes:
        head += ",image_width,image_height"
        rows = [f"{row},{WIDTH},{HEIGHT}" for row in rows]
    text = "\n".join([head, *rows])
    names = {0: "cat", 1: "dog", 2: "bird"}
    for form in (text, text.replace(".png,1", ".png,1.0")):
        data = tables.read(form, class_names=names, verify=verify)
        assert data.labels.tolist() == [1, 0]
        assert data.class_names == ("cat", "dog", "bird")
    assert tables.read(text, verify=verify).class_names == ("0", "1")
    # A name that looks like an id stays a name, another column holds names, and so
    # does one with an id too high.
    data = tables.read(text, class_names=["1", "0"], verify=verify)
    assert data.labels.tolist() == [0, 1]
    for wrong in (text.replace("class_id", "class"), text.replace("g,1", "g,3")):
        with pytest.raises(AnnotationError, match="unknown class"):
            tables.read(wrong, class_names=names, verify=verify)


def test_arguments_that_are_no_columns(tables):
    for columns, message in (
        ({"boxes": ("a", "b", "c", "d")}, "`columns` must be one of"),
        ({"box": ("a", "b", "c")}, "4 names or numbers"),
        ({"box": "abcd"}, "4 names or numbers"),
        ({"box": (1, 2, 3, None)}, "4 names or numbers"),
        ({"image": ("a",)}, "a name or a number"),
        ({"image": True}, "a name or a number"),
        ({"image": None}, "a name or a number"),
        ({"label": 1.0}, "a name or a number"),
        ({"image_size": 3}, "2 names or numbers"),
        ("image", "must be a dict"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            tables.read(HEAD + rows_of(PIXELS), columns=columns)
        assert "`columns" in str(caught.value)
    text = rows_of(PIXELS, "{image},{box},{label}")
    for number in (6, -7):
        error = tables.refuse(text, columns={**NUMBERED, "label": number})
        assert error.reason == "no such column" and str(number) in str(error)
    error = tables.refuse(HEAD + rows_of(PIXELS), columns={"image": "pic"})
    assert error.reason == "no column for the image" and "pic" in str(error)


# --- tables without a header ---


def test_without_a_header(tables):
    text = rows_of(PIXELS, "{image},{box},{label}")
    check(tables.read(text, columns=NUMBERED))
    check(tables.read(text, columns={**NUMBERED, "label": -1}))
    check(tables.read(text, columns={**NUMBERED, "image": np.int64(-6)}))
    check(tables.read(text, columns=NUMBERED, bounding_box_format="xyxy"))
    # With a header, numbers may be used all the same.
    header = "image,x1,y1,x2,y2,kind\n"
    check(tables.read(header + text, columns=NUMBERED))
    # Numbers for some columns only: the header names the others.
    header = "image,x1,y1,x2,y2,label\n"
    check(tables.read(header + text, columns={"label": 5}))
    check(tables.read(header + text, columns={"image": "image", "box": (1, 2, 3, 4)}))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bounding_box_format": "xyxy"},
        {"columns": {"box": (1, 2, 3, 4)}},
        {"columns": {"image": "filename", "label": 5, "box": (1, 2, 3, 4)}},
    ],
)
def test_a_missing_header_is_told(tables, options):
    for text in (
        rows_of(PIXELS, "{image},{box},{label}"),
        "a.png,,,,,\n" + rows_of(PIXELS, "{image},{box},{label}"),
    ):
        error = tables.refuse(text, **options)
        assert error.reason == "no header" and "a.png" in str(error)
        assert '`columns={"image": 0, "label": 5, "box": (1, 2, 3, 4)}`' in str(error)


def test_a_first_row_of_words_is_a_header_only_where_it_names_no_image(tables):
    text = "a.png,left,top,right,bottom,cat\n" + rows_of(
        PIXELS, "{image},{box},{label}"
    )
    error = tables.refuse(text, columns=NUMBERED)
    assert error.reason == "not a number" and "line 1: column 1" in str(error)


# --- units ---


@pytest.mark.parametrize(
    "odd",
    [
        "0.2,0.2,1.0004,0.8",
        "0.2,0.2,1.000001,0.8",
        "-0.001,0.2,0.9,0.8",
        "0.2,-1e-7,0.9,0.8",
        "0.2,0.2,1.3,0.8",
        "-0.25,0.2,0.9,1.25",
        "0,0,1,1",
        "0,0,1,2",
        "0.5,0.2,2,0.8",
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_numbers_beyond_the_border_keep_the_unit(tables, odd, first):
    rows = ["a.png,cat,0.25,0.25,0.75,1\n", f"b.png,bird,{odd}\n"]
    dataset = tables.read(HEAD + "".join(rows[:: 1 if first else -1]))
    assert np.allclose(box_of(dataset, "a.png"), FRACTIONS[0], atol=1e-6)
    expected = np.clip([float(number) for number in odd.split(",")], 0, 1)
    assert np.allclose(box_of(dataset, "b.png"), expected, atol=1e-6)
    values = [float(number) for number in odd.split(",")]
    clipped = min(values) < -1e-6 or max(values) > 1 + 1e-6
    assert ("box clipped to the image" in dataset.summary().handled) == clipped
    if clipped:
        with pytest.raises(AnnotationError, match="reaches over the border"):
            tables.read(HEAD + "".join(rows), outside="error")


@pytest.mark.parametrize("large", ["0.2,0.2,12,0.8", "-3,0.2,0.9,0.8", "0,0,8,20"])
def test_boxes_of_both_units(tables, large):
    """Neither the many nor the one decide: the user does."""
    small = "a.png,cat,0.25,0.25,0.75,1\n"
    for text in (
        HEAD + small + f"b.png,bird,{large}\n",
        HEAD + f"b.png,bird,{large}\n" + small * 20,
    ):
        for options in ({}, {"on_error": "skip"}):
            error = tables.refuse(text, **options)
            assert error.reason == "boxes in pixels and in fractions"
            for part in ("bounding_box_format=", "line 2", "line 3", "0.25"):
                assert part in str(error)
        relative = {"bounding_box_format": "rel_xyxy"}
        error = tables.refuse(text, **relative)
        assert error.reason == "box not in fractions" and "line" in str(error)
        dataset = tables.read(text, **relative, on_error="skip")
        assert dataset.names == ["a.png"]
        assert np.allclose(dataset.boxes, FRACTIONS[:1], atol=1e-6)
        assert dataset.summary().skipped == {"box not in fractions": ("b.png",)}


def test_small_boxes_in_pixels(tables):
    """Whole numbers in the corner fit both units; the rest of the table decides."""
    tiny = "a.png,cat,0,0,2,2\n"
    dataset = tables.read(HEAD + tiny + "b.png,bird,0,0,8,20\n")
    assert np.allclose(dataset.boxes, [[0, 0, 0.025, 0.05], FRACTIONS[1]], atol=1e-6)
    for text in (tiny, "a.png,cat,1,0,2,1\n"):
        error = tables.refuse(HEAD + text)
        assert error.reason == "unit of the boxes unclear"
        assert "line 2" in str(error) and 'bounding_box_format="xyxy"' in str(error)
        tables.read(HEAD + text, bounding_box_format="xyxy")
    dataset = tables.read(HEAD + "a.png,cat,0,0,1,1\n")
    assert dataset.boxes.tolist() == [[0, 0, 1, 1]]


def test_boxes_without_an_area_do_not_decide(tables):
    for empty in ("0,0,0,0", "0.5,0.5,0.5,0.5", "0.9,0.1,0.2,0.4", "nan,0,1,1", ",,,"):
        text = HEAD + "b.png,bird,20,10,60,40\n" + f"a.png,cat,{empty}\n"
        dataset = tables.read(text, on_error="skip")
        assert np.allclose(dataset.boxes, FRACTIONS[:1], atol=1e-6)
        assert sum(map(len, dataset.summary().skipped.values())) == 1
    for empty in ("9,9,9,9", "60,10,20,40", "0,0,0,0"):
        text = HEAD + "b.png,bird,.25,.25,.75,1\n" + f"a.png,cat,{empty}\n"
        dataset = tables.read(text, on_error="skip")
        assert np.allclose(dataset.boxes, FRACTIONS[:1], atol=1e-6)


def test_without_a_header_pixels_are_promised(tables):
    text = rows_of(FRACTIONS, "{image},{box},{label}")
    for options in ({}, {"on_error": "skip"}):
        error = tables.refuse(text, columns=NUMBERED, **options)
        assert error.reason == "fractions where pixels are expected"
        assert 'bounding_box_format="rel_xyxy"' in str(error)
    said = {"bounding_box_format": "xyxy"}
    for table, options in (
        (text, {"columns": NUMBERED, **said}),
        (HEAD + rows_of(FRACTIONS), said),
    ):
        error = tables.refuse(table, **options)
        assert error.reason == "box within one pixel" and "line" in str(error)
    relative = {"columns": NUMBERED, "bounding_box_format": "rel_xyxy"}
    # Among boxes in pixels it is a record that is wrong, as nothing is guessed.
    mixed = text.splitlines()[0] + "\nb.png,0,0,8,20,bird\n"
    assert tables.refuse(mixed, columns=NUMBERED).reason == "box within one pixel"
    dataset = tables.read(mixed, columns=NUMBERED, on_error="skip")
    assert dataset.summary().skipped == {"box within one pixel": ("a.png",)}
    check(tables.read(text, **relative))
    overflow = "a.png,0.2,0.2,1.0004,0.8,cat\n"
    assert tables.refuse(overflow, columns=NUMBERED).reason.startswith("fractions")
    assert np.allclose(tables.read(overflow, **relative).boxes, [[0.2, 0.2, 1, 0.8]])


# --- how a table is written ---


def test_line_ends_quotes_and_empty_lines(tables):
    plain = HEAD + rows_of(PIXELS)
    quoted = "".join(
        ",".join(f'"{cell}"' for cell in line.split(",")) + "\n"
        for line in plain.splitlines()
    )
    for text in (
        plain.replace("\n", "\r\n"),
        plain.replace("\n", "\r"),
        plain.replace("\n", "\n\n , ,\n"),
        "\n\n" + plain,
        plain.replace("\n", ",\n"),
        plain.replace("\n", ",,,\r\n"),
        plain.replace(",", " , "),
        plain.replace(",", ", "),
        quoted,
        "\ufeff" + quoted,
        plain.replace(HEAD, HEAD[:-1] + ",note\n"),
        "sep=,\n" + plain,
        "sep=;\r\n" + plain.replace(",", ";"),
        "sep=|\n" + plain.replace(",", "|"),
    ):
        check(tables.read(text))
    # The names hold what separates cells elsewhere.
    for name in ("a,b.png", "a;b.png", 'a "b".png', "ü 猫.png"):
        tables.add(name)
        cell = '"' + name.replace('"', '""') + '"'
        for separator in ",;\t":
            text = (HEAD + "@,cat,0,0,8,20\n").replace(",", separator)
            assert tables.read(text.replace("@", cell)).names == [name]


def test_errors_count_lines(tables):
    for text, line in (
        (HEAD + "a.png,cat,1,2,x,4\n", 2),
        ("\n\n" + HEAD + "\na.png,cat,1,2,x,4\n", 5),
        ("sep=,\n" + HEAD + "a.png,cat,1,2,x,4\n", 3),
        ((HEAD + "a.png,cat,1,2,x,4\n").replace("\n", "\r\n"), 2),
    ):
        assert f"line {line}: xmax: not a number" in str(tables.refuse(text))


@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize("header", [True, False])
def test_decimal_commas(tables, separator, header):
    head = HEAD.replace(",", separator) * header
    options = {"columns": {"image": 0, "label": 1, "box": (2, 3, 4, 5)}}
    rows = "a.png|cat|20,0|10,00|60|4e1\nb.png|bird|0|-0,0|8,0|20,000\n"
    text = head + rows.replace("|", separator)
    check(tables.read(text, **options))
    if header:
        check(tables.read(text))
        rows = "a.png|cat|0,25|,25|0,75|1\nb.png|bird|0|0|0,1|0,5\n"
        check(tables.read(head + rows.replace("|", separator)))
        rows = "a.png|cat|0,25|,25|0,75|1,0004\nb.png|bird|0|0|0,1|0,5\n"
        check(tables.read(head + rows.replace("|", separator)))
    # 1.234 is a number of thousands where commas are decimal.
    error = tables.refuse(text.replace("60", "60.000"), **options)
    assert error.reason == "decimal point among decimal commas"
    assert "60.000" in str(error)


def test_decimal_commas_between_commas(tables):
    error = tables.refuse(HEAD + 'a.png,cat,"20,5","10,0","60,5","40,0"\n')
    assert error.reason == "decimal comma in a table separated by commas"
    assert "line 2: xmin" in str(error) and "'20,5'" in str(error)
    error = tables.refuse(HEAD + "a.png,cat,10,0,20,5,60,5,40,0\n")
    assert error.reason == "more cells than columns" and "comma" in str(error)


def test_tables_that_are_wrong(tables):
    for text, message in (
        ("", "empty table"),
        ("\n,,\n", "empty table"),
        (HEAD, "empty table"),
        ("a,b\n1,2\n", "no column for the box"),
        ("filename,xmin,ymin,xmax,ymax\na.png,0,0,1,1\n", "no column for the label"),
        ("class,xmin,ymin,xmax,ymax\ncat,0,0,1,1\n", "no column for the image"),
        (HEAD + "a.png,cat,1,2,x,4\n", r"line 2: xmax: not a number.*'x'"),
        (HEAD + "a.png,cat,1,,3,4\n", "line 2: ymin: not a number"),
        (HEAD + "a.png,,1,2,3,4\n", "line 2: class: missing label"),
        (HEAD + ",cat,1,2,3,4\n", "line 2: filename: missing file name"),
        (HEAD + "a.png\n", "missing label"),
        (HEAD + "a.png,cat,9,2,3,4\n", "inverted box"),
        (HEAD + "a.png,cat,9,2,3,4,5,6\n", "line 2: more cells than columns"),
        (HEAD + 'a.png,"cat,1,2,3,4\nb.png,cat,1,2,3,4\n', "not CSV"),
        (HEAD + "missing.png,cat,1,2,3,4\n", "line 2.*missing image"),
        (HEAD + f"{'x' * 200_000},cat,1,2,3,4\n", "not CSV"),
        ("x" * 200_000, "not CSV"),
    ):
        error = tables.refuse(text)
        assert re.search(message, str(error)), str(error)
    tables.file.write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(AnnotationError, match="not UTF-8"):
        read_csv(tables.images, tables.file)
    with pytest.raises(ValueError, match="bounding_box_format"):
        tables.read(HEAD, bounding_box_format="xxyy")


def test_one_bad_row_costs_one_record(tables):
    text = HEAD + rows_of(PIXELS)
    for bad in ("c.png,cat,1,2,3,4", "c.png,,1,2,3,4", ",cat,1,2,3,4", "c.png,x,1,2"):
        dataset = tables.read(text + bad + "\n", on_error="skip")
        check(dataset)
        assert dataset.summary().found == 3
        assert sum(map(len, dataset.summary().skipped.values())) == 1
    dataset = tables.read(text + ",cat,1,2,3,4\n,bird,1,2,3,4\n", on_error="skip")
    assert dataset.summary().skipped == {"missing file name": ("line 4", "line 5")}


def test_one_name_for_one_image(tables):
    tables.add("deep/ü 猫.png")
    text = (
        "filename,class,xmin,ymin,xmax,ymax\r\n"
        "deep\\ü 猫.png,cat,0,0,8,8\r\n ./deep/ü 猫.png ,cat,20,10,60,40\r\n"
    )
    dataset = tables.read(text)
    assert dataset.names == ["deep/ü 猫.png"]
    assert np.allclose(dataset.boxes, FRACTIONS[:1], atol=1e-7)
    assert len(dataset.summary().handled) == 1


def test_several_rows_of_one_image(tables):
    text = HEAD + "a.png,bird,0,0,8,20\nb.png,bird,0,0,8,20\na.png,cat,20,10,60,40\n"
    check(tables.read(text))
    first = tables.read(text, multiple="first")
    assert np.allclose(box_of(first, "a.png"), FRACTIONS[1], atol=1e-7)


@pytest.mark.parametrize("size", [True, False])
@pytest.mark.parametrize("verify", [True, False])
def test_a_table_of_one_class_needs_no_column_for_it(tables, size, verify):
    start = "image,width,height,xmin" if size else "image,xmin"
    form = f"{{image}},{WIDTH},{HEIGHT},{{box}}" if size else "{image},{box}"
    text = f"{start},ymin,xmax,ymax\n" + rows_of(PIXELS, form)
    options = {"columns": {"label": None}, "class_names": ["car"]}
    dataset = tables.read(text, **options, verify=verify)
    assert np.allclose(dataset.boxes, FRACTIONS, atol=1e-6)
    assert [record.class_name for record in dataset] == ["car", "car"]
    # It must be asked for: the class may stand in a column of another name.
    error = tables.refuse(text, class_names=["car"])
    assert 'columns={"label": None}` and `class_names`' in str(error)
    for class_names in (None, ["car", "van"]):
        error = tables.refuse(text, columns={"label": None}, class_names=class_names)
        assert "`class_names`: no column for the label" in str(error)
    # By numbers, and a row without a box.
    columns = {"image": 0, "box": (-4, -3, -2, -1), "label": None}
    text = rows_of(PIXELS, form)
    dataset = tables.read(text, class_names=["car"], columns=columns)
    assert np.allclose(dataset.boxes, FRACTIONS, atol=1e-6)
    dataset = tables.read(
        text.replace("0,0,8,20", ",,,"),
        class_names=["car"],
        columns=columns,
        without_box="negative",
    )
    assert dataset.presence.tolist() == [1, 0]


def test_via_regions_of_one_class_need_no_attribute(tables):
    shape = '"{""name"":""rect"",""x"":20,""y"":10,""width"":40,""height"":30}"'
    text = (
        "filename,file_size,file_attributes,region_count,region_id,"
        f'region_shape_attributes,region_attributes\na.png,1,"{{}}",1,0,{shape},"{{}}"\n'
    )
    dataset = tables.read(text, class_names=["car"], columns={"label": None})
    assert np.allclose(dataset.boxes, FRACTIONS[:1], atol=1e-6)
    assert dataset[0].class_name == "car"
    assert "missing label" in str(tables.refuse(text, class_names=["car"]))


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("sides", ["bw,bh", "bbox_width,bbox_height", "x2,y2"])
def test_sides_of_the_image_are_not_those_of_the_box(tables, sides, verify):
    rows = (
        f"a.png,{WIDTH},{HEIGHT},20,10,40,30,cat\nb.png,{WIDTH},{HEIGHT},0,0,8,20,cat"
    )
    text = f"image,width,height,x,y,{sides},class\n{rows}"
    error = tables.refuse(text, verify=verify)
    assert "sides of the box or of the image" in str(error)
    box = ("x", "y", *sides.split(","))
    dataset = tables.read(
        text,
        columns={"box": box},
        bounding_box_format="xyxy" if sides == "x2,y2" else "xywh",
        verify=verify,
    )
    right = 0.5 if sides == "x2,y2" else 0.75
    bottom = 0.75 if sides == "x2,y2" else 1
    assert np.allclose(dataset.boxes[0], [0.25, 0.25, right, bottom], atol=1e-6)
    # Boxes that do reach to the border are no error if the columns are named.
    text = "image,class,x,y,width,height\na.png,cat,40,10,45,40\n"
    assert "sides of the box or" in str(tables.refuse(text, verify=verify))
    columns = {"box": ("x", "y", "width", "height")}
    dataset = tables.read(text, columns=columns, verify=verify)
    assert np.allclose(dataset.boxes, [[0.5, 0.25, 1, 1]])


@pytest.mark.parametrize("verify", [True, False])
def test_width_and_height_that_are_not_the_images(tables, verify):
    """They may be the box's own, beside its corners."""
    rows = "a.png,20,10,60,40,40,30,cat\nb.png,0,0,8,20,8,20,bird"
    text = f"image,xmin,ymin,xmax,ymax,width,height,class\n{rows}"
    error = tables.refuse(text, verify=verify)
    reason = "size differs" if verify else "sides of the box or of the"
    assert error.reason.startswith(reason) and "image_size" in str(error)
    check(tables.read(text, columns={"image_size": None}, verify=verify))


def test_a_size_that_was_compared_with_the_image_is_clear(tables):
    """Here one object reaches over the lower right corner."""
    row = f"a.png,{WIDTH},{HEIGHT},cat,50,20,82,41"
    dataset = tables.read(f"filename,width,height,class,xmin,ymin,xmax,ymax\n{row}")
    assert np.allclose(dataset.boxes, [[50 / 80, 0.5, 1, 1]])


def test_another_separator_is_told(tables):
    error = tables.refuse("a.png 20 10 60 40 cat\n", columns=NUMBERED)
    assert "separated by commas, semicolons or tabs" in str(error)


def test_images_without_an_object(tables):
    """A row with neither class nor box, as RetinaNet's tables have them."""
    rows = rows_of(PIXELS, "{image},{box},{label}") + "c.png,,,,,\n"
    tables.add("c.png")
    dataset = tables.read(rows, columns=NUMBERED)
    check(dataset)
    assert dataset.summary().skipped == {"without a box": ("c.png",)}
    check(tables.read(rows, columns=NUMBERED, without_box="keep"))
    for text, options in (
        (rows, {"columns": NUMBERED}),
        (HEAD + rows_of(PIXELS) + "c.png,,,,,\n", {}),
        (HEAD[:-1] + ",\n" + rows_of(PIXELS) + "c.png,,,,,,,\n", {}),
        (HEAD[:-1] + ",\n" + rows_of(PIXELS) + "c.png,,,,,\n", {}),
    ):
        dataset = tables.read(text, without_box="negative", **options)
        assert np.allclose(dataset.boxes[:2], FRACTIONS, atol=1e-6)
        assert dataset.presence.tolist() == [1, 1, 0]
        assert dataset.labels.tolist() == [1, 0, -1]
        assert dataset.weights.tolist() == [1, 1, 0]
    # A class without a box says that there is an object.
    labelled = rows.replace("c.png,,,,,", "c.png,,,,,cat")
    dataset = tables.read(labelled, columns=NUMBERED, without_box="negative")
    assert dataset.summary().skipped == {"without a box": ("c.png",)}
    dataset = tables.read(labelled, columns=NUMBERED, without_box="keep")
    assert dataset.weights.tolist() == [1, 1, 0] and dataset.labels[2] == 1
    assert tables.refuse(rows, columns=NUMBERED, without_box="error")
    # Beside the rows of objects such a row says nothing.
    check(tables.read(rows + "a.png,,,,,\n", columns=NUMBERED))


def test_digits_are_class_names(tables):
    text = HEAD + "a.png,10,20,10,60,40\nb.png,2,0,0,8,20\n"
    dataset = tables.read(text)
    assert [record.class_name for record in dataset] == ["10", "2"]
    assert dataset.class_names == ("2", "10")


# --- tables of tools ---


def via(rows, head="filename"):
    """A table as VGG Image Annotator writes it."""
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_MINIMAL)
    writer.writerow(
        f"{head},file_size,file_attributes,region_count,region_id,"
        "region_shape_attributes,region_attributes".split(",")
    )
    for name, number, shape, attributes in rows:
        count = int(bool(shape))
        cells = (json.dumps(shape), json.dumps(attributes))
        writer.writerow([name, 1234, "{}", count, number, *cells])
    return stream.getvalue()


RECTANGLE = {"name": "rect", "x": 20, "y": 10, "width": 40, "height": 30}
OTHER = {"name": "rect", "x": 0, "y": 0, "width": 8, "height": 20}


@pytest.mark.parametrize(
    "shape",
    [
        RECTANGLE,
        {
            "name": "polygon",
            "all_points_x": [20, 60, 33],
            "all_points_y": [40, 20, 10],
        },
        {
            "name": "polyline",
            "all_points_x": [20, 60],
            "all_points_y": [40, 10],
        },
        {"name": "ellipse", "cx": 40, "cy": 25, "rx": 20, "ry": 15},
        {"name": "ellipse", "cx": 40, "cy": 25, "rx": 20, "ry": 15, "theta": 0},
        {
            "name": "ellipse",
            "cx": 40,
            "cy": 25,
            "rx": 15,
            "ry": 20,
            "theta": math.pi / 2,
        },
    ],
)
@pytest.mark.parametrize("head", ["filename", "#filename"])
def test_via_shapes(tables, shape, head):
    rows = [
        ("a.png", 0, shape, {"class": "cat"}),
        ("b.png", 0, OTHER, {"class": "bird"}),
    ]
    dataset = tables.read(via(rows, head))
    check(dataset)
    around = [] if shape is RECTANGLE else [("a.png",)]
    assert list(dataset.summary().handled.values()) == around


def test_via_circles_and_turned_ellipses(tables):
    circle = {"name": "circle", "cx": 40, "cy": 20, "r": 10}
    dataset = tables.read(via([("a.png", 0, circle, {"label": "cat"})]))
    assert np.allclose(dataset.boxes, [[30 / 80, 10 / 40, 50 / 80, 30 / 40]])
    # The independent truth: points on the ellipse.
    ellipse = {"name": "ellipse", "cx": 40, "cy": 20, "rx": 16, "ry": 7, "theta": 0.6}
    dataset = tables.read(via([("a.png", 0, ellipse, {"label": "cat"})]))
    turn = np.linspace(0, 2 * np.pi, 100_000)
    along, across = 16 * np.cos(turn), 7 * np.sin(turn)
    x = 40 + along * np.cos(0.6) - across * np.sin(0.6)
    y = 20 + along * np.sin(0.6) + across * np.cos(0.6)
    expected = [x.min() / 80, y.min() / 40, x.max() / 80, y.max() / 40]
    assert np.allclose(dataset.boxes, [expected], atol=1e-6)


def test_via_regions_and_attributes(tables):
    tables.add("c.png")
    rows = [
        ("a.png", 0, OTHER, {"class": "bird", "age": "3"}),
        ("a.png", 1, RECTANGLE, {"class": "cat", "age": "4"}),
        ("b.png", 0, OTHER, {"class": "bird"}),
        ("c.png", 0, {}, {}),
    ]
    dataset = tables.read(via(rows))
    check(dataset)
    assert dataset.summary().skipped == {"without a box": ("c.png",)}
    ages = tables.read(via(rows[:2]), columns={"label": "age"})
    assert ages[0].class_name == "4"
    # One choice of several, as the tool's checkboxes write it.
    ticked = {"kind": {"cat": True, "bird": False}}
    dataset = tables.read(via([("a.png", 0, RECTANGLE, ticked)]))
    assert dataset[0].class_name == "cat"
    point = {"name": "point", "cx": 3, "cy": 4}
    text = via([*rows[1:3], ("c.png", 0, point, {"class": "cat"})])
    assert tables.read(text).summary().skipped == {"without a box": ("c.png",)}
    assert tables.read(text, without_box="keep").weights.tolist() == [1, 1, 0]
    dataset = tables.read(via(rows), without_box="negative")
    assert dataset.presence.tolist() == [1, 1, 0] and dataset.labels[2] == -1


@pytest.mark.parametrize(
    ("shape", "attributes", "reason"),
    [
        ({**RECTANGLE, "width": "wide"}, {"class": "cat"}, "not a number"),
        ({**RECTANGLE, "width": True}, {"class": "cat"}, "not a number"),
        ({"name": "rect", "x": 1}, {"class": "cat"}, "not a number"),
        ({"name": "blob"}, {"class": "cat"}, "unknown shape"),
        ({"name": ["rect"]}, {"class": "cat"}, "unknown shape"),
        ({"x": 1}, {"class": "cat"}, "unknown shape"),
        ({"name": "polygon", "all_points_x": [1]}, {"class": "cat"}, "malformed shape"),
        (RECTANGLE, {"class": ""}, "missing label"),
        (RECTANGLE, {"class": {"cat": True, "dog": True}}, "missing label"),
        (RECTANGLE, {"class": None}, "missing label"),
        (RECTANGLE, {}, "missing label"),
        (RECTANGLE, {"size": "s", "age": "3"}, "no attribute for the label"),
        ([1], {"class": "cat"}, "not JSON"),
    ],
)
def test_via_that_is_wrong(tables, shape, attributes, reason):
    error = tables.refuse(via([("a.png", 0, shape, attributes)]))
    assert error.reason == reason
    if "attribute" not in reason:
        assert "line 2: region_" in str(error)


def test_via_takes_no_other_columns(tables):
    text = via([("a.png", 0, RECTANGLE, {"class": "cat"})])
    for options in (
        {"bounding_box_format": "xyxy"},
        {"columns": {"image": "filename"}},
        {"columns": {"box": ("x", "y", "w", "h")}},
    ):
        assert tables.refuse(text, **options).reason == "table of VGG Image Annotator"
    for broken in ("{", "", "[]", "{}}", "nothing"):
        error = tables.refuse(text.replace("""{""class"": ""cat""}""", broken))
        assert error.reason == ("not JSON" if broken else "missing label")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        pytest.param(
            "filename,width,height,class,xmin,ymin,xmax,ymax\n"
            "a.png,80,40,cat,20,10,60,40\nb.png,80,40,bird,0,0,8,20\n",
            {},
            id="Roboflow, TensorFlow Object Detection",
        ),
        pytest.param(
            '"image","xmin","ymin","xmax","ymax","label"\n'
            '"a.png",20.0,10.0,60.0,40.0,"cat"\n"b.png",0.0,0.0,8.0,20.0,"bird"\n',
            {},
            id="VoTT",
        ),
        pytest.param(
            "cat,20,10,40,30,a.png,80,40\nbird,0,0,8,20,b.png,80,40\n",
            {
                "columns": {
                    "label": 0,
                    "box": (1, 2, 3, 4),
                    "image": 5,
                    "image_size": (7, 6),
                },
                "bounding_box_format": "xywh",
            },
            id="makesense",
        ),
        pytest.param(
            "label_name,bbox_x,bbox_y,bbox_width,bbox_height,"
            "image_name,image_width,image_height\n"
            "cat,20,10,40,30,a.png,80,40\nbird,0,0,8,20,b.png,80,40\n",
            {},
            id="makesense with a header",
        ),
        pytest.param(
            "Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId;Path\n"
            "80;40;20;10;60;40;cat;a.png\n80;40;0;0;8;20;bird;b.png\n",
            {},
            id="GTSRB",
        ),
        pytest.param(
            "images/a.png,20,10,60,40,cat\nimages/b.png,0,0,8,20,bird\n",
            {"columns": NUMBERED},
            id="keras-retinanet",
        ),
    ],
)
def test_tables_of_tools(tables, text, options):
    check(tables.read(text, **options))


def test_open_images(tables):
    """Names without suffix, fractions, and xmax before ymin."""
    dataset = tables.read(
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded\n"
        "a,xclick,cat,1,0.25,0.75,0.25,1.0,0\nb,xclick,bird,1,0,0.1,0,0.5,1\n"
    )
    check(dataset)
    assert list(dataset.summary().handled.values()) == [("a.png", "b.png")]


def test_google_automl(tables):
    columns = {"image": 1, "label": 2, "box": (3, 4, 7, 8)}
    text = (
        "TRAIN,gs://bucket/deep/a.png,cat,0.25,0.25,,,0.75,1,,\n"
        "TEST,gs://bucket/deep/b.png,bird,0,0,,,0.1,0.5,,\n"
    )
    dataset = tables.read(text, columns=columns, bounding_box_format="rel_xyxy")
    check(dataset)
    assert list(dataset.summary().handled.values()) == [("a.png", "b.png")]
    assert tables.refuse(text, columns=columns).reason.startswith("fractions where")


@pytest.mark.parametrize("start", ["C:\\data\\", "/home/me/data/", "file:///data/"])
def test_paths_of_another_machine(tables, start):
    text = HEAD + rows_of(PIXELS, start + "{image},{label},{box}")
    dataset = tables.read(text)
    check(dataset)
    assert list(dataset.summary().handled.values()) == [("a.png", "b.png")]
    with pytest.raises(AnnotationError, match=r"leaves its folder|missing image"):
        tables.read(text.replace("a.png", "nowhere.png"))


# --- real tables ---


@pytest.fixture
def caltech(request):
    folder = request.config.rootpath.parent / "shared" / "caltech_three"
    if not folder.is_dir():
        pytest.skip("needs shared/caltech_three")
    return folder


@pytest.mark.parametrize(
    ("name", "rows", "wrong"),
    [("airplane", 633, 1), ("face", 355, 0), ("motorcycle", 650, 0)],
)
def test_the_tables_of_the_caltech_tutorial(caltech, name, rows, wrong):
    """No header, names that repeat in every folder, one box of zero height."""
    table = caltech / "annotations" / f"{name}.csv"
    images = caltech / "images" / name
    options = {"columns": NUMBERED, "verify": False}
    dataset = read_csv(images, table, on_error="skip", **options)
    summary = dataset.summary()
    assert summary.found == rows and len(dataset) == rows - wrong
    expected = {"box of zero size": ("image_0118.jpg",)} if wrong else {}
    assert summary.skipped == expected and summary.handled == {}
    assert dataset.class_names == (name,)
    with open(table, newline="") as file:
        truth = {row[0]: [float(cell) for cell in row[1:5]] for row in csv.reader(file)}
    for record in dataset:
        height, width = record.size
        with Image.open(images / record.name) as image:
            assert image.size == (width, height)
        pixels = record.box * [width, height, width, height]
        assert np.allclose(pixels, truth[record.name], atol=1e-3)
    if wrong:
        with pytest.raises(AnnotationError, match=r"line 89.*zero size") as caught:
            read_csv(images, table, **options)
        assert "airplane.csv" in str(caught.value)
    with pytest.raises(AnnotationError, match="no header"):
        read_csv(images, table)


def test_the_classes_of_the_caltech_tutorial_joined(caltech):
    parts = [
        read_csv(
            caltech / "images" / name,
            caltech / "annotations" / f"{name}.csv",
            columns=NUMBERED,
            on_error="skip",
            verify=False,
        )
        for name in ("airplane", "face", "motorcycle")
    ]
    joined = parts[0] + parts[1] + parts[2]
    assert len(joined) == 1637 and len(set(joined.names)) == 1637
    assert joined.class_names == ("airplane", "face", "motorcycle")
    assert np.bincount(joined.labels).tolist() == [632, 355, 650]


# --- any table ---


@settings(
    max_examples=int(os.environ.get("KERAS_LOCALIZE_FUZZ", 60)),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_what_is_written_is_read(tables, data):
    """Any layout, unit, order of columns, separator and quoting: the same boxes."""
    draw = data.draw
    names, layout = draw(st.sampled_from(KNOWN))
    relative = draw(st.booleans())
    count = draw(st.integers(1, 4))
    sides = np.array([WIDTH, HEIGHT] * 2)
    corners = []
    for _ in range(count):  # of at least 3 pixels: less fits both units
        x, y = draw(st.integers(0, WIDTH - 3)), draw(st.integers(0, HEIGHT - 3))
        width, height = (
            draw(st.integers(3, WIDTH - x)),
            draw(st.integers(3, HEIGHT - y)),
        )
        corners.append([x, y, x + width, y + height])
    truth = np.array(corners, "float64")
    source = truth / sides if relative else truth
    unit = "rel_" * relative
    values = np.asarray(boxes.convert(source, f"{unit}xyxy", unit + layout))
    separator = draw(st.sampled_from(",;\t"))
    decimal_comma = separator != "," and draw(st.booleans())
    columns = ["image", "label", *names]
    order = draw(st.permutations(range(6)))
    header = draw(st.booleans())
    stream = io.StringIO()
    if draw(st.booleans()):
        stream.write("\ufeff")
    writer = csv.writer(
        stream,
        delimiter=separator,
        quoting=draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])),
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
    )
    if header:
        writer.writerow([columns[i] for i in order])
    expected = []
    for number, box in enumerate(values.tolist()):
        name = f"{number}.png"
        if not (tables.images / name).exists():
            tables.add(name)
        expected.append(name)
        numbers = [repr(value) for value in box]
        if decimal_comma:
            numbers = [text.replace(".", ",") for text in numbers]
        row = [name, "cat", *numbers]
        writer.writerow([row[i] for i in order])
    options = {}
    if not header:
        place = {column: index for index, column in enumerate(order)}
        options["columns"] = {
            "image": place[0],
            "label": place[1],
            "box": [place[i] for i in range(2, 6)],
        }
        options["bounding_box_format"] = unit + layout
    dataset = tables.read(stream.getvalue(), **options, verify=False)
    assert dataset.names == expected
    assert np.allclose(dataset.boxes, truth / sides, atol=1e-6)


WORDS = ["-1", "1e999", "nan", '"', ",", ";", "\t", "{", "]", "\0", "..", "/", "\r"]
WORDS += [
    "99999999999999999999",
    "null",
    "1,5",
    "\n",
    "",
    " ",
    "#",
    "sep=;\n",
    "é",
    "_",
]
FUZZED = {
    "header": (HEAD + rows_of(PIXELS), {}),
    "numbers": (rows_of(PIXELS, "{image},{box},{label}"), {"columns": NUMBERED}),
    "semicolons": (
        (HEAD + rows_of(FRACTIONS)).replace(",", ";").replace("0.", "0,"),
        {},
    ),
    "via": (
        via(
            [
                ("a.png", 0, RECTANGLE, {"class": "cat"}),
                (
                    "b.png",
                    0,
                    {"name": "circle", "cx": 9, "cy": 9, "r": 5},
                    {"class": "x"},
                ),
                ("b.png", 1, {}, {}),
            ]
        ),
        {},
    ),
}


@pytest.mark.parametrize("form", FUZZED)
def test_fuzzed_tables_raise_only_annotation_errors(tables, form, rng):
    whole, options = FUZZED[form]
    before = sorted(tables.images.rglob("*"))
    outcomes = {}
    for _ in range(int(os.environ.get("KERAS_LOCALIZE_FUZZ", 250))):
        text = whole
        for _ in range(rng.integers(1, 4)):
            at = rng.integers(len(text) + 1)
            digits = [i for i, letter in enumerate(text) if letter.isdigit()]
            if digits and rng.random() < 0.5:  # keeps most tables well formed
                at = digits[rng.integers(len(digits))]
            cut = at + rng.integers(0, 3)
            text = text[:at] + WORDS[rng.integers(len(WORDS))] + text[cut:]
        try:
            dataset = tables.read(text, **options, verify=False)
            assert ((dataset.boxes >= 0) & (dataset.boxes <= 1)).all()
            reason = "read"
        except AnnotationError as error:
            reason = error.reason
            assert re.search(r"[a-z]", reason)
        outcomes[reason] = outcomes.get(reason, 0) + 1
    assert outcomes["read"] > 0 and len(outcomes) > 4
    assert sorted(tables.images.rglob("*")) == before
