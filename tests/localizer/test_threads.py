"""A localizer in a server: many threads, few shapes, bytes in."""

import io
import threading

import keras
import numpy as np
import pytest
from PIL import Image

import keras_localize as kl

THREADS, ROUNDS = 16, 6


def encoded(rng):
    """JPEG bytes of images of several sizes."""
    files = []
    for height, width in ((40, 60), (90, 30), (64, 64), (33, 47), (50, 80)):
        file = io.BytesIO()
        pixels = rng.integers(0, 256, (height, width, 3)).astype("uint8")
        Image.fromarray(pixels).save(file, "JPEG")
        files.append(file.getvalue())
    return files


def fresh():
    """A localizer that has never predicted."""
    backbone = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 8, strides=8)]
    )
    return kl.build_localizer(
        backbone, 3, quality=True, preprocessing=None, dropout=0.5
    )


def flat(answers):
    return [value for x in answers for value in (*x.box, x.score, x.quality)]


@pytest.mark.parametrize("flip_average", [False, True])
def test_many_threads_get_the_answers_of_one(rng, flip_average):
    images = encoded(rng)
    localizer, other = fresh(), fresh()
    other.set_weights(localizer.get_weights())
    options = {"flip_average": flip_average, "verbose": 0}
    expected = [other.localize(images[:n], 4, **options) for n in range(1, 6)]
    wrong, together = [], threading.Barrier(THREADS)

    def client(number):
        together.wait()
        try:
            for count in range(ROUNDS):
                chosen = (number + count) % len(images)
                answers = localizer.localize(images[: chosen + 1], 4, **options)
                np.testing.assert_allclose(
                    flat(answers), flat(expected[chosen]), rtol=1e-4, atol=1e-3
                )
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]


@pytest.mark.parametrize(
    ("batch_size", "shapes"), [(32, {1, 2, 4, 8, 16, 32}), (6, {1, 2, 4, 6})]
)
def test_few_shapes_are_predicted(rng, batch_size, shapes):
    localizer, seen = fresh(), set()

    class Counted:
        """What `localize` needs of a localizer."""

        def __getattr__(self, name):
            return getattr(localizer, name)

        def predict_on_batch(self, batch):
            seen.add(len(batch))
            return localizer.predict_on_batch(batch)

    image = np.zeros((8, 8, 3), "uint8")
    for count in range(1, 41):
        answers = kl.Localizer.localize(Counted(), [image] * count, batch_size)
        assert len(answers) == count
    assert seen == shapes


def test_bytes_of_a_format_that_files_are_refused_in_are_refused():
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "EPS")
    with pytest.raises(kl.images.ImageError, match="not an image"):
        fresh().localize(file.getvalue())
