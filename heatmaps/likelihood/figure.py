"""The picture of likelihood by position: the mean in each bin, and the average up to there."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from heatmaps.colours import SERIES, TEXT_DARK
from heatmaps.labels import length_label
from heatmaps.likelihood.curves import Curve, curves_of
from heatmaps.likelihood.tables import documents_label
from heatmaps.page import (
    FACTS_PT,
    MARGIN,
    MODEL_PT,
    Page,
    elided,
    small_ticks,
    text_width,
)
from heatmaps.printable import printable

_RULE = "#E3E4E8"
# Inches.
_WIDTH, _AXES_HEIGHT, _BOTTOM = 8.6, 3.0, 0.6
_LEFT, _GAP, _LINE = 0.65, 0.75, 0.2
_LINE_STYLE: dict[str, Any] = {"linewidth": 1.4, "marker": "o", "markersize": 2.6}


def draw_nll(frame: pd.DataFrame, *, title: str = "Likelihood by position") -> Figure:
    """Two panels over logarithmic positions, every model a line in both.

    On the left the mean of the tokens in each bin; on the right, as in the YOCO paper, of all
    tokens up to each bin's end. Shaded is the 95% interval over documents, none for one document. A
    line is dashed where only some documents reach, for these may be easier or harder than all.

    Args:
        frame: of `read_nll`.

    Raises:
        ValueError: the frame has no row.
    """
    curves = curves_of(frame)
    if not curves:
        raise ValueError("there is no likelihood by position to draw: run yoco_nll first")
    above = MARGIN + 0.5 + _LINE * len(curves)
    height = above + _AXES_HEIGHT + _BOTTOM
    page = Page.of_size(_WIDTH, height)
    axes_width = (_WIDTH - _LEFT - _GAP - MARGIN) / 2
    panels = []
    for number, heading in enumerate(("in each bin of positions", "cumulative, up to a position")):
        left = _LEFT + number * (axes_width + _GAP)
        first = panels[0] if panels else None
        axes = page.axes(left, above, axes_width, _AXES_HEIGHT, like=first)
        _prepare(axes, curves, heading)
        panels.append(axes)
    for number, curve in enumerate(curves):
        colour = SERIES[number % len(SERIES)]
        num_whole = _num_whole(curve)
        # a bin's mean stands in the middle of the bin, an average where it ends
        middles = np.sqrt(np.maximum(curve.starts, 1.0) * curve.stops)
        _paint(panels[0], middles, curve.mean, curve.low, curve.high, num_whole, colour)
        averages = (curve.average, curve.average_low, curve.average_high)
        _paint(panels[1], curve.stops, *averages, num_whole, colour)
    _paint_heading(page, title, curves)
    return page.figure


def _num_whole(curve: Curve) -> int:
    """The bins, from the first, that as many documents reach as any."""
    fewer = np.flatnonzero(curve.num_documents < curve.num_documents.max())
    return int(fewer[0]) if len(fewer) else len(curve.stops)


def _prepare(axes: Axes, curves: Sequence[Curve], heading: str) -> None:
    axes.set_xscale("log", base=2)
    longest = max(int(curve.stops.max()) for curve in curves)
    greatest = int(np.log2(longest))
    powers = 2 ** np.arange(min(4, greatest), greatest + 1)
    step = -(-len(powers) // 9)
    # The greatest is always labelled.
    shown = powers[::-1][::step]
    axes.xaxis.set_major_locator(FixedLocator(shown.tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: length_label(round(value)))
    axes.set_title(heading, fontsize=FACTS_PT, color=TEXT_DARK, loc="left", pad=5)
    axes.set_xlabel("position, tokens", fontsize=FACTS_PT, color=TEXT_DARK, labelpad=4)
    if heading.startswith("in"):
        unit = curves[0].unit
        label = f"NLL, {unit}" if unit == "nats a token" else unit
        axes.set_ylabel(label, fontsize=FACTS_PT, color=TEXT_DARK, labelpad=4)
    axes.grid(axis="y", color=_RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    small_ticks(axes)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_linewidth(0.6)


def _paint(
    axes: Axes,
    positions: np.ndarray,
    values: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    num_whole: int,
    colour: str,
) -> None:
    axes.plot(positions[:num_whole], values[:num_whole], color=colour, **_LINE_STYLE)
    rest = slice(max(num_whole - 1, 0), None)
    if num_whole < len(positions):
        axes.plot(positions[rest], values[rest], color=colour, linestyle=(0, (3, 2)), **_LINE_STYLE)
    if np.isfinite(low).any():
        axes.fill_between(positions, low, high, color=colour, alpha=0.16, linewidth=0)


def _paint_heading(page: Page, title: str, curves: Sequence[Curve]) -> None:
    room = page.width - 2 * MARGIN
    title = elided(printable(title), room, MODEL_PT, bold=True)
    page.text(MARGIN, MARGIN + 0.08, title, va="center", fontsize=MODEL_PT, fontweight="bold")
    legend = []
    if any(np.isfinite(curve.low).any() for curve in curves):
        legend.append("shaded: 95% interval over documents (Student's t)")
    if any(_num_whole(curve) < len(curve.stops) for curve in curves):
        legend.append("dashed: not all documents are so long")
    beside = MARGIN + text_width(title, MODEL_PT, bold=True) + 0.25
    page.text(beside, MARGIN + 0.09, ";  ".join(legend), va="center", fontsize=FACTS_PT)
    for number, curve in enumerate(curves):
        top = MARGIN + 0.34 + _LINE * number
        key = Line2D(
            [MARGIN / page.width, (MARGIN + 0.3) / page.width],
            [1 - top / page.height] * 2,
            color=SERIES[number % len(SERIES)],
            transform=page.figure.transFigure,
            **_LINE_STYLE,
        )
        page.figure.add_artist(key)
        label = elided(f"{curve.label}: {documents_label(curve)}", room - 0.4, FACTS_PT)
        page.text(MARGIN + 0.4, top, label, va="center", fontsize=FACTS_PT)
