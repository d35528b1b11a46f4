"""What a sample document says of its request, held against what is about to be read.

A document is planned before lm-eval makes a request of it, and others have their hands in between:
templates, options, caches. A difference is an error, never a number of something else.
"""

from __future__ import annotations

from typing import Any

from tasks import handles
from tasks.grids import NeedleDoc
from tasks.nll import DocumentDoc
from tasks.plans import sha256_of

_REMEDY = (
    "run it without what changes requests after they are planned (caches of requests, a tokenizer "
    "in the metadata that is not the model's)"
)


def check_prompt(doc: Any, prompt: str, *, num_tokens: int, num_new: int) -> None:
    """Raises ValueError if a needle prompt is not what its document says; others pass.

    Args:
        doc: The document of a request.
        prompt: The request's text, with a handle or in full.
        num_tokens: Tokens that are read of it.
        num_new: The most tokens that may be generated.
    """
    if not isinstance(doc, NeedleDoc) or "not_built" in doc:
        return
    where = f"the prompt of {doc['length_tokens']:,} tokens at depth {doc['depth_frac']:g}"
    for what, stated, found in (
        ("prompt tokens", doc["prompt_tokens"], num_tokens),
        ("tokens of an answer", doc["generation_tokens"], num_new),
    ):
        if stated != found:
            raise ValueError(
                f"{where}, trial {doc['trial']}, has {stated:,} {what} in its document and "
                f"{found:,} in its request: {_REMEDY}"
            )
    hashes = [plan.prompt_sha256 for plan in handles.plans_in(prompt)] or [_sha256(doc, prompt)]
    if hashes != [doc["prompt_sha256"]]:
        raise ValueError(
            f"{where}, trial {doc['trial']}, has the text {doc['prompt_sha256'][:12]} in its "
            f"document and {', '.join(each[:12] for each in hashes)} in its request: {_REMEDY}"
        )


def check_bin(
    doc: Any, number: int, pair: tuple[str, str], *, num_context: int, num_scored: int
) -> None:
    """Raises ValueError if a bin of a document is not what the document says; others pass.

    Args:
        doc: The document of a request.
        number: Which of its bins is asked for.
        pair: The request's texts, as handles or in full.
        num_context, num_scored: Tokens before the bin, and tokens of the bin.
    """
    if not isinstance(doc, DocumentDoc):
        return
    start, stop = doc["edges"][number : number + 2]
    # something is read before a text's first token even if the tokenizer puts nothing there
    for what, stated, found in (
        ("tokens before it", max(start, 1), num_context),
        ("tokens", stop - start, num_scored),
    ):
        if stated != found:
            raise ValueError(
                f"bin {number + 1} of {doc['document']} has {stated:,} {what} in its document and "
                f"{found:,} in its request: {_REMEDY}"
            )
    texts = {plan.haystack_sha256 for text in pair for plan in handles.plans_in(text)}
    if not texts <= {doc["document_sha256"]}:
        raise ValueError(
            f"bin {number + 1} of {doc['document']} is of the text {doc['document_sha256'][:12]} "
            f"in its document and of {', '.join(each[:12] for each in sorted(texts))} in its "
            f"request: {_REMEDY}"
        )


def _sha256(doc: NeedleDoc, prompt: str) -> str:
    """Of a prompt in full, without what the document says to be around it."""
    around = doc.get("surroundings", {"before": "", "after": ""})
    return sha256_of(prompt.removeprefix(around["before"]).removesuffix(around["after"]))
