"""What the command `yoco heatmap` does: result files in, a picture, a CSV and a table out."""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from heatmaps.needles.grids import grids_of
from heatmaps.needles.samples import read_samples
from heatmaps.needles.tables import terminal_table, write_csv

PICTURE_SUFFIXES = (".png", ".svg", ".pdf")


def write_heatmap(
    results_paths: Iterable[str | PathLike[str]],
    output: str | PathLike[str] | None = None,
    csv: str | PathLike[str] | None = None,
    *,
    title: str | None = None,
) -> str:
    """The text for the terminal: a table for each grid, remarks, and what was written.

    Args:
        results_paths: files and folders as `read_samples` takes them.
        output: a picture to write, png, svg or pdf by its suffix; several grids become its
            panels. Folders on its way are made.
        csv: a file to write one row a cell to.
        title: a line above the panels.

    Raises:
        FileNotFoundError: a path does not exist or has no samples.
        ValueError: an output of another kind, no needle samples, or a broken file.
    """
    if output is not None and Path(output).suffix.lower() not in PICTURE_SUFFIXES:
        raise ValueError(
            f"{output}: a heatmap is written as {', '.join(PICTURE_SUFFIXES[:-1])} or "
            f"{PICTURE_SUFFIXES[-1]}; name one of these"
        )
    samples = read_samples(results_paths)
    grids = grids_of(samples)
    blocks = [terminal_table(grid) for grid in grids]
    remarks = [f"note: {note}" for note in samples.attrs["notes"]]
    if output is not None:
        # Here, so that a table alone does not wait for matplotlib.
        from heatmaps.needles.figure import draw
        from heatmaps.page import save

        Path(output).parent.mkdir(parents=True, exist_ok=True)
        save(draw(grids, title=title), output)
        remarks.append(f"wrote {output}")
    if csv is not None:
        Path(csv).parent.mkdir(parents=True, exist_ok=True)
        write_csv(grids, csv)
        remarks.append(f"wrote {csv}")
    if remarks:
        blocks.append("\n".join(remarks))
    return "\n\n".join(blocks)
