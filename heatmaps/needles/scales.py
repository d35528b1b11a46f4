"""What a number in a cell looks like: fixed limits, colours, and how it is written."""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.colors import LinearSegmentedColormap

from heatmaps.colours import control_colormap, difference_colormap, score_colormap
from heatmaps.labels import difference_label, percent_label
from heatmaps.needles.differences import GridDifference
from heatmaps.needles.grids import Grid


@dataclass(frozen=True, kw_only=True)
class Scale:
    """One colour bar.

    Attributes:
        low, high: its ends, the same in every picture.
        ticks: numbers on the bar, with what is written there.
        cell_label: a number as it is written in a cell.
    """

    low: float
    high: float
    colormap: Callable[[], LinearSegmentedColormap]
    ticks: dict[float, str]
    label: str
    cell_label: Callable[[float], str]


SCORES = Scale(
    low=0,
    high=1,
    colormap=score_colormap,
    ticks={0: "0", 0.25: "25", 0.5: "50", 0.75: "75", 1: "100%"},
    label="needles found",
    cell_label=percent_label,
)
CONTROLS = Scale(
    low=0,
    high=1,
    colormap=control_colormap,
    ticks=SCORES.ticks,
    label="answers with the value, though not in the text",
    cell_label=percent_label,
)
DIFFERENCES = Scale(
    low=-1,
    high=1,
    colormap=difference_colormap,
    ticks={-1: "-100", -0.5: "-50", 0: "0", 0.5: "+50", 1: "+100"},
    label="difference in points",
    cell_label=difference_label,
)


def scale_of(grid: Grid | GridDifference) -> Scale:
    """The scale that the grid's cells are drawn on."""
    if isinstance(grid, GridDifference):
        return DIFFERENCES
    return CONTROLS if grid.is_control else SCORES
