"""Needle samples, read from the files that `lm_eval --log_samples --output_path` writes."""

from collections.abc import Iterable, Iterator
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from heatmaps.models import ModelRun, labels_of, model_run
from heatmaps.result_files import SamplesFile, counted, find_sample_files, sample_lines

# What makes two lines the same sample. The metric is not part of it: the newest file wins.
SAMPLE_KEY = [
    "model",
    "task",
    "num_needles",
    "ask",
    "haystack",
    "length_tokens",
    "depth_frac",
    "trial",
    "seed",
]
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
    rows: list[dict[str, Any]] = []
    runs: dict[Path, ModelRun] = {}
    for file in files:
        found = list(_needle_rows(file))
        if found:
            runs[file.path] = model_run(file.results, file.path)
            rows += found
    if not rows:
        raise ValueError(
            f"no needle samples in {counted(len(files), 'samples file')} "
            f"({files[0].path.name}{', ...' if len(files) > 1 else ''}): "
            "a heatmap needs a run of yoco_needle or another task whose doc has length_tokens "
            "and depth_frac"
        )
    labels = labels_of(runs.values())
    frame = pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "model"])
    frame.insert(0, "model", [labels[runs[path].identity] for path in frame["file"]])
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
    """The file's needle samples under its first filter; nothing when it is of another task."""
    filter_name = None
    for where, sample in sample_lines(file.path):
        doc = sample.get("doc")
        if not (isinstance(doc, dict) and "length_tokens" in doc and "depth_frac" in doc):
            if filter_name is None:
                return
            raise ValueError(f"{where}: no needle sample, though the lines above are")
        # lm-eval writes a sample once for each filter; they are not further trials.
        if filter_name is None:
            filter_name = str(sample.get("filter", ""))
        if str(sample.get("filter", "")) == filter_name:
            yield _row(sample, doc, where) | {"task": file.task, "file": file.path}


def _row(sample: dict[str, Any], doc: dict[str, Any], where: str) -> dict[str, Any]:
    length, depth = doc["length_tokens"], doc["depth_frac"]
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise ValueError(f"{where}: length_tokens is {length!r}; it must be a whole number >= 1")
    depth_frac = _fraction(depth, f"{where}: depth_frac")
    if "recall" not in sample:
        metrics = ", ".join(map(str, sample.get("metrics") or ["none"]))
        raise ValueError(
            f"{where}: a needle sample without its recall (metrics: {metrics}); "
            "run again without --predict_only"
        )
    achieved = doc.get("depth_frac_achieved")
    return {
        "num_needles": int(doc.get("num_needles", 1)),
        "ask": str(doc.get("ask", "one")),
        "haystack": str(doc.get("haystack", "")),
        "length_tokens": length,
        # 0.30000000000000004 of one run and 0.3 of another are the same cell.
        "depth_frac": round(depth_frac, 6),
        "depth_frac_achieved": float("nan") if achieved is None else float(achieved),
        "trial": doc.get("trial", sample.get("doc_id")),
        "seed": doc.get("seed"),
        "score": _fraction(sample["recall"], f"{where}: recall"),
    }


def _fraction(value: Any, what: str) -> float:
    if not isinstance(value, int | float) or not isfinite(value) or not 0 <= value <= 1:
        raise ValueError(f"{what} is {value!r}; it must be a number from 0 to 1")
    return float(value)


def _notes_on_runs(runs: dict[Path, ModelRun], labels: dict[tuple[str, str], str]) -> Iterator[str]:
    settings: dict[tuple[str, str], set[str]] = {}
    for path, run in runs.items():
        if run.guessed:
            yield f"{path.name}: no results file beside it, so the model's name is the folder's"
        else:
            settings.setdefault(run.identity, set()).add(run.settings)
    for identity, variants in settings.items():
        if len(variants) > 1:
            yield (
                f"{labels[identity]}: its runs were made with different model_args "
                f"({' | '.join(sorted(variants))}) and are drawn as one model"
            )
