"""The index of a haystack's tokens against the tokens of the whole text."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import tasks_samples
from tasks_samples import TEXTS, TOKENIZERS

from tasks.haystacks import Haystack
from tasks.token_index import TokenIndex, Unsynchronised, token_index

# The haystack three times over, in the middle of which boundary effects have died away.
COPIES = 3


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_counts_are_those_of_the_whole_text(name: str, kind: str, tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer(name, tmp_path)
    text = TEXTS[kind]
    index = TokenIndex(Haystack(kind, text, kind), tokenizer, piece_chars=1999)
    starts = tokenizer.char_starts(text * COPIES)[1]
    rng = random.Random(f"{name} {kind}")
    for _ in range(60):
        # a window's start and end shift nothing beyond a few tokens
        first, last = sorted(rng.sample(range(200, COPIES * len(text) - 200), 2))
        low, high = np.searchsorted(starts, (first, last))
        assert index.count(first, last) == high - low
        assert index.advance(first, int(high - low)) == starts[high]
        assert index.advance(last, int(low - high)) == starts[low]
        near = min(last, first + 300)
        expected = starts[low : np.searchsorted(starts, near)]
        assert index.tokens(first, near)[1].tolist() == expected.tolist()


def test_only_the_pieces_that_are_read_are_tokenised(tmp_path: Path) -> None:
    text = "".join(TEXTS.values())
    tokenizer = tasks_samples.tokenizer("gpt2", tmp_path)
    calls = []
    original = tokenizer.char_starts
    tokenizer.char_starts = lambda text: calls.append(len(text)) or original(text)
    index = TokenIndex(Haystack("all", text, "all"), tokenizer, piece_chars=4096)
    assert index.num_tokenised_pieces == 0
    index.advance(0, 100)
    assert index.num_tokenised_pieces == 1
    index.count(0, len(text) * 5)
    whole = index.num_tokenised_pieces
    assert whole == len(calls) >= len(text) // 4096
    index.count(0, len(text) * 9)
    index.advance(len(text) * 3, -100_000)
    assert len(calls) == whole


def test_a_tokenizer_that_reads_only_the_whole_is_noticed() -> None:
    text = TEXTS["prose"] + "." * (len(TEXTS["prose"]) % 2 + 1)
    assert len(text) % 2
    haystack = Haystack("odd", text, "odd")
    index = TokenIndex(haystack, tasks_samples.PairsFromTheEnd(), piece_chars=1999)
    with pytest.raises(Unsynchronised, match="odd at character"):
        index.count(0, 3 * len(text))
    whole = TokenIndex(haystack, tasks_samples.PairsFromTheEnd(), piece_chars=None)
    assert whole.count(0, 2 * len(text)) == pytest.approx(len(text), abs=2)


def test_the_index_is_kept_by_content(tmp_path: Path) -> None:
    tokenizers = [tasks_samples.tokenizer("gpt2", tmp_path) for _ in range(2)]
    haystacks = [Haystack(name, "some text\n", "the same") for name in "ab"]
    assert token_index(haystacks[0], tokenizers[0]) is token_index(haystacks[1], tokenizers[1])
    other = Haystack("a", "another text\n", "another")
    assert token_index(other, tokenizers[0]) is not token_index(haystacks[0], tokenizers[0])
