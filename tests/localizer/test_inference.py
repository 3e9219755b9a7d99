"""`localize` and `iter_localize`: every kind of input, errors, order, laziness."""

import contextlib
import io
import threading
import time

import keras
import numpy as np
import pytest
from PIL import Image, ImageSequence
from tiny_backbone import tiny_backbone

from keras_localize import (
    Localization,
    LocalizationDataset,
    build_localizer,
    decode_predictions,
)
from keras_localize.images import ImageError

COUNT = 5


@pytest.fixture(scope="module")
def localizer():
    keras.utils.set_random_seed(0)
    return build_localizer(
        tiny_backbone(), 3, class_names=["a", "b", "c"], quality=True
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five images of different sizes, some in a subfolder, in sorted order."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "sub").mkdir()
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        # Large rectangles, so that JPEG or PNG makes no difference to the answer.
        image = np.zeros((60 + 7 * i, 90 - 11 * i, 3), "uint8")
        x, y = rng.integers(0, 30, 2)
        image[y : y + 30, x : x + 25] = rng.integers(100, 255, 3)
        name = f"image_{i}.png" if i < 3 else f"sub/image_{i}.png"
        Image.fromarray(image).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def paths(folder):
    return sorted(folder.rglob("*.png"))


@pytest.fixture(scope="module")
def expected(localizer, paths):
    """One by one."""
    return [localizer.localize(path)[0] for path in paths]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert (one.label, one.class_name) == (other.label, other.class_name)
        np.testing.assert_allclose(one.box, other.box, atol=1e-2)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
        assert one.quality == pytest.approx(other.quality, abs=1e-4)
        assert one.score == max(one.scores)


class Pipe(io.RawIOBase):
    """A stream that can be read once, from its start."""

    def __init__(self, content):
        self.content = content

    def readable(self):
        return True

    def read(self, size=-1):
        content, self.content = self.content, b""
        return content


def arrays(paths):
    return [np.array(Image.open(path)) for path in paths]


def datasets(paths):
    return LocalizationDataset(paths, [[0, 0, 1, 1]] * len(paths), [0] * 5, ["a"])


INPUTS = {
    "folder": lambda paths: paths[0].parent,
    "folder as text": lambda paths: str(paths[0].parent),
    "list of a folder": lambda paths: [paths[0].parent],
    "paths": lambda paths: paths,
    "texts": lambda paths: [str(path) for path in paths],
    "bytes": lambda paths: [path.read_bytes() for path in paths],
    "bytearrays": lambda paths: [bytearray(path.read_bytes()) for path in paths],
    "BytesIO": lambda paths: [io.BytesIO(path.read_bytes()) for path in paths],
    "pipes": lambda paths: [Pipe(path.read_bytes()) for path in paths],
    "PIL": lambda paths: [Image.open(path) for path in paths],
    "arrays": arrays,
    "floats": lambda paths: [image.astype("float32") for image in arrays(paths)],
    "dataset": datasets,
    "list of datasets": lambda paths: [datasets(paths)[:2], datasets(paths)[2:]],
    "nested": lambda paths: [[paths[0], [paths[1]]], (p for p in paths[2:])],
    "generator": lambda paths: (path for path in paths),
    "tuple": tuple,
}


@pytest.mark.parametrize("kind", INPUTS)
def test_every_kind_of_input(kind, localizer, paths, expected):
    assert_same(localizer.localize(INPUTS[kind](paths), batch_size=2), expected)


@pytest.mark.parametrize("kind", ["paths", "bytes", "BytesIO", "pipes", "PIL"])
def test_refined_answers_read_the_image_again(kind, localizer, paths):
    expected = [localizer.localize(path, refine=True)[0] for path in paths]
    found = localizer.localize(INPUTS[kind](paths), batch_size=2, refine=True)
    assert_same(found, expected)
    plain = localizer.localize(paths)
    assert any(one.box != other.box for one, other in zip(found, plain))


@pytest.mark.parametrize("refine", [False, True])
def test_open_files_stay_open_where_they_were(localizer, paths, expected, refine):
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(path, "rb")) for path in paths]
        files[1].read(10)
        found = localizer.localize(files, batch_size=2, refine=refine)
        assert [file.tell() for file in files] == [0, 10, 0, 0, 0]
    if not refine:
        assert_same(found, expected)


def test_one_image_is_a_list_of_one(localizer, paths, expected):
    for image in (paths[2], paths[2].read_bytes(), arrays(paths)[2]):
        assert_same(localizer.localize(image), [expected[2]])


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 100])
def test_any_batch_size_gives_the_same(batch_size, localizer, paths, expected):
    assert_same(localizer.localize(paths, batch_size), expected)


def test_an_array_of_images(localizer, rng):
    images = rng.integers(0, 256, (4, 32, 40, 3)).astype("uint8")
    expected = [localizer.localize(image)[0] for image in images]
    assert_same(localizer.localize(images), expected)


# --- errors ---


@pytest.fixture
def broken(tmp_path, paths):
    """Good and bad images, the positions of the bad ones, and what names them."""
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    cut = tmp_path / "cut.png"
    cut.write_bytes(paths[0].read_bytes()[:60])
    given = [text, paths[0], paths[1], cut, paths[2], tmp_path / "gone.png", paths[3]]
    return given, [0, 3, 5], ["text.jpg", "cut.png", "gone.png"]


def messages(caught):
    """Those of our own kind: the backends warn of other things."""
    return [str(one.message) for one in caught if one.category is UserWarning]


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_skip_loses_nothing_else(localizer, broken, batch_size, refine):
    given, bad, names = broken
    good = [one for i, one in enumerate(given) if i not in bad]
    with pytest.warns(UserWarning, match="3 images could not be read") as caught:
        found = localizer.localize(given, batch_size, on_error="skip", refine=refine)
    (message,) = messages(caught)
    assert all(name in message for name in names)
    assert __file__ in {one.filename for one in caught}
    assert [i for i, one in enumerate(found) if one is None] == bad
    expected = localizer.localize(good, refine=refine)
    assert_same([one for one in found if one is not None], expected)


def test_a_warning_names_a_few_of_many(localizer, tmp_path, paths):
    missing = [tmp_path / f"gone_{i}.png" for i in range(30)]
    with pytest.warns(UserWarning, match=r"30 images.*gone_0.*\.\.\.$") as caught:
        found = localizer.localize([*missing, paths[0]], 4, on_error="skip")
    assert found[:30] == [None] * 30 and found[30] is not None
    (message,) = messages(caught)
    assert len(message) < 2000


def test_raise_names_the_first_bad_image(localizer, broken):
    given, _, _ = broken
    with pytest.raises(ImageError, match=r"text\.jpg"):
        localizer.localize(given)
    with pytest.raises(ImageError, match=r"cut\.png"):
        localizer.localize(given[1:], batch_size=1)


class BrokenPipe(Pipe):
    def read(self, size=-1):
        raise OSError("connection lost")


class TextPipe(Pipe):
    def read(self, size=-1):
        return "image_0.png"


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize(
    ("pipe", "message"), [(BrokenPipe, "connection lost"), (TextPipe, "opened as text")]
)
def test_a_stream_that_cannot_be_read(localizer, paths, refine, pipe, message):
    with pytest.raises(ImageError, match=message):
        localizer.localize([pipe(b"")], refine=refine)
    with pytest.warns(UserWarning, match=f"1 images.*{message}"):
        found = localizer.localize(
            [pipe(b""), paths[0]], on_error="skip", refine=refine
        )
    assert found[0] is None and found[1] is not None


def test_a_file_that_vanishes_before_its_crop_is_read(localizer, paths, tmp_path):
    copies = []
    for i, path in enumerate(paths):
        copies.append(tmp_path / f"copy_{i}.png")
        copies[-1].write_bytes(path.read_bytes())
    predict = localizer.predict_on_batch

    def predict_and_remove(batch):
        copies[1].unlink(missing_ok=True)
        return predict(batch)

    localizer.predict_on_batch = predict_and_remove
    try:
        with pytest.warns(UserWarning, match=r"1 images.*copy_1\.png"):
            found = localizer.localize(copies, refine=True, on_error="skip")
    finally:
        del localizer.predict_on_batch
    expected = localizer.localize(paths, refine=True)
    assert found[1] is None
    assert_same([found[0], *found[2:]], [expected[0], *expected[2:]])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"on_error": "ignore"}, "`on_error` must be one of.*'ignore'"),
        ({"on_error": None}, "on_error=None"),
        ({"presence_threshold": 1.5}, r"`presence_threshold`.*1\.5"),
        ({"presence_threshold": "0.5"}, "`presence_threshold`"),
        ({"flip_average": "yes"}, "`flip_average` must be a bool.*'yes'"),
        ({"refine": 1}, "`refine` must be a bool.*1"),
        ({"verbose": 3}, "`verbose` must be.*3"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 2.5}, r"batch_size=2\.5"),
    ],
)
def test_bad_options(localizer, options, message):
    for method in (localizer.localize, localizer.iter_localize):
        # Before any image is read, even without one.
        with pytest.raises(ValueError, match=message):
            method([], **options)


def test_an_unknown_option(localizer):
    for name in ("second_look", "threshold"):
        with pytest.raises(TypeError, match=f"'{name}'.*flip_average, refine"):
            localizer.localize([], **{name: True})


@pytest.mark.parametrize("images", [3, None, 2.5])
def test_no_images(localizer, images):
    with pytest.raises(ValueError, match="image"):
        localizer.localize(images)


def test_a_folder_without_images(localizer, tmp_path):
    with pytest.raises(ValueError, match="a folder without any"):
        localizer.localize(tmp_path)
    with pytest.raises(ValueError, match="a folder without any"):
        localizer.localize([tmp_path])


def test_unscaled_floats_are_refused_by_name(localizer, rng):
    with pytest.raises(ValueError, match=r"\[0, 255\]"):
        localizer.localize(rng.random((20, 30, 3)).astype("float32"))


# --- iter_localize ---


def test_sources_come_with_their_answers(localizer, folder, paths, expected):
    pairs = list(localizer.iter_localize(folder, batch_size=2))
    assert [source for source, _ in pairs] == paths
    assert_same([answer for _, answer in pairs], expected)
    images = arrays(paths)
    pairs = list(localizer.iter_localize(images, batch_size=2))
    assert all(source is image for (source, _), image in zip(pairs, images))


def test_no_more_is_read_than_a_few_batches(localizer, paths):
    given = 0

    def endless():
        nonlocal given
        while True:
            given += 1
            yield paths[given % COUNT]

    batch_size = 4
    answers = localizer.iter_localize(endless(), batch_size)
    assert given == 0  # nothing before the first answer is asked for
    for taken in range(1, 30):
        source, answer = next(answers)
        assert source == paths[taken % COUNT] and isinstance(answer, Localization)
        assert given <= taken + 3 * batch_size
    answers.close()
    after = given
    time.sleep(0.05)
    assert given == after


def test_answers_keep_their_order_however_long_decoding_takes(localizer, paths):
    """Later images are read sooner, in other threads."""
    threads = set()

    class Slow(io.BytesIO):
        def __init__(self, content, delay):
            super().__init__(content)
            self.delay = delay

        def read(self, size=-1):
            threads.add(threading.current_thread())
            time.sleep(self.delay)
            return super().read(size)

    numbers = [i % COUNT for i in range(12)]
    given = [
        Slow(paths[number].read_bytes(), 0.03 if i % 4 == 0 else 0)
        for i, number in enumerate(numbers)
    ]
    one_by_one = localizer.localize([paths[number] for number in numbers], 1)
    assert_same(localizer.localize(given, batch_size=6), one_by_one)
    assert len(threads) > 1 and threading.current_thread() not in threads


def test_an_error_of_the_iterable_is_not_swallowed(localizer, paths):
    def failing():
        yield paths[0]
        raise RuntimeError("the database is gone")

    with pytest.raises(RuntimeError, match="database"):
        localizer.localize(failing(), on_error="skip")


def test_no_thread_is_left_behind(localizer, paths):
    before = threading.active_count()
    answers = localizer.iter_localize(iter(paths * 10), batch_size=2)
    next(answers)
    answers.close()
    localizer.localize(paths)
    with pytest.raises(ImageError):
        localizer.localize([*paths, b"no image"])
    assert threading.active_count() <= before


def test_silence_unless_asked_for(localizer, paths, capsys):
    localizer.localize(paths, batch_size=2)
    localizer.localize(paths, batch_size=2, verbose=0)
    assert capsys.readouterr().out == ""
    localizer.localize(paths, batch_size=2, verbose=2)
    assert "5/5" in capsys.readouterr().out
    for verbose in (1, 2):
        localizer.localize((path for path in paths), batch_size=2, verbose=verbose)
        out = capsys.readouterr().out
        assert "5/5" in out and out.endswith("\n")


class Sized:
    """An iterable with a length that gives each image once, as `tqdm` does."""

    def __init__(self, images):
        self.images, self.length, self.given = iter(images), len(images), 0

    def __len__(self):
        return self.length

    def __iter__(self):
        for image in self.images:
            self.given += 1
            yield image


def test_an_iterable_with_a_length_is_read_once(localizer, paths, expected):
    assert_same(localizer.localize(Sized(paths)), expected)
    many = Sized(paths * 100)
    answers = localizer.iter_localize(many, batch_size=2)
    next(answers)
    assert many.given <= 8
    answers.close()


def test_one_object_for_all_images(localizer, tmp_path, rng):
    """Frames of an animation, and an array that is filled anew."""
    arrays = list(rng.integers(0, 256, (12, 40, 40, 3)).astype("uint8"))
    path = tmp_path / "a.gif"
    first, *others = map(Image.fromarray, arrays)
    first.save(path, save_all=True, append_images=others)

    def frames():
        with Image.open(path) as image:
            yield from ImageSequence.Iterator(image)

    expected = localizer.localize([np.asarray(f.convert("RGB")) for f in frames()])
    assert len({one.score for one in expected}) > 6
    assert_same(localizer.localize(frames(), batch_size=4), expected)

    def filled_anew():
        buffer = np.zeros((40, 40, 3), "uint8")
        for array in arrays:
            buffer[:] = array
            yield buffer

    assert_same(
        localizer.localize(filled_anew(), batch_size=4), localizer.localize(arrays)
    )

    def pasted():
        image = Image.new("RGB", (40, 40))
        for array in arrays:
            image.paste(Image.fromarray(array))
            yield image

    expected = localizer.localize(list(map(Image.fromarray, arrays)))
    assert_same(localizer.localize(pasted(), batch_size=4), expected)


def encoded(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("refine", [False, True])
def test_one_buffer_for_all_images(localizer, rng, refine):
    """A stream, a bytearray and a tensor that are filled anew, as by a camera."""
    arrays = list(rng.integers(0, 256, (12, 40, 40, 3)).astype("uint8"))

    def stream():
        one = io.BytesIO()
        for array in arrays:
            one.seek(0)
            one.truncate()
            one.write(encoded(array))
            yield one

    def buffer():
        one = bytearray()
        for array in arrays:
            one[:] = encoded(array)
            yield one

    def tensor():
        torch = pytest.importorskip("torch")
        one = torch.zeros((40, 40, 3), dtype=torch.uint8)
        for array in arrays:
            one.copy_(torch.from_numpy(array))
            yield one

    options = {"batch_size": 4, "refine": refine}
    expected = localizer.localize(arrays, **options)
    assert len({one.score for one in expected}) > 6
    for images in (stream(), buffer(), tensor()):
        assert_same(localizer.localize(images, **options), expected)


@pytest.mark.parametrize("refine", [False, True])
def test_images_that_are_closed_before_the_next(localizer, paths, refine):
    def opened(function, *mode):
        for path in paths * 4:
            with function(path, *mode) as image:
                yield image

    many = localizer.localize(paths * 4, refine=refine)
    for images in (opened(Image.open), opened(open, "rb")):
        assert_same(localizer.localize(images, refine=refine), many)


def test_one_opened_image_many_times(localizer, tmp_path, rng):
    """Several threads decode it."""
    pixels = rng.integers(0, 255, (8, 8, 3)).astype("uint8")
    Image.fromarray(pixels).resize((1500, 1200)).save(tmp_path / "a.jpg")
    [expected] = localizer.localize(np.asarray(Image.open(tmp_path / "a.jpg")))
    with Image.open(tmp_path / "a.jpg") as image:
        assert_same(localizer.localize([image] * 16), [expected] * 16)


def test_a_bad_image_of_an_iterator_is_skipped_like_others(localizer, paths, expected):
    images = [paths[0], io.BytesIO(b"no image"), io.StringIO("text"), paths[1]]
    with pytest.warns(UserWarning, match=r"2 images could not be read.*opened as text"):
        found = localizer.localize(iter(images), on_error="skip")
    assert found[1] is found[2] is None
    assert_same([found[0], found[3]], expected[:2])
    with pytest.raises(ImageError, match="not an image"):
        localizer.localize(iter(images))


# --- decode_predictions ---

OUTPUTS = {
    "box": np.array([[0.0, 0.25, 0.5, 0.75], [0.25, 0.0, 0.75, 1.0]], "float32"),
    "label": np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]], "float32"),
    "quality": np.array([[0.9], [0.4]], "float32"),
    "presence": np.array([[0.3], [0.5]], "float32"),
}
SIZES = [(100, 200), (300, 100)]


def test_decoded_by_hand():
    first, second = decode_predictions(OUTPUTS, SIZES, 64, ["a", "b", "c"])
    assert first.box is None and second.box is not None  # 0.5 is not below 0.5
    assert (first.label, first.class_name) == (1, "b")
    assert first.score == pytest.approx(0.7)
    assert first.scores == pytest.approx((0.1, 0.7, 0.2))
    assert first.quality == pytest.approx(0.9)
    assert first.presence == pytest.approx(0.3)
    assert (second.label, second.class_name) == (0, "a")
    # 300 x 100 lies in the middle third of its square, at 64 pixels 21 wide with 21
    # to the left: x from 16 to 48 covers all of it.
    assert second.box == (0.0, 0.0, 100.0, 300.0)
    (first, _) = decode_predictions(OUTPUTS, SIZES, 64, presence_threshold=0.2)
    # 200 x 100 is 64 x 32 there, 16 from the top.
    assert first.box == pytest.approx((0, 0, 100, 100))
    assert first.class_name is None


def test_decoded_in_parts():
    (one, _) = decode_predictions({"box": OUTPUTS["box"]}, SIZES, 64)
    assert one == Localization(None, None, None, (0.0, 0.0, 100.0, 100.0), None)
    unit = {"box": OUTPUTS["box"][:1], "label": [[0.75]]}
    (one,) = decode_predictions(unit, SIZES[:1], 64, ["no", "yes"])
    assert (one.class_name, one.score, one.scores) == ("yes", 0.75, (0.25, 0.75))
    (one,) = decode_predictions(unit, SIZES[:1], 64, ["only"])
    assert (one.class_name, one.label) == ("only", 0)


def test_decoding_is_what_localize_does(localizer, paths, expected):
    from keras_localize.images import letterbox

    squares, sizes = zip(*(letterbox(path, 32) for path in paths))
    outputs = localizer.predict(np.stack(squares), verbose=0)
    found = decode_predictions(outputs, sizes, 32, localizer.class_names)
    assert_same(found, expected)


def test_what_cannot_be_decoded():
    with pytest.raises(ValueError, match=r'must hold "box".*label'):
        decode_predictions({"label": OUTPUTS["label"]}, SIZES, 64)
    for changes in ({"label": OUTPUTS["label"][:1]}, {"quality": [0.5]}):
        with pytest.raises(ValueError):
            decode_predictions({**OUTPUTS, **changes}, SIZES, 64)


def test_arrays_along_one_axis_are_iterables(localizer, paths, expected):
    """As a column of a data frame, or images of several sizes in one array."""
    texts = np.array([str(path) for path in paths])
    assert_same(localizer.localize(texts), expected)
    pixels = np.empty(2, object)
    pixels[:] = [np.asarray(Image.open(path).convert("RGB")) for path in paths[:2]]
    assert len(localizer.localize(pixels)) == 2
    pandas = pytest.importorskip("pandas")
    assert_same(localizer.localize(pandas.Series(texts)), expected)
    skipped = localizer.localize(texts[:0], on_error="skip")
    assert skipped == []


def test_boxes_that_are_not_finite_are_warned_of(rng):
    localizer = build_localizer(tiny_backbone(), 3, quality=True)
    localizer.set_weights([np.full_like(w, np.nan) for w in localizer.get_weights()])
    image = rng.integers(0, 256, (40, 50, 3)).astype("uint8")
    with pytest.warns(UserWarning, match="not finite") as caught:
        localizer.localize(image)
    ours = [one for one in caught if "not finite" in str(one.message)]
    assert ours[0].filename == __file__
