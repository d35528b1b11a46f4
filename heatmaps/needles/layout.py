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
from heatmaps.needles.labels import needles_label, trials_label
from heatmaps.page import AXIS_PT, FACTS_PT, MARGIN, MODEL_PT, elided, text_width

LINE = 0.175
# Colour bar, its ticks and its label.
FOOTER = 0.5

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
    """The whole page."""

    width: float
    height: float
    footer_left: float
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
    grids: Sequence[Grid | GridDifference], *, has_title: bool, columns: int | None = None
) -> Layout:
    """Panels in rows of `columns`, or of as many as come nearest to a page's shape."""
    alone = _MIN_PAGE_WIDTH - 2 * MARGIN
    boxes = [_box(grid, _MIN_PANEL_WIDTH if len(grids) > 1 else alone) for grid in grids]
    numbers = range(1, len(boxes) + 1) if columns is None else [columns]
    candidates = [_rows(boxes, number) for number in numbers]
    rows = min(candidates, key=lambda rows: abs(log(_aspect(rows) / _FAVOURED_ASPECT)))
    widths = _column_widths(rows)
    page_width = sum(widths) + _GAP * (len(widths) - 1) + 2 * MARGIN
    panels = []
    top = MARGIN + (0.32 if has_title else 0.0)
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
                    ylabel=_fitting(["depth of the needle", "depth"], box.cells_height),
                    axes_left=left + box.gutter,
                    # Cells of one row of panels begin at one height, however long the titles.
                    axes_top=top + title_height,
                    axes_width=box.cells_width,
                    axes_height=box.cells_height,
                )
            )
            left += width + _GAP
        top += title_height + max(box.cells_height for box in row) + _TICKS_AND_LABEL + _GAP
    return Layout(
        width=max(page_width, _MIN_PAGE_WIDTH),
        height=top - _GAP + 0.1 + FOOTER + MARGIN,
        footer_left=panels[0].axes_left,
        panels=tuple(panels),
    )


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
        model=elided(grid.model, width, MODEL_PT, bold=True),
        facts=(*_wrapped(facts, width), *_wrapped(figures, width)),
    )


def _panel_text(grid: Grid | GridDifference) -> tuple[list[str], list[str]]:
    """What was measured, and what came of it."""
    low, high = grid.overall_interval
    if isinstance(grid, GridDifference):
        facts = [f"difference to {grid.first.model}", grid.task, needles_label(grid.second)]
        return facts, [
            f"{points_label(grid.overall)} points "
            f"(95%: {points_label(low)} to {points_label(high)})",
            f"{grid.num_samples:,} prompts, paired",
        ]
    facts = [grid.task, needles_label(grid)]
    if grid.haystack:
        facts.append(f"haystack {grid.haystack}")
    return facts, [
        f"mean {mean_label(grid.overall)}% (95%: {mean_label(low)} to {mean_label(high)})",
        trials_label(grid),
    ]


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
