"""Benchmark data from a local folder under lm-eval's own tasks: their prompts, other rows.

A folder DIR holds for a task TASK of lm-eval's one of

    DIR/TASK.jsonl, .json, .parquet or .csv    the documents that are evaluated
    DIR/TASK_SPLIT.jsonl, ...                  one split, as lm-eval's task calls it (train, test)
    DIR/TASK/                                  a dataset saved with `save_to_disk`, or a folder that
                                               `datasets.load_dataset` reads (a copy of the hub's)

A dataset of one split, whatever its name, is what is evaluated. The columns are those of the hub's
dataset, or llm-foundry's (`tasks.foundry`). Everything is read by `datasets`, and held in memory.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.api.samplers import ContextSampler

from tasks import columns, dataset_reading, foundry
from tasks.data_files import read_rows
from tasks.shown import listed, one_line

READERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}
_SPLIT_FIELDS = ("training_split", "validation_split", "test_split", "fewshot_split")


@dataclass(frozen=True, kw_only=True)
class LocalData:
    """What a folder holds for a task.

    Attributes:
        task: lm-eval's name of it.
        splits: file of each split; empty where `folder` holds them all.
        folder: a dataset of its own, or None.
        shown_columns: what the task's prompts and choices show; None where functions make them.
    """

    task: str
    splits: dict[str, Path]
    folder: Path | None = None
    shown_columns: tuple[str, ...] | None = None

    def files(self) -> list[Path]:
        """Everything that is read, in an order that depends on the names alone."""
        if self.folder is None:
            return sorted(self.splits.values())
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        hidden = (path for path in paths if not _is_hidden(path.relative_to(self.folder)))
        return sorted(hidden, key=lambda path: path.as_posix())

    def sha256(self) -> str:
        """Hash, in hex, of the names and the contents of the files."""
        digest = hashlib.sha256()
        for path in self.files():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            name = path.relative_to(self.folder).as_posix() if self.folder else path.name
            digest.update(f"{content} {name}\n".encode())
        return digest.hexdigest()


def reads_hub(config: Mapping[str, Any]) -> bool:
    """Whether lm-eval's task of this configuration loads a dataset that local data can replace."""
    return bool(config.get("dataset_path")) and not config.get("custom_dataset")


def find_data(folder: str | Path, config: Mapping[str, Any]) -> LocalData:
    """What the folder holds for lm-eval's task of this configuration.

    Raises:
        FileNotFoundError: nothing; the message names the file expected.
        ValueError: two things that both claim to be the task's data.
    """
    folder, task = Path(folder), str(config["task"])
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder}, which should hold benchmark data")
    evaluated = evaluated_split(config)
    names = {task: evaluated}
    for split in dict.fromkeys(config.get(field) for field in _SPLIT_FIELDS):
        if split:
            names[f"{task}_{split}"] = str(split)
    found = [
        (split, path)
        for name, split in names.items()
        for path in (folder / f"{name}{suffix}" for suffix in READERS)
        if path.is_file()
    ]
    splits = dict(found)
    own_folder = folder / task if (folder / task).is_dir() else None
    if len(splits) < len(found) or (found and own_folder):
        claimants = [path.name for _, path in found] + ([f"{task}/"] if own_folder else [])
        raise ValueError(f"{folder} holds {' and '.join(claimants)} for {task}: leave one of them")
    read = columns.columns_read(config, "doc_to_text", "doc_to_choice")
    shown_columns = None if read is None else tuple(sorted(read))
    if own_folder:
        return LocalData(task=task, splits={}, folder=own_folder, shown_columns=shown_columns)
    if evaluated not in splits:
        suffixes = ", ".join(READERS)
        raise FileNotFoundError(
            f"{folder} holds no data for {task}: add {task}.jsonl (or {suffixes}), with the "
            f"columns of {config.get('dataset_path')}, or a folder {task}/ that `datasets` reads"
        )
    return LocalData(task=task, splits=splits, shown_columns=shown_columns)


def evaluated_split(config: Mapping[str, Any]) -> str:
    """The split that lm-eval evaluates: the test split, else the validation split."""
    return str(config.get("test_split") or config.get("validation_split") or "test")


def num_examples(config: Mapping[str, Any], asked: int | None) -> int:
    """How many examples lm-eval shows in a prompt of a task: a zero in its file stays zero."""
    own = config.get("num_fewshot")
    return int(own or 0) if asked is None or own == 0 else asked


def load_data(data: LocalData, *, evaluated: str, config_name: str | None = None) -> dict[str, Any]:
    """The splits as `datasets.Dataset`, with the hub's columns.

    Args:
        evaluated: what a single split is called, whatever its own name.
        config_name: of the hub's dataset; used where the local copy has that configuration.

    Raises:
        ValueError: `datasets` cannot read a file, or a row is not of the layout it seems to have.
    """
    # `datasets` ends in a StopIteration over files without a byte
    is_empty = not any(path.stat().st_size for path in data.files())
    read = {} if is_empty else _read(data, config_name)
    loaded = {str(name): dataset for name, dataset in read.items() if len(dataset)}
    if not loaded:
        raise ValueError(f"{_place(data)} holds no rows: add documents, or remove it")
    if len(loaded) == 1:
        loaded = dict.fromkeys([evaluated], *loaded.values())
    if evaluated not in loaded:
        raise ValueError(
            f"{_place(data)} has the splits {', '.join(loaded)}, but {data.task} is evaluated on "
            f"{evaluated!r}: rename one, or leave only that one"
        )
    return {name: _with_hub_columns(data, name, dataset) for name, dataset in loaded.items()}


class NoExamples(ContextSampler):
    """lm-eval's source of examples for a task whose local data have none."""

    def sample(self, n: int, *args: Any, **kwargs: Any) -> Sequence[dict[str, Any]]:
        """No examples.

        Raises:
            ValueError: Some are wanted.
        """
        if not n:
            return []
        raise ValueError(
            f"{n} examples are wanted in a prompt, but the local data have none apart from the "
            "documents that are evaluated: add TASK_train.jsonl (or the split that the task takes "
            "its examples from) and write the task file again, or ask for no examples"
        )


def _why_no_examples(
    data: LocalData, present: Mapping[str, Any], config: Mapping[str, Any], num_shown: int
) -> str | None:
    """Why a prompt cannot have so many examples, or any; None where it can."""
    own = config.get("fewshot_config") or {}
    named = own.get("split") or config.get("fewshot_split")
    if not named and own.get("samples") is not None:
        return None
    # in lm-eval's order
    fields = ("training_split", "validation_split", "test_split")
    split = named or next(config[field] for field in (*fields, "task") if config.get(field))
    wants = f"{data.task} shows {num_shown} examples of the split {split!r}"
    add = f"add {data.task}_{split}.jsonl, or ask for no examples"
    # where a task's own file names the test split, lm-eval leaves the document itself out
    if split == evaluated_split(config) and not (named and split == config.get("test_split")):
        return f"{wants}, which is the one that is evaluated: ask for no examples"
    if split not in present:
        return f"{wants}, which {_place(data)} lacks: {add}"
    if len(present[split]) < num_shown:
        return f"{wants}, but {_place(data, split)} holds {len(present[split])}: add some"
    return None


def _is_plain(value: Any) -> bool:
    return not callable(value) and not (isinstance(value, str) and columns.is_function(value))


def local_docs(
    *, local: Mapping[str, Any], config_name: str | None = None, evaluated: str, **_: Any
) -> dict[str, Any]:
    """The splits of a task whose data are local (lm-eval's `custom_dataset`)."""
    splits = {name: Path(path) for name, path in local["splits"].items()}
    folder = Path(local["folder"]) if local.get("folder") else None
    read = local.get("shown_columns")
    data = LocalData(
        task=local["task"],
        splits=splits,
        folder=folder,
        shown_columns=None if read is None else tuple(read),
    )
    if data.sha256() != local["sha256"]:
        raise ValueError(
            f"{_place(data)} is not what it was when {data.task} was set up to read it: write the "
            "task file again (yoco local-tasks), or start again"
        )
    return load_data(data, evaluated=evaluated, config_name=config_name)


def overrides(
    config: Mapping[str, Any], folder: str | Path, *, num_fewshot: int | None = None
) -> dict[str, Any]:
    """What to change in an lm-eval task's configuration so that it reads a local folder.

    Args:
        config: of the task, as its file has it.
        num_fewshot: examples asked for in place of the task's own number.

    Raises:
        FileNotFoundError, ValueError: the data are not there, cannot be read, or have no examples
            for a prompt that wants some.
    """
    data = find_data(folder, config)
    evaluated = evaluated_split(config)
    config_name = config.get("dataset_name")
    present = load_data(data, evaluated=evaluated, config_name=config_name)
    for split in dict.fromkeys(config.get(field) for field in _SPLIT_FIELDS):
        if split in present:
            _check_split(data, str(split), present[str(split)], config)
    changes: dict[str, Any] = {
        field: None for field in _SPLIT_FIELDS if config.get(field) and config[field] not in present
    }
    num_shown = num_examples(config, num_fewshot)
    if no_examples := _why_no_examples(data, present, config, num_shown):
        if num_shown:
            raise ValueError(no_examples)
        # for a run that asks for examples after all: lm-eval would take what is evaluated
        own = config.get("fewshot_config") or {}
        changes["fewshot_config"] = {
            **{name: value for name, value in own.items() if name != "split" and _is_plain(value)},
            "sampler": NoExamples,
        }
    local = {
        "task": data.task,
        "splits": {name: str(path.resolve()) for name, path in data.splits.items()},
        "folder": str(data.folder.resolve()) if data.folder else None,
        "shown_columns": None if data.shown_columns is None else list(data.shown_columns),
        "sha256": data.sha256(),
    }
    return {
        **changes,
        "custom_dataset": local_docs,
        "dataset_kwargs": {"local": local, "config_name": config_name, "evaluated": evaluated},
    }


def _check_split(data: LocalData, split: str, dataset: Any, config: Mapping[str, Any]) -> None:
    place = _place(data, split)
    missing = columns.missing_columns(config, dataset.column_names)
    if missing:
        raise ValueError(
            f"{place} lacks the columns {listed(missing)} that {data.task} reads: give it the "
            f"columns of {config.get('dataset_path')} (it has {listed(dataset.column_names)})"
        )
    columns.check_rows(place, dataset, config)


def _read(data: LocalData, config_name: str | None) -> dict[str, Any]:
    place = _place(data)
    if data.folder and dataset_reading.is_saved(data.folder):
        saved = dataset_reading.load_saved(data.folder, place=place, keep_in_memory=True)
        return dict(saved) if isinstance(saved, dict) else {"saved": saved}
    # In memory and not through the user's cache: that goes by names and times of files.
    with tempfile.TemporaryDirectory() as cache:
        options: dict[str, Any] = {"cache_dir": cache, "keep_in_memory": True}
        if data.folder:
            folder = str(data.folder)
            names = dataset_reading.config_names(folder, place=place)
            name = config_name if config_name in names else None
            return dict(dataset_reading.load(folder, name, place=place, **options))
        loaded = {}
        for split, path in data.splits.items():
            place = one_line(path)
            if not path.stat().st_size:
                continue
            if READERS[path.suffix] == "parquet":
                files = {split: str(path)}
                loaded |= dict(
                    dataset_reading.load("parquet", data_files=files, place=place, **options)
                )
            else:
                loaded[split] = _from_rows(data, path)
        return loaded


def _from_rows(data: LocalData, path: Path) -> Any:
    import datasets

    rows = read_rows(path)
    if READERS[path.suffix] == "csv":
        rows = columns.with_types(rows, data.task, data.shown_columns)
    columns.check_types(one_line(path), rows, data.task)
    # a column may begin in a later row
    names = list(dict.fromkeys(name for row in rows for name in row))
    with dataset_reading.faults_as_ours(one_line(path)):
        return datasets.Dataset.from_dict({name: [row.get(name) for row in rows] for name in names})


def _with_hub_columns(data: LocalData, split: str, dataset: Any) -> Any:
    if not foundry.is_foundry(dataset.column_names):
        return dataset
    import datasets

    rows = []
    for number, row in enumerate(dataset, start=1):
        try:
            rows.append(foundry.to_hub(data.task, row))
        except ValueError as error:
            raise ValueError(f"{_place(data, split)}, row {number}: {error}") from error
    return datasets.Dataset.from_list(rows)


def _place(data: LocalData, split: str | None = None) -> str:
    if data.folder:
        return one_line(data.folder) + (f" ({split})" if split else "")
    paths = [data.splits[split]] if split in data.splits else list(data.splits.values())
    return ", ".join(map(one_line, paths))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
