"""Likelihood by position: samples of yoco_nll -> a table of bins -> curves with intervals.

Legend: D documents, B bins of positions.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from heatmaps.labels import length_label
from heatmaps.result_files import SamplesFile, counted
from heatmaps.run_files import ModelFiles
from heatmaps.sample_lines import sample_lines, shortened, whole_number

Unit = Literal["nats a token", "bits a byte"]

NOT_MEASURED = "-"
COLUMNS = [
    "model",
    "task",
    "doc_id",
    "document",
    "document_sha256",
    "tokenizer_sha256",
    "bin_start",
    "bin_stop",
    "start",
    "stop",
    "num_tokens",
    "nats",
    "num_bytes",
]


def read_nll(models: Sequence[ModelFiles]) -> pd.DataFrame:
    """One row for each bin of each document.

    Args:
        models: the result files of each. Samples of other tasks are passed over.

    Returns:
        Columns `COLUMNS`: [start, stop) is the bin in tokens as achieved, [bin_start, bin_stop) as
        asked, which is the same for all documents of a run; nats is the negative log-likelihood of
        its tokens. No row if there is no such sample. `attrs["notes"]` is a list of one-line
        remarks for the user.

    Raises:
        ValueError: a broken line, or a sample whose figures do not fit its document.
    """
    rows = [
        {"model": model.label, "task": task, **row}
        for model in models
        for task, run in model.newest.items()
        for row in _rows(run.samples)
    ]
    found = pd.DataFrame(rows, columns=COLUMNS)
    notes = [note for model in models for note in model.notes]
    num_tokenizers = len(set(found["tokenizer_sha256"]))
    if num_tokenizers > 1:
        notes.append(
            "likelihood by position is in bits a byte, for its documents are in the tokens of "
            f"{num_tokenizers} tokenizers; positions are tokens of each, so "
            "that one position is not the same place in the text"
        )
    found.attrs["notes"] = notes
    return found


def _rows(file: SamplesFile) -> Iterator[dict[str, Any]]:
    """The bins of a file's documents; nothing when it is of another task."""
    seen: set[int] = set()
    for where, sample in sample_lines(file.path):
        doc = sample.get("doc")
        if not (isinstance(doc, dict) and "edges" in doc and "nats_by_position" in sample):
            if not seen:
                return
            raise ValueError(f"{where}: no document scored by position, though the lines above are")
        doc_id = whole_number(sample.get("doc_id"), f"{where}: doc_id")
        if doc_id in seen:
            raise ValueError(
                f"{where}: document {doc_id} is in the file twice: delete one of the lines or run "
                "again"
            )
        seen.add(doc_id)
        yield from _bins(sample, doc, doc_id, where)


def _bins(
    sample: Mapping[str, Any], doc: Mapping[str, Any], doc_id: int, where: str
) -> Iterator[dict[str, Any]]:
    edges, asked = (_edges_of(doc.get(key), f"{where}: {key}") for key in ("edges", "edges_asked"))
    sizes, bins = doc.get("num_bytes"), sample["nats_by_position"]
    for key, values in (("num_bytes", sizes), ("nats_by_position", bins)):
        if not isinstance(values, list) or not len(values) == len(edges) - 1 == len(asked) - 1:
            raise ValueError(
                f"{where}: {key} has not one entry for each of the document's {len(edges) - 1} "
                "bins: the file was edited or written by another version, run again"
            )
    assert sizes is not None
    for place, entry in enumerate(bins):
        nats = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
        if not isinstance(nats, int | float) or not math.isfinite(nats):
            raise ValueError(
                f"{where}: bin {place} is {shortened(entry)}; it must be tokens and finite nats"
            )
        yield {
            "doc_id": doc_id,
            "document": str(doc.get("document")),
            "document_sha256": str(doc.get("document_sha256")),
            "tokenizer_sha256": str(doc.get("tokenizer_sha256")),
            "bin_start": asked[place],
            "bin_stop": asked[place + 1],
            "start": edges[place],
            "stop": edges[place + 1],
            "num_tokens": whole_number(entry[0], f"{where}: tokens of bin {place}", least=1),
            "nats": float(nats),
            "num_bytes": whole_number(sizes[place], f"{where}: bytes of bin {place}", least=1),
        }


def _edges_of(values: Any, what: str) -> list[int]:
    if not isinstance(values, list):
        raise ValueError(f"{what} is {shortened(values)}; it must be a list of positions")
    edges = [whole_number(value, what) for value in values]
    if any(start >= stop for start, stop in itertools.pairwise(edges)):
        raise ValueError(f"{what} is {shortened(values)}; positions must ascend")
    return edges


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
    """
    unit: Unit = "nats a token" if len(set(frame["tokenizer_sha256"])) <= 1 else "bits a byte"
    several = len(set(frame["task"])) > 1
    runs = frame[["model", "task"]].drop_duplicates().itertuples(index=False, name=None)
    return [
        _curve(
            f"{model}, {task}" if several else str(model),
            unit,
            frame.loc[(frame["model"] == model) & (frame["task"] == task)],
        )
        for model, task in runs
    ]


def _curve(label: str, unit: Unit, rows: pd.DataFrame) -> Curve:
    rows = rows.sort_values(["doc_id", "start"])
    losses, sizes = rows["nats"], rows["num_tokens"]
    if unit == "bits a byte":
        losses, sizes = losses / math.log(2), rows["num_bytes"]
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


def documents_label(curve: Curve) -> str:
    """How many documents a curve is of, and how many of them reach its end."""
    most, last = int(curve.num_documents.max()), int(curve.num_documents[-1])
    label = counted(most, "document")
    if last < most:
        label += f", {last:,} of them up to {length_label(int(curve.stops[-1]))}"
    return label


def nll_table(frame: pd.DataFrame) -> str:
    """The curves as plain text for a terminal: the bins of positions down, the models across.

    Args:
        frame: of `read_nll`; for one without a row the text is empty.
    """
    curves = curves_of(frame)
    if not curves:
        return ""
    lines = [f"{curve.label}: {documents_label(curve)}; {_whole(curve)}" for curve in curves]
    bins = sorted({edges for curve in curves for edges in _edges(curve)}, key=lambda b: b[::-1])
    width = max(15, *(len(curve.label) for curve in curves))
    lines += ["", " ".join([" " * 19, *(f"{curve.label:>{width}}" for curve in curves)])]
    heads = f"{'in bin':>7} {'to end':>7}"
    lines.append(" ".join([f"{'from':>9} {'to':>9}", *([f"{heads:>{width}}"] * len(curves))]))
    for start, stop in bins:
        cells = []
        for curve in curves:
            places = [place for place, edges in enumerate(_edges(curve)) if edges == (start, stop)]
            figures = [f"{curve.mean[p]:7.3f} {curve.average[p]:7.3f}" for p in places]
            cells.append(f"{(figures or [f'{NOT_MEASURED:>7} {NOT_MEASURED:>7}'])[0]:>{width}}")
        lines.append(" ".join([f"{start:>9,} {stop:>9,}", *cells]))
    return "\n".join([*lines, f"{curves[0].unit}; positions in tokens"])


def _edges(curve: Curve) -> list[tuple[int, int]]:
    return list(zip(curve.starts.tolist(), curve.stops.tolist(), strict=True))


def _whole(curve: Curve) -> str:
    """The average up to the end of the last bin, with its interval."""
    text = f"{curve.average[-1]:.4f} {curve.unit} up to {length_label(int(curve.stops[-1]))}"
    if np.isfinite(curve.average_low[-1]):
        text += (
            f" (95% interval over documents {curve.average_low[-1]:.4f} to "
            f"{curve.average_high[-1]:.4f})"
        )
    return text
