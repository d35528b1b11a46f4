"""Where everything in a picture goes, in inches from its top left corner."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from heatmaps.labels import (
    depth_labels,
    length_label,
    mean_label,
    points_label,
)
from heatmaps.needles.differences import GridDifference
from heatmaps.needles.grids import Grid
from heatmaps.needles.labels import facts_of, needles_label, trials_label
from heatmaps.needles.scales import scale_of
from heatmaps.page import AXIS_PT, FACTS_PT, MARGIN, MODEL_PT, TITLE_PT, elided, text_width
from heatmaps.printable import brief, printable

LINE = 0.175
# Colour bar, its ticks and its label.
FOOTER = 0.5
BAR_WIDTH, BAR_HEIGHT = 1.9, 0.13
# Beyond a bar's last number, and the first of the next.
LEGEND_GAP, BAR_GAP = 0.3, 0.65
# In a cell's corner, and what it says.
DEPTH_MARK = "\N{BLACK UPPER RIGHT TRIANGLE}"
MAX_PANELS = 100

_LEGEND_WIDTH = 1.3
_DEPTH_NOTES = (
    f"{DEPTH_MARK} the needle is more than half a depth step from the depth asked for",
    f"{DEPTH_MARK} needle over half a depth step off",
)
_CELL_ASPECT = 1.5
_MAX_CELL_WIDTH = 0.62
_MIN_CELLS_WIDTH, _MAX_CELLS_WIDTH, _MAX_CELLS_HEIGHT = 1.6, 7.0, 4.8
# Wide enough for a title that can be read.
_MIN_PANEL_WIDTH = 2.5
# Wide enough for the colour bar with its legend.
_MIN_PAGE_WIDTH = 4.0
_TICKS_AND_LABEL = 0.48
_GAP = 0.35
_FAVOURED_ASPECT = 1.5
_SEPARATOR = "  ·  "


@dataclass(frozen=True, kw_only=True)
class PanelPlan:
    """One grid's place: its title's corner, its lines of text, the box of its cells."""

    grid: Grid | GridDifference
    left: float
    top: float
    model: str
    facts: tuple[str, ...]
    xlabel: str
    ylabel: str
    axes_left: float
    axes_top: float
    axes_width: float
    axes_height: float


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The whole page.

    Attributes:
        notes: lines below the footer.
    """

    width: float
    height: float
    title: str | None
    footer_left: float
    footer_top: float
    notes: tuple[str, ...]
    panels: tuple[PanelPlan, ...]


@dataclass(frozen=True)
class _Box:
    """What one panel needs: its cells, the gutter of depth labels beside them, its text."""

    cells_width: float
    cells_height: float
    gutter: float
    # How far the last length's label stands out beyond its cell.
    overhang: float
    text_width: float
    model: str
    facts: tuple[str, ...]

    @property
    def width(self) -> float:
        return max(self.gutter + self.cells_width + self.overhang, self.text_width)

    @property
    def title_height(self) -> float:
        return (1 + len(self.facts)) * LINE + 0.12

    @property
    def height(self) -> float:
        return self.title_height + self.cells_height + _TICKS_AND_LABEL


def plan_layout(
    grids: Sequence[Grid | GridDifference], *, title: str | None, columns: int | None = None
) -> Layout:
    """Panels in rows of `columns`, or of as many as come nearest to a page's shape.

    Raises:
        ValueError: more than `MAX_PANELS` grids.
    """
    if len(grids) > MAX_PANELS:
        raise ValueError(
            f"{len(grids):,} grids do not fit into one picture, {MAX_PANELS} do: give fewer "
            "result files"
        )
    alone = _MIN_PAGE_WIDTH - 2 * MARGIN
    boxes = [_box(grid, _MIN_PANEL_WIDTH if len(grids) > 1 else alone) for grid in grids]
    numbers = range(1, len(boxes) + 1) if columns is None else [columns]
    candidates = [_rows(boxes, number) for number in numbers]
    rows = min(candidates, key=lambda rows: abs(log(_aspect(rows) / _FAVOURED_ASPECT)))
    widths = _column_widths(rows)
    footer_left = MARGIN + rows[0][0].gutter
    page_width = max(
        sum(widths) + _GAP * (len(widths) - 1) + 2 * MARGIN,
        _MIN_PAGE_WIDTH,
        footer_left + _footer_width(grids) + MARGIN,
    )
    panels = []
    top = MARGIN + (0.32 if title is not None else 0.0)
    remaining = iter(grids)
    for row in rows:
        title_height = max(box.title_height for box in row)
        left = MARGIN
        for box, width in zip(row, widths, strict=False):
            grid = next(remaining)
            panels.append(
                PanelPlan(
                    grid=grid,
                    left=left,
                    top=top,
                    model=box.model,
                    facts=box.facts,
                    xlabel=_fitting(
                        ["context length (tokens)", "length (tokens)", "tokens"], box.cells_width
                    ),
                    ylabel=_fitting(_depth_names(grid), box.cells_height),
                    axes_left=left + box.gutter,
                    # Cells of one row of panels begin at one height, however long the titles.
                    axes_top=top + title_height,
                    axes_width=box.cells_width,
                    axes_height=box.cells_height,
                )
            )
            left += width + _GAP
        top += title_height + max(box.cells_height for box in row) + _TICKS_AND_LABEL + _GAP
    footer_top = top - _GAP + 0.1
    room = page_width - 2 * MARGIN
    notes = [_fitting(_DEPTH_NOTES, room)] if any(grid.depth_is_off.any() for grid in grids) else []
    return Layout(
        width=page_width,
        height=footer_top + FOOTER + LINE * len(notes) + MARGIN,
        title=None if title is None else elided(printable(title), room, TITLE_PT, bold=True),
        footer_left=footer_left,
        footer_top=footer_top,
        notes=tuple(notes),
        panels=tuple(panels),
    )


def _footer_width(grids: Sequence[Grid | GridDifference]) -> float:
    """What the colour bars take, and the legend of cells that were not measured."""
    num_bars = len({scale_of(grid).label for grid in grids})
    is_missing = not all(grid.measured.all() for grid in grids)
    bars = num_bars * BAR_WIDTH + (num_bars - 1) * BAR_GAP
    return bars + (LEGEND_GAP + _LEGEND_WIDTH if is_missing else 0.0)


def _box(grid: Grid | GridDifference, min_width: float) -> _Box:
    num_depths, num_lengths = grid.mean.shape
    cell_height = min(_MAX_CELL_WIDTH / _CELL_ASPECT, _MAX_CELLS_HEIGHT / num_depths)
    # A narrow strip of many depths is widened, so that its lengths can be read.
    wanted = max(_CELL_ASPECT * cell_height, _MIN_CELLS_WIDTH / num_lengths)
    cell_width = min(wanted, _MAX_CELL_WIDTH)
    if num_lengths * cell_width > _MAX_CELLS_WIDTH:
        cell_width = _MAX_CELLS_WIDTH / num_lengths
        cell_height = cell_width / _CELL_ASPECT
    widest = max(text_width(f"{label}%", AXIS_PT) for label in depth_labels(grid.depths))
    gutter = widest + 0.32
    width = max(gutter + num_lengths * cell_width, min_width)
    facts, figures = _panel_text(grid)
    return _Box(
        cells_width=num_lengths * cell_width,
        cells_height=num_depths * cell_height,
        gutter=gutter,
        overhang=max(0.0, (text_width(length_label(grid.lengths[-1]), AXIS_PT) - cell_width) / 2),
        text_width=width,
        model=elided(brief(grid.model, 400), width, MODEL_PT, bold=True),
        facts=(*_wrapped(facts, width), *_wrapped(figures, width)),
    )


def _panel_text(grid: Grid | GridDifference) -> tuple[list[str], list[str]]:
    """What was measured, and what came of it."""
    low, high = grid.overall_interval
    if isinstance(grid, GridDifference):
        facts = [f"difference to {grid.first.model}", grid.task, needles_label(grid.second)]
        return [brief(fact, 300) for fact in facts], [
            f"{points_label(grid.overall)} points "
            f"(95%: {points_label(low)} to {points_label(high)})",
            f"{grid.num_samples:,} prompts, paired",
        ]
    if not grid.num_samples:
        return facts_of(grid), ["no cell was measured"]
    mean = f"{mean_label(grid.overall)}%"
    mean = f"value in {mean} of answers" if grid.is_control else f"mean {mean}"
    return facts_of(grid), [
        f"{mean} (95%: {mean_label(low)} to {mean_label(high)})",
        trials_label(grid),
    ]


def _depth_names(grid: Grid | GridDifference) -> list[str]:
    own = grid.second if isinstance(grid, GridDifference) else grid
    return ["depth (no needle)", "depth"] if own.is_control else ["depth of the needle", "depth"]


def _wrapped(parts: Sequence[str], width: float) -> list[str]:
    """The parts, joined into as few lines of `width` as hold them."""
    lines: list[str] = []
    for part in parts:
        part = elided(part, width, FACTS_PT)
        joined = f"{lines[-1]}{_SEPARATOR}{part}" if lines else part
        if lines and text_width(joined, FACTS_PT) <= width:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def _fitting(texts: Sequence[str], extent: float) -> str:
    """The first text that is not longer than `extent`, or the last."""
    fitting = (text for text in texts if text_width(text, FACTS_PT) <= extent)
    return next(fitting, texts[-1])


def _rows(boxes: Sequence[_Box], columns: int) -> list[Sequence[_Box]]:
    return [boxes[start : start + columns] for start in range(0, len(boxes), columns)]


def _column_widths(rows: Sequence[Sequence[_Box]]) -> list[float]:
    return [
        max(row[column].width for row in rows if column < len(row))
        for column in range(len(rows[0]))
    ]


def _aspect(rows: Sequence[Sequence[_Box]]) -> float:
    widths = _column_widths(rows)
    heights = [max(box.height for box in row) for row in rows]
    return (sum(widths) + _GAP * len(widths)) / (sum(heights) + _GAP * len(heights))
