"""Names of tasks, groups and tags -> the single tasks that they mean, each loaded on its own."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import importlib.util
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _yoco_lm_eval_bridge as bridge
from tasks.catalogue import YAML_FOLDER


class UnknownTask(ValueError):
    """lm-eval has no task, group or tag of this name."""


@dataclass(frozen=True, kw_only=True)
class TaskUnit:
    """What is run, and kept, as one: a task.

    Attributes:
        name: of the task.
        config: as its file has it, functions by name, with the changes of the group that names it.
        changes: those of the group.
        is_group: a group that defines tasks within itself, which lm-eval can only load as a whole.
    """

    name: str
    config: dict[str, Any]
    changes: dict[str, Any] = field(default_factory=dict)
    is_group: bool = False

    @property
    def takes_settings(self) -> bool:
        """Whether lm-eval's metadata have a say: they reach code that makes documents, only."""
        return not self.is_group and ("custom_dataset" in self.config or "class" in self.config)

    def settings(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The task file's metadata with these over them."""
        own = self.config.get("metadata") or {}
        return {**(own if isinstance(own, dict) else {}), **metadata}


class Catalogue:
    """The tasks that some names mean.

    Attributes:
        units: in the order of the names.
        manager: lm-eval's own index, of these and other tasks.

    Raises:
        UnknownTask: lm-eval does not know a name; the near one is named.
        ValueError: two of the names want one task with different settings.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._all = False
        try:
            self.manager = _manager(everything=False)
            self.units = self._units(names)
        except UnknownTask:
            self._all = True
            self.manager = _manager(everything=True)
            self.units = self._units(names)

    def load(self, unit: TaskUnit, changes: Mapping[str, Any]) -> list[Any]:
        """lm-eval's task objects of a unit, its configuration changed; their data are loaded."""
        if unit.is_group:
            return list(self.manager.load([unit.name])["tasks"].values())
        # lm-eval lays changes over a task's own file where a group asks for it
        member = {"task": unit.name, **unit.changes, **changes}
        spec = {"group": "yoco_unit", "task": [member]}
        return list(self.manager.load([spec])["tasks"].values())

    def file(self, unit: TaskUnit) -> Path:
        """The task file of a unit."""
        path = self.manager.task_index[unit.name].yaml_path
        assert path is not None
        return Path(path)

    def is_ours(self, unit: TaskUnit) -> bool:
        """Whether its task file is one of this package."""
        path = self.manager.task_index[unit.name].yaml_path
        return path is not None and YAML_FOLDER in Path(path).parents

    def fingerprint(self, unit: TaskUnit) -> str:
        """Hash of a unit's configuration, the same wherever lm-eval is installed.

        Without the number of examples in a prompt, which depends on what is asked for, too.
        """
        config = {name: value for name, value in unit.config.items() if name != "num_fewshot"}
        text = json.dumps(config, sort_keys=True, default=str)
        # functions are named by the file they are in
        for package in ("lm_eval.tasks", "tasks"):
            spec = importlib.util.find_spec(package)
            for folder in (spec and spec.submodule_search_locations) or ():
                text = text.replace(str(Path(folder).resolve()), package)
        return hashlib.sha256(text.encode()).hexdigest()

    def _units(self, names: Sequence[str]) -> list[TaskUnit]:
        units: dict[str, TaskUnit] = {}
        for name in names:
            is_pattern = any(mark in name for mark in "*?[")
            for match in self._matches(name) if is_pattern else [name]:
                for unit in self._expanded(match, {}):
                    other = units.setdefault(unit.name, unit)
                    if other.changes != unit.changes:
                        raise ValueError(
                            f"{unit.name} is asked for twice, with different settings "
                            f"({other.changes} and {unit.changes}): name one of the groups only"
                        )
        return list(units.values())

    def _matches(self, pattern: str) -> list[str]:
        found = self.manager.match_tasks([pattern])
        # among our tasks alone, lm-eval's would be missed
        if not found or not self._all:
            raise UnknownTask(f"no task is called like {pattern!r}: `lm_eval ls tasks` lists all")
        return found

    def _expanded(self, name: str, changes: Mapping[str, Any]) -> Iterator[TaskUnit]:
        entry = self.manager.task_index.get(name)
        if entry is None:
            near = difflib.get_close_matches(name, self.manager.all_tasks, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "`lm_eval ls tasks` lists all"
            raise UnknownTask(f"no task, group or tag is called {name!r}: {hint}")
        kind, config = entry.kind.name, entry.cfg or {}
        if kind == "TAG":
            for member in sorted(entry.tags):
                yield from self._expanded(member, changes)
        elif kind != "GROUP":
            yield TaskUnit(name=name, config={**config, **changes}, changes=dict(changes))
        elif self._is_opaque(entry):
            yield TaskUnit(name=name, config=config, is_group=True)
        else:
            inherited = {**_changes_of_group(config), **changes}
            for member, own in _members(config):
                yield from self._expanded(member, {**inherited, **own})

    def _is_opaque(self, entry: Any) -> bool:
        """Whether a group holds what only lm-eval can build: tasks of its own, functions."""
        if str(entry.yaml_path.parent) in json.dumps(entry.cfg, default=str):
            return True
        unknown = any(member not in self.manager.task_index for member, _ in _members(entry.cfg))
        # among our tasks alone, what is unknown may be one of lm-eval's
        return unknown and self._all


@functools.cache
def _manager(*, everything: bool) -> Any:
    """lm-eval's TaskManager of our tasks, or of its own 14,690 names too: six seconds."""
    bridge.install(force=True)
    # what lm-eval says of each task, at each start, is for the command lm_eval
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(YAML_FOLDER), include_defaults=everything)


def _members(config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a group names, each with the changes that it asks for there."""
    members = config.get("task")
    for member in members if isinstance(members, list) else []:
        if isinstance(member, str):
            yield member, {}
        else:
            name = member.get("group", member.get("task"))
            yield str(name), {k: v for k, v in member.items() if k not in ("group", "task")}


def _changes_of_group(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a group asks of all its members: whatever is no field of a group."""
    from lm_eval.config.group import GroupConfig

    own = {each.name for each in dataclasses.fields(GroupConfig)} | {"tag"}
    return {name: value for name, value in config.items() if name not in own}
