"""What a run set out to measure, as its results file says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from heatmaps.result_files import of_task


@dataclass(frozen=True, kw_only=True)
class PlannedGrid:
    """Every length at every depth.

    Attributes:
        lengths: tokens, ascending.
        depths: fractions 0..1, ascending.
        trials: prompts of each cell.
    """

    lengths: tuple[int, ...]
    depths: tuple[float, ...]
    trials: int


# Reads a task's settings as its author may write them ("4K..128K"), which only the task knows.
PlanReader = Callable[[Mapping[str, Any]], PlannedGrid]


def planned_grid(
    content: Mapping[str, Any], task: str, read_plan: PlanReader
) -> PlannedGrid | None:
    """What the results file says that the run of the task was to measure; None if it does not.

    Raises:
        ValueError: it says something that is no plan.
    """
    config = of_task(content, "configs", task)
    metadata = config.get("metadata") if isinstance(config, dict) else None
    if not isinstance(metadata, dict) or "lengths" not in metadata or "depths" not in metadata:
        return None
    try:
        return read_plan(metadata)
    except (TypeError, OverflowError, AttributeError) as error:
        raise ValueError(str(error)) from error
