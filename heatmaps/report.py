"""What the command `yoco heatmap` does: result files in, a picture, a CSV and a table out."""

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

from heatmaps.needles.grids import Grid, grids_of
from heatmaps.needles.labels import notes_on
from heatmaps.needles.planned import PlanReader
from heatmaps.needles.samples import read_samples
from heatmaps.needles.tables import terminal_table, write_csv
from heatmaps.printable import brief, printable

PICTURE_SUFFIXES = (".png", ".svg", ".pdf")


def write_heatmap(
    results_paths: Iterable[str | PathLike[str]],
    output: str | PathLike[str] | None = None,
    csv: str | PathLike[str] | None = None,
    *,
    title: str | None = None,
    read_plan: PlanReader | None = None,
    draw_unmeasured: bool = False,
) -> str:
    """The text for the terminal: a table for each grid, remarks, and what was written.

    Args:
        results_paths: files and folders as `read_samples` takes them.
        output: a picture to write, png, svg or pdf by its suffix; several grids become its
            panels. Folders on its way are made.
        csv: a file to write one row a cell to.
        title: a line above the panels.
        read_plan: as `read_samples` takes it.
        draw_unmeasured: whether to draw grids of which no cell was measured, too.

    Raises:
        FileNotFoundError: a path does not exist or has no samples.
        OSError: a file cannot be written.
        ValueError: an output of another kind, no needle samples, a broken file, or no cell that
            was measured.
    """
    if output is not None and Path(output).suffix.lower() not in PICTURE_SUFFIXES:
        raise ValueError(
            f"{output}: a heatmap is written as {', '.join(PICTURE_SUFFIXES[:-1])} or "
            f"{PICTURE_SUFFIXES[-1]}; name one of these"
        )
    samples = read_samples(results_paths, read_plan)
    grids = grids_of(samples)
    if not draw_unmeasured and not any(grid.num_samples for grid in grids):
        raise ValueError(_nothing_measured(grids))
    blocks = [terminal_table(grid) for grid in grids]
    notes = [*samples.attrs["notes"], *_notes_on(grids)]
    remarks = [f"note: {printable(note)}" for note in notes]
    if output is not None:
        # Here, so that a table alone does not wait for matplotlib.
        from heatmaps.needles.figure import draw
        from heatmaps.page import save

        save(draw(grids, title=title), output)
        remarks.append(f"wrote {output}")
    if csv is not None:
        write_csv(grids, csv)
        remarks.append(f"wrote {csv}")
    if remarks:
        blocks.append("\n".join(remarks))
    return "\n\n".join(blocks)


def _notes_on(grids: Sequence[Grid]) -> list[str]:
    """Remarks on each grid, which is named where there are several."""
    if len(grids) == 1:
        return notes_on(grids[0])
    return [
        f"{', '.join((brief(grid.model), brief(grid.task), *grid.variant))}: {note}"
        for grid in grids
        for note in notes_on(grid)
    ]


def _nothing_measured(grids: Sequence[Grid]) -> str:
    notes = notes_on(grids[0])
    others = f" (nor of {len(grids) - 1} other grids)" if len(grids) > 1 else ""
    return (
        f"no cell of {brief(grids[0].task)} by {brief(grids[0].model)} was measured{others}: "
        f"{'; '.join(notes)}"
    )
