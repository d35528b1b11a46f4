"""What `yoco compare` leaves behind: tables, files and figures from result files alone."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heatmaps.comparison.compare import compare_models
from heatmaps.comparison.json_file import write_json
from heatmaps.comparison.scores import Comparison
from heatmaps.comparison.tables import (
    comparison_markdown,
    markdown_text,
    paper_markdown,
    terminal_table,
    write_csv,
)
from heatmaps.likelihood.samples import read_nll
from heatmaps.likelihood.tables import nll_table
from heatmaps.page import save
from heatmaps.printable import brief, printable
from heatmaps.run_files import ModelFiles, newest_files
from heatmaps.whole_files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

MARKDOWN, CSV, JSON = "comparison.md", "comparison.csv", "comparison.json"


def write_comparison(
    models: Sequence[tuple[str, Sequence[str | Path]]],
    output: Path,
    *,
    tasks: Sequence[str] | None = None,
    steps: Sequence[float] | None = None,
    paper: bool = False,
    seed: int = 0,
    resamples: int = 10_000,
) -> str:
    """The text for the terminal: the table, remarks, and what was written.

    Args:
        models: label and result paths (files or folders that lm-eval wrote) of each; the first is
            what the others are compared with. A label is shown as `brief` makes it.
        output: folder for comparison.md, comparison.csv, comparison.json and figures (.png).
        tasks: only these, and one that cannot be compared is refused; None takes all that two
            models have, and what cannot be compared becomes a note.
        steps: of each model, where they are snapshots of one training run: adds a curve.
        paper: adds the paper's published rows.
        seed, resamples: of bootstrap and permutation.

    Raises:
        FileNotFoundError: a path does not exist or has no samples.
        ValueError: nothing that can be compared, or an argument that makes no sense.
    """
    if steps is not None and len(steps) != len(models):
        raise ValueError(
            f"{len(steps)} step(s) for {len(models)} models: give one step for each model"
        )
    if resamples < 100:
        raise ValueError(
            f"resamples is {resamples}; it must be 100 or more: a 95% interval needs them"
        )
    files = [newest_files(brief(label), paths, tasks) for label, paths in models]
    comparison = compare_models(files, tasks=tasks, seed=seed, resamples=resamples)
    by_position = read_nll(files)
    notes = list(dict.fromkeys([*comparison.notes, *by_position.attrs["notes"]]))
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    written = []
    captions = []
    for name, caption, figure in _figures(comparison, by_position, steps):
        save(figure, output / name)
        written.append(output / name)
        caption = markdown_text(caption)
        captions.append(f"![{caption}]({name})\n\n{caption}.")
    title = f"{', '.join(comparison.models[1:])} against {comparison.models[0]}"
    document = [f"# {markdown_text(title)}"]
    blocks = []
    if comparison.tasks:
        document.append(comparison_markdown(comparison))
        blocks.append(terminal_table(comparison))
    if paper:
        document += ["## Beside the paper", paper_markdown(comparison)]
        blocks.append(paper_markdown(comparison))
    if not by_position.empty:
        table = nll_table(by_position)
        document += ["## Likelihood by position", f"```\n{table}\n```"]
        blocks.append(table)
    if captions:
        document += ["## Figures", *captions]
    if notes:
        document += ["## Notes", "\n".join(f"- {markdown_text(note)}" for note in notes)]
    shown = dict.fromkeys([*(task.task for task in comparison.tasks), *by_position["task"]])
    document += ["## Result files", "\n".join(_file_lines(files, shown))]
    with whole_file(output / MARKDOWN) as file:
        file.write_text("\n\n".join(document) + "\n", encoding="utf-8")
    write_csv(comparison, output / CSV)
    write_json(comparison, output / JSON)
    written += [output / name for name in (MARKDOWN, CSV, JSON)]
    remarks = [f"note: {printable(note)}" for note in notes]
    remarks += [f"wrote {path}" for path in written]
    return "\n\n".join([*blocks, "\n".join(remarks)])


def _figures(
    comparison: Comparison, by_position: "DataFrame", steps: Sequence[float] | None
) -> Iterator[tuple[str, str, "Figure"]]:
    """File name, caption and figure, one after the other."""
    from heatmaps.comparison.figures import draw_differences, draw_needle_grids, draw_steps
    from heatmaps.likelihood.figure import draw_nll

    if any(own and own.difference for task in comparison.tasks for own in task.scores):
        yield (
            "differences.png",
            f"Differences to {comparison.models[0]} by task, with 95% intervals",
            draw_differences(comparison),
        )
    for task in comparison.tasks:
        if task.is_needle and sum(own is not None for own in task.scores) > 1:
            yield (
                f"{_file_name(task.task)}.png",
                f"{brief(task.task)} by length and depth, and the difference of each cell",
                draw_needle_grids(comparison, task),
            )
    if not by_position.empty:
        yield "nll.png", "Negative log-likelihood by position", draw_nll(by_position)
    if steps is not None and comparison.tasks:
        yield (
            "steps.png",
            "Scores over training steps, with 95% intervals",
            draw_steps(comparison, steps),
        )


def _file_lines(models: Sequence[ModelFiles], tasks: Iterable[str]) -> Iterator[str]:
    for task in tasks:
        for model in models:
            if task in model.newest:
                names = f"{markdown_text(model.label)}, {markdown_text(brief(task))}"
                path = printable(str(model.newest[task].samples.path)).replace("`", "'")
                yield f"- {names}: `{path}`"


def _file_name(task: str) -> str:
    """The task's name where a link may hold it, else a name of its own."""
    if re.fullmatch(r"[\w.-]{1,100}", task, re.ASCII):
        return task
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", task[:60])
    return f"{plain}-{hashlib.sha256(task.encode(errors='backslashreplace')).hexdigest()[:8]}"
