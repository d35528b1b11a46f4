"""Grids as text for a terminal, and as rows for a CSV file."""

import csv
from collections.abc import Sequence
from os import PathLike

import numpy as np

from heatmaps.csv_text import csv_text
from heatmaps.labels import (
    NOTHING,
    depth_labels,
    length_label,
    mean_label,
    percent_label,
)
from heatmaps.needles.grids import GRID_KEY, KIND, Cell, Grid
from heatmaps.needles.labels import facts_of, trials_label
from heatmaps.printable import brief
from heatmaps.whole_files import whole_file

CSV_COLUMNS = [
    *GRID_KEY,
    "length_tokens",
    "depth_frac",
    "depth_frac_achieved",
    "score",
    "trials",
    "low",
    "high",
]


def terminal_table(grid: Grid, *, width: int = 80) -> str:
    """The grid as plain ASCII text, lengths down and depths across, with its mean and interval.

    Each row ends in the mean of its length. Where the depths do not fit into `width`, a row says
    the mean, its worst depth and how many depths were measured instead of every cell.
    """
    lines = [", ".join([brief(grid.model), *facts_of(grid)]), *_summary(grid), ""]
    cells = _cell_rows(grid)
    if max(map(len, cells)) > width:
        cells = _summary_rows(grid)
    elif not grid.measured.all():
        cells.append(f"{NOTHING} = not measured")
    return "\n".join(lines + cells)


def _summary(grid: Grid) -> list[str]:
    """The mean, and the cell that stands out."""
    if not grid.num_samples:
        return ["no cell was measured"]
    low, high = grid.overall_interval
    mean = f"{mean_label(grid.overall)}%"
    interval = f"95% interval {mean_label(low)} to {mean_label(high)}"
    counts = f"{grid.num_samples:,} samples, {trials_label(grid)}"
    if not grid.is_control:
        return [f"mean {mean} ({interval}), {counts}", _worst_line(grid)]
    highest = grid.highest
    return [
        f"the value is in {mean} of answers, though not in the text",
        f"{interval}, {counts}",
        "in no answer" if highest.mean == 0 else f"most often: {_place(grid, highest)}",
    ]


def _worst_line(grid: Grid) -> str:
    if grid.worst.mean == 1:
        return "every measured cell 100%"
    return f"worst cell {_place(grid, grid.worst)}"


def _place(grid: Grid, cell: Cell) -> str:
    others = grid.num_like(cell) - 1
    also = f" (and {others} other{'' if others == 1 else 's'})" if others else ""
    return (
        f"{percent_label(cell.mean)}% at {length_label(cell.length_tokens)} tokens, depth "
        f"{depth_labels([cell.depth_frac])[0]}%{also}"
    )


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
    what = "of answers with the value" if grid.is_control else "found"
    return [f"{'':>{label_width}}   % {what}, by depth in % of the haystack", *lines]


def _summary_rows(grid: Grid) -> list[str]:
    depths = depth_labels(grid.depths)
    most = grid.is_control
    rows = [["length", "mean %", "most %" if most else "worst %", "at depth %", "depths measured"]]
    for column, length in enumerate(grid.lengths):
        measured = np.flatnonzero(grid.measured[:, column])
        count = f"{len(measured)} of {len(depths)}"
        if not len(measured):
            rows.append([length_label(length), *[NOTHING] * 3, count])
            continue
        scores = grid.mean[measured, column]
        standing_out = int(scores.argmax() if most else scores.argmin())
        place = "all" if scores.min() == scores.max() else depths[measured[standing_out]]
        mean = mean_label(grid.mean_by_length[column])
        extreme = percent_label(scores[standing_out])
        rows.append([length_label(length), mean, extreme, place, count])
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

    Columns are `CSV_COLUMNS`: score is the cell's mean 0..1, low and high its 95% interval,
    depth_frac_achieved the mean depth where its needles came to stand, where the files say it.

    Raises:
        OSError: it cannot be written.
    """
    with whole_file(path) as file, file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for grid in grids:
            low, high = grid.interval
            texts = [csv_text(getattr(grid, name)) for name in KIND]
            texts += [csv_text(grid.conditions.get(name, "")) for name in GRID_KEY[len(KIND) :]]
            for column, length in enumerate(grid.lengths):
                for row, depth in enumerate(grid.depths):
                    trials = int(grid.trials[row, column])
                    figures = [a[row, column].item() for a in (grid.mean, low, high)]
                    score, *bounds = figures if trials else ["", "", ""]
                    achieved = _achieved(grid, row, column)
                    writer.writerow([*texts, length, depth, achieved, score, trials, *bounds])


def _achieved(grid: Grid, row: int, column: int) -> float | str:
    found = float("nan") if grid.depth_achieved is None else grid.depth_achieved[row, column]
    return "" if np.isnan(found) else float(found)
