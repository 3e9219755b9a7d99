"""What a report is for people: a page, a table, a notebook's output, a file."""

import json
from typing import TYPE_CHECKING, Any

from keras_localize.datasets import LocalizationDataset
from keras_localize.files import replacing
from keras_localize.markup import table
from keras_localize.reporting.frame import make_frame
from keras_localize.reporting.page import count_images, save_page
from keras_localize.types import Path

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Presented"]


class Presented:
    """The methods of `LocalizationReport` that show it; all read `to_dict`."""

    dataset: LocalizationDataset | None

    def to_dict(self) -> dict[str, Any]:
        raise NotImplementedError

    def to_frame(self) -> "DataFrame":
        """A pandas table with a row for each of `per_image`, by name.

        The columns are `iou`, `true_class`, `right`; `label`, `class_name`, `score`,
        `quality` and `presence` of the answer, its box `x0` to `y1` and `outer_x0` to
        `outer_y1`; `true_x0` to `true_y1`, `width` and `height`, all in pixels.

        Raises:
            ImportError: without pandas.
        """
        return make_frame(self.to_dict()["per_image"], self.dataset)

    def save_json(self, path: Path) -> None:
        """Writes `to_dict()` as JSON; the file appears whole or not at all."""
        with replacing(path) as unfinished:
            text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
            unfinished.write_text(text + "\n", encoding="utf-8")

    def save_html(
        self,
        path: Path,
        *,
        history: Any = None,
        title: str = "Localization report",
        images: int = 12,
    ) -> None:
        """Writes the report as one HTML file that needs nothing else.

        It shows the figures with their intervals, curves, the IoU and how it depends
        on the size of the object, classes and their confusion, the reliability of the
        quality, and images with both boxes: the worst, median and best ones, and those
        with a wrong label.

        Args:
            path: the file, replaced if it is there.
            history: training curves to show, as `keras_localize.plot_history` takes
                them.
            title: title of the page.
            images: images per gallery at most. They are embedded, reduced to 480
                pixels.

        Raises:
            ValueError: for a negative `images`, or a `history` without curves.
            OSError: where the file cannot be written.
        """
        options: dict[str, Any] = {"history": history, "title": title, "images": images}
        save_page(path, self.to_dict(), self.dataset, **options)

    def __repr__(self) -> str:
        content = self.to_dict()
        parts = [count_images(content)]
        for name in ("mean_iou", "label_accuracy"):
            if content[name] is not None:
                parts.append(f"{name} {content[name]:.3f}")
        return f"<LocalizationReport: {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        content = self.to_dict()
        rows = []
        for name, value in content.items():
            if isinstance(value, float):
                low, high = content["intervals"].get(name, (None, None))
                spread = "" if low is None else f"{low:.3f} to {high:.3f}"
                rows.append((name, f"{value:.4f}", spread))
        return table(rows, (count_images(content), "", "95% interval"))
