"""Cuts leave the tokens as they are: shown by encoding the text up to each by itself."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import tasks_samples

from tasks.cuts import Cuts, cut_document, edges_to
from tasks.tokenizers import Tokenizer, load_tokenizer

# those that put nothing behind a text
LOCAL = ["digits", "gpt2", "unsplit"]


def check(cuts: Cuts, text: str, tokenizer: Tokenizer, max_tokens: int) -> None:
    whole = tokenizer.encode(text[: cuts.chars[-1]])
    assert len(whole) == cuts.tokens[-1] <= max_tokens
    assert len(cuts.asked) == len(cuts.tokens) == len(cuts.chars) >= 2
    assert cuts.chars[0] == 0 and cuts.tokens[0] == tokenizer.special_counts[0]
    for asked, token, char in list(zip(cuts.asked, cuts.tokens, cuts.chars, strict=True))[1:-1]:
        assert tokenizer.encode(text[:char]) == whole[:token]
        assert not text[char - 1].isspace()
        assert abs(token - asked) <= 64
    for ascending in (cuts.asked, cuts.tokens, cuts.chars):
        assert all(first < second for first, second in itertools.pairwise(ascending))


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("language", sorted(tasks_samples.TEXTS))
@pytest.mark.parametrize("max_tokens", [8, 64, 65, 701, 10**9])
def test_no_cut_changes_a_token(name: str, language: str, max_tokens: int, tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer(name, tmp_path)
    text = tasks_samples.TEXTS[language]
    cuts = cut_document(text, tokenizer, max_tokens=max_tokens, bins_per_octave=2)
    check(cuts, text, tokenizer, max_tokens)
    if max_tokens == 10**9:
        assert cuts.chars[-1] == len(text)
    else:
        # no more than a word or two is left out
        assert max_tokens - 16 <= cuts.tokens[-1]
        assert cuts.asked[-1] == max_tokens


def test_the_check_sees_a_cut_within_a_token(tmp_path: Path) -> None:
    """Negative control: a place that was not looked for changes tokens."""
    tokenizer = tasks_samples.tokenizer("digits", tmp_path)
    text = tasks_samples.PROSE
    cuts = cut_document(text, tokenizer, max_tokens=500, bins_per_octave=1)
    moved = Cuts(
        asked=cuts.asked, tokens=cuts.tokens, chars=(0, cuts.chars[1] - 1, *cuts.chars[2:])
    )
    with pytest.raises(AssertionError):
        check(moved, text, tokenizer, 500)


def test_edges() -> None:
    assert edges_to(800, 1) == [64, 128, 256, 512, 800]
    assert edges_to(512, 2) == [64, 91, 128, 181, 256, 362, 512]
    assert edges_to(64, 2) == [64]
    assert edges_to(10, 2) == [10]
    # so narrow that several would be the same
    assert edges_to(66, 1000) == [64, 65, 66]
    # no sliver at the end
    assert edges_to(550, 1) == [64, 128, 256, 550]


def test_a_short_document_ends_in_its_bin(tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer("digits", tmp_path)
    text = tasks_samples.PROSE[:900]
    size = len(tokenizer.encode(text))
    cuts = cut_document(text, tokenizer, max_tokens=1 << 20, bins_per_octave=1)
    assert cuts.tokens[-1] == size and cuts.asked[-2] < size < cuts.asked[-1]
    assert cuts.asked[-1] == 2 * cuts.asked[-2]
    assert cut_document("Yes", tokenizer, max_tokens=99, bins_per_octave=1).chars == (0, 3)


def test_no_more_of_a_long_text_is_encoded_than_needed(tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer("digits", tmp_path)
    text = tasks_samples.PROSE
    seen: list[int] = []

    class Spy(tasks_samples.PairsFromTheEnd):
        def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
            seen.append(len(text))
            return tokenizer.encode(text, add_special_tokens=add_special_tokens)

        def char_starts(self, text: str):
            seen.append(len(text))
            return tokenizer.char_starts(text)

    cuts = cut_document(text * 50, Spy(), max_tokens=400, bins_per_octave=2)
    assert max(seen) < 3 * cuts.chars[-1] < len(text)


def test_refusals(tmp_path: Path) -> None:
    tasks_samples.tokenizer("unigram", tmp_path)
    unigram = load_tokenizer(tmp_path / "unigram.json", for_others=True)
    with pytest.raises(ValueError, match="puts special tokens after every text"):
        cut_document(tasks_samples.PROSE, unigram, max_tokens=100, bins_per_octave=2)
    tasks_samples.tokenizer("digits", tmp_path)
    digits = load_tokenizer(tmp_path / "digits.json", for_others=True)
    with pytest.raises(ValueError, match="begins with '<s>', which this backend takes"):
        cut_document("<s>Once", digits, max_tokens=100, bins_per_octave=2)
    with pytest.raises(ValueError, match="no text fits the length"):
        cut_document("Once upon a time", digits, max_tokens=1, bins_per_octave=2)


def test_a_special_token_s_name_is_text_in_a_document(tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer("digits", tmp_path)
    cuts = cut_document("<s>Once</s>", tokenizer, max_tokens=100, bins_per_octave=2)
    assert cuts.tokens == (1, 1 + len(tokenizer.char_starts("<s>Once</s>")[0]))
    assert cuts.tokens[1] > 4


def test_what_a_rule_puts_after_a_text_is_not_there(tmp_path: Path) -> None:
    unigram = tasks_samples.tokenizer("unigram", tmp_path)
    text = tasks_samples.PROSE
    cuts = cut_document(text, unigram, max_tokens=300, bins_per_octave=2)
    check(cuts, text, unigram, max_tokens=300)
