"""A comparison as text: for a terminal, for Markdown, and as rows for a CSV file."""

import csv
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path

from heatmaps.comparison.paired_statistics import CORRECTION, INTERVAL, MCNEMAR
from heatmaps.comparison.paper import (
    PAPER_TASKS,
    SOURCE,
    PaperRow,
    multi_needle_rows,
    zero_shot_rows,
)
from heatmaps.comparison.scores import Comparison, MeanScore, ModelScore, TaskComparison
from heatmaps.csv_text import csv_text
from heatmaps.labels import NOTHING, points_label
from heatmaps.printable import brief, printable
from heatmaps.whole_files import whole_file

COLUMNS = (
    "task",
    "metric",
    "docs",
    "model",
    "score",
    "s.e.",
    "difference [95%]",
    "p",
    f"p ({CORRECTION})",
    "won/lost/tied",
)
CSV_COLUMNS: tuple[str, ...] = (
    "task",
    "metric",
    "filter",
    "higher_is_better",
    "num_documents",
    "model",
    "baseline",
    "score",
    "standard_error",
    "score_low",
    "score_high",
    "difference",
    "difference_low",
    "difference_high",
    "p_value",
    "test",
    "p_holm",
    "wins",
    "losses",
    "ties",
)
# what HTML or Markdown would take for its own
_MARKS = str.maketrans(
    {**{mark: f"\\{mark}" for mark in "\\`|[]"}, "<": "&lt;", ">": "&gt;", "&": "&amp;"}
)
_LEFT_ALIGNED = ("task", "metric", "model")


def terminal_table(comparison: Comparison) -> str:
    """One row for each model and task, in plain ASCII."""
    rows = _rows(comparison)
    widths = [max(len(row[i]) for row in (COLUMNS, *rows)) for i in range(len(COLUMNS))]
    lines = [_aligned(COLUMNS, widths), "  ".join("-" * width for width in widths)]
    above: tuple[str, ...] = ()
    for row in rows:
        # What the row above says already is not said again.
        num_again = next((n for n in (3, 2) if row[:n] == above[:n]), 0)
        lines.append(_aligned(("",) * num_again + row[num_again:], widths))
        above = row
    return "\n".join([*lines, "", legend(comparison)])


def markdown_text(name: str) -> str:
    """A name or a remark as Markdown shows it, and nothing in it formats, links or is HTML."""
    return printable(name).translate(_MARKS)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table of Markdown, texts left and numbers right."""
    rules = [":--" if name in _LEFT_ALIGNED else "--:" for name in header]
    return "\n".join(
        f"| {' | '.join(_table_cell(cell) for cell in row)} |" for row in (header, rules, *rows)
    )


def _table_cell(text: str) -> str:
    # brackets of intervals stay as they are: a link would need parentheses after them
    return markdown_text(text).replace("\\[", "[").replace("\\]", "]").replace("](", "]\\(")


def comparison_markdown(comparison: Comparison) -> str:
    """The table of all models and tasks, with what its columns mean."""
    rows = [tuple(row) for row in _rows(comparison)]
    return f"{markdown_table(COLUMNS, rows)}\n\n{legend_markdown(comparison)}"


def legend_markdown(comparison: Comparison) -> str:
    """The legend for Markdown."""
    return "\n".join(map(_table_cell, legend(comparison).split("\n")))


def legend(comparison: Comparison) -> str:
    """Units and methods of the table in a few lines."""
    tests = sorted(
        {
            own.difference.test
            for task in comparison.tasks
            for own in task.scores
            if own is not None and own.difference is not None
        },
        key=lambda test: test != MCNEMAR,
    )
    by_test = f"p: {tests[0]}" if tests else "p: none"
    if len(tests) > 1:
        by_test = f"p: {tests[0]} where documents are right or wrong, else {tests[1]}"
    lines = [
        f"Differences are to {comparison.models[0]}, paired by document: {INTERVAL} "
        f"({comparison.resamples:,} resamples, seed {comparison.seed}).",
        f"{by_test}; p ({CORRECTION}): corrected over the tasks of a model.",
        "Scores of 0..1 are in percent, their differences in points.",
    ]
    if comparison.means:
        lines.append(
            f"The mean is over {len(comparison.mean_tasks)} tasks that every model has: "
            f"{', '.join(map(brief, comparison.mean_tasks))}."
        )
    return "\n".join(lines)


def paper_markdown(comparison: Comparison) -> str:
    """The paper's tables with our rows in them, or one line that says why there are none."""
    blocks = []
    zero_shot = zero_shot_rows(comparison)
    if zero_shot:
        blocks.append(_paper_table(zero_shot, (*PAPER_TASKS, "mean")))
    multi_needle = multi_needle_rows(comparison)
    if multi_needle:
        blocks.append(_paper_table(multi_needle, list(next(iter(multi_needle.values())))))
    if not blocks:
        return (
            "None of these runs is one of the paper's tables: those are "
            f"{', '.join(PAPER_TASKS)}, zero-shot, and yoco_multi_needle_128k at 128K."
        )
    blocks.append(f"Rows of the paper: {SOURCE}; the last {len(comparison.models)} rows are ours.")
    return "\n\n".join(blocks)


def _paper_table(rows: dict[str, PaperRow], columns: Sequence[str]) -> str:
    body = [
        [label, *(NOTHING if (score := row[c]) is None else f"{score:.3f}" for c in columns)]
        for label, row in rows.items()
    ]
    return markdown_table(["model", *columns], body)


def write_csv(comparison: Comparison, path: Path) -> None:
    """Writes one row for each model and task, then those of the mean; numbers as they are."""
    with whole_file(path) as made, made.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, CSV_COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for task in comparison.tasks:
            for own in task.scores:
                if own is not None:
                    writer.writerow(_texts_shown(_csv_row(comparison, task, own)))
        for label, mean in zip(comparison.models, comparison.means, strict=False):
            row = {"task": "mean", "model": label, "baseline": comparison.models[0]}
            row |= {"score": mean.score, "standard_error": mean.standard_error}
            if not isnan(mean.difference):
                row |= {"difference": mean.difference}
                row |= {"difference_low": mean.low, "difference_high": mean.high}
            writer.writerow(_texts_shown(row))


def _texts_shown(row: Mapping[str, object]) -> dict[str, object]:
    return {name: csv_text(value) for name, value in row.items()}


def _csv_row(comparison: Comparison, task: TaskComparison, own: ModelScore) -> dict[str, object]:
    low, high = own.interval
    row = {
        "task": task.task,
        "metric": task.metric,
        "filter": own.result.settings.filter,
        "higher_is_better": task.higher_is_better,
        "num_documents": own.num_documents,
        "model": own.result.label,
        "baseline": comparison.models[0],
        "score": own.score,
        "standard_error": own.standard_error,
        "score_low": low,
        "score_high": high,
        "p_holm": own.p_corrected,
    }
    if own.difference is not None:
        row |= {
            "difference": own.difference.difference,
            "difference_low": own.difference.low,
            "difference_high": own.difference.high,
            "p_value": own.difference.p_value,
            "test": own.difference.test,
            "wins": own.difference.wins,
            "losses": own.difference.losses,
            "ties": own.difference.ties,
        }
    return row


def _rows(comparison: Comparison) -> list[tuple[str, ...]]:
    rows = []
    for task in comparison.tasks:
        direction = "" if task.higher_is_better else " (lower is better)"
        head = (brief(task.task), f"{brief(task.metric)}{direction}")
        for label, own in zip(comparison.models, task.scores, strict=True):
            count = f"{own.num_documents:,}" if own else NOTHING
            cells = _cells(task, own) if own else (NOTHING,) * 6
            rows.append((*head, count, label, *cells))
    for label, mean in zip(comparison.models, comparison.means, strict=False):
        head = (f"mean of {len(comparison.mean_tasks)} tasks", "", "")
        rows.append((*head, label, *_mean_cells(mean)))
    return rows


def _cells(task: TaskComparison, own: ModelScore) -> tuple[str, ...]:
    number = _percent if task.is_fraction else _number
    score = (number(own.score), number(own.standard_error))
    difference = own.difference
    if difference is None:
        return (*score, *(NOTHING,) * 4)
    change = points_label if task.is_fraction else _signed
    return (
        *score,
        _interval(change, difference.difference, difference.low, difference.high),
        p_label(difference.p_value),
        NOTHING if own.p_corrected is None else p_label(own.p_corrected),
        f"{difference.wins:,}/{difference.losses:,}/{difference.ties:,}",
    )


def _mean_cells(mean: MeanScore) -> tuple[str, ...]:
    score = (_percent(mean.score), _percent(mean.standard_error))
    if isnan(mean.difference):
        return (*score, *(NOTHING,) * 4)
    return (
        *score,
        _interval(points_label, mean.difference, mean.low, mean.high),
        *(NOTHING,) * 3,
    )


def _interval(change, difference: float, low: float, high: float) -> str:
    return f"{change(difference)} [{change(low)}, {change(high)}]"


def p_label(p_value: float) -> str:
    """Three decimals, and what is less as "<0.001"."""
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _percent(value: float) -> str:
    return NOTHING if isnan(value) else f"{100 * value:.1f}"


def _number(value: float) -> str:
    return NOTHING if isnan(value) else f"{value:.4g}"


def _signed(value: float) -> str:
    return "n/a" if isnan(value) else f"{value:+.3g}"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(
        f"{cell:<{width}}" if name in _LEFT_ALIGNED else f"{cell:>{width}}"
        for name, cell, width in zip(COLUMNS, cells, widths, strict=True)
    ).rstrip()
