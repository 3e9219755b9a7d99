"""The server answers real requests as `localize` does, and in batches."""

import json
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def served(localizer):
    """(address, batcher) of a server that runs."""
    import server

    batcher = server.Batcher(localizer)
    config = uvicorn.Config(server.make_app(batcher), port=0, log_level="error")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        thread.join(0.05)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", batcher
    running.should_exit = True
    thread.join()


def post(address, body):
    """(status, answer) of one request."""
    request = urllib.request.Request(f"{address}/localize", body)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_many_at_once_are_answered_in_batches(served, localizer, image_files):
    address, batcher = served
    files = image_files * 8
    expected = localizer.localize(image_files, verbose=0) * 8
    before = batcher.batches
    with ThreadPoolExecutor(len(files)) as pool:
        bodies = [path.read_bytes() for path in files]
        answers = list(pool.map(lambda body: post(address, body), bodies))
    assert batcher.batches - before < len(files)
    for (status, answer), one in zip(answers, expected, strict=True):
        assert status == 200 and set(answer) == set(one._fields)
        assert answer["class_name"] == one.class_name
        np.testing.assert_allclose(answer["box"], one.box, atol=0.01)
        np.testing.assert_allclose(answer["scores"], one.scores, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*could not be read")
def test_bad_images_are_the_clients_fault_and_harm_nobody(served, image_files):
    address, _ = served
    good = image_files[0].read_bytes()
    bodies = [b"", b"no image", good[: len(good) // 3], good, b"\0" * 20_000_001]
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda body: post(address, body), bodies))
    assert [status for status, _ in answers] == [422, 422, 422, 200, 413]
    assert post(address, good) == answers[3]


def test_says_which_classes_it_knows(served, localizer):
    with urllib.request.urlopen(served[0]) as response:
        told = json.load(response)
    assert told["class_names"] == list(localizer.class_names)


def test_an_error_of_the_model_reaches_all_who_wait(localizer, monkeypatch):
    import server

    class Broken:
        def localize(self, *args, **kwargs):
            raise RuntimeError("out of memory")

    futures = [server.Batcher(Broken()).submit(b"") for _ in range(2)]
    for future in futures:
        with pytest.raises(RuntimeError, match="out of memory"):
            future.result(timeout=10)
