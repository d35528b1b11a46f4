"""What a document says of its request is compared with what is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tasks_samples

from tasks import handles
from tasks.grids import NeedleDoc, NeedleDocs
from tasks.needle_settings import NeedleSettings
from tasks.nll import DocumentDoc, DocumentDocs, DocumentSettings, request_texts
from tasks.plans import Plan, render
from tasks.stated import check_bin, check_prompt
from tasks.surroundings import Surroundings


@pytest.fixture
def book(tmp_path: Path) -> str:
    (tmp_path / "book.txt").write_text(tasks_samples.PROSE)
    return f"files:{tmp_path}/book.txt"


@pytest.fixture
def docs(book: str, tmp_path: Path) -> list[NeedleDoc]:
    settings = NeedleSettings(lengths=(600,), depths=(0.0, 1.0), haystack=book)
    tokenizer = tasks_samples.tokenizer("digits", tmp_path)
    around = Surroundings(before="System: Hello.\n\n", after=" Now:")
    return list(NeedleDocs(settings, tokenizer, surroundings=around))


def test_a_prompt_that_is_as_its_document_says_passes(docs: list[NeedleDoc]) -> None:
    for doc in docs:
        plan, around = Plan.from_dict(doc["plan"]), doc["surroundings"]
        for inside in (handles.to_handle(plan), render(plan)):
            prompt = around["before"] + inside + around["after"]
            check_prompt(doc, prompt, num_tokens=580, num_new=20)


def test_another_length_is_named(docs: list[NeedleDoc]) -> None:
    handle = handles.to_handle(Plan.from_dict(docs[0]["plan"]))
    where = "the prompt of 600 tokens at depth 0, trial 0, has "
    message = where + "580 prompt tokens in its document and 591 in its request"
    with pytest.raises(ValueError, match=message):
        check_prompt(docs[0], handle, num_tokens=591, num_new=20)
    message = where + "20 tokens of an answer in its document and 200 in its request"
    with pytest.raises(ValueError, match=message):
        check_prompt(docs[0], handle, num_tokens=580, num_new=200)


def test_another_text_of_equal_length_is_named(docs: list[NeedleDoc]) -> None:
    first, second = (Plan.from_dict(doc["plan"]) for doc in docs)
    one, other = handles.to_handle(first), handles.to_handle(second)
    for prompt in (other, one + other, render(second), render(first)[:-1], "", "no prompt"):
        with pytest.raises(ValueError, match=f"has the text {first.prompt_sha256[:12]} in its doc"):
            check_prompt(docs[0], prompt, num_tokens=580, num_new=20)


def test_documents_of_others_pass(docs: list[NeedleDoc]) -> None:
    for doc in (dict(docs[0]), None, "text", {"prompt_tokens": 1}, NeedleDoc(not_built="so")):
        check_prompt(doc, "anything", num_tokens=3, num_new=3)
        check_bin(doc, 0, ("", "anything"), num_context=3, num_scored=3)


def test_bins_are_compared_with_their_document(book: str, tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer("digits", tmp_path)
    settings = DocumentSettings(documents=book, lengths=(700,))
    (doc,) = DocumentDocs(settings, tokenizer)
    edges = doc["edges"]
    pairs = request_texts(doc)
    for number, pair in enumerate(pairs):
        sizes: dict[str, Any] = {
            "num_context": max(edges[number], 1),
            "num_scored": edges[number + 1] - edges[number],
        }
        check_bin(doc, number, pair, **sizes)
        for name in sizes:
            with pytest.raises(
                ValueError, match=rf"bin {number + 1} of book.txt has [\d,]+ tokens"
            ):
                check_bin(doc, number, pair, **{**sizes, name: sizes[name] + 1})
    changed = DocumentDoc(doc, document_sha256="0" * 64)
    handle = handles.to_handle(
        Plan(
            haystack=doc.haystack,
            haystack_sha256=doc["document_sha256"],
            start=0,
            stop=10,
            insertions=(),
            suffix="",
            prompt_sha256="",
        )
    )
    with pytest.raises(ValueError, match="is of the text 000000000000 in its document and of"):
        check_bin(changed, 0, ("", handle), num_context=1, num_scored=edges[1] - edges[0])
