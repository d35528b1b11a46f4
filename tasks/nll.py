"""Likelihood by position as lm-eval calls it: long documents in bins of token positions.

Every bin is one ordinary log-likelihood request, the document up to the bin as its context, so
any backend can run the task; one that sees the nesting reads a document once.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from lm_eval.api.instance import Instance

from tasks import handles
from tasks.cuts import FIRST_EDGE, cut_document
from tasks.documents import Document, find_documents
from tasks.haystacks import load_haystack
from tasks.lengths import parse_lengths
from tasks.own_task import OwnTask
from tasks.plans import Plan, sha256_of
from tasks.settings import (
    given_settings,
    make_room,
    max_length_of,
    pretrained_of,
    require_text,
    require_whole,
    tokenizer_of,
)
from tasks.shown import listed
from tasks.tokenizers import Tokenizer

Pair = tuple[float, float]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DocumentSettings:
    """Which documents are scored, how far, and in which bins.

    Attributes:
        documents: What `find_documents` reads.
        num_documents: The first so many; None takes all.
        lengths: The most tokens of a document, special ones included; the beginning of a longer
            one is taken. Of several lengths the longest counts, so that one setting serves this
            task and the needle tasks.
        bins_per_octave: Bins from one position to its double.
        tokenizer: What `load_tokenizer` reads; None takes the model's.
    """

    documents: str = "stdlib"
    num_documents: int | None = None
    lengths: tuple[int, ...] = parse_lengths("128K")
    bins_per_octave: int = 2
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        require_text("documents", self.documents)
        require_whole("bins_per_octave", self.bins_per_octave, least=1, most=1000)
        if self.num_documents is not None:
            require_whole("num_documents", self.num_documents, least=1)
        if self.max_tokens < FIRST_EDGE:
            raise ValueError(
                f"lengths {listed(self.lengths)} do not fill the first bin of "
                f"{FIRST_EDGE} tokens: give a longer one"
            )

    @property
    def max_tokens(self) -> int:
        """The most tokens of a document."""
        return max(self.lengths)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> DocumentSettings:
        """The settings within lm-eval's metadata, which also hold the model's arguments.

        Raises:
            ValueError: If a value cannot be read, or a key is a setting's name misspelt.
        """
        given = given_settings(metadata, [each.name for each in fields(cls)])
        if "lengths" in given:
            given["lengths"] = parse_lengths(given["lengths"])
        return cls(**given)


class DocumentDoc(dict[str, Any]):
    """A sample document, with what only its own run needs beside the fields that are logged.

    Those are the same for every model with the same tokenizer, wherever the text lies.
    """

    haystack: str = ""
    pretrained: str | None = None
    allows_not_measured = True


class DocumentDocs(Sequence[DocumentDoc]):
    """The sample documents of a run, each cut when it is first asked for.

    It stands in for the `datasets.Dataset` that lm-eval expects of a split.
    """

    def __init__(
        self, settings: DocumentSettings, tokenizer: Tokenizer, *, pretrained: str | None = None
    ) -> None:
        self.settings = settings
        self._tokenizer, self._pretrained = tokenizer, pretrained
        self._documents = find_documents(settings.documents, settings.num_documents)
        self._docs: dict[int, DocumentDoc] = {}

    @property
    def features(self) -> dict[str, Any]:
        """The documents' fields."""
        return dict.fromkeys(self[0])

    def __len__(self) -> int:
        return len(self._documents)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        if number not in self._docs:
            document = self._documents[number]
            doc = DocumentDoc(build_doc(self.settings, document, self._tokenizer))
            doc.haystack, doc.pretrained = document.haystack, self._pretrained
            self._docs[number] = doc
        return self._docs[number]

    def __iter__(self) -> Iterator[DocumentDoc]:
        return (self[number] for number in range(len(self)))


def document_docs(**metadata: Any) -> dict[str, DocumentDocs]:
    """The splits of the task (lm-eval's `custom_dataset`).

    Args:
        metadata: The task file's `metadata`, with --metadata and the model's arguments over it.

    Raises:
        ValueError: If a setting among them is wrong, or the length is beyond the model.
    """
    settings = DocumentSettings.from_metadata(metadata)
    limit = max_length_of(metadata)
    if limit and settings.max_tokens > limit:
        raise ValueError(
            f"documents of {settings.max_tokens:,} tokens are beyond the model's max_length of "
            f"{limit:,} tokens: give a smaller length or raise max_length"
        )
    make_room(metadata, settings.max_tokens)
    docs = DocumentDocs(settings, tokenizer_of(metadata), pretrained=pretrained_of(metadata))
    return {"test": docs}


def build_doc(
    settings: DocumentSettings, document: Document, tokenizer: Tokenizer
) -> dict[str, Any]:
    """The sample document of one text: its bins, as positions in tokens, characters and bytes.

    Raises:
        ValueError: If the text cannot be cut as the settings say.
    """
    haystack = document.load()
    try:
        cuts = cut_document(
            haystack.text,
            tokenizer,
            max_tokens=settings.max_tokens,
            bins_per_octave=settings.bins_per_octave,
        )
    except ValueError as error:
        raise ValueError(f"document {document.name}: {error}") from error
    spans = itertools.pairwise(cuts.chars)
    return {
        "document": document.name,
        "document_sha256": haystack.sha256,
        "length_tokens": cuts.tokens[-1],
        "edges": list(cuts.tokens),
        "edges_asked": list(cuts.asked),
        "edges_chars": list(cuts.chars),
        "num_bytes": [len(haystack.text[start:stop].encode()) for start, stop in spans],
        "tokenizer_sha256": tokenizer.hash,
    }


class DocumentTask(OwnTask):
    """One log-likelihood request a bin; a document is plain text to any chat template."""

    def build_all_requests(self, **options: Any) -> None:
        """As lm-eval does it; that instructions and templates have no say is said."""
        if options.get("system_instruction") or options.get("apply_chat_template"):
            _log.warning("%s: documents are read as they are, without instructions", self.name)
        super().build_all_requests(**options)

    def fewshot_context(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, doc: Any, num_fewshot: int, **options: Any
    ) -> str:
        """Nothing: every bin has a context of its own."""
        return ""

    def construct_requests(self, doc: Any, ctx: Any, **kwargs: Any) -> list[Instance]:
        metadata = kwargs["metadata"]
        return [
            Instance("loglikelihood", doc, arguments, number, metadata=metadata)
            for number, arguments in enumerate(request_texts(doc))
        ]


def request_texts(doc: DocumentDoc) -> list[tuple[str, str]]:
    """Context and continuation of each bin, as handles where the run's backend expands handles.

    Raises:
        ValueError: If the document has changed since it was cut.
    """
    haystack, chars = load_haystack(doc.haystack), doc["edges_chars"]

    def part(start: int, stop: int) -> str:
        if start == stop:
            return ""
        plan = Plan(
            haystack=doc.haystack,
            haystack_sha256=doc["document_sha256"],
            start=start,
            stop=stop,
            insertions=(),
            suffix="",
            prompt_sha256=sha256_of(haystack.text[start:stop]),
        )
        return handles.text_of(plan, doc.pretrained)

    return [(part(0, start), part(start, stop)) for start, stop in itertools.pairwise(chars)]


def process_results(
    doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]
) -> dict[str, Any]:
    """One document's figures.

    Returns:
        nats_by_position: (tokens, nats) of every bin;
        bits_per_token, bits_per_byte: (bits, tokens or bytes) of the whole document.
    """
    edges = doc["edges"]
    sizes = [stop - start for start, stop in itertools.pairwise(edges)]
    nats = [-log_likelihood for log_likelihood, _ in results]
    bits = math.fsum(nats) / math.log(2)
    return {
        "nats_by_position": tuple(zip(sizes, nats, strict=True)),
        "bits_per_token": (bits, sum(sizes)),
        "bits_per_byte": (bits, sum(doc["num_bytes"])),
    }


def ratio_of_sums(pairs: Sequence[Pair]) -> float:
    """What documents of (sum, weight) have for each unit of weight, all together."""
    return math.fsum(total for total, _ in pairs) / math.fsum(weight for _, weight in pairs)


def mean_nats(documents: Sequence[Sequence[Pair]]) -> float:
    """Nats for each token of documents of (tokens, nats) bins, all together."""
    return ratio_of_sums([(nats, tokens) for bins in documents for tokens, nats in bins])
