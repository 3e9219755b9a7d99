"""A progress bar on the error stream, for what takes longer than a moment."""

import sys
import time


class Progress:
    """Context that shows how far `update` has come.

    Args:
        total: what `update` will sum up to; None where it is not known.
        label: what is being done.
        scale: units per printed unit: 1 for pieces, 1e6 for bytes shown as MB.
        unit: the printed unit.
        delay: seconds before the bar shows itself, so that short work is silent.
    """

    def __init__(self, total, label, scale=1, unit="", delay=2.0):
        self.total = total
        self.label = label
        self.scale = scale
        self.unit = unit
        self.done = 0
        self._next = time.monotonic() + delay
        self._shown = False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._shown:
            self._draw(end="\n")

    def update(self, amount=1):
        """Counts `amount` as done."""
        self.done += amount
        now = time.monotonic()
        if now >= self._next:
            self._next = now + 0.2
            self._draw()

    def _draw(self, end=""):
        self._shown = True
        done = f"{self.done / self.scale:.0f}"
        if self.total:
            share = min(self.done / self.total, 1)
            bar = "#" * int(30 * share)
            text = (
                f"{bar:.<30} {100 * share:3.0f}% {done}/{self.total / self.scale:.0f}"
            )
        else:
            text = done
        print(
            f"\r{self.label} {text} {self.unit}", end=end, file=sys.stderr, flush=True
        )
