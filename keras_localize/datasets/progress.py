"""A progress bar on the error stream, for work that takes longer than a moment."""

import sys
import time
from typing import Self


class Progress:
    """Context manager that shows the share of the work that is done.

    Args:
        total: the sum of all amounts; None where it is not known.
        label: what is being done.
        scale: units per printed unit: 1 for pieces, 1e6 for bytes shown as MB.
        unit: the printed unit.
        delay: seconds before the bar appears: short work shows none.
    """

    def __init__(
        self,
        total: float | None,
        label: str,
        scale: float = 1,
        unit: str = "",
        delay: float = 2.0,
    ):
        self.total = total
        self.label = label
        self.scale = scale
        self.unit = unit
        self.done: float = 0
        self._next = time.monotonic() + delay
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._shown:
            self._draw(end="\n")

    def update(self, amount: float = 1) -> None:
        """Counts `amount` as done."""
        self.done += amount
        now = time.monotonic()
        if now >= self._next:
            self._next = now + 0.2
            self._draw()

    def _draw(self, end: str = "") -> None:
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
