"""What the command `yoco nll` does with result files: a picture, a CSV and a table out of them."""

from collections.abc import Sequence
from os import PathLike

from heatmaps.csv_text import csv_text
from heatmaps.likelihood.samples import read_nll
from heatmaps.likelihood.tables import nll_table
from heatmaps.printable import brief, printable
from heatmaps.run_files import newest_files
from heatmaps.whole_files import whole_file


def write_nll(
    models: Sequence[tuple[str, Sequence[str | PathLike[str]]]],
    output: str | PathLike[str] | None = None,
    csv: str | PathLike[str] | None = None,
) -> str:
    """The text for the terminal: a table of all models, remarks, and what was written.

    Args:
        models: labels and result files as `newest_files` takes them.
        output: a picture to write, png, svg or pdf by its suffix. Folders on its way are made.
        csv: a file to write one row a document and bin to.

    Raises:
        FileNotFoundError: a path does not exist or has no samples.
        OSError: a file cannot be written.
        ValueError: no samples of yoco_nll, none that was measured, or a broken file.
    """
    frame = read_nll([newest_files(label, paths) for label, paths in models])
    if frame.empty:
        labels = ", ".join(brief(label) for label, _ in models)
        reason = "; ".join(frame.attrs["notes"]) or "run yoco_nll"
        raise ValueError(f"no likelihood by position in the results of {labels}: {reason}")
    blocks = [nll_table(frame)]
    remarks = [f"note: {printable(note)}" for note in frame.attrs["notes"]]
    if output is not None:
        # Here, so that a table alone does not wait for matplotlib.
        from heatmaps.likelihood.figure import draw_nll
        from heatmaps.page import save

        save(draw_nll(frame), output)
        remarks.append(f"wrote {output}")
    if csv is not None:
        with whole_file(csv) as file:
            frame.map(csv_text).to_csv(file, index=False, lineterminator="\n")
        remarks.append(f"wrote {csv}")
    if remarks:
        blocks.append("\n".join(remarks))
    return "\n\n".join(blocks)
