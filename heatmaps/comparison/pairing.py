"""Results of two models on one task put side by side, document by document, or refused.

A paired comparison means something only where both models were asked the same: hashes of document,
prompt and target decide. A document that one side lacks is never quietly left out. The one
exception is whole cells of a needle grid, which is how models of different lengths are compared:
cells that only one has are left out, and counted.
"""

from collections import Counter
from dataclasses import dataclass, fields

import numpy as np

from heatmaps.comparison.document_scores import DocumentScores
from heatmaps.comparison.metrics import NotComparableError, OtherTokensError
from heatmaps.comparison.task_results import Cell, Document, RunSettings, TaskResult
from heatmaps.labels import depth_labels, length_label
from heatmaps.printable import brief
from heatmaps.result_files import counted

_SETTING_NAMES = {
    "version": "versions of the task",
    "num_fewshot": "numbers of few-shot examples",
    "filter": "filters of the answers",
    "generation_kwargs": "generation settings",
    "chat_template_sha": "chat templates",
    "system_instruction_sha": "system instructions",
    "fewshot_as_multiturn": "layouts of few-shot examples (multiturn)",
}
# Fields of a needle document that a user sets; the others follow from them.
_NEEDLE_SETTINGS = (
    "seed",
    "num_needles",
    "ask",
    "haystack",
    "haystack_sha256",
    "generation_tokens",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """Two models on the same documents of one task.

    Attributes:
        first, second: scores of the common documents that both were measured on, in one order.
        places: where these are among the first model's documents.
        num_left_out: cells of a needle grid that only one of the two has.
        num_not_measured: common documents that one of the two has no score of.
    """

    first: DocumentScores
    second: DocumentScores
    places: np.ndarray
    num_left_out: int
    num_not_measured: int


def pair(first: TaskResult, second: TaskResult) -> Pair:
    """Two models' scores on the same documents.

    Raises:
        NotComparableError: the models were not asked the same; one line says what differs.
    """
    _refuse_unlike_settings(first, second)
    shared = first.cells & second.cells
    if first.is_needle and not shared:
        raise NotComparableError(
            f"{first.task}: {first.label} and {second.label} have no cell (length and depth) in "
            "common: run them with the same lengths and depths"
        )
    kept = [
        [i for i, doc in enumerate(result.documents) if doc.cell is None or doc.cell in shared]
        for result in (first, second)
    ]
    places = np.array(kept[0])
    order = _order_as(first, kept[0], second, kept[1])
    measured = np.isin(places, first.scores.measured) & np.isin(order, second.scores.measured)
    if not measured.any():
        raise NotComparableError(
            f"{first.task}: not measured: {first.label} and {second.label} have no document that "
            "both have a score of"
        )
    return Pair(
        first=first.scores.select(places[measured]),
        second=second.scores.select(order[measured]),
        places=places[measured],
        num_left_out=len(first.cells ^ second.cells),
        num_not_measured=int((~measured).sum()),
    )


def _refuse_unlike_settings(first: TaskResult, other: TaskResult) -> None:
    if first.is_needle != other.is_needle:
        raise NotComparableError(
            f"{first.task}: only one of {first.label} and {other.label} has needle samples: "
            "two different tasks have this name"
        )
    for field in fields(RunSettings):
        ours, theirs = getattr(first.settings, field.name), getattr(other.settings, field.name)
        # None is what a file does not say, save for hashes of a template that a run did not have.
        if field.name.endswith("_sha"):
            known = first.results_file is not None and other.results_file is not None
        else:
            known = ours is not None and theirs is not None
        if known and ours != theirs:
            raise NotComparableError(
                f"{first.task}: {first.label} and {other.label} were run with different "
                f"{_SETTING_NAMES[field.name]}, {_said(ours)} and {_said(theirs)}: "
                "run one of them again as the other"
            )
    if first.metric != other.metric or first.scores.aggregation != other.scores.aggregation:
        raise NotComparableError(
            f"{first.task}: {first.label} and {other.label} were measured by different metrics, "
            f"{first.metric} and {other.metric}: run one of them again as the other"
        )


def _said(value: object) -> str:
    return brief(str(value), 80) if value is not None else "none"


def _order_as(
    first: TaskResult, first_indices: list[int], other: TaskResult, other_indices: list[int]
) -> np.ndarray:
    """Where `other` has the documents of `first`, in the order of `first`."""
    places = _places(other, other_indices)
    missing = [i for key, i in _places(first, first_indices).items() if key not in places]
    if missing or len(first_indices) != len(other_indices):
        if first.is_needle:
            message = _different_needles(first, first_indices, other, other_indices)
        elif first.documents[0].fields and other.documents[0].fields:
            message = _different_texts(first, other)
        else:
            message = _different_documents(first, first_indices, other, other_indices)
        raise NotComparableError(message)
    order = [places[key] for key in _places(first, first_indices)]
    pairs = [
        (first.documents[i], other.documents[j]) for i, j in zip(first_indices, order, strict=True)
    ]
    for what, hint in (
        ("prompt", "the task's file, its shots, their seed or the chat template differ"),
        ("target", "the task's file or the data's labels differ"),
    ):
        unlike = [a for a, b in pairs if getattr(a, what) != getattr(b, what)]
        if unlike:
            raise NotComparableError(
                f"{first.task}: {first.label} and {other.label} have different {what}s for "
                f"{len(unlike):,} of {counted(len(pairs), 'document')} (the first is doc_id "
                f"{unlike[0].doc_id}), though the documents are the same; {hint}: "
                "run one of them again as the other"
            )
    return np.array(order)


def _places(result: TaskResult, indices: list[int]) -> dict[tuple[str, int], int]:
    """Where each document is; equal documents are told apart by their order."""
    seen: Counter[str] = Counter()
    places = {}
    for i in indices:
        identity = result.documents[i].identity
        places[identity, seen[identity]] = i
        seen[identity] += 1
    return places


def _different_documents(
    first: TaskResult, first_indices: list[int], other: TaskResult, other_indices: list[int]
) -> str:
    ours, theirs = _places(first, first_indices), _places(other, other_indices)
    only = []
    for result, here, there in ((first, ours, theirs), (other, theirs, ours)):
        alone = [i for key, i in here.items() if key not in there]
        if alone:
            doc_id = result.documents[alone[0]].doc_id
            only.append(
                f"{counted(len(alone), 'document')} only {result.label} has "
                f"(the first is doc_id {doc_id})"
            )
    return (
        f"{first.task}: {first.label} ({counted(len(ours), 'document')}) and {other.label} "
        f"({len(theirs):,}) were not run on the same documents: {', '.join(only)}; "
        "run both with one --limit and the same data"
    )


def _different_texts(first: TaskResult, other: TaskResult) -> str:
    """What differs of documents that are scored by position, by their own fields.

    Raises:
        OtherTokensError: their tokens do.
    """
    tokenizers = {
        str(document.fields["tokenizer_sha256"])[:12]: None
        for result in (first, other)
        for document in result.documents
    }
    if len(tokenizers) > 1:
        raise OtherTokensError(
            f"{first.task}: {first.label} and {other.label} have their documents in the tokens of "
            f"{len(tokenizers)} tokenizers ({' and '.join(tokenizers)}), which do not compare; "
            "likelihood by position does, in bits a byte"
        )
    head = f"{first.task}: {first.label} and {other.label} did not score the same"
    ours, theirs = _by_text(first), _by_text(other)
    only = [
        f"{counted(len(alone), 'document')} only {result.label} has "
        f"(the first is {_said(here[alone[0]].fields.get('document'))})"
        for result, here, there in ((first, ours, theirs), (other, theirs, ours))
        if (alone := [key for key in here if key not in there])
    ]
    remedy = "run both on the same documents, with one length"
    if only:
        return f"{head} documents: {', '.join(only)}; {remedy}"
    for key, document in ours.items():
        names = [
            name for name, value in document.fields.items() if value != theirs[key].fields.get(name)
        ]
        if names:
            # the bins follow from the length where that differs
            name = "length_tokens" if "length_tokens" in names else names[0]
            found = [_said(fields.get(name)) for fields in (document.fields, theirs[key].fields)]
            return (
                f"{head} of {_said(document.fields.get('document'))}: {_said(name)} "
                f"{' and '.join(found)}; {remedy}"
            )
    return f"{head} number of documents; {remedy}"


def _by_text(result: TaskResult) -> dict[object, Document]:
    return {document.fields.get("document_sha256"): document for document in result.documents}


def _different_needles(
    first: TaskResult, first_indices: list[int], other: TaskResult, other_indices: list[int]
) -> str:
    """What differs in the first cell that does, by the names of the documents' own fields."""
    head = f"{first.task}: {first.label} and {other.label} were not asked the same prompts"
    ours = _by_cell(first, first_indices)
    theirs = _by_cell(other, other_indices)
    for cell, documents in ours.items():
        others = theirs[cell]
        place = f" at {_cell_label(cell)}"
        if len(documents) != len(others):
            return (
                f"{head}{place}: {counted(len(documents), 'prompt')} and {len(others):,}; "
                "run both with one number of trials and no --limit"
            )
        for a, b in zip(documents, others, strict=True):
            if a.identity == b.identity:
                continue
            tokenizers = [str(document.fields["tokenizer_sha256"])[:12] for document in (a, b)]
            if tokenizers[0] != tokenizers[1]:
                return (
                    f"{head}{place}: lengths are counted in the tokens of two tokenizers "
                    f"({' and '.join(tokenizers)}), so that equal lengths are different texts; "
                    "run both with --metadata tokenizer= of one of them"
                )
            names = [name for name in a.fields if a.fields[name] != b.fields.get(name)]
            if "haystack_sha256" in a.fields and "haystack_sha256" not in names:
                # one text, wherever it lies
                names = [name for name in names if name != "haystack"]
            shown = ", ".join(
                f"{_said(name)} {_said(a.fields[name])} and {_said(b.fields.get(name))}"
                for name in [name for name in names if name in _NEEDLE_SETTINGS] or names[:3]
            )
            return f"{head}{place}: {shown or 'their plans'}; run both with the same settings"
    return f"{head}: their documents differ; run both with the same settings"


def _by_cell(result: TaskResult, indices: list[int]) -> dict[Cell, list[Document]]:
    cells: dict[Cell, list[Document]] = {}
    for i in indices:
        document = result.documents[i]
        assert document.cell is not None
        cells.setdefault(document.cell, []).append(document)
    return cells


def _cell_label(cell: Cell) -> str:
    length, depth = cell
    return f"{length_label(length)} tokens, depth {depth_labels([depth])[0]}%"
