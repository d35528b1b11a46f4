"""Every task of one checkpoint with one loaded model: what is complete is kept, the rest run."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError

from evals.catalogue import Catalogue, TaskUnit
from evals.distributed import Processes
from evals.evaluation import Evaluation, evaluate
from evals.local_tasks import check_documents
from evals.model_args import task_metadata
from evals.model_keys import ModelKey
from evals.not_finite import NotFiniteError
from evals.resuming import ResumingLM
from evals.run_keys import RunKey, model_key, run_key
from evals.runs import RunStore, read_manifest
from tasks import local_data

# what datasets, templates and a task's own functions raise over data that are not as expected
LOADING_FAULTS = (OSError, ValueError, TypeError, LookupError, TemplateError)


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What is the same for every model that is compared.

    Attributes:
        tasks: names of tasks, groups or tags of lm-eval's catalogue.
        data: folder of local benchmark data (`tasks.local_data`); None for the hub's.
        limit: documents of a task; None for all.
        num_fewshot: examples in a prompt; None for each task's own number.
        metadata: settings of the tasks that take any.
        model_args: of `evals.backend.YOCOLM`, without `pretrained`.
        batch_size: prompts run together.
    """

    tasks: Sequence[str]
    data: Path | None = None
    limit: int | None = None
    num_fewshot: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    model_args: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int | str = "auto"

    def __post_init__(self) -> None:
        for name, least in (("limit", 1), ("num_fewshot", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}: it must be at least {least}")


@dataclass(frozen=True, kw_only=True)
class PlannedTask:
    """A task, and what to change in its configuration to read local data.

    Attributes:
        num_fewshot: examples asked for; None for its own number, as for our tasks, whose prompts
            hold none.
    """

    unit: TaskUnit
    changes: dict[str, Any]
    data_sha256: str | None
    num_fewshot: int | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be run of every checkpoint."""

    settings: RunSettings
    catalogue: Catalogue
    tasks: list[PlannedTask]


def plan_runs(catalogue: Catalogue, settings: RunSettings) -> Plan:
    """The tasks of the catalogue, their local data found and read.

    Raises:
        FileNotFoundError, ValueError: data are missing, or cannot be read.
    """
    planned = []
    for unit in catalogue.units:
        changes: dict[str, Any] = {}
        sha256 = None
        if settings.data is not None and unit.is_group:
            raise ValueError(
                f"{unit.name} defines its tasks within itself, and these cannot read local data: "
                "leave it out, or leave out --data"
            )
        if settings.data is not None and local_data.reads_hub(unit.config):
            changes = local_data.overrides(
                unit.config, settings.data, num_fewshot=settings.num_fewshot
            )
            check_documents(catalogue, unit, changes)
            sha256 = changes["dataset_kwargs"]["local"]["sha256"]
        num_fewshot = None if catalogue.is_ours(unit) else settings.num_fewshot
        planned.append(
            PlannedTask(unit=unit, changes=changes, data_sha256=sha256, num_fewshot=num_fewshot)
        )
    return Plan(settings=settings, catalogue=catalogue, tasks=planned)


@dataclass(frozen=True, kw_only=True)
class CheckpointRuns:
    """What there is of a checkpoint's tasks.

    Attributes:
        folders: of each task's completed run; None for a task that cannot be scored.
        not_measured: a line for each part that has no score.
    """

    folders: list[Path | None]
    not_measured: list[str]


def keys_of(pretrained: str, plan: Plan) -> list[RunKey]:
    """The key of each task's run of a checkpoint, which is read for that but not loaded.

    Raises:
        FileNotFoundError, ValueError: the checkpoint, an argument or a setting is wrong.
    """
    return keys_for(model_key(_model_args(pretrained, plan.settings)), plan)


def keys_for(model: ModelKey, plan: Plan) -> list[RunKey]:
    """The key of each task's run of a model.

    Raises:
        ValueError: a setting names a text that is not there.
    """
    settings = plan.settings
    return [
        run_key(
            model,
            plan.catalogue,
            task.unit,
            metadata=settings.metadata,
            data_sha256=task.data_sha256,
            limit=settings.limit,
            num_fewshot=task.num_fewshot,
        )
        for task in plan.tasks
    ]


def run_checkpoint(
    pretrained: str,
    label: str,
    keys: Sequence[RunKey],
    plan: Plan,
    store: RunStore,
) -> CheckpointRuns:
    """Runs what the store lacks of a checkpoint's tasks; the model is loaded only for that.

    Args:
        label: of the checkpoint, for the lines that say what is going on.
        keys: of its runs of the tasks (`keys_of`).

    Raises:
        FileNotFoundError, ValueError: an argument, a setting or a task's data are wrong, or the
            checkpoint has changed.
        OSError: results cannot be written.
    """
    processes = Processes()
    # decided once: another process might look when the first has just completed a run
    found = processes.from_first([store.find(key) for key in keys] if processes.rank == 0 else None)
    missing = [index for index, folder in enumerate(found) if folder is None]
    not_scored = []

    def say(text: str) -> None:
        if processes.rank == 0:
            print(f"{label}: {text}", file=sys.stderr)

    say(f"{len(keys) - len(missing)} of {len(keys)} tasks complete")
    if missing:
        lm = load(pretrained, plan.settings)
        try:
            if lm.key != keys[0].model:
                raise ValueError(
                    f"{pretrained} has changed while it was looked at: run again once it is whole"
                )
            for count, index in enumerate(missing, start=1):
                task = keys[index].task
                say(f"{task} ({count} of {len(missing)})")
                try:
                    found[index] = _complete(lm, pretrained, keys[index], plan, index, store)
                except NotFiniteError as error:
                    # the other processes wait for this one's share of the task
                    if processes.world_size > 1:
                        raise
                    not_scored.append(f"{label}: {task} is not scored: {error}")
        finally:
            # one model in memory at a time
            del lm
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    not_measured = [
        f"{label}: {line}"
        for folder in found
        if folder is not None
        for line in read_manifest(folder).not_measured
    ]
    return CheckpointRuns(folders=found, not_measured=[*not_scored, *not_measured])


def load(pretrained: str, settings: RunSettings) -> ResumingLM:
    """The model of a checkpoint.

    Raises:
        FileNotFoundError, ValueError: the checkpoint, the tokenizer or an argument is wrong.
    """
    return ResumingLM(**_model_args(pretrained, settings), batch_size=settings.batch_size)


def _model_args(pretrained: str, settings: RunSettings) -> dict[str, Any]:
    given = {"pretrained": pretrained, **settings.model_args}
    return {name: value for name, value in given.items() if value is not None}


def _complete(
    lm: ResumingLM, pretrained: str, key: RunKey, plan: Plan, index: int, store: RunStore
) -> Path:
    workspace = lm.processes.from_first(store.workspace(key) if lm.rank == 0 else None)
    evaluation = run_planned(lm, pretrained, plan, plan.tasks[index], workspace)
    folder = None
    if evaluation is not None:
        folder = store.complete(
            key,
            evaluation.results.parent,
            pretrained=pretrained,
            not_measured=evaluation.not_measured,
        )
    return lm.processes.from_first(folder)


def run_planned(
    lm: ResumingLM,
    pretrained: str,
    plan: Plan,
    task: PlannedTask,
    workspace: Path,
    *,
    bootstrap_iters: int = 100_000,
) -> Evaluation | None:
    """Runs one task; requests that are answered in the workspace are not asked again.

    Args:
        pretrained: the model as the user named it.
        workspace: folder of this run alone; the files come to lie in its `results`.
        bootstrap_iters: of lm-eval's standard errors.

    Returns:
        What was written; None on the other ranks of a run of several processes.

    Raises:
        FileNotFoundError, ValueError: a setting or the task's data are wrong.
        OSError: results cannot be written.
    """
    settings, catalogue = plan.settings, plan.catalogue
    model_args = _model_args(pretrained, settings)
    changes = dict(task.changes)
    if task.unit.takes_settings:
        # as lm-eval: the task's own, under the model's arguments, under what was asked for
        asked = task_metadata({**model_args, **settings.metadata})
        changes["metadata"] = task.unit.settings(asked)
    evaluation = evaluate(
        lm,
        _loaded(catalogue, task, changes),
        catalogue.manager,
        model_args=model_args,
        batch_size=settings.batch_size,
        limit=settings.limit,
        num_fewshot=task.num_fewshot,
        bootstrap_iters=bootstrap_iters,
        answers=workspace,
        output=workspace / "results",
    )
    # all have closed their files before they are moved
    lm.processes.barrier()
    return evaluation


def _loaded(catalogue: Catalogue, task: PlannedTask, changes: Mapping[str, Any]) -> list[Any]:
    """lm-eval's task objects, what is wrong with their data said in one line."""
    unit = task.unit
    try:
        return catalogue.load(unit, changes)
    except LOADING_FAULTS as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        of_hub = task.data_sha256 is None and local_data.reads_hub(unit.config)
        if isinstance(error, OSError) and of_hub:
            raise FileNotFoundError(
                f"{unit.config['dataset_path']}, the data of {unit.name}, cannot be had from the "
                f"hub ({reason}): give local files with --data, or fill the hub's cache"
            ) from error
        raise
