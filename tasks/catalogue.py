"""Which tasks and groups there are, read from the files that lm-eval reads; lm-eval stays asleep.

A file's first comment line says in a few words what it is, as a docstring would: lm-eval passes
over comments, and nothing of it gets into a run's settings or results.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

YAML_FOLDER = Path(__file__).parent / "yaml"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A name that `lm_eval --tasks` takes.

    Attributes:
        summary: what it is, in one line; "" where its file does not say.
        num_members: tasks and groups listed in a group; None for a task.
    """

    name: str
    summary: str
    num_members: int | None


def read_catalogue(folder: Path = YAML_FOLDER) -> list[Entry]:
    """The tasks and groups defined in a folder, tasks first, by name."""
    entries = [
        entry
        for path in sorted(folder.rglob("*.yaml"))
        if (entry := _entry(path.read_text(encoding="utf-8"))) is not None
    ]
    return sorted(entries, key=lambda entry: (entry.num_members is not None, entry.name))


def default_settings(task: str, folder: Path = YAML_FOLDER) -> dict[str, str]:
    """The settings that a task of our own has where the user asks for none, as its file has them.

    Args:
        task: the name of the task, and of its file.
    """
    text = (folder / f"{task}.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=yaml.BaseLoader)["metadata"]


def _entry(text: str) -> Entry | None:
    """What a file defines; None where it only holds what others include."""
    # this loader takes every value as text, so a !function is named and not imported
    values = yaml.load(text, Loader=yaml.BaseLoader) or {}
    summary = _first_comment(text)
    if "group" in values:
        members = values.get("task", [])
        num_members = len(members) if isinstance(members, list) else 1
        return Entry(name=values["group"], summary=summary, num_members=num_members)
    if "task" in values:
        return Entry(name=values["task"], summary=summary, num_members=None)
    return None


def _first_comment(text: str) -> str:
    """The comment line that a file begins with, without its mark and its full stop."""
    first = text.partition("\n")[0]
    return first.removeprefix("#").strip().rstrip(".") if first.startswith("#") else ""
