"""Needle samples, read from the files that `lm_eval --log_samples --output_path` writes."""

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Any

import pandas as pd

from heatmaps.models import labels_of, settings_note
from heatmaps.needles.conditions import completed, run_conditions, sample_conditions
from heatmaps.needles.grids import GRID_KEY, NOT_FINITE
from heatmaps.needles.planned import PlannedGrid, PlanReader, planned_grid
from heatmaps.printable import brief, printable
from heatmaps.result_files import SamplesFile, counted, find_sample_files
from heatmaps.run_files import RunFile, notes_on_count, run_files
from heatmaps.sample_lines import (
    finite_number,
    fraction,
    sample_lines,
    shortened,
    whole_number,
)

# What makes two lines the same sample. The metric is not part of it: the newest file wins.
SAMPLE_KEY = [*GRID_KEY, "length_tokens", "depth_frac", "trial", "seed"]
COLUMNS = [*SAMPLE_KEY, "depth_frac_achieved", "score", "not_measured", "file"]


def read_samples(
    paths: Iterable[str | PathLike[str]], read_plan: PlanReader | None = None
) -> pd.DataFrame:
    """One row for each needle sample in the files, the newest where one occurs several times.

    Prompts and generations are never kept: files are read line by line. A file whose first line
    is not a needle sample (a `doc` with length_tokens and depth_frac) belongs to another task
    and is passed over.

    Args:
        paths: results_*.json (leads to the samples files of the same timestamp beside it),
            samples_*.jsonl, or folders, searched recursively.
        read_plan: reads what a run was to measure out of its task's settings; without it only
            what has a sample is known.

    Returns:
        Columns `COLUMNS`: model is a short name, unique among the models read; depth_frac is
        what was asked, rounded to six digits; score is the recall, 0..1, NaN where none was
        measured, and not_measured says why. `attrs["notes"]` is a list of one-line remarks for
        the user: what was replaced, left out or guessed; `attrs["plans"]` has what runs were to
        measure, by file.

    Raises:
        FileNotFoundError: a path does not exist, or there are no sample files.
        ValueError: no needle samples, a broken line, or a sample without a recall.
    """
    files, notes = find_sample_files(paths)
    rows_of = {file.path: list(_needle_rows(file)) for file in files}
    if not any(rows_of.values()):
        raise ValueError(
            f"no needle samples in {counted(len(files), 'samples file')} "
            f"({brief(files[0].path.name)}{', ...' if len(files) > 1 else ''}): "
            "a heatmap needs a run of yoco_needle or another task whose doc has length_tokens "
            "and depth_frac"
        )
    runs = run_files(file for file in files if rows_of[file.path])
    labels = labels_of([run.model for run in runs])
    rows = []
    plans: dict[str, PlannedGrid] = {}
    for run, label in zip(runs, labels, strict=True):
        own = rows_of.pop(run.samples.path)
        completed(own)
        shared = {
            "model": printable(label),
            "task": printable(run.samples.task),
            "file": printable(str(run.samples.path)),
            **run_conditions(run.content, run.model.dtype),
        }
        rows += [row | shared for row in own]
        notes += notes_on_count(run, len(own))
        try:
            plan = read_plan and planned_grid(run.content, run.samples.task, read_plan)
        except ValueError as error:
            plan = None
            notes.append(
                f"{brief(run.samples.path.name)}: its results file does not say what was planned "
                f"({error}), so that prompts which are missing do not show"
            )
        if plan:
            plans[shared["file"]] = plan
    frame = pd.DataFrame(rows, columns=COLUMNS)
    # Stable, and files come oldest first: the last of several is the newest.
    replaced = frame.duplicated(SAMPLE_KEY, keep="last")
    if num_replaced := int(replaced.sum()):
        notes.append(
            f"{counted(num_replaced, 'older sample')} left out: the same was measured again, "
            "and the newest counts"
        )
    newest = frame.loc[~replaced].reset_index(drop=True)
    newest.attrs["notes"] = notes + list(_notes_on_runs(runs, labels))
    newest.attrs["plans"] = plans
    return newest


def _needle_rows(file: SamplesFile) -> Iterator[dict[str, Any]]:
    """The file's needle samples; nothing when it is of another task."""
    is_first = True
    for where, sample in sample_lines(file.path):
        doc = sample.get("doc")
        if isinstance(doc, dict) and "length_tokens" in doc and "depth_frac" in doc:
            yield _row(sample, doc, where)
        elif is_first:
            return
        else:
            raise ValueError(f"{where}: no needle sample, though the lines above are")
        is_first = False


def _row(sample: dict[str, Any], doc: dict[str, Any], where: str) -> dict[str, Any]:
    score, not_measured = _score(sample, doc, where)
    achieved = doc.get("depth_frac_achieved")
    seed = doc.get("seed")
    return {
        "num_needles": whole_number(doc.get("num_needles", 1), f"{where}: num_needles"),
        "ask": printable(str(doc.get("ask", "one"))),
        "haystack": printable(str(doc.get("haystack", ""))),
        "length_tokens": whole_number(doc["length_tokens"], f"{where}: length_tokens", least=1),
        # 0.30000000000000004 of one run and 0.3 of another are the same cell.
        "depth_frac": round(fraction(doc["depth_frac"], f"{where}: depth_frac"), 6),
        "depth_frac_achieved": (
            float("nan")
            if achieved is None
            else fraction(achieved, f"{where}: depth_frac_achieved")
        ),
        "trial": (
            whole_number(doc["trial"], f"{where}: trial")
            if "trial" in doc
            else whole_number(sample.get("doc_id"), f"{where}: doc_id")
        ),
        # of any size, and only ever compared
        "seed": "" if seed is None else str(whole_number(seed, f"{where}: seed", most=None)),
        "score": score,
        "not_measured": not_measured,
        **sample_conditions(sample, doc),
    }


def _score(sample: dict[str, Any], doc: dict[str, Any], where: str) -> tuple[float, str]:
    """The recall, or NaN and why there is none."""
    if reason := doc.get("not_built"):
        return float("nan"), f"not built: {printable(str(reason))}"
    if "recall" not in sample:
        raise ValueError(
            f"{where}: a needle sample without its recall (metrics: "
            f"{shortened(sample.get('metrics'))}); run again without --predict_only"
        )
    if finite_number(sample["recall"], f"{where}: recall") is None:
        return float("nan"), NOT_FINITE
    return fraction(sample["recall"], f"{where}: recall"), ""


def _notes_on_runs(runs: Sequence[RunFile], labels: Sequence[str]) -> Iterator[str]:
    for run in runs:
        if run.model.guessed:
            name = brief(run.samples.path.name)
            yield f"{name}: no results file beside it, so the model's name is the folder's"
    # what is of two grids anyway need not be told apart here
    grids = [
        (label, *run_conditions(run.content, run.model.dtype).values())
        for run, label in zip(runs, labels, strict=True)
    ]
    for grid in dict.fromkeys(grids):
        own = [run.model for run, other in zip(runs, grids, strict=True) if other == grid]
        if note := settings_note(brief(grid[0]), own):
            yield note
