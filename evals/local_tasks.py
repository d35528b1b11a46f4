"""Task files with which lm_eval itself, under any backend, reads local data for its own tasks."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from evals.catalogue import Catalogue, TaskUnit
from heatmaps.whole_files import whole_file
from tasks import local_data
from tasks.shown import one_line, shown


class _Function(str):
    """A function of ours, as lm-eval's task files name one."""


class _TaskFileDumper(yaml.SafeDumper):
    pass


_TaskFileDumper.add_representer(
    _Function, lambda dumper, name: dumper.represent_scalar("!function", str(name))
)
_DOCS, _NO_EXAMPLES = (
    _Function(f"{local_data.__name__}.{thing.__name__}")
    for thing in (local_data.local_docs, local_data.NoExamples)
)


def write_task_files(
    names: Sequence[str], data: str | Path, folder: str | Path, *, num_fewshot: int | None = None
) -> list[Path]:
    """Writes one file a task for `lm_eval --include_path FOLDER`: lm-eval's own file, other data.

    The tasks keep their names, and so their results pair with those of `yoco compare --data`.

    Args:
        names: tasks, groups or tags of lm-eval's catalogue.
        data: folder of local benchmark data (`tasks.local_data`).
        folder: created where it is missing.
        num_fewshot: examples a prompt will have in place of each task's own number.

    Raises:
        FileNotFoundError, ValueError: a task is unknown, or its data are not as they should be.
    """
    catalogue = Catalogue(names)
    contents = {}
    for unit in catalogue.units:
        if unit.is_group or not local_data.reads_hub(unit.config):
            raise ValueError(
                f"{unit.name} reads no dataset of the hub that local files could stand in for: "
                "leave it out"
            )
        changes = local_data.overrides(unit.config, data, num_fewshot=num_fewshot)
        check_documents(catalogue, unit, changes)
        changes["custom_dataset"] = _DOCS
        if "fewshot_config" in changes:
            changes["fewshot_config"]["sampler"] = _NO_EXAMPLES
        include = {"include": str(catalogue.file(unit)), "task": unit.name}
        content = {**include, **unit.changes, **changes}
        contents[f"{unit.name}.yaml"] = yaml.dump(
            content, Dumper=_TaskFileDumper, sort_keys=False, allow_unicode=True
        )
    # none is in its place before all are written
    with contextlib.ExitStack() as files:
        for name, text in contents.items():
            path = files.enter_context(whole_file(Path(folder) / name))
            path.write_text(text, encoding="utf-8")
    return [Path(folder) / name for name in contents]


def check_documents(catalogue: Catalogue, unit: TaskUnit, changes: Mapping[str, Any]) -> None:
    """Has lm-eval make the prompts of all local documents of a task, and looks at them.

    Args:
        changes: of `local_data.overrides`.

    Raises:
        ValueError: a document does not fit the task, or its answer is none of its choices.
    """
    local = changes["dataset_kwargs"]["local"]
    place = local["folder"] or ", ".join(local["splits"].values())
    number = 0
    try:
        for task in catalogue.load(unit, changes):
            for number, doc in enumerate(task.eval_docs, start=1):
                if wrong := _wrong_with(task, doc):
                    raise _Unfit(f"{place}, document {number:,}: {wrong}")
    except _Unfit:
        raise
    # a task's own functions raise whatever a row makes them raise
    except Exception as error:
        document = f", document {number:,}," if number else ""
        reason = one_line(str(error).partition("\n")[0] or "no reason given")
        raise ValueError(
            f"{place}{document} does not fit {unit.name} ({type(error).__name__}: {reason}): "
            f"compare its rows with those of {unit.config['dataset_path']}"
        ) from error


class _Unfit(ValueError):
    """What is wrong with a document is said already."""


def _wrong_with(task: Any, doc: Mapping[str, Any]) -> str | None:
    """What of a document lm-eval would score without a word, or with a traceback."""
    text, target = task.doc_to_text(doc), task.doc_to_target(doc)
    if task.OUTPUT_TYPE != "multiple_choice":
        return None
    choices = task.doc_to_choice(doc)
    if not isinstance(choices, list) or not all(isinstance(c, str) and c for c in choices):
        return f"its choices are {shown(choices)}: they must be a list of texts"
    allowed = [*range(len(choices)), *choices]
    # a task whose choices stand in the prompt gives the right one as its text
    if isinstance(text, int):
        return None if 0 <= text < len(choices) else f"its answer is {text}: it has no such choice"
    for answer in target if isinstance(target, list) else [target]:
        if isinstance(answer, bool) or answer not in allowed:
            return f"its answer is {shown(answer)}: it must be one of its {len(choices)} choices"
    return None
