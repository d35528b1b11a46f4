"""Documents scored by position, read from result files: one row a bin."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from heatmaps.printable import brief, printable
from heatmaps.result_files import SamplesFile, counted
from heatmaps.run_files import ModelFiles, RunFile, notes_on_count
from heatmaps.sample_lines import finite_number, sample_lines, shortened, whole_number

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
        its tokens. No row if there is no such sample, and none of a document that was not measured
        in every bin. `attrs["notes"]` is a list of one-line remarks for the user.

    Raises:
        ValueError: a broken line, or a sample whose figures do not fit its document.
    """
    rows: list[dict[str, Any]] = []
    notes = [note for model in models for note in model.notes]
    for model in models:
        for task, run in model.newest.items():
            documents = list(_documents(run.samples))
            if not documents:
                continue
            names = {"model": printable(model.label), "task": printable(task)}
            for document in documents:
                rows += [{**names, **row} for row in document.bins]
            head = f"{brief(model.label)}, {brief(task)}"
            notes += [f"{head}: {note}" for note in _notes(run, documents)]
    found = pd.DataFrame(rows, columns=COLUMNS)
    num_tokenizers = len(set(found["tokenizer_sha256"]))
    if num_tokenizers > 1:
        notes.append(
            "likelihood by position is in bits a byte, for its documents are in the tokens of "
            f"{num_tokenizers} tokenizers; positions are tokens of each, so "
            "that one position is not the same place in the text"
        )
    notes += _notes_on_texts(found)
    found.attrs["notes"] = notes
    return found


@dataclass(frozen=True, kw_only=True)
class _Document:
    """One line of a samples file.

    Attributes:
        bins: nothing where it was not measured.
    """

    name: str
    tokenizer: str
    bins: Sequence[Mapping[str, Any]]


def _notes(run: RunFile, documents: Sequence[_Document]) -> Iterator[str]:
    """What is missing of a run's documents."""
    yield from notes_on_count(run, len(documents))
    if unmeasured := [document.name for document in documents if not document.bins]:
        yield (
            f"{len(unmeasured):,} of {counted(len(documents), 'document')} not measured (logits "
            f"not finite) and left out: {', '.join(map(brief, unmeasured[:3]))}"
            f"{', ...' if len(unmeasured) > 3 else ''}"
        )


def _notes_on_texts(found: pd.DataFrame) -> Iterator[str]:
    """Where models were not scored on the same documents, which no comparison is of."""
    for task, rows in found.groupby("task", sort=False):
        texts: dict[str, set[str]] = {}
        for model, text in zip(rows["model"], rows["document_sha256"], strict=True):
            texts.setdefault(brief(model), set()).add(text)
        (first, of_first), *others = texts.items()
        for model, own in others:
            if own != of_first:
                common = counted(len(own & of_first), "document")
                yield (
                    f"{brief(str(task))}: {first} and {model} were not scored on the same "
                    f"documents ({common} in common): their curves do not compare"
                )


def _documents(file: SamplesFile) -> Iterator[_Document]:
    """A file's documents; nothing when it is of another task."""
    tokenizers: set[str] = set()
    for where, document in _read(file):
        tokenizers.add(document.tokenizer)
        if len(tokenizers) > 1:
            raise ValueError(
                f"{where}: its document is in the tokens of another tokenizer than those above: "
                "the file was put together of two runs, run again"
            )
        yield document


def _read(file: SamplesFile) -> Iterator[tuple[str, _Document]]:
    """The documents with their places."""
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
        bins = list(_bins(sample, doc, doc_id, where))
        is_measured = all(row["nats"] is not None for row in bins)
        yield (
            where,
            _Document(
                name=printable(str(doc.get("document"))),
                tokenizer=printable(str(doc.get("tokenizer_sha256"))),
                bins=bins if is_measured else (),
            ),
        )


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
        if not isinstance(entry, list) or len(entry) != 2:
            raise ValueError(f"{where}: bin {place} is {shortened(entry)}; it must be tokens, nats")
        yield {
            "doc_id": doc_id,
            "document": printable(str(doc.get("document"))),
            "document_sha256": printable(str(doc.get("document_sha256"))),
            "tokenizer_sha256": printable(str(doc.get("tokenizer_sha256"))),
            "bin_start": asked[place],
            "bin_stop": asked[place + 1],
            "start": edges[place],
            "stop": edges[place + 1],
            "num_tokens": whole_number(entry[0], f"{where}: tokens of bin {place}", least=1),
            "nats": finite_number(entry[1], f"{where}: nats of bin {place}"),
            "num_bytes": whole_number(sizes[place], f"{where}: bytes of bin {place}", least=1),
        }


def _edges_of(values: Any, what: str) -> list[int]:
    if not isinstance(values, list):
        raise ValueError(f"{what} is {shortened(values)}; it must be a list of positions")
    edges = [whole_number(value, what) for value in values]
    if len(edges) < 2:
        raise ValueError(f"{what} is {shortened(values)}; it must be two positions or more")
    if any(start >= stop for start, stop in itertools.pairwise(edges)):
        raise ValueError(f"{what} is {shortened(values)}; positions must ascend")
    return edges
