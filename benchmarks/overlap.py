"""Time of the overlap functions, of other libraries' and of a handwritten version.

    KERAS_BACKEND=jax python benchmarks/overlap.py [--sizes 32 1024 4096 65536]

For each n: microseconds per call, forward and with the gradient, eager and compiled.
All functions take turns, so that other work on the machine slows them alike. A time is
the lower quartile, a ratio is the median of the rounds' ratios. torchmetrics (torch)
and KerasCV (TensorFlow) are timed where they are installed. Both compute all n x n
pairs, so they are timed up to n = 1024.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras.utils.bounding_boxes import compute_ciou

from keras_localize import boxes

BACKEND = keras.backend.backend()


def handwritten(xp, stop):
    """GIoU of "xyxy" boxes as the library computes it, in the backend's operations."""

    def giou(a, b):
        x0, y0, x1, y1 = xp.split(a * 2.0**-6)
        u0, v0, u1, v1 = xp.split(b * 2.0**-6)

        def larger(a, b):
            if xp.shares_ties:
                return xp.maximum(a, b)
            return (xp.maximum(a, b) + xp.maximum(b, a)) / 2

        def smaller(a, b):
            return -larger(-a, -b)

        def axis(low1, high1, low2, high2):
            high1, high2 = larger(high1, low1), larger(high2, low2)
            length1, length2 = high1 - low1, high2 - low2
            overlap = smaller(high1, high2) - larger(low1, low2)
            hull = length1 + length2 - overlap
            unit = stop(hull) + 1e-15
            overlap = (overlap + overlap * xp.sign(overlap)) / 2
            return length1 / unit, length2 / unit, overlap / unit, hull / unit, hull

        w1, w2, w, cw, hull_x = axis(x0, x1, u0, u1)
        h1, h2, h, ch, hull_y = axis(y0, y1, v0, v1)
        inside = w * h
        union = w1 * h1 + w2 * h2 - inside
        value = inside / (union + 1e-15)
        value = value - (cw * ch - union) / (cw * ch + 1e-15)
        damping = stop(xp.minimum(xp.minimum(hull_x, hull_y) / (1e-3 * 2.0**-6), 1.0))
        detached = stop(value)
        return xp.squeeze(detached + damping * (value - detached))

    return giou


def candidates():
    kinds = ("iou", "giou", "diou", "ciou")

    def ours(kind):
        # No partial: tf.function would check its keyword on every call.
        return lambda a, b: getattr(boxes, kind)(a, b, "xyxy")

    functions = {f"ours {kind}": ours(kind) for kind in kinds}
    functions["handwritten giou"] = handwritten(*_BACKENDS[BACKEND]()[2:])
    functions["keras ciou"] = lambda a, b: compute_ciou(a, b, "xyxy")
    if BACKEND == "torch":
        try:
            from torchmetrics.functional.detection import (
                generalized_intersection_over_union as pairs,
            )

            functions["torchmetrics giou (n x n)"] = lambda a, b: pairs(
                a, b, aggregate=False
            ).diagonal()
        except ImportError:
            print("torchmetrics is not installed")
    if BACKEND == "tensorflow":
        try:
            from keras_cv.losses import GIoULoss

            loss = GIoULoss("xyxy", reduction="none")
            functions["kerascv giou (n x n)"] = lambda a, b: 1 - loss(a, b)
        except ImportError:
            print("KerasCV is not installed")
    return functions


# --- each backend: eager and compiled runners, and the names of its operations ---


def _tensorflow():
    import tensorflow as tf

    class Ops:
        shares_ties = False
        sign, minimum, maximum = tf.sign, tf.minimum, tf.maximum
        split = staticmethod(lambda x: tf.split(x, 4, axis=-1))
        squeeze = staticmethod(lambda x: tf.squeeze(x, -1))

    def with_gradient(f):
        def run(a, b):
            with tf.GradientTape() as tape:
                tape.watch(b)
                value = f(a, b)
            return tape.gradient(value, b)

        return run

    def compiled(f):
        return tf.function(f, jit_compile=True, autograph=False)

    return compiled, with_gradient, Ops, tf.stop_gradient


def _jax():
    import jax
    import jax.numpy as jnp

    class Ops:
        shares_ties = True
        sign, minimum, maximum = jnp.sign, jnp.minimum, jnp.maximum
        split = staticmethod(lambda x: jnp.split(x, 4, axis=-1))
        squeeze = staticmethod(lambda x: jnp.squeeze(x, -1))

    def with_gradient(f):
        return jax.grad(lambda a, b: f(a, b).sum(), argnums=1)

    return jax.jit, with_gradient, Ops, jax.lax.stop_gradient


def _torch():
    import torch

    # Beyond 8 variants of a function torch stops compiling, without a warning.
    torch._dynamo.config.recompile_limit = 1000

    class Ops:
        shares_ties = True
        sign, maximum = torch.sign, torch.maximum
        minimum = staticmethod(
            lambda a, b: a.clamp(max=b) if isinstance(b, float) else torch.minimum(a, b)
        )
        split = staticmethod(lambda x: x.split(1, dim=-1))
        squeeze = staticmethod(lambda x: x.squeeze(-1))

    def with_gradient(f):
        def run(a, b):
            b = b.detach().requires_grad_()
            return torch.autograd.grad(f(a, b).sum(), b)[0]

        return run

    def compiled(f):
        return torch.compile(f, dynamic=False)

    return compiled, with_gradient, Ops, torch.Tensor.detach


_BACKENDS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}


def finish(x):
    if BACKEND == "jax":
        x.block_until_ready()
    elif BACKEND == "tensorflow":
        x.numpy()


def clock(runs, arguments, seconds):
    """{name: times of its calls in microseconds}; each round calls every function."""
    for run in runs.values():
        for _ in range(3):
            finish(run(*arguments))
    times = {name: [] for name in runs}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, times.values())) < 10:
        for name, run in runs.items():
            start = time.perf_counter()
            finish(run(*arguments))
            times[name].append(time.perf_counter() - start)
    return {name: 1e6 * np.array(t) for name, t in times.items()}


def pair(n, rng):
    corner = rng.uniform(0, 400, (2, n, 2))
    sides = rng.uniform(20, 240, (2, n, 2))
    pairs = np.concatenate([corner, corner + sides], -1).astype("float32")
    return [keras.ops.convert_to_tensor(x) for x in pairs]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 1024, 4096, 65536])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--no-jit", action="store_true")
    options = parser.parse_args()
    compiled, with_gradient = _BACKENDS[BACKEND]()[:2]
    rng = np.random.default_rng(0)
    functions = candidates()
    print(f"{BACKEND}, microseconds per call")
    ratios = "ours / handwritten (giou) | ours / Keras (ciou)"
    print("| | n | " + " | ".join(functions) + f" | {ratios} |")
    print("|---" * (len(functions) + 4) + "|")
    for mode in ("eager", "jit")[: 1 if options.no_jit else 2]:
        wrap = compiled if mode == "jit" else (lambda f: f)
        for part in ("forward", "gradient"):
            inner = with_gradient if part == "gradient" else (lambda f: f)
            for n in options.sizes:
                arguments = pair(n, rng)
                runs = {
                    name: wrap(inner(f))
                    for name, f in functions.items()
                    if not ("n x n" in name and (n > 1024 or mode == "jit"))
                }
                times = clock(runs, arguments, options.seconds)
                row = [
                    f"{np.quantile(times[k], 0.25):.0f}" if k in times else "-"
                    for k in functions
                ]
                row += [
                    f"{np.median(times[ours] / times[peer]):.2f}"
                    for ours, peer in [
                        ("ours giou", "handwritten giou"),
                        ("ours ciou", "keras ciou"),
                    ]
                ]
                print(f"| {mode} {part} | {n} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
