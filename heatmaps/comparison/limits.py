"""Whether results that exist can be paired with a run that is still to come."""

from collections.abc import Sequence
from os import PathLike

from heatmaps.printable import brief
from heatmaps.result_files import counted, of_task
from heatmaps.run_files import newest_files


def refuse_other_limit(
    label: str, path: str | PathLike[str], tasks: Sequence[str], limit: int | None
) -> None:
    """That the results are of as many documents as a run with this limit will be.

    Args:
        label: of the results' model.
        path: the results, as `newest_files` takes them.
        tasks: benchmarks; cells of needle grids pair by themselves, whatever else there is.
        limit: documents per task; None for all.

    Raises:
        FileNotFoundError: the results have no samples.
        ValueError: of a task there are others; one line says how many.
    """
    for name, run in newest_files(brief(label), [path], tasks).newest.items():
        counts = of_task(run.content, "n-samples", name)
        if not isinstance(counts, dict):
            continue
        available, had = counts.get("original"), counts.get("effective")
        if not isinstance(available, int) or not isinstance(had, int):
            continue
        wanted = available if limit is None else min(limit, available)
        if had != wanted:
            asked = "without --limit" if limit is None else f"with --limit {limit:,}"
            remedy = f"give --limit {had}" if had < available else "leave out --limit"
            raise ValueError(
                f"{brief(label)} has {name} on {counted(min(had, 2**53), 'document')}, but a run "
                f"{asked} is on {min(wanted, 2**53):,}, and documents are compared in pairs: "
                f"{remedy}, or run {brief(label)} again"
            )
