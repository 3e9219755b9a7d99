"""A localizer behind a small HTTP server: many clients at once.

    KERAS_BACKEND=jax python benchmarks/server.py [--clients 16] [--requests 2000]

The server is `http.server` with a thread for each request; a request is the bytes of a
JPEG of 500 x 375 pixels, its answer a box as JSON. The clients are threads of another
process on the same machine, each with its next request as soon as it has an answer.
The network is MobileNetV2 at 224 px with random weights. One call with one image comes
before the first request, so that nothing is compiled while requests wait.
"""

import argparse
import http.client
import http.server
import io
import json
import multiprocessing
import statistics
import threading
import time

import keras
import numpy as np
from PIL import Image

import keras_localize as kl


def serve(localizer):
    """A server on a free port, in threads of this process."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            status, body = 200, {}
            try:
                [answer] = localizer.localize(content, verbose=0)
                body = {"class": answer.class_name, "box": [*map(float, answer.box)]}
            except kl.images.ImageError as error:
                status, body = 400, {"error": str(error)}
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def ask(port, content, clients, requests, sender):
    """Sends the requests and reports (status, seconds) of each."""
    results, left = [], iter(range(requests))

    def client():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        for _ in left:
            start = time.perf_counter()
            connection.request("POST", "/", content)
            response = connection.getresponse()
            response.read()
            results.append((response.status, time.perf_counter() - start))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sender.send((time.perf_counter() - start, results))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args()
    backbone = keras.applications.MobileNetV2(
        (224, 224, 3), include_top=False, weights=None
    )
    localizer = kl.build_localizer(backbone, 37)
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (375, 500, 3)).astype("uint8")
    Image.fromarray(pixels).save(file, "JPEG")
    localizer.localize(file.getvalue())
    server = serve(localizer)
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    arguments = (server.server_port, file.getvalue(), options.clients)
    process = context.Process(
        target=ask, args=(*arguments, options.requests, sender), daemon=True
    )
    process.start()
    seconds, results = receiver.recv()
    process.join()
    server.shutdown()
    times = sorted(1000 * taken for _, taken in results)
    failed = sum(status != 200 for status, _ in results)
    print(
        f"{keras.backend.backend()}: {len(results)} requests of {options.clients} "
        f"clients, {failed} errors, {len(results) / seconds:.0f}/s, "
        f"median {statistics.median(times):.0f} ms, "
        f"99% {times[int(0.99 * len(times))]:.0f} ms, worst {times[-1]:.0f} ms"
    )


if __name__ == "__main__":
    main()
