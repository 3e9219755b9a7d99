"""Hard negatives: squares of the images that show nothing of the object."""

import json

import numpy as np
import pytest
from PIL import Image
from rescaled import write_rescaled

from keras_localize.datasets import (
    LocalizationDataset,
    make_synthetic,
    read_coco,
    read_csv,
    read_voc,
    with_hard_negatives,
)
from keras_localize.images import Region, letterbox, load


def painted(count=12, seed=0, in_memory=True, folder=None):
    """Red objects on a ramp, so that every pixel says where it was."""
    rng = np.random.default_rng(seed)
    images, boxes = [], []
    for _ in range(count):
        height, width = rng.integers(80, 200, 2)
        low = rng.uniform(0, 0.6, 2)
        box = np.concatenate([low, low + rng.uniform(0.1, 0.4, 2)])
        image = np.zeros((height, width, 3), "uint8")
        image[..., 1] = np.arange(width) % 200
        image[..., 2] = np.arange(height)[:, None] % 200
        x0, y0, x1, y1 = (box * [width, height, width, height]).round().astype(int)
        image[y0:y1, x0:x1, 0] = 255
        images.append(image)
        boxes.append(np.array([x0 / width, y0 / height, x1 / width, y1 / height]))
    if folder is not None:
        paths = [folder / f"{i}.png" for i in range(count)]
        for path, image in zip(paths, images):
            Image.fromarray(image).save(path)
        images = paths
    return LocalizationDataset(images, boxes, np.arange(count) % 2, ["a", "b"])


def negatives_of(data):
    return data[data.presence == 0]


@pytest.mark.parametrize("seed", range(8))
def test_no_pixel_of_the_object_is_in_a_square(seed, recwarn):
    data = painted(seed=seed)
    both = with_hard_negatives(data, share=1.0, seed=seed)
    made = negatives_of(both)
    assert len(made) >= 6 and len(both) == len(data) + len(made)
    for record in made:
        pixels = load(record.image)
        height, width = pixels.shape[:2]
        assert height == width and record.size == (height, width)
        assert pixels[..., 0].max() == 0  # nothing red
        assert pixels[..., 1].max() > 0  # and not beyond the border
        source = data[int(record.name.split()[0])].image
        x0, y0, x1, y1 = record.image.box
        np.testing.assert_array_equal(pixels, source[y0:y1, x0:x1])
        assert width >= max(0.35 * min(source.shape[:2]) - 1, 32)


def test_the_records_stay_and_the_negatives_hold_no_object():
    data = painted()
    both = with_hard_negatives(data, share=0.25)
    assert both.names[:12] == data.names and len(both) == 15
    np.testing.assert_array_equal(both.boxes[:12], data.boxes)
    made = both[12:]
    assert made.presence.tolist() == [0] * 3 and made.labels.tolist() == [-1] * 3
    assert made.weights.tolist() == [0] * 3 and both.class_names == data.class_names
    assert len(set(both.names)) == 15


def test_a_function_of_the_seed():
    data = painted()
    first, again, other = (
        [x.image.box for x in negatives_of(with_hard_negatives(data, 0.5, seed=s))]
        for s in (3, 3, 4)
    )
    assert first == again != other


def test_batches_of_files(tmp_path):
    data = painted(folder=tmp_path)
    both = with_hard_negatives(data, share=0.5)
    assert sorted(tmp_path.iterdir()) == sorted(map(type(tmp_path), data.images))
    images, targets, weights = both.to_pydataset(32, 64, cache=tmp_path / "cache")[0]
    assert targets["presence"][:, 0].tolist() == [1] * 12 + [0] * 6
    assert weights["box"].tolist() == weights["label"].tolist() == [1] * 12 + [0] * 6
    for square, record in zip(images[12:], both[12:]):
        np.testing.assert_array_equal(square, letterbox(record.image, 32)[0])
        assert square[..., 0].max() == 0
    # Found again in the cache, and told apart from other regions of the same files.
    again = both.to_pydataset(32, 64, cache=tmp_path / "cache")
    np.testing.assert_array_equal(again[0][0], images)
    other = with_hard_negatives(data, share=0.5, seed=1).to_pydataset(32, 64)
    assert other.content_fingerprint() != again.content_fingerprint()
    # A split, a join and records work as for any images.
    rest, share = both.split(0.5)
    assert (rest + share).summary().negatives == 6
    assert both[12].path is None and isinstance(both[12].image, Region)
    with pytest.raises(ValueError, match="Received: Region for"):
        both.save(tmp_path / "both.json")


def test_images_with_several_objects_give_none():
    data = painted(4)
    listed = {"several objects, the largest one taken": [data.names[1]]}
    noted = LocalizationDataset(
        data.images, data.boxes, data.labels, data.class_names, handled=listed
    )
    with pytest.warns(UserWarning, match="Only . of 4 negatives") as caught:
        both = with_hard_negatives(noted, share=1.0)
    assert caught[0].filename == __file__
    assert f"{data.names[1]} beside" not in both.names


def test_no_room_is_an_error():
    whole = LocalizationDataset(
        [np.zeros((90, 90, 3), "uint8")], [[0.1, 0.1, 0.9, 0.9]], [0], ["a"]
    )
    with pytest.raises(ValueError, match="a square beside the object has room"):
        with_hard_negatives(whole)
    for share in (0, -1, 1.5):
        with pytest.raises(ValueError, match="`share`"):
            with_hard_negatives(make_synthetic(3), share=share)


@pytest.mark.parametrize("other", [{"iscrowd": 1}, {"ignore": 1}])
def test_no_square_is_cut_where_annotations_name_more(tmp_path, other):
    """A crowd is no object of its own, and its pixels show objects all the same."""
    pixels = np.zeros((400, 400, 3), "uint8")
    pixels[150:250, 20:80] = (255, 0, 0)
    pixels[:, 150:] = (0, 255, 0)
    Image.fromarray(pixels).save(tmp_path / "0.png")
    Image.fromarray(pixels[:, :150]).save(tmp_path / "1.png")
    box = {"category_id": 1, "bbox": [20, 150, 60, 100]}
    content = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(2)],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {"image_id": 0, **box},
            {"image_id": 0, **box, "bbox": [150, 0, 250, 400], **other},
            {"image_id": 1, **box},
        ],
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    data = read_coco(tmp_path, tmp_path / "coco.json")
    assert len(data) == 2
    with pytest.warns(UserWarning, match="1 of 2"):
        made = negatives_of(with_hard_negatives(data, 1.0))
    assert [record.name for record in made] == ["1.png beside"]


def test_no_square_is_cut_beside_an_object_without_a_box(tmp_path):
    Image.new("RGB", (400, 400)).save(tmp_path / "0.png")
    sides = {"xmin": 20, "ymin": 150, "xmax": 80, "ymax": 250}
    box = "".join(f"<{name}>{value}</{name}>" for name, value in sides.items())
    parts = f"<bndbox>{box}</bndbox>", ""
    objects = "".join(f"<object><name>a</name>{x}</object>" for x in parts)
    (tmp_path / "0.xml").write_text(
        f"<annotation><filename>0.png</filename>{objects}</annotation>"
    )
    data = read_voc(tmp_path, tmp_path)
    assert data.summary().handled == {"other objects without a box": ("0.png",)}
    with pytest.raises(ValueError, match="room"):
        with_hard_negatives(data, 1.0)


def test_squares_are_cut_in_pixels_of_the_file(tmp_path):
    """Not in those that the annotations state."""
    data = read_csv(tmp_path, write_rescaled(tmp_path, count=8), verify=False)
    for record in negatives_of(with_hard_negatives(data, 1.0)):
        assert load(record.image)[..., 0].max() == 0
