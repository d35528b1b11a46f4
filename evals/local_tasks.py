"""Task files with which lm_eval itself, under any backend, reads local data for its own tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from evals.catalogue import Catalogue
from tasks import local_data

_FUNCTION = f"{local_data.__name__}.{local_data.local_docs.__name__}"


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
    written = []
    for unit in catalogue.units:
        path = catalogue.file(unit)
        if unit.is_group or not local_data.reads_hub(unit.config):
            raise ValueError(
                f"{unit.name} reads no dataset of the hub that local files could stand in for: "
                "leave it out"
            )
        changes = local_data.overrides(unit.config, data, num_fewshot=num_fewshot)
        del changes["custom_dataset"]
        content: dict[str, Any] = {"include": str(path), "task": unit.name}
        text = yaml.safe_dump({**content, **unit.changes, **changes}, sort_keys=False)
        Path(folder).mkdir(parents=True, exist_ok=True)
        written.append(Path(folder) / f"{unit.name}.yaml")
        written[-1].write_text(f"{text}custom_dataset: !function {_FUNCTION}\n", encoding="utf-8")
    return written
