"""Common spans against what was put together."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from yoco.common_spans import WIDTH, CommonSpan, Source, common_length, window_hashes


def text(length: int, seed: int, vocabulary: int = 1000) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, vocabulary, (length,), generator=generator)


def test_what_was_inserted_left_out_and_replaced_lies_between_the_spans() -> None:
    source = text(40_000, 0)
    parts = [
        source[:10_000],
        text(30, 1),
        source[10_000:20_000],
        source[20_100:30_000],
        text(50, 2),
        source[30_050:],
        text(20, 3),
    ]
    assert Source(source).common_spans(torch.cat(parts)) == [
        CommonSpan(0, 0, 10_000),
        CommonSpan(10_030, 10_000, 10_000),
        CommonSpan(20_030, 20_100, 9_900),
        CommonSpan(29_980, 30_050, 9_950),
    ]


@pytest.mark.parametrize("seed", range(40))
def test_spans_are_equal_and_follow_one_another(seed: int) -> None:
    """Of few different tokens, so that much is the same by chance."""
    rng = random.Random(seed)
    source = text(rng.randrange(1, 100) ** 2, seed, rng.choice((2, 5, 1000)))
    tokens = source.clone()
    for _ in range(rng.randrange(6)):
        place = rng.randrange(len(tokens) + 1)
        tokens = torch.cat((tokens[:place], text(3, seed + 1), tokens[place + rng.randrange(9) :]))
    spans = Source(source).common_spans(tokens)
    stop = source_stop = 0
    for span in spans:
        assert span.start >= stop and span.source_start >= source_stop - WIDTH
        assert span.length > 0
        stop, source_stop = span.stop, span.source_start + span.length
        assert torch.equal(tokens[span.start : stop], source[span.source_start : source_stop])
    found = sum(span.length for span in spans)
    # a change hides at most the window behind it, where it is too near to the next
    assert found >= len(tokens) - 6 * (3 + WIDTH + 10) and (len(tokens) < 500 or found > 0)


def test_a_text_that_repeats_itself() -> None:
    sentence = text(48, 0)
    source = sentence.repeat(500)
    tokens = torch.cat((source[:10_000], text(20, 1), source[10_000:]))
    spans = Source(source).common_spans(tokens)
    assert sum(span.length for span in spans) >= len(tokens) - 20 - 48
    assert len(spans) == 2


@pytest.mark.parametrize(("size", "are_moved"), [(14, True), (14, False), (250, False)])
@pytest.mark.parametrize("seed", range(10))
def test_insertions_in_a_text_that_repeats_itself(seed: int, size: int, are_moved: bool) -> None:
    """What follows one is written otherwise than elsewhere, as a tokenizer does it."""
    rng = random.Random(seed)
    sentence, behind = text(50, 0), text(1, 1)

    def with_insertions(seeds: range) -> Tensor:
        parts, length = [], 0
        places = sorted(rng.sample(range(4_000), len(seeds)))
        for place, seed in zip(places, rng.sample(seeds, len(seeds)), strict=True):
            parts += [sentence.repeat(place - length), text(size, seed), behind, sentence[1:]]
            length = place
        return torch.cat((*parts, sentence.repeat(4_000 - length)))

    source = with_insertions(range(10, 18))
    tokens = with_insertions(range(10, 18) if are_moved else range(20, 28))
    spans = Source(source).common_spans(tokens, least=400)
    # two insertions are nearer to each other than a span is long
    hidden = 16 * (400 + 2 * WIDTH) + 8 * size
    assert sum(span.length for span in spans) > len(tokens) - hidden
    assert len(spans) <= 17


def test_what_was_put_in_may_begin_like_what_follows_it() -> None:
    """The match runs one token too far; nothing of the source may be skipped for that."""
    source = text(3_000, 0).repeat(8)
    inserted = torch.cat((source[5_000:5_001], text(7, 1)))
    tokens = torch.cat((source[:5_000], inserted, source[5_000:]))
    assert Source(source).common_spans(tokens) == [
        CommonSpan(0, 0, 5_001),
        CommonSpan(5_008, 5_000, 19_000),
    ]


@pytest.mark.parametrize("num_changed", [0, 900, 999, 1_000, 1_001, 4_000])
def test_a_share_that_is_asked_for(num_changed: int) -> None:
    source = text(4_000, 0)
    for first in (0, (4_000 - num_changed) // 2, 4_000 - num_changed):
        tokens = source.clone()
        tokens[first : first + num_changed] += 1_000
        spans = Source(source).common_spans(tokens)
        assert sum(span.length for span in spans) == 4_000 - num_changed
        some = Source(source).common_spans(tokens, least_share=0.75)
        assert some == (spans if num_changed <= 1_000 else [])


def test_a_short_match_far_ahead_hides_nothing() -> None:
    """Two files with one header: the second stands in front in the prompt."""
    header, first, second = text(80, 0), text(9_000, 1), text(500, 2)
    source = torch.cat((first, header, second))
    tokens = torch.cat((text(50, 3), header, first))
    assert Source(source).common_spans(tokens, least=200) == [CommonSpan(130, 0, 9_000)]
    assert Source(source).common_spans(tokens) == [CommonSpan(50, 9_000, 80)]


def test_spans_between_many_changes_are_passed_over() -> None:
    source = text(200_000, 0, 4000)
    tokens = source.clone()
    tokens[::100] += 1
    assert Source(source).common_spans(tokens, least=300) == []
    equal = torch.zeros(200_000, dtype=torch.int64)
    tokens = equal.clone()
    tokens[::500] += 1
    assert Source(equal).common_spans(tokens, least=600) == []


def test_nothing_in_common() -> None:
    assert Source(text(5000, 0)).common_spans(text(5000, 1) + 1000) == []
    assert Source(text(5, 0)).common_spans(text(5, 0)) == [CommonSpan(0, 0, 5)]
    assert Source(text(0, 0)).common_spans(text(5, 0)) == []


def test_common_length() -> None:
    a = text(100_000, 0)
    assert common_length(a, a[:70_000]) == 70_000
    for place in (0, 1, 255, 256, 767, 768, 16_384, 99_999):
        b = a.clone()
        b[place] += 1
        assert common_length(a, b) == place


def test_hashes_tell_windows_apart() -> None:
    tokens = torch.cat((text(50_000, 0, 2), torch.zeros(500, dtype=torch.int64)))
    windows = {tuple(window.tolist()) for window in tokens.unfold(0, WIDTH, 1)}
    hashes = window_hashes(tokens)
    assert len(hashes) == len(tokens) - WIDTH + 1
    assert len(set(hashes.tolist())) == len(windows)
    assert torch.equal(hashes[123:456], window_hashes(tokens[123 : 456 + WIDTH - 1]))
    assert len(window_hashes(tokens[: WIDTH - 1])) == 0
