"""Likelihood by position over documents, as curves with intervals.

Legend: D documents, B bins of positions.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from heatmaps.printable import brief
from heatmaps.result_files import counted

Unit = Literal["nats a token", "bits a byte"]

# Documents times bins; no run is as large, and a table of so many still fits into memory.
MAX_PLACES = 2_000_000
MAX_BINS = 2_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """One model's likelihood by position.

    Attributes:
        label: the model, with the task where there are several.
        unit: of all means.
        starts, stops: (B,) the bins as asked, in tokens, by their ends.
        num_documents: (B,) that reach into each bin.
        mean, low, high: (B,) of the tokens in each bin, with its 95% interval over documents;
            NaN where there is one document.
        average, average_low, average_high: (B,) of all tokens up to each bin's end, of the
            documents that reach into it.
    """

    label: str
    unit: Unit
    starts: np.ndarray
    stops: np.ndarray
    num_documents: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    average: np.ndarray
    average_low: np.ndarray
    average_high: np.ndarray


def curves_of(frame: pd.DataFrame) -> list[Curve]:
    """One curve for each model and task of `read_nll`, in their order there.

    Tokens are the unit where all documents were cut by one tokenizer. Tokens of two tokenizers do
    not compare, and then it is bytes.

    Raises:
        ValueError: more bins than `MAX_BINS`, or more of all documents than `MAX_PLACES`.
    """
    unit: Unit = "nats a token" if len(set(frame["tokenizer_sha256"])) <= 1 else "bits a byte"
    several = len(set(frame["task"])) > 1
    runs = frame[["model", "task"]].drop_duplicates().itertuples(index=False, name=None)
    return [
        _curve(
            brief(f"{model}, {task}" if several else str(model)),
            unit,
            frame.loc[(frame["model"] == model) & (frame["task"] == task)],
        )
        for model, task in runs
    ]


def _curve(label: str, unit: Unit, rows: pd.DataFrame) -> Curve:
    num_documents = len(set(rows["doc_id"]))
    num_bins = len(rows[["bin_start", "bin_stop"]].drop_duplicates())
    if num_bins > MAX_BINS or num_documents * num_bins > MAX_PLACES:
        raise ValueError(
            f"{label}: {counted(num_bins, 'bin')} of {counted(num_documents, 'document')} are more "
            "than can be drawn: run with fewer bins, and all documents with the same"
        )
    rows = rows.sort_values(["doc_id", "start"])
    losses = rows["nats"].astype(np.float64)
    # as whole numbers their sum might overflow
    sizes = rows["num_tokens"].astype(np.float64)
    if unit == "bits a byte":
        losses, sizes = losses / math.log(2), rows["num_bytes"].astype(np.float64)
    document = rows["doc_id"]
    bins = rows.assign(
        loss=losses,
        size=sizes,
        loss_so_far=losses.groupby(document).cumsum(),
        size_so_far=sizes.groupby(document).cumsum(),
    ).pivot(index="doc_id", columns=["bin_stop", "bin_start"])
    bins = bins.sort_index(axis=1)
    mean, low, high = _ratio(bins["loss"].to_numpy(), bins["size"].to_numpy())
    average = _ratio(bins["loss_so_far"].to_numpy(), bins["size_so_far"].to_numpy())
    places = bins["loss"].columns
    return Curve(
        label=label,
        unit=unit,
        starts=places.get_level_values("bin_start").to_numpy(),
        stops=places.get_level_values("bin_stop").to_numpy(),
        num_documents=bins["loss"].notna().sum().to_numpy(),
        mean=mean,
        low=low,
        high=high,
        average=average[0],
        average_low=average[1],
        average_high=average[2],
    )


def _ratio(losses: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of losses over sums of sizes (B,), and the ends of their 95% intervals.

    The interval is Student's t on the ratio of two sums over documents, linearised: it holds for
    few documents, and for documents of different sizes.

    Args:
        losses, sizes: (D, B), NaN where a document does not reach.
    """
    num_documents = np.isfinite(losses).sum(axis=0)
    total = np.nansum(sizes, axis=0)
    ratio = np.nansum(losses, axis=0) / total
    squares = np.nansum((losses - ratio * sizes) ** 2, axis=0)
    # one document says nothing of others
    several = np.maximum(num_documents, 2)
    deviation = np.sqrt(several / (several - 1) * squares) / total
    half = np.where(num_documents > 1, stdtrit(several - 1, 0.975) * deviation, np.nan)
    return ratio, ratio - half, ratio + half
