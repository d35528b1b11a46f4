"""Grids as text for a terminal, and as rows for a CSV file."""

import csv
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from heatmaps.labels import (
    NOTHING,
    depth_labels,
    length_label,
    mean_label,
    percent_label,
)
from heatmaps.needles.grids import GRID_KEY, Grid
from heatmaps.needles.labels import needles_label, trials_label

CSV_COLUMNS = [*GRID_KEY, "length_tokens", "depth_frac", "score", "trials", "low", "high"]


def terminal_table(grid: Grid, *, width: int = 80) -> str:
    """The grid as plain ASCII text, lengths down and depths across, with its mean and interval.

    Each row ends in the mean of its length. Where the depths do not fit into `width`, a row says
    the mean, its worst depth and how many depths were measured instead of every cell.
    """
    low, high = grid.overall_interval
    facts = [grid.model, grid.task, needles_label(grid)]
    if grid.haystack:
        facts.append(f"haystack {grid.haystack}")
    lines = [
        ", ".join(facts),
        f"mean {mean_label(grid.overall)}% (95% interval {mean_label(low)} to {mean_label(high)}), "
        f"{grid.num_samples:,} samples, {trials_label(grid)}",
        _worst_line(grid),
        "",
    ]
    cells = _cell_rows(grid)
    if max(map(len, cells)) > width:
        cells = _summary_rows(grid)
    elif not grid.measured.all():
        cells.append(f"{NOTHING} = not measured")
    return "\n".join(lines + cells)


def _worst_line(grid: Grid) -> str:
    worst = grid.worst
    if worst.mean == 1:
        return "every measured cell 100%"
    place = (
        f"{length_label(worst.length_tokens)} tokens, depth {depth_labels([worst.depth_frac])[0]}%"
    )
    others = grid.num_worst - 1
    also = f" (and {others} other{'' if others == 1 else 's'})" if others else ""
    return f"worst cell {percent_label(worst.mean)}% at {place}{also}"


def _cell_rows(grid: Grid) -> list[str]:
    depths = depth_labels(grid.depths)
    cell_width = max(3, *map(len, depths))
    rows = [["length", *depths, "mean"]]
    for column, length in enumerate(grid.lengths):
        scores = [_percent(score) for score in grid.mean[:, column]]
        rows.append([length_label(length), *scores, _mean(grid.mean_by_length[column])])
    label_width = max(len(row[0]) for row in rows)
    lines = []
    for first, *cells, last in rows:
        joined = " ".join(f"{cell:>{cell_width}}" for cell in cells)
        lines.append(f"{first:>{label_width}} | {joined} | {last:>5}")
    lines.insert(1, "".join("+" if c == "|" else "-" for c in lines[0]))
    return [f"{'':>{label_width}}   % found, by depth in % of the haystack", *lines]


def _summary_rows(grid: Grid) -> list[str]:
    depths = depth_labels(grid.depths)
    rows = [["length", "mean %", "worst %", "at depth %", "depths measured"]]
    for column, length in enumerate(grid.lengths):
        measured = np.flatnonzero(grid.measured[:, column])
        count = f"{len(measured)} of {len(depths)}"
        if not len(measured):
            rows.append([length_label(length), *[NOTHING] * 3, count])
            continue
        scores = grid.mean[measured, column]
        lowest = int(scores.argmin())
        place = "all" if scores.min() == scores.max() else depths[measured[lowest]]
        mean = mean_label(grid.mean_by_length[column])
        rows.append([length_label(length), mean, percent_label(scores[lowest]), place, count])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "   ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines.insert(1, "   ".join("-" * width for width in widths))
    return lines


def _percent(score: float) -> str:
    return NOTHING if np.isnan(score) else percent_label(score)


def _mean(score: float) -> str:
    return NOTHING if np.isnan(score) else mean_label(score)


def write_csv(grids: Sequence[Grid], path: str | PathLike[str]) -> None:
    """Writes one row for each cell; one not measured has trials 0 and an empty score.

    Columns are `CSV_COLUMNS`: score is the cell's mean 0..1, low and high its 95% interval.
    """
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for grid in grids:
            low, high = grid.interval
            head = [grid.model, grid.task, grid.num_needles, grid.ask, grid.haystack]
            for column, length in enumerate(grid.lengths):
                for row, depth in enumerate(grid.depths):
                    trials = int(grid.trials[row, column])
                    figures = [a[row, column].item() for a in (grid.mean, low, high)]
                    score, *bounds = figures if trials else ["", "", ""]
                    writer.writerow([*head, length, depth, score, trials, *bounds])
