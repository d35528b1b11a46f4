"""Whose results a samples file holds, and which files count: of each task of a model the newest."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from heatmaps.models import ModelRun, by_model, model_run, settings_note
from heatmaps.printable import brief
from heatmaps.result_files import (
    SamplesFile,
    counted,
    find_sample_files,
    of_task,
    read_results,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class RunFile:
    """One samples file with what is known of its run.

    Attributes:
        content: of the results file; empty if there is none.
    """

    samples: SamplesFile
    content: Mapping[str, Any]
    model: ModelRun


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelFiles:
    """The result files of one model.

    Attributes:
        label: the model, as the user reads it.
        newest: for each task the file that counts.
        notes: one-line remarks for the user: what was left out, or differs.
    """

    label: str
    newest: Mapping[str, RunFile]
    notes: tuple[str, ...]


def run_files(files: Iterable[SamplesFile]) -> list[RunFile]:
    """The files with their models; a results file of many tasks is read once.

    Raises:
        ValueError: a results file is not lm-eval's.
    """
    contents: dict[Path, dict[str, Any]] = {}
    found = []
    for file in files:
        if file.results and file.results not in contents:
            contents[file.results] = read_results(file.results)
        content = contents[file.results] if file.results else {}
        found.append(
            RunFile(samples=file, content=content, model=model_run(content, file.path.resolve()))
        )
    return found


def notes_on_count(run: RunFile, found: int) -> Iterator[str]:
    """What is odd about how many documents a samples file holds.

    Args:
        found: documents in it.
    """
    counts = of_task(run.content, "n-samples", run.samples.task)
    expected = counts.get("effective") if isinstance(counts, dict) else None
    if isinstance(expected, int) and expected != found:
        held = f"{found:,} of the" if found < expected else f"{counted(found, 'sample')}, not the"
        yield (
            f"{brief(run.samples.path.name)} holds {held} "
            f"{counted(min(expected, 2**53), 'sample')} that its results file counts"
        )


def newest_files(
    label: str, paths: Iterable[str | PathLike[str]], tasks: Collection[str] | None = None
) -> ModelFiles:
    """The files of one model that count.

    Args:
        label: the model.
        paths: files and folders as `find_sample_files` takes them.
        tasks: files of others are passed over; None takes all.

    Raises:
        FileNotFoundError: a path does not exist or has no samples.
        ValueError: a broken results file, or files of several models. All files count for that:
            what is left out would otherwise hide that a newer model's results replaced it.
    """
    files, remarks = find_sample_files(paths)
    runs = run_files(file for file in files if tasks is None or file.task in tasks)
    _refuse_several_models(label, runs)
    notes = [f"{label}: {remark}" for remark in remarks]
    newest: dict[str, RunFile] = {}
    # files come oldest first
    for run in runs:
        task = run.samples.task
        if task in newest:
            notes.append(
                f"{label}: {task} was run several times; {newest[task].samples.path.name} "
                "left out, the newest counts"
            )
        newest[task] = run
    if note := settings_note(label, [run.model for run in newest.values()]):
        notes.append(note)
    return ModelFiles(label=label, newest=newest, notes=tuple(notes))


def _refuse_several_models(label: str, runs: Sequence[RunFile]) -> None:
    groups = by_model(run.model for run in runs)
    if len(groups) < 2:
        return
    first, other = groups[0][0], groups[1][0]
    names = [
        next(run.samples.path.name for run in runs if run.model is model)
        for model in (first, other)
    ]
    if first.described != other.described:
        raise ValueError(
            f"{label}: its results are of two models, {first.described} ({names[0]}) and "
            f"{other.described} ({names[1]}): give the folder of one"
        )
    raise ValueError(
        f"{label}: its results are of two checkpoints, {first.sha[:12]} ({names[0]}) and "
        f"{other.sha[:12]} ({names[1]}): give the files of one, or run again what is older"
    )
