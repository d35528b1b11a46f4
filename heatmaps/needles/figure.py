"""The picture: grids as heatmap panels on fixed scales, depth down and length across.

Everything is measured and laid out in inches first, then painted.

Shapes: D depths, L lengths.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path

from heatmaps.colours import (
    MISSING_FACE,
    MISSING_HATCH,
    TEXT_DARK,
    text_colour,
)
from heatmaps.labels import depth_labels, length_label, thinned
from heatmaps.needles.differences import GridDifference
from heatmaps.needles.grids import Grid
from heatmaps.needles.layout import (
    BAR_GAP,
    BAR_HEIGHT,
    BAR_WIDTH,
    FOOTER,
    LEGEND_GAP,
    LINE,
    Layout,
    PanelPlan,
    plan_layout,
)
from heatmaps.needles.scales import Scale, scale_of
from heatmaps.page import (
    AXIS_PT,
    CELL_PT,
    FACTS_PT,
    MARGIN,
    MODEL_PT,
    TITLE_PT,
    Page,
    small_ticks,
    text_width,
)
from heatmaps.printable import brief

# Above this many cells a side, numbers in the cells would be too small to read.
MAX_ANNOTATED = 12

# Legs of the triangle in a cell's corner, in inches and at most of the cell's shorter side.
_MARK, _MOST_OF_CELL = 0.085, 0.4


def draw(
    grids: Grid | Sequence[Grid | GridDifference],
    *,
    title: str | None = None,
    columns: int | None = None,
) -> Figure:
    """A figure with one panel for each grid, one colour scale a kind and one legend for all.

    Scores are on a scale 0..1, differences on one of -1..1, whatever the numbers are.

    Cells keep one shape whatever their number, save in a narrow strip of many depths. Up to
    12 x 12 cells hold their value in percent; beyond that tick labels are thinned and the colour
    speaks alone. Cells without a trial are hatched grey, never a colour of the scale. A corner is
    marked where the needle is more than half a depth step from where it was asked.

    Args:
        grids: one or several, drawn in their order.
        title: a line above the panels.
        columns: panels in a row; what comes nearest to a page's shape if not given.

    Raises:
        ValueError: there is no grid, or there are too many.
    """
    grids = [grids] if isinstance(grids, Grid) else list(grids)
    if not grids:
        raise ValueError("there is no grid to draw: give at least one")
    layout = plan_layout(grids, title=title, columns=columns)
    page = Page.of_size(layout.width, layout.height)
    if layout.title is not None:
        page.text(MARGIN, MARGIN, layout.title, fontsize=TITLE_PT, fontweight="bold")
    meshes = {scale_of(panel.grid).label: _paint_panel(page, panel) for panel in layout.panels}
    _paint_footer(page, layout, list(meshes.values()))
    return page.figure


def _paint_panel(page: Page, panel: PanelPlan) -> QuadMesh:
    grid = panel.grid
    scale = scale_of(grid)
    num_depths, num_lengths = grid.mean.shape
    top = panel.top
    page.text(panel.left, top, panel.model, fontsize=MODEL_PT, fontweight="bold")
    for row, fact in enumerate(panel.facts, start=1):
        page.text(panel.left, top + row * LINE + 0.03, fact, fontsize=FACTS_PT)

    axes = page.axes(panel.axes_left, panel.axes_top, panel.axes_width, panel.axes_height)
    axes.set_label(f"{panel.model}, {brief(grid.task)}")
    cell_width, cell_height = panel.axes_width / num_lengths, panel.axes_height / num_depths
    mesh = axes.pcolormesh(
        np.arange(num_lengths + 1),
        np.arange(num_depths + 1),
        np.ma.masked_invalid(grid.mean),  # (D, L)
        cmap=scale.colormap(),
        vmin=scale.low,
        vmax=scale.high,
        edgecolors="white",
        # Thin enough at 35 cells a side not to eat the colour.
        linewidth=min(1.0, 4.5 * cell_height),
    )
    _paint_missing(axes, grid, linewidth=min(1.0, 4.5 * cell_height))
    _paint_depth_marks(axes, grid, cell_width, cell_height)
    if max(num_depths, num_lengths) <= MAX_ANNOTATED:
        _paint_values(axes, grid, scale)

    axes.set_xlim(0, num_lengths)
    # 0% is the beginning of the document, at the top.
    axes.set_ylim(num_depths, 0)
    lengths = [length_label(length) for length in grid.lengths]
    widest = max(text_width(label, AXIS_PT) for label in lengths)
    shown = thinned(num_lengths, cell_width, widest + 0.08)
    axes.set_xticks([i + 0.5 for i in shown], [lengths[i] for i in shown])
    depths = depth_labels(grid.depths)
    shown = thinned(num_depths, cell_height, 1.5 * AXIS_PT / 72)
    axes.set_yticks([i + 0.5 for i in shown], [f"{depths[i]}%" for i in shown])
    small_ticks(axes)
    axes.set_xlabel(panel.xlabel, fontsize=FACTS_PT, color=TEXT_DARK, labelpad=4)
    axes.set_ylabel(panel.ylabel, fontsize=FACTS_PT, color=TEXT_DARK, labelpad=4)
    axes.spines[:].set_visible(False)
    return mesh


def _paint_missing(axes: Axes, grid: Grid | GridDifference, *, linewidth: float) -> None:
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    # Each (4, 2) of (x, y).
    squares = [corners + cell[::-1] for cell in np.argwhere(~grid.measured)]
    if squares:
        # As one path, for every path is hatched by itself, which takes milliseconds. The hatch
        # takes the edge's colour, so white edges are a collection on top.
        path = Path.make_compound_path(*(Path(square, closed=False) for square in squares))
        axes.add_patch(
            PathPatch(
                path,
                facecolor=MISSING_FACE,
                edgecolor=MISSING_HATCH,
                hatch="/////",
                linewidth=0,
                label="not measured",
            )
        )
        axes.add_collection(
            PolyCollection(squares, facecolor="none", edgecolor="white", linewidth=linewidth),
            autolim=False,
        )


def _paint_depth_marks(
    axes: Axes, grid: Grid | GridDifference, cell_width: float, cell_height: float
) -> None:
    leg = min(_MARK, _MOST_OF_CELL * min(cell_width, cell_height))
    width, height = leg / cell_width, leg / cell_height
    # (3, 2) of (x, y), in the upper right corner of the first cell
    corner = np.array([[1 - width, 0], [1, 0], [1, height]])
    triangles = [corner + cell[::-1] for cell in np.argwhere(grid.depth_is_off)]
    if triangles:
        path = Path.make_compound_path(*(Path(corners, closed=False) for corners in triangles))
        axes.add_patch(
            PathPatch(path, facecolor=TEXT_DARK, linewidth=0, label="depth not as asked")
        )


def _paint_values(axes: Axes, grid: Grid | GridDifference, scale: Scale) -> None:
    colormap = scale.colormap()
    for row, column in np.argwhere(grid.measured):
        value = float(grid.mean[row, column])
        place = (value - scale.low) / (scale.high - scale.low)
        axes.text(
            column + 0.5,
            row + 0.5,
            scale.cell_label(value),
            ha="center",
            va="center_baseline",
            fontsize=CELL_PT,
            color=text_colour(np.array(colormap(place)[:3])),
        )


def _paint_footer(page: Page, layout: Layout, meshes: Sequence[QuadMesh]) -> None:
    """A colour bar for each scale in use, the legend of cells that were not measured, notes."""
    top = layout.footer_top
    for number, note in enumerate(layout.notes):
        page.text(MARGIN, top + FOOTER + number * LINE + 0.03, note, fontsize=FACTS_PT)
    left = layout.footer_left
    scales = {scale.label: scale for scale in (scale_of(panel.grid) for panel in layout.panels)}
    for scale, mesh in zip(scales.values(), meshes, strict=True):
        _paint_bar(page, left, top, scale, mesh)
        left += BAR_WIDTH + BAR_GAP
    left += LEGEND_GAP - BAR_GAP
    if not all(panel.grid.measured.all() for panel in layout.panels):
        patch = Patch(facecolor=MISSING_FACE, edgecolor=MISSING_HATCH, hatch="/////", linewidth=0)
        page.figure.legend(
            [patch],
            ["not measured"],
            loc="upper left",
            bbox_to_anchor=(
                left / page.width,
                1 - (top - 0.02) / page.height,
            ),
            borderaxespad=0,
            borderpad=0,
            frameon=False,
            fontsize=FACTS_PT,
            labelcolor=TEXT_DARK,
            handlelength=1.8,
            handleheight=1.1,
        )


def _paint_bar(page: Page, left: float, top: float, scale: Scale, mesh: QuadMesh) -> None:
    bar_axes = page.axes(left, top, BAR_WIDTH, BAR_HEIGHT)
    bar = page.figure.colorbar(mesh, cax=bar_axes, orientation="horizontal")
    bar.set_ticks(list(scale.ticks), labels=list(scale.ticks.values()))
    bar.set_label(scale.label, fontsize=FACTS_PT, color=TEXT_DARK, labelpad=2)
    bar_axes.tick_params(length=2, width=0.6, pad=2, labelsize=AXIS_PT, colors=TEXT_DARK)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    # The cells' white edges do not belong on the bar, nor do seams in a PDF.
    bar.dividers.set_visible(False)
    if bar.solids is not None:
        bar.solids.set_edgecolor("face")
