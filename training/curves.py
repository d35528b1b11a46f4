"""The log of a run -> a picture of its losses and of what it retrieves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.state import read_log

# legends lie on no curve
_BESIDE: dict[str, Any] = {
    "loc": "upper left",
    "bbox_to_anchor": (1, 1),
    "frameon": False,
    "fontsize": "small",
}


def draw_curves(run_folder: Path, picture: Path) -> Figure:
    """Draws losses above, retrieval below, against the steps of training."""
    records = read_log(run_folder)
    train = [record for record in records if record["kind"] == "train"]
    probes = [record for record in records if record["kind"] == "probe"]
    figure = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    losses, found = figure.subplots(2, 1, sharex=True)
    _lengths_behind(losses, train)
    for key, label in (("answer_loss", "answers"), ("text_loss", "ordinary text")):
        losses.plot([r["step"] for r in train], [r[key] for r in train], lw=0.8, label=label)
    losses.set(ylabel="loss (nats a token)", ylim=(0, None))
    losses.legend(**_BESIDE)

    found.plot(
        [r["step"] for r in train],
        [r["exact"] for r in train],
        lw=0.5,
        color="0.7",
        label="training batches, all kinds of questions",
    )
    lengths = sorted({r["length"] for r in probes})
    for number, length in enumerate(lengths):
        points = [r for r in probes if r["length"] == length]
        found.plot(
            [r["step"] for r in points],
            [r["right"] / r["total"] for r in points],
            marker="o",
            ms=3,
            color=colormaps["viridis"](number / max(len(lengths), 2)),
            label=f"held out, {length:,} tokens",
        )
    found.set(xlabel="step", ylabel="answers that are exact", ylim=(-0.02, 1.02))
    if train or probes:
        found.legend(**_BESIDE)
    figure.savefig(picture, dpi=120)
    return figure


def _lengths_behind(axes: Any, train: list[dict[str, Any]]) -> None:
    """Marks where a length is trained on for the first time."""
    longest = 0
    for record in train:
        if record["length"] > longest:
            longest = record["length"]
            axes.axvline(record["step"], color="0.85", lw=0.8, zorder=0)
            axes.annotate(
                f"{longest:,}",
                (record["step"], 1),
                xycoords=("data", "axes fraction"),
                xytext=(2, -2),
                textcoords="offset points",
                rotation=90,
                va="top",
                fontsize="x-small",
                color="0.5",
            )
