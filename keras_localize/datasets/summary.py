"""What a reader found, kept and left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from keras_localize.markup import table

# A reason -> the names of the records that it applies to.
Reasons: TypeAlias = dict[str, tuple[str, ...]]


@dataclass(frozen=True, repr=False)
class Summary:
    """What was read and what became of it; `print` shows it as a table.

    Attributes:
        images: number of records in this dataset.
        with_box: how many of them have a box.
        without_box: how many show an object but have no box: they train the label.
        classes: class name -> number of records.
        found: number of records that the reader found, before anything was skipped.
        skipped: reason -> names of the records that were left out.
        handled: reason -> names of the records that are in but needed a decision.
        negatives: how many images hold no object.
    """

    images: int
    with_box: int
    without_box: int
    classes: dict[str, int]
    found: int
    skipped: Reasons = field(default_factory=dict)
    handled: Reasons = field(default_factory=dict)
    negatives: int = 0

    def __str__(self) -> str:
        lines = [
            f"{self.images} images of {self.found} found, "
            f"{self.with_box} with a box, {self.without_box} without"
        ]
        if self.negatives:
            lines[0] += f", {self.negatives} without an object"
        for title, reasons in (("skipped", self.skipped), ("handled", self.handled)):
            for reason, names in reasons.items():
                shown = ", ".join(names[:3]) + (", ..." if names[3:] else "")
                lines.append(f"  {title}: {len(names)} {reason} ({shown})")
        counts = [f"{name} {count}" for name, count in self.classes.items()]
        shown = ", ".join(counts[:8]) + (", ..." if counts[8:] else "")
        lines.append(f"  {len(self.classes)} classes: {shown}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Summary: {str(self).splitlines()[0]}>"

    def _repr_html_(self) -> str:
        rows = [
            ("images", f"{self.images} of {self.found} found"),
            ("with a box", self.with_box),
            ("without a box", self.without_box),
            ("without an object", self.negatives),
        ]
        for title, reasons in (("skipped", self.skipped), ("handled", self.handled)):
            for reason, names in reasons.items():
                rows.append((f"{title}: {reason}", f"{len(names)} ({names[0]}, ...)"))
        counts = ", ".join(f"{name} {count}" for name, count in self.classes.items())
        return table([*rows, (f"{len(self.classes)} classes", counts)])


def as_reasons(reasons: Mapping[str, Sequence[str]] | None) -> Reasons:
    """Reasons with tuples of names, and without those that apply to nothing."""
    given = {reason: tuple(names) for reason, names in (reasons or {}).items()}
    return {reason: names for reason, names in given.items() if names}


def joined_reasons(first: Reasons, second: Reasons) -> Reasons:
    """The reasons of both, in the order of the first."""
    reasons = {**first, **second}
    return {key: (*first.get(key, ()), *second.get(key, ())) for key in reasons}
