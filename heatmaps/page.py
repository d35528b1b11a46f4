"""The page that a picture is drawn on, in inches from its top left corner.

Figures are made through matplotlib's `Figure` alone: no pyplot, no window, no global state.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from os import PathLike
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from heatmaps.colours import TEXT_DARK
from heatmaps.whole_files import whole_file

TITLE_PT, MODEL_PT, FACTS_PT, AXIS_PT, CELL_PT = 13, 10.5, 8.5, 8, 8
MARGIN = 0.2

_DPI = 300
_MAX_PIXELS = 12_000
# of one line of text
_MAX_CHARS = 400


@dataclass(frozen=True)
class Page:
    """A figure whose size is known before anything is put on it."""

    figure: Figure
    width: float
    height: float

    @classmethod
    def of_size(cls, width: float, height: float) -> "Page":
        """A white page."""
        return cls(Figure(figsize=(width, height), facecolor="white"), width, height)

    def axes(
        self, left: float, top: float, width: float, height: float, *, like: Axes | None = None
    ) -> Axes:
        """Axes whose box is there, with both scales of `like` where that is given."""
        bottom = self.height - top - height
        return self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height),
            sharex=like,
            sharey=like,
        )

    def text(self, left: float, top: float, text: str, **style: object) -> None:
        """One line of text, its top left corner there unless the style says otherwise."""
        # Names of models and files may hold $, which is not mathematics here.
        defaults = {"ha": "left", "va": "top", "color": TEXT_DARK, "parse_math": False}
        self.figure.text(
            left / self.width,
            1 - top / self.height,
            text,
            **{**defaults, **style},  # pyright: ignore[reportArgumentType]
        )


def small_ticks(axes: Axes) -> None:
    """Gives the axes the ticks and numbers that all pictures have."""
    axes.tick_params(length=2, width=0.6, pad=2.5, labelsize=AXIS_PT, colors=TEXT_DARK)


def text_width(text: str, points: float, *, bold: bool = False) -> float:
    """Width of one line in inches, in the font that figures are drawn with."""
    font = FontProperties(size=points, weight="bold" if bold else "normal")
    with _boxes_for_lacking_glyphs():
        return TextToPath().get_text_width_height_descent(text, font, ismath=False)[0] / 72


@contextmanager
def _boxes_for_lacking_glyphs() -> Iterator[None]:
    """Draws a box for each character that the font lacks, without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def elided(text: str, width: float, points: float, *, bold: bool = False) -> str:
    """The text, or its beginning and end with an ellipsis where it is wider than `width`."""
    # no page has room for more, and the width of a long text takes long to find
    if len(text) <= _MAX_CHARS and text_width(text, points, bold=bold) <= width:
        return text

    def keeping(kept: int) -> str:
        return f"{text[: ceil(kept / 2)]}…{text[len(text) - kept // 2 :]}" if kept > 1 else "…"

    fewest, most = 1, min(len(text) - 1, _MAX_CHARS)
    while fewest < most:
        middle = (fewest + most + 1) // 2
        if text_width(keeping(middle), points, bold=bold) <= width:
            fewest = middle
        else:
            most = middle - 1
    return keeping(fewest)


def save(figure: Figure, path: str | PathLike[str]) -> None:
    """Writes the figure as its suffix says; the same figure gives the same file.

    300 dots an inch, fewer where a side would exceed 12,000 pixels. Folders on its way are made.

    Raises:
        OSError: it cannot be written.
    """
    dpi = min(_DPI, _MAX_PIXELS / max(figure.get_size_inches()))
    # A date in the file would make two equal pictures differ.
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    suffix = Path(path).suffix.lower()
    with (
        matplotlib.rc_context({"pdf.fonttype": 42, "svg.hashsalt": "yoco"}),
        whole_file(path) as file,
        _boxes_for_lacking_glyphs(),
    ):
        figure.savefig(file, dpi=dpi, format=suffix[1:], metadata=undated.get(suffix))
