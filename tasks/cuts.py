"""Where a document is cut into bins of positions, so that no cut changes a token.

A backend encodes the text before a cut by itself, and again with the bin behind it. Only where
both times the same tokens come out are the bins of a document the spans of one token sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks.coverage import require_covered
from tasks.pieces import literal
from tasks.tokenizers import Tokenizer

# where the first bin ends: before that a mean is one of few tokens
FIRST_EDGE = 64
# how far from the place that was asked for a cut may lie, and how many places are tried
_SEARCH_TOKENS = 64
_MAX_TRIES = 16


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """A document's bins; each tuple has the beginning of the first and then the end of every bin.

    Attributes:
        asked: Positions in tokens that were aimed at; the last may lie beyond the document's end.
        tokens: Positions in the tokens of the whole text, what the tokenizer puts before it
            included.
        chars: Positions in the text.
    """

    asked: tuple[int, ...]
    tokens: tuple[int, ...]
    chars: tuple[int, ...]


def edges_to(max_tokens: int, bins_per_octave: int) -> list[int]:
    """The ends of the bins that a document of `max_tokens` has, ascending, `max_tokens` the last.

    They lie evenly on a logarithmic scale from `FIRST_EDGE` on, and do not depend on `max_tokens`
    but for the last, whose bin is half as wide as the others at least.
    """
    edges: list[int] = []
    last, step = max_tokens * 2 ** (-0.5 / bins_per_octave), 0
    while (edge := round(FIRST_EDGE * 2 ** (step / bins_per_octave))) <= last:
        if edge not in edges:
            edges.append(edge)
        step += 1
    return [*edges, max_tokens]


def cut_document(text: str, tokenizer: Tokenizer, *, max_tokens: int, bins_per_octave: int) -> Cuts:
    """The bins of a document, or of its beginning where it is longer than `max_tokens`.

    Args:
        text: The document.
        tokenizer: Whose tokens count.
        max_tokens: The most tokens that the bins may have together, special ones included.
        bins_per_octave: Bins from one position to its double.

    Raises:
        ValueError: If the tokenizer puts special tokens behind a text, or there is a place near
            which no cut leaves the tokens as they are.
    """
    before, after = tokenizer.special_counts
    if after:
        raise ValueError(
            f"tokenizer {tokenizer.name!r} puts special tokens after every text, so a text's "
            "beginning has other tokens than the text: use a tokenizer that does not"
        )
    if tokenizer.brings_bos(text):
        raise ValueError(
            f"a document begins with {tokenizer.bos_token!r}, which this backend takes for its "
            "mark of a beginning: leave that document out"
        )
    require_covered(text, "this document", tokenizer)
    text, ids, starts = _beginning(text, tokenizer, max_tokens - before)
    edges = edges_to(max_tokens, bins_per_octave)
    asked, tokens, chars = [before], [before], [0]
    for edge in edges[:-1]:
        if edge <= before:
            continue
        if edge >= before + len(ids):
            break
        for char in _places(text, starts, edge - before):
            if not chars[-1] < char < len(text):
                continue
            part = tokenizer.encode(literal(text[:char]))[before:]
            token = before + len(part)
            if token > tokens[-1] and np.array_equal(part, ids[: len(part)]):
                asked.append(edge)
                tokens.append(token)
                chars.append(char)
                break
        else:
            raise ValueError(
                f"tokenizer {tokenizer.name!r} finds no place near token {edge:,} where the text "
                "can be cut without changing its tokens: leave this document out"
            )
    # where the bin that the document ends in would end
    asked.append(next(edge for edge in edges if edge > asked[-1]))
    return Cuts(asked=tuple(asked), tokens=(*tokens, before + len(ids)), chars=(*chars, len(text)))


def _beginning(
    text: str, tokenizer: Tokenizer, max_tokens: int
) -> tuple[str, np.ndarray, np.ndarray]:
    """The text, or as much of it as has at most so many tokens; and `char_starts` of that.

    A text that is too long ends behind a word, where there is one.
    """
    # no more of a long text is encoded than is needed
    num_chars = 4 * max_tokens
    ids, starts = tokenizer.char_starts(text[:num_chars])
    while len(ids) <= max_tokens and num_chars < len(text):
        num_chars = int(1.1 * num_chars * max_tokens / max(len(ids), max_tokens // 8, 1)) + 64
        ids, starts = tokenizer.char_starts(text[:num_chars])
    if len(ids) <= max_tokens:
        return text, ids, starts
    last = max_tokens
    while last > 0:
        ends = [_word_end(text, int(start)) for start in starts[max(last - 16, 1) : last + 1]]
        end = next((char for char in reversed(ends) if text[char].isspace()), ends[-1])
        ids, starts_within = tokenizer.char_starts(text[:end])
        if end and len(ids) <= max_tokens:
            return text[:end], ids, starts_within
        last -= max(len(ids) - max_tokens, 1)
    raise ValueError("no text fits the length: use a greater one")


def _places(text: str, starts: np.ndarray, target: int) -> Iterator[int]:
    """Where the text may be cut near its token `target`, the likeliest first.

    None has white space before it: backends count that to what follows.
    """
    low, high = max(target - _SEARCH_TOKENS, 0), min(target + _SEARCH_TOKENS, len(starts))
    nearest = sorted(range(low, high), key=lambda token: abs(token - target))
    ends = list(dict.fromkeys(_word_end(text, int(starts[token])) for token in nearest))
    # behind a word hardly any tokenizer joins what follows
    ends.sort(key=lambda char: not text[char].isspace())
    yield from ends[:_MAX_TRIES]


def _word_end(text: str, char: int) -> int:
    """The same place before the white space that stands in front of it."""
    while char and text[char - 1].isspace():
        char -= 1
    return char
