"""Figures of a comparison: differences by task, needle grids side by side, scores over steps."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from heatmaps.colours import SERIES, TEXT_DARK
from heatmaps.comparison.scores import Comparison, TaskComparison
from heatmaps.intervals import Z95
from heatmaps.needles.differences import GridDifference
from heatmaps.needles.figure import draw
from heatmaps.needles.grids import grids_of
from heatmaps.needles.samples import read_samples
from heatmaps.page import (
    AXIS_PT,
    FACTS_PT,
    MARGIN,
    MODEL_PT,
    Page,
    elided,
    small_ticks,
    text_width,
)
from heatmaps.printable import brief

_RULE = "#C9CBD1"
_HEADING_LINE = 0.2
_GRIDS_IN_A_ROW = 4
_CURVES_IN_A_ROW = 3
_CURVE_WIDTH, _CURVE_HEIGHT = 2.9, 2.3


def draw_differences(comparison: Comparison) -> Figure:
    """Each task's difference to the first model with its 95% interval, right of zero is higher.

    Scores of 0..1 share one panel, with the mean below them; every other metric has its own.
    """
    fractions = [task for task in _compared(comparison) if task.is_fraction]
    others = [task for task in _compared(comparison) if not task.is_fraction]
    groups = [group for group in (fractions, *([task] for task in others)) if group]
    rows = [len(group) + (group is fractions and bool(comparison.means)) for group in groups]
    row_height = 0.2 + 0.14 * (len(comparison.models) - 1)
    heights = [0.25 + row_height * number for number in rows]
    above = MARGIN + _HEADING_LINE * len(comparison.models) + 0.05
    height = above + sum(heights) + 0.55 * len(groups) + 0.15
    names = [_task_label(task) for group in groups for task in group]
    left = 0.35 + max(text_width(name, AXIS_PT) for name in (*names, "mean of 10 tasks"))
    width = left + 4.6
    page = Page.of_size(width, height)
    top = above
    for group, axes_height in zip(groups, heights, strict=True):
        axes = page.axes(left, top, width - left - 0.3, axes_height)
        _paint_differences(axes, comparison, group, with_mean=group is fractions)
        top += axes_height + 0.55
    _paint_heading(page, comparison)
    return page.figure


def _compared(comparison: Comparison) -> list[TaskComparison]:
    return [
        task
        for task in comparison.tasks
        if any(own is not None and own.difference is not None for own in task.scores)
    ]


def _task_label(task: TaskComparison) -> str:
    return f"{brief(task.task, 60)} ({brief(task.metric, 40)})"


def _paint_heading(page: Page, comparison: Comparison) -> None:
    """The title, and one line a model in its colour."""
    room = page.width - 2 * MARGIN
    title = f"Difference to {comparison.models[0]}, with 95% intervals"
    title = elided(title, room, MODEL_PT, bold=True)
    page.text(MARGIN, MARGIN, title, fontsize=MODEL_PT, fontweight="bold")
    for number, label in enumerate(comparison.models[1:]):
        text = elided(f"\N{BLACK CIRCLE} {label}", room, FACTS_PT)
        colour = SERIES[number % len(SERIES)]
        top = MARGIN + _HEADING_LINE * (number + 1)
        page.text(MARGIN, top, text, fontsize=FACTS_PT, color=colour)


def _paint_differences(
    axes: Axes, comparison: Comparison, tasks: Sequence[TaskComparison], *, with_mean: bool
) -> None:
    scale = 100 if tasks[0].is_fraction else 1
    num_others = len(comparison.models) - 1
    # Models of one task stand apart by less than tasks do.
    offsets = (np.arange(num_others) - (num_others - 1) / 2) * (0.6 / max(num_others, 1))
    axes.axvline(0, color=_RULE, linewidth=1.2, zorder=0)
    for number in range(1, len(comparison.models)):
        points = [
            (row, own.difference.difference, own.difference.low, own.difference.high)
            for row, task in enumerate(tasks)
            if (own := task.scores[number]) is not None and own.difference is not None
        ]
        if with_mean and comparison.means:
            mean = comparison.means[number]
            points.append((len(tasks), mean.difference, mean.low, mean.high))
        rows, centers, lows, highs = np.array(points).T if points else np.empty((4, 0))
        colour = SERIES[(number - 1) % len(SERIES)]
        places = rows + offsets[number - 1]
        axes.hlines(places, scale * lows, scale * highs, color=colour, linewidth=1.6)
        axes.plot(
            scale * centers,
            places,
            linestyle="none",
            marker="o",
            markersize=5,
            color=colour,
            label=comparison.models[number],
        )
    labels = [_task_label(task) for task in tasks]
    if with_mean and comparison.means:
        labels.append(f"mean of {len(comparison.mean_tasks)} tasks")
        axes.axhline(len(tasks) - 0.5, color=_RULE, linewidth=0.8)
    axes.set_yticks(range(len(labels)), labels, parse_math=False)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    direction = "" if tasks[0].higher_is_better else " (lower is better)"
    unit = "points" if tasks[0].is_fraction else f"{tasks[0].metric}{direction}"
    axes.set_xlabel(f"difference in {unit}", fontsize=FACTS_PT, color=TEXT_DARK, labelpad=2)
    axes.margins(x=0.06)
    _plain(axes)


def draw_needle_grids(comparison: Comparison, task: TaskComparison) -> Figure:
    """The task's grid of every model, then the differences to the first, side by side.

    Grids show all that a model was measured on; differences are masked where either model lacks
    the cell.
    """
    grids = []
    for own in task.scores:
        if own is not None:
            samples = read_samples([own.result.samples_file]).assign(model=own.result.label)
            grids.append((own, grids_of(samples)[0]))
    first = grids[0][1]
    differences = [
        GridDifference(
            first=first,
            second=grid,
            overall=own.difference.difference,
            overall_interval=(own.difference.low, own.difference.high),
            num_samples=own.num_documents,
        )
        for own, grid in grids[1:]
        if own.difference is not None
    ]
    columns = min(_GRIDS_IN_A_ROW, max(len(grids), len(differences) + 1))
    if len(grids) == 2:
        columns = 3
    return draw([*(grid for _, grid in grids), *differences], columns=columns)


def draw_steps(comparison: Comparison, steps: Sequence[float]) -> Figure:
    """Scores of snapshots of one training run over its steps, one panel a task, and the mean.

    Bars are 95% intervals: Wilson's for scores of 0..1, else 1.96 standard errors.
    """
    curves = [
        (
            _task_label(task),
            task.is_fraction,
            pd.DataFrame(
                [
                    (step, own.score, *own.interval)
                    for step, own in zip(steps, task.scores, strict=True)
                    if own is not None
                ],
                columns=["step", "score", "low", "high"],
            ),
        )
        for task in comparison.tasks
    ]
    if comparison.means:
        rows = [
            (
                step,
                mean.score,
                max(0.0, mean.score - Z95 * mean.standard_error),
                min(1.0, mean.score + Z95 * mean.standard_error),
            )
            for step, mean in zip(steps, comparison.means, strict=True)
        ]
        frame = pd.DataFrame(rows, columns=["step", "score", "low", "high"])
        curves.append((f"mean of {len(comparison.mean_tasks)} tasks", True, frame))
    columns = min(_CURVES_IN_A_ROW, len(curves))
    num_rows = -(-len(curves) // columns)
    figure = Figure(
        figsize=(0.4 + _CURVE_WIDTH * columns, 0.2 + _CURVE_HEIGHT * num_rows),
        facecolor="white",
        layout="constrained",
    )
    axes_of = figure.subplots(num_rows, columns, squeeze=False).ravel()
    for axes, (title, is_fraction, frame) in zip(axes_of, curves, strict=False):
        _paint_curve(axes, title, is_fraction, frame.sort_values("step"))
    for axes in axes_of[len(curves) :]:
        axes.set_axis_off()
    return figure


def _paint_curve(axes: Axes, title: str, is_fraction: bool, frame: pd.DataFrame) -> None:
    scale = 100 if is_fraction else 1
    step, score = frame["step"].to_numpy(), scale * frame["score"].to_numpy()
    bars = np.abs(scale * frame[["low", "high"]].to_numpy().T - score)
    # A single document has a score and no interval.
    bars = np.nan_to_num(bars)
    axes.errorbar(
        step,
        score,
        yerr=bars,
        color=SERIES[0],
        marker="o",
        markersize=4.5,
        linewidth=1.6,
        elinewidth=1.2,
        capsize=2.5,
    )
    title = elided(title, _CURVE_WIDTH - 0.6, FACTS_PT, bold=True)
    axes.set_title(
        title, fontsize=FACTS_PT, fontweight="bold", color=TEXT_DARK, loc="left", parse_math=False
    )
    # Numbers of steps are long, and the panel is not.
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("training step", fontsize=FACTS_PT, color=TEXT_DARK)
    axes.set_ylabel("score (%)" if is_fraction else "score", fontsize=FACTS_PT, color=TEXT_DARK)
    axes.grid(axis="y", color=_RULE, linewidth=0.6)
    axes.margins(x=0.08)
    _plain(axes)


def _plain(axes: Axes) -> None:
    small_ticks(axes)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_RULE)
    axes.set_axisbelow(True)
