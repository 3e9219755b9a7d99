"""Which records go into the second part of a split."""

import hashlib
from collections.abc import Sequence

import numpy as np


def stratified(
    labels: np.ndarray, names: Sequence[str], fraction: float, seed: int
) -> np.ndarray:
    """Chooses a share of the records, of each label in proportion.

    Args:
        labels: integer array (N,); any integers.
        names: N different names. With the label and the seed they decide who is
            chosen; the order of the records does not.
        fraction: share that is chosen, in (0, 1).
        seed: any integer.

    Returns:
        Boolean array (N,), true for round(fraction * N) records, of each label within
        one record of its proportion.

    Raises:
        ValueError: for a fraction outside (0, 1).
    """
    if not 0 < fraction < 1:
        raise ValueError(
            f"`fraction` must lie between 0 and 1. Received: fraction={fraction!r}"
        )
    # Names of files that are no UTF-8 have surrogates.
    keys = (f"{seed}\0{name}".encode("utf-8", "surrogateescape") for name in names)
    digests = (hashlib.sha256(key).digest() for key in keys)
    hash_keys = np.fromiter(digests, "S32", len(names))
    present, counts = np.unique(labels, return_counts=True)
    chosen = np.zeros(len(names), bool)
    for label, take in zip(present, _shares(counts, fraction)):
        members = np.flatnonzero(labels == label)
        chosen[members[np.argsort(hash_keys[members])][:take]] = True
    return chosen


def _shares(counts: np.ndarray, fraction: float) -> np.ndarray:
    """How many to take of each label: largest remainders, round(fraction N) in all."""
    exact = counts * fraction
    takes = np.floor(exact).astype(int)
    left = round(float(counts.sum() * fraction)) - takes.sum()
    takes[np.argsort(takes - exact, kind="stable")[:left]] += 1
    return takes
