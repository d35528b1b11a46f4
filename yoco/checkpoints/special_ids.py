"""The ids of special tokens that the files of a checkpoint state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yoco.checkpoints.files import faults_name, read_json
from yoco.quoting import quoted

CONFIG_FILES = ("config.json", "generation_config.json")


@dataclass(frozen=True, kw_only=True)
class StatedIds:
    """What config.json says, then what generation_config.json adds; empty where neither does."""

    bos_token_ids: tuple[int, ...]
    eos_token_ids: tuple[int, ...]


def stated_ids(folder: str | Path) -> StatedIds:
    """What config.json and generation_config.json of a folder say of BOS and EOS.

    Only what stands there: a config class's defaults for keys that are left out are nobody's
    statement. A file that is not there states nothing.

    Raises:
        ValueError: a file is damaged, or an id is no integer.
    """
    found: dict[str, dict[int, None]] = {"bos_token_id": {}, "eos_token_id": {}}
    for name in CONFIG_FILES:
        path = Path(folder, name)
        if not path.exists():
            continue
        values = read_json(path)
        with faults_name(path):
            for key, ids in found.items():
                ids.update(dict.fromkeys(_ids(key, values.get(key))))
    return StatedIds(
        bos_token_ids=tuple(found["bos_token_id"]), eos_token_ids=tuple(found["eos_token_id"])
    )


def _ids(key: str, value: Any) -> list[int]:
    ids = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(x, int) and not isinstance(x, bool) and x >= 0 for x in ids):
        raise ValueError(f"{key} is {quoted(value)}: it must be an id, a list of ids, or null")
    return ids
