"""`verbose=` of the calls that show their progress."""

import sys
from typing import Any, Literal, TypeAlias

Verbose: TypeAlias = Literal["auto", 0, 1, 2]


def check_verbose(verbose: Any) -> None:
    """Raises a `ValueError` for another value than `"auto"`, 0, 1 or 2."""
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(
            f"`verbose` must be 'auto', 0, 1 or 2. Received: verbose={verbose!r}"
        )


def resolve_verbose(
    verbose: Verbose, *, in_terminal: Literal[0, 1] = 1, elsewhere: Literal[0, 2] = 2
) -> Literal[0, 1, 2]:
    """What `"auto"` means here; other values stay.

    Keras's own `"auto"` is a progress bar everywhere. In a file that is one line of
    text for each step.

    Args:
        verbose: 0: silent; 1: a progress bar; 2: a line at the end.
        in_terminal: the value of `"auto"` where the output is a terminal.
        elsewhere: its value where the output goes to a file, a pipe or a notebook.
    """
    check_verbose(verbose)
    if verbose == "auto":
        return in_terminal if sys.stdout.isatty() else elsewhere
    return verbose
