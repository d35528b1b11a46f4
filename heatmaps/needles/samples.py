"""Needle samples, read from the files that `lm_eval --log_samples --output_path` writes."""

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Any

import pandas as pd

from heatmaps.models import labels_of, settings_note
from heatmaps.needles.grids import GRID_KEY
from heatmaps.result_files import SamplesFile, counted, find_sample_files
from heatmaps.run_files import RunFile, run_files
from heatmaps.sample_lines import fraction, sample_lines, whole_number

# What makes two lines the same sample. The metric is not part of it: the newest file wins.
SAMPLE_KEY = [*GRID_KEY, "length_tokens", "depth_frac", "trial", "seed"]
COLUMNS = [*SAMPLE_KEY, "depth_frac_achieved", "score", "file"]


def read_samples(paths: Iterable[str | PathLike[str]]) -> pd.DataFrame:
    """One row for each needle sample in the files, the newest where one occurs several times.

    Prompts and generations are never kept: files are read line by line. A file whose first line
    is not a needle sample (a `doc` with length_tokens and depth_frac) belongs to another task
    and is passed over.

    Args:
        paths: results_*.json (leads to the samples files of the same timestamp beside it),
            samples_*.jsonl, or folders, searched recursively.

    Returns:
        Columns `COLUMNS`: model is a short name, unique among the models read; depth_frac is
        what was asked, rounded to six digits; score is the recall, 0..1. `attrs["notes"]` is a
        list of one-line remarks for the user: what was replaced, left out or guessed.

    Raises:
        FileNotFoundError: a path does not exist, or there are no sample files.
        ValueError: no needle samples, a broken line, or a sample without a recall.
    """
    files, notes = find_sample_files(paths)
    rows_of = {file.path: list(_needle_rows(file)) for file in files}
    rows = [row for found in rows_of.values() for row in found]
    if not rows:
        raise ValueError(
            f"no needle samples in {counted(len(files), 'samples file')} "
            f"({files[0].path.name}{', ...' if len(files) > 1 else ''}): "
            "a heatmap needs a run of yoco_needle or another task whose doc has length_tokens "
            "and depth_frac"
        )
    runs = run_files(file for file in files if rows_of[file.path])
    labels = labels_of([run.model for run in runs])
    label_of = {run.samples.path: label for run, label in zip(runs, labels, strict=True)}
    frame = pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "model"])
    frame.insert(0, "model", [label_of[path] for path in frame["file"]])
    # Stable, and files come oldest first: the last of several is the newest.
    replaced = frame.duplicated(SAMPLE_KEY, keep="last")
    if num_replaced := int(replaced.sum()):
        notes.append(
            f"{counted(num_replaced, 'older sample')} left out: the same was measured again, "
            "and the newest counts"
        )
    notes += _notes_on_runs(runs, labels)
    frame["file"] = frame["file"].map(str)
    newest = frame.loc[~replaced, COLUMNS].reset_index(drop=True)
    newest.attrs["notes"] = notes
    return newest


def _needle_rows(file: SamplesFile) -> Iterator[dict[str, Any]]:
    """The file's needle samples; nothing when it is of another task."""
    is_first = True
    for where, sample in sample_lines(file.path):
        doc = sample.get("doc")
        if isinstance(doc, dict) and "length_tokens" in doc and "depth_frac" in doc:
            yield _row(sample, doc, where) | {"task": file.task, "file": file.path}
        elif is_first:
            return
        else:
            raise ValueError(f"{where}: no needle sample, though the lines above are")
        is_first = False


def _row(sample: dict[str, Any], doc: dict[str, Any], where: str) -> dict[str, Any]:
    if "recall" not in sample:
        metrics = ", ".join(map(str, sample.get("metrics") or ["none"]))
        raise ValueError(
            f"{where}: a needle sample without its recall (metrics: {metrics}); "
            "run again without --predict_only"
        )
    achieved = doc.get("depth_frac_achieved")
    return {
        "num_needles": whole_number(doc.get("num_needles", 1), f"{where}: num_needles"),
        "ask": str(doc.get("ask", "one")),
        "haystack": str(doc.get("haystack", "")),
        "length_tokens": whole_number(doc["length_tokens"], f"{where}: length_tokens", least=1),
        # 0.30000000000000004 of one run and 0.3 of another are the same cell.
        "depth_frac": round(fraction(doc["depth_frac"], f"{where}: depth_frac"), 6),
        "depth_frac_achieved": float("nan") if achieved is None else float(achieved),
        "trial": doc.get("trial", sample.get("doc_id")),
        "seed": doc.get("seed"),
        "score": fraction(sample["recall"], f"{where}: recall"),
    }


def _notes_on_runs(runs: Sequence[RunFile], labels: Sequence[str]) -> Iterator[str]:
    for run in runs:
        if run.model.guessed:
            name = run.samples.path.name
            yield f"{name}: no results file beside it, so the model's name is the folder's"
    for label in dict.fromkeys(labels):
        own = [run.model for run, other in zip(runs, labels, strict=True) if other == label]
        if note := settings_note(label, own):
            yield note
