"""A server that answers requests with a localizer.

    pip install -e ".[server]"
    python examples/deploy/server.py localizer.keras --port 8000
    curl --data-binary @cat.jpg http://127.0.0.1:8000/localize

The body of a request is an image file; the answer is JSON. Requests that come while
the model is busy wait, and are answered as one batch.
"""

import argparse
import asyncio
import queue
import threading
from concurrent.futures import Future

import fastapi
import keras
import uvicorn

import keras_localize as kl

MAX_BYTES = 20_000_000


class Batcher:
    """Localizes what waits, a batch at a time, in a thread of its own.

    Args:
        localizer: the `Localizer`.
        batch_size: the most images of a batch.
    """

    def __init__(self, localizer: kl.Localizer, batch_size: int = 32) -> None:
        self.localizer = localizer
        self.batch_size = batch_size
        self.batches = 0
        self._waiting: queue.Queue[tuple[bytes, Future]] = queue.Queue()
        threading.Thread(target=self._work, daemon=True).start()

    def submit(self, image: bytes) -> Future:
        """A future `Localization` of an image file; None for a damaged image."""
        future: Future = Future()
        self._waiting.put((image, future))
        return future

    def _work(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < self.batch_size and not self._waiting.empty():
                batch.append(self._waiting.get())
            # Without those whose client has gone.
            batch = [one for one in batch if one[1].set_running_or_notify_cancel()]
            if not batch:
                continue
            images, futures = zip(*batch)
            self.batches += 1
            try:
                answers = self.localizer.localize(
                    images, self.batch_size, on_error="skip", verbose=0
                )
            except Exception as error:  # those who wait must hear of it
                for future in futures:
                    future.set_exception(error)
            else:
                for future, answer in zip(futures, answers, strict=True):
                    future.set_result(answer)


def make_app(batcher: Batcher) -> fastapi.FastAPI:
    """The server's routes."""
    app = fastapi.FastAPI(title="keras-localize")

    @app.get("/")
    def describe() -> dict:
        return {
            "class_names": batcher.localizer.class_names,
            "keras_localize": kl.__version__,
        }

    @app.post("/localize")
    async def localize(request: fastapi.Request) -> dict:
        image = await read(request)
        try:
            kl.images.inspect(image)
        except kl.images.ImageError as error:
            raise fastapi.HTTPException(422, str(error)) from error
        answer = await asyncio.wrap_future(batcher.submit(image))
        if answer is None:
            raise fastapi.HTTPException(422, "damaged image")
        return answer._asdict()

    return app


async def read(request: fastapi.Request) -> bytes:
    """The body, or status 413 as soon as it is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise fastapi.HTTPException(413, f"more than {MAX_BYTES} bytes")
    return bytes(body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("localizer", help="a .keras file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    args = parser.parse_args()
    batcher = Batcher(keras.saving.load_model(args.localizer))
    uvicorn.run(make_app(batcher), host=args.host, port=args.port)


if __name__ == "__main__":
    main()
