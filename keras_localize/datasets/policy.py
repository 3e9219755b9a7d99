"""What the readers do with records that are not one image with one good box."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from keras_localize.checks import check_choice

WithoutBox: TypeAlias = Literal["skip", "keep", "negative", "error"]
Multiple: TypeAlias = Literal["largest", "first", "skip", "error"]
OnError: TypeAlias = Literal["raise", "skip"]
Outside: TypeAlias = Literal["clip", "error"]
Pixels: TypeAlias = Literal["upright", "raw"]

_CHOICES = {
    "without_box": WithoutBox,
    "multiple": Multiple,
    "on_error": OnError,
    "outside": Outside,
    "pixels": Pixels,
}


@dataclass(frozen=True)
class Policy:
    """The arguments that all readers share; `read_voc` describes them.

    `skip_unreadable` leaves damaged images out even where `on_error="raise"`. With
    `stated_sizes` and without `verify`, an image whose size is stated is not opened.

    Raises:
        ValueError: for a value that is none of an argument's choices.
    """

    without_box: WithoutBox = "skip"
    multiple: Multiple = "largest"
    on_error: OnError = "raise"
    outside: Outside = "clip"
    pixels: Pixels = "upright"
    verify: bool = True
    skip_unreadable: bool = False
    stated_sizes: bool = False

    @property
    def trusts_sizes(self) -> bool:
        """Whether an image whose size is stated is not opened."""
        # What is stated of stored pixels says nothing of how they are turned.
        return self.stated_sizes and not self.verify and self.pixels == "upright"

    def __post_init__(self) -> None:
        for argument, choices in _CHOICES.items():
            check_choice(getattr(self, argument), get_args(choices), argument)
