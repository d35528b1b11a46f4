"""What `yoco list` prints: the names that the other commands and `lm_eval --tasks` take."""

from __future__ import annotations

from tasks.catalogue import Entry, read_catalogue
from yoco.checkpoints import read_checkpoint
from yoco.config import YOCOConfig
from yoco.costs import num_parameters
from yoco.loading import embedded_names, resolve_path


def listing() -> str:
    """Our tasks, groups of tasks and embedded checkpoints, one a line."""
    entries = read_catalogue()
    tasks = [entry for entry in entries if entry.num_members is None]
    groups = [entry for entry in entries if entry.num_members is not None]
    checkpoints = {name: read_checkpoint(resolve_path(name)).config for name in embedded_names()}
    width = max(len(name) for name in [*(entry.name for entry in entries), *checkpoints])
    blocks = {
        "tasks": {entry.name: entry.summary for entry in tasks},
        "groups": {entry.name: _group_line(entry) for entry in groups},
        "embedded checkpoints": {
            name: _checkpoint_line(config) for name, config in checkpoints.items()
        },
    }
    return "\n\n".join(
        "\n".join([title, *(f"  {name:<{width}}  {line}".rstrip() for name, line in lines.items())])
        for title, lines in blocks.items()
    )


def _group_line(group: Entry) -> str:
    return f"{group.summary} ({group.num_members} members)".lstrip()


def _checkpoint_line(config: YOCOConfig) -> str:
    mixer = config.mixer.replace("_", " ")
    window = "" if config.sliding_window is None else f" of {config.sliding_window:,}"
    return f"{mixer}{window}, {num_parameters(config):,} parameters"
