"""Documents scored by position, read from result files: one row a bin."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from heatmaps.result_files import SamplesFile
from heatmaps.run_files import ModelFiles
from heatmaps.sample_lines import sample_lines, shortened, whole_number

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
