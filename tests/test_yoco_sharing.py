"""Prompts that share tokens against each of them read by itself."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import yoco
from yoco import YOCO, Rows, Sampling
from yoco.sharing import (
    FEWEST_STATES,
    PromptReader,
    RewindingReader,
    SeparateReader,
    SplicingReader,
    prompt_reader,
)

# of logits; 1.3e-5 was measured, 0.08 with one token less than the receptive field
TOLERANCE = 5e-5
EXTRA = 6


def needle_prompts(random_tokens: Callable[..., Tensor]) -> list[Tensor]:
    """One text of 600 tokens, shorter beginnings of it, with insertions and a question each."""
    text, rng = random_tokens(600), random.Random(0)
    prompts = []
    for length, num_needles in ((600, 1), (600, 3), (599, 0), (350, 1), (350, 2), (200, 5)):
        parts, done = [], 0
        for place in sorted(rng.randrange(length) for _ in range(num_needles)):
            parts += [text[done:place], random_tokens(rng.randrange(1, 15), seed=place)]
            done = place
        prompts.append(torch.cat([*parts, text[done:length], random_tokens(9, seed=length)]))
    # nothing of the text; a part of it from the middle on; the beginning alone, and again
    return [*prompts, random_tokens(200, seed=5), text[250:550], text[:500], text[:500]]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each pass of the self-decoder was over."""
    sizes: list[int] = []
    read = YOCO.read

    def counting(model: YOCO, tokens: Tensor, *args: object) -> object:
        sizes.append(len(tokens))
        return read(model, tokens, *args)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(YOCO, "read", counting)
    return sizes


def largest_error(reader: PromptReader, prompts: list[Tensor]) -> float:
    """The greatest difference of logits to those of each prompt, and its continuation, alone."""
    errors = []
    for prompt in prompts:
        told: list[int] = []
        rows = reader.read(prompt, capacity=len(prompt) + EXTRA, on_read=told.append)
        assert sum(told) == len(prompt) == rows.context.length == rows.positions[0] + 1
        segments = rows.context.segments
        assert [s.first_true_position for s in segments] == [
            sum(map(len, segments[:number])) for number in range(len(segments))
        ]
        logits = yoco.logits_at(reader.model, [rows])[0]
        text = yoco.generate(reader.model, [rows], max_new_tokens=[EXTRA], sampling=[Sampling()])[0]
        expected = reader.model(torch.cat((prompt, torch.tensor(text)))[None])[0, len(prompt) - 1 :]
        errors.append((logits - expected[0]).abs().max())
        errors += [row.max() - row[token] for row, token in zip(expected, text, strict=False)]
    return float(torch.stack(errors).max())


@pytest.mark.parametrize("chunk_size", [50, 128, 100_000])
def test_each_prompt_is_as_if_read_by_itself(
    any_model: YOCO, random_tokens: Callable[..., Tensor], chunk_size: int
) -> None:
    reader = prompt_reader(any_model, chunk_size=chunk_size)
    assert largest_error(reader, needle_prompts(random_tokens)) < TOLERANCE


@pytest.mark.parametrize("chunk_size", [3, 50, 100_000])
@pytest.mark.parametrize("kind", [RewindingReader, SeparateReader])
def test_any_model_can_be_rewound(
    any_model: YOCO, random_tokens: Callable[..., Tensor], kind: type, chunk_size: int
) -> None:
    """Windows too: those whose angles are the official ones."""
    text = random_tokens(300)
    prompts = [text, torch.cat((text[:250], text[:20])), text[:9], text[:8], text[:260]]
    assert largest_error(kind(any_model, chunk_size=chunk_size), prompts) < TOLERANCE


def test_one_token_less_than_the_receptive_field_is_too_few(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor]
) -> None:
    """Negative control."""
    model, reach = make_model("window"), 16
    prompts = needle_prompts(random_tokens)
    exact, short = (
        largest_error(SplicingReader(model, size, chunk_size=1000), prompts)
        for size in (reach, reach - 1)
    )
    assert exact < TOLERANCE < 10 * TOLERANCE < short


def test_a_fork_of_a_shared_context(any_model: YOCO, random_tokens: Callable[..., Tensor]) -> None:
    reader = prompt_reader(any_model, chunk_size=64)
    for prompt in needle_prompts(random_tokens)[:3]:
        context = reader.read(prompt, capacity=len(prompt)).context
        end = random_tokens(11, seed=8)
        fork = context.fork(len(end))
        hidden = yoco.extend(any_model, [fork], [end])
        rows = yoco.Rows(fork, hidden, range(len(prompt), fork.length))
        expected = any_model(torch.cat((prompt, end))[None])[0, len(prompt) :]
        assert (yoco.logits_at(any_model, [rows]) - expected).abs().max() < TOLERANCE


def test_what_is_shared_is_not_read_again(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor], counted: list[int]
) -> None:
    window_model = make_model("window")
    reader = prompt_reader(window_model, chunk_size=10_000)
    assert isinstance(reader, SplicingReader)
    reach = window_model.config.receptive_field_tokens
    assert reach == 16
    text, question = random_tokens(2000), random_tokens(9, seed=1)
    reader.read(torch.cat((text, question)), capacity=2009)
    needle = random_tokens(5, seed=2)
    reader.read(torch.cat((text[:900], needle, text[900:1500], question)), capacity=1514)
    # in front of the needle, the needle, behind it; in front of the question, the question
    assert counted == [2009, reach + 5 + reach + reach + 9]


def test_a_prompt_that_shares_little_is_the_next_source(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor], counted: list[int]
) -> None:
    window_model = make_model("window")
    reader = prompt_reader(window_model, chunk_size=10_000)
    first, second = random_tokens(1000, seed=1), random_tokens(1000, seed=2)
    reader.read(first, capacity=1000)
    reader.read(torch.cat((first[:300], second)), capacity=1300)
    reader.read(second, capacity=1000)
    assert counted[:2] == [1000, 1300] and counted[2] < 100


def test_only_a_beginning_is_shared_where_everything_in_front_matters(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor], counted: list[int]
) -> None:
    reader = prompt_reader(make_model("retention"), chunk_size=100)
    assert isinstance(reader, RewindingReader)
    text, needle = random_tokens(1000), random_tokens(5, seed=2)
    cache = reader.read(text, capacity=1005).context.cache
    rows = reader.read(torch.cat((text[:750], needle, text[750:])), capacity=1005)
    # the cache is small: of its ten chunks every second has left a state
    assert counted == [100] * 10 + [100] * 4 + [5]
    assert rows.context.cache is cache
    # a longer one has no room in that cache
    reader.read(torch.cat((text, text)), capacity=2000)
    assert sum(counted[15:]) == 2000


def test_a_prompt_that_is_a_little_longer_shares_too(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor], counted: list[int]
) -> None:
    reader = prompt_reader(make_model("retention"), chunk_size=100)
    text = random_tokens(1000)
    reader.read(text, capacity=1000)
    reader.read(torch.cat((text[:900], text[:101])), capacity=1001)
    assert sum(counted) == 1000 + 201


def test_states_that_are_kept_do_not_grow_with_the_prompts(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor], counted: list[int]
) -> None:
    reader = RewindingReader(make_model("retention"), chunk_size=4)
    text = random_tokens(2000)
    reader.read(text, capacity=2000)
    assert FEWEST_STATES <= len(reader._places) <= 16
    counted.clear()
    reader.read(torch.cat((text[:1500], text[:7])), capacity=2000)
    assert sum(counted) <= 7 + 2000 // FEWEST_STATES + 4
    # a short one, whose states lie close, and longer and longer ones behind it
    for length in range(64, 2000, 64):
        reader.read(torch.cat((text[:length], random_tokens(9, seed=length))), capacity=2000)
        assert len(reader._places) <= 16


def test_there_is_one_cache_at_a_time(
    any_model: YOCO, random_tokens: Callable[..., Tensor], cached_tokens: list[int]
) -> None:
    reader = prompt_reader(any_model, chunk_size=10)
    for seed in range(4):
        text = random_tokens(500, seed=seed)
        reader.read(text, capacity=500)
        reader.read(torch.cat((text[:240], text[245:])), capacity=500)
    assert 500 <= max(cached_tokens) <= 500 + 10 + 5 * 16 + 5 < 2 * 500


def test_prompts_that_share_are_continued_side_by_side(
    any_model: YOCO, random_tokens: Callable[..., Tensor]
) -> None:
    reader, prompts = prompt_reader(any_model, chunk_size=50), needle_prompts(random_tokens)
    waiting: dict[int, Rows] = {}
    sizes: list[int] = []

    def finish() -> None:
        sizes.append(len(waiting))
        together = yoco.generate(
            any_model,
            list(waiting.values()),
            max_new_tokens=[EXTRA] * len(waiting),
            sampling=[Sampling()] * len(waiting),
        )
        for number, text in zip(waiting, together, strict=True):
            whole = torch.cat((prompts[number], torch.tensor(text)))
            expected = any_model(whole[None])[0, len(prompts[number]) - 1 :]
            for row, token in zip(expected, text, strict=False):
                assert row.max() - row[token] < TOLERANCE
        waiting.clear()

    for number, prompt in enumerate(prompts):
        rows = reader.read(prompt, capacity=len(prompt) + EXTRA, before_release=finish)
        waiting[number] = rows
    finish()
    # only splices leave what they share as it is
    assert sum(sizes) == len(prompts)
    assert max(sizes) > 1 if isinstance(reader, SplicingReader) else set(sizes) == {0, 1}


def test_what_is_shared_is_attended_to_once(
    make_model: Callable[..., YOCO],
    random_tokens: Callable[..., Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model("window")
    reader, text = prompt_reader(model, chunk_size=10_000), random_tokens(2000)
    prompts = [
        torch.cat((text[:place], random_tokens(5, seed=place), text[place:]))
        for place in range(200, 1800, 200)
    ]
    rows = [reader.read(prompt, capacity=len(prompt)) for prompt in prompts]
    attention, sizes = model.kernels.segment_attention, []

    def counting(q: Tensor, k: Tensor, *args: Any) -> Any:
        sizes.append(len(k))
        return attention(q, k, *args)

    monkeypatch.setattr(model, "kernels", replace(model.kernels, segment_attention=counting))
    together = yoco.logits_at(model, rows)
    num_layers, num_beside = model.config.n_cross_layers, len(prompts) * 3 * 16
    assert 2000 < sum(sizes) / num_layers < 2000 + num_beside
    alone = torch.cat([yoco.logits_at(model, [each]) for each in rows])
    assert (together - alone).abs().max() < TOLERANCE
    # negative control: rows of different prompts do differ
    assert (together - together.roll(1, 0)).abs().max() > 10 * TOLERANCE


def test_what_is_read_beside_the_source_is_bounded(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor], counted: list[int]
) -> None:
    reader, text = prompt_reader(make_model("window"), chunk_size=10_000), random_tokens(2000)
    released: list[int] = []
    reader.read(text, capacity=2000)
    for seed in range(20):
        prompt = torch.cat((text[:1000], random_tokens(30, seed=seed), text[1000:]))
        reader.read(prompt, capacity=2030, before_release=lambda: released.append(len(counted)))
    bounds = [0, *(sum(counted[1:number]) for number in released), sum(counted[1:])]
    assert len(released) > 2
    assert max(stop - start for start, stop in pairwise(bounds)) <= 2000 / 4
    # room for an answer counts too
    released.clear()
    for seed in range(4):
        prompt = torch.cat((text[:1000], random_tokens(30, seed=seed), text[1000:]))
        reader.read(prompt, capacity=2430, before_release=lambda: released.append(len(counted)))
    assert len(released) == 4


def test_a_prompt_that_fails_spoils_nothing(
    any_model: YOCO, random_tokens: Callable[..., Tensor]
) -> None:
    reader = prompt_reader(any_model, chunk_size=20)
    prompts = needle_prompts(random_tokens)

    def interrupt(num_tokens: int) -> None:
        raise KeyboardInterrupt

    for prompt in prompts[:4]:
        with pytest.raises(KeyboardInterrupt):
            reader.read(prompt, capacity=len(prompt), on_read=interrupt)
        with pytest.raises(ValueError, match="the prompt is empty"):
            reader.read(prompt[:0], capacity=10)
        assert largest_error(reader, [prompt]) < TOLERANCE


def test_official_angles_are_not_shifted(make_model: Callable[..., YOCO]) -> None:
    model = make_model("window")
    model.rope_precision = "reference"
    assert isinstance(prompt_reader(model, chunk_size=10), RewindingReader)
