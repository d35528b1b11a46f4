"""`yoco compare`: checkpoints, run where results are missing, and results that exist already."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.catalogue import Catalogue
from evals.checkpoint_runs import RunSettings, keys_of, plan_runs, run_checkpoint
from evals.distributed import Processes
from evals.runs import RunStore
from heatmaps.comparison.limits import refuse_other_limit
from heatmaps.json_text import MOST_BYTES, parsed
from heatmaps.models import ModelRun, labels_of
from heatmaps.printable import brief
from yoco.checkpoints import holds_checkpoint
from yoco.loading import resolve_path


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What a comparison says.

    Attributes:
        text: for the terminal.
        not_measured: a line for each part that has no score.
    """

    text: str
    not_measured: list[str]


def compare(
    models: Sequence[str],
    settings: RunSettings,
    output: str | Path,
    *,
    steps: Sequence[float] | None = None,
    paper: bool = False,
) -> Compared | None:
    """Runs what is missing, one model in memory at a time, and writes the comparison.

    Args:
        models: checkpoints (folders, embedded names), or results of lm-eval (folders, files), of
            any model; the first is the baseline.
        output: folder for the comparison, and for the runs of checkpoints.
        steps: of training, one for each model, if they are snapshots of one run.
        paper: whether the paper's published rows stand beside.

    A task that cannot be scored for a model is left out there, and the others are compared.

    Returns:
        What it says; None on the other ranks of a run of several processes.

    Raises:
        FileNotFoundError, ValueError: a model, a task, a setting or the data are wrong; nearly
            all of it is found out before the first model runs.
        OSError: something cannot be written; what was finished is kept.
    """
    output = Path(output)
    if len(models) < 2:
        raise ValueError("only one model is given: name two or more to compare")
    if steps is not None and len(steps) != len(models):
        raise ValueError(
            f"{len(steps)} steps are given for {len(models)} models: give each model its step"
        )
    labels = model_labels(models)
    checkpoints = [name for name in models if is_checkpoint(name)]
    results = {name: [Path(name)] for name in models if name not in checkpoints}
    if checkpoints and not settings.tasks:
        raise ValueError(f"{checkpoints[0]} is to be run, but on no task: add --tasks yoco_paper")
    catalogue = Catalogue(settings.tasks)
    named = [unit.name for unit in catalogue.units if not unit.is_group]
    for name in results:
        check_results(name, named)
        if checkpoints:
            # cells of our grids pair by themselves
            benchmarks = [unit.name for unit in catalogue.units if not unit.takes_settings]
            refuse_other_limit(
                *(labels[name], name),
                [task for task in benchmarks if task in named],
                settings.limit,
            )
    plan = plan_runs(catalogue, settings)
    keys = {name: keys_of(name, plan) for name in checkpoints}
    store = RunStore(output)
    is_first = Processes().rank == 0
    with store.locked() if is_first else contextlib.nullcontext():
        if is_first and checkpoints:
            store.check_writable([unit.name for unit in catalogue.units])
        # how many models have each task; results that exist have all that are named
        num_scored = Counter({name: len(results) for name in named})
        not_measured: list[str] = []
        for name in checkpoints:
            runs = run_checkpoint(name, labels[name], keys[name], plan, store)
            not_measured += runs.not_measured
            results[name] = [folder for folder in runs.folders if folder is not None]
            num_scored.update(
                unit.name
                for unit, folder in zip(catalogue.units, runs.folders, strict=True)
                if folder is not None
            )
        if not is_first:
            return None
        scored = [name for name in models if results[name]]
        tasks = [name for name in named if num_scored[name] > 1]
        if named and not tasks:
            raise ValueError("; ".join(["no task is scored for two models", *not_measured]))
        from heatmaps.comparison.report import write_comparison

        text = write_comparison(
            [(labels[name], results[name]) for name in scored],
            output,
            # of a group that runs as one the members' names are not known here
            tasks=tasks if len(named) == len(catalogue.units) and named else None,
            steps=steps
            and [step for name, step in zip(models, steps, strict=True) if name in scored],
            paper=paper,
        )
        return Compared(text=text, not_measured=not_measured)


def model_labels(models: Sequence[str]) -> dict[str, str]:
    """A short label for each model, unique among them.

    Raises:
        ValueError: two are the same.
    """
    for name in models:
        same = [other for other in models if Path(other).resolve() == Path(name).resolve()]
        if len(same) > 1:
            raise ValueError(f"{name} is given {len(same)} times: give each model once")
    labels = labels_of([ModelRun(name=name) for name in models])
    return dict(zip(models, labels, strict=True))


def is_checkpoint(name: str) -> bool:
    """Whether it is a checkpoint, to be run; otherwise it holds results of lm-eval.

    Raises:
        FileNotFoundError: there is nothing of this name.
        ValueError: it is neither.
    """
    path = Path(name)
    if path.exists() and not holds_checkpoint(path) and _results_files(path):
        # also under the name of an embedded checkpoint: what is here is not run again
        return False
    if holds_checkpoint(resolve_path(name)):
        return True
    if not path.exists():
        raise FileNotFoundError(f"no such folder: {name}")
    raise ValueError(
        f"{name} is neither a checkpoint (config.json or params.json) nor results of lm-eval "
        "(results_*.json): give the folder of one"
    )


def check_results(name: str, tasks: Iterable[str]) -> None:
    """That the results hold all of these tasks.

    Raises:
        ValueError: they do not, or a file is damaged.
    """
    found: set[str] = set()
    for path in _results_files(Path(name)):
        try:
            with path.open("rb") as file:
                found |= parsed(file.read(MOST_BYTES + 1), "JSON")["configs"].keys()
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(
                f"{brief(str(path), 300)} is no results file of lm-eval, or cut short: delete it "
                "or run again"
            ) from error
    # releases after 0.4.13 write the members of a group as group::task
    found = {task.rpartition("::")[2] for task in found}
    missing = [task for task in tasks if task not in found]
    if missing:
        raise ValueError(
            f"{name} has no results of {', '.join(missing)}, only of {', '.join(sorted(found))}: "
            "run them there, or leave them out of --tasks"
        )


def _results_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    # what is no file, a pipe for one, would be read without an end
    return [found for found in sorted(path.rglob("results_*.json")) if found.is_file()]
