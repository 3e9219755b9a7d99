"""A figure that a notebook shows. Imported where matplotlib is known to be there."""

import io

from matplotlib.figure import Figure

__all__ = ["NotebookFigure"]


class NotebookFigure(Figure):
    """A matplotlib figure that IPython shows as an image.

    For figures of pyplot matplotlib tells IPython how; other figures are shown as text.
    """

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()
