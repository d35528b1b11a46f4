"""Prompts that share tokens against each of them read by itself."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import yoco
from yoco import YOCO, Sampling
from yoco.sharing import MAX_STATES, RewindingReader, SplicingReader, prompt_reader

TOLERANCE = 3e-4
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


@pytest.mark.parametrize("chunk_size", [50, 128, 100_000])
def test_each_prompt_is_as_if_read_by_itself(
    any_model: YOCO, random_tokens: Callable[..., Tensor], chunk_size: int
) -> None:
    reader = prompt_reader(any_model, chunk_size=chunk_size)
    for prompt in needle_prompts(random_tokens):
        told: list[int] = []
        rows = reader.read(prompt, capacity=len(prompt) + EXTRA, on_read=told.append)
        assert sum(told) == len(prompt) == rows.context.length == rows.positions[0] + 1
        segments = rows.context.segments
        assert [s.first_true_position for s in segments] == [
            sum(map(len, segments[:number])) for number in range(len(segments))
        ]
        expected = any_model(prompt[None])[0, -1]
        assert (yoco.logits_at(any_model, [rows])[0] - expected).abs().max() < TOLERANCE
        # and it goes on as it should
        text = yoco.generate(any_model, [rows], max_new_tokens=[EXTRA], sampling=[Sampling()])[0]
        logits = any_model(torch.cat((prompt, torch.tensor(text)))[None])[0]
        for place, token in enumerate(text, start=len(prompt) - 1):
            assert logits[place].max() - logits[place, token] < TOLERANCE


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
    assert counted == [100] * 10 + [100] * 3 + [5]
    assert rows.context.cache is cache
    # a longer one has no room in that cache
    reader.read(torch.cat((text, text)), capacity=2000)
    assert sum(counted[14:]) == 2000


def test_states_that_are_kept_do_not_grow_with_the_prompt(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor], counted: list[int]
) -> None:
    reader = RewindingReader(make_model("retention"), chunk_size=4)
    text = random_tokens(2000)
    reader.read(text, capacity=2000)
    assert 0.9 * MAX_STATES < len(reader._places) <= MAX_STATES
    counted.clear()
    reader.read(torch.cat((text[:1500], text[:7])), capacity=2000)
    assert sum(counted) <= 7 + 2000 // MAX_STATES + 4


def test_official_angles_are_not_shifted(make_model: Callable[..., YOCO]) -> None:
    model = make_model("window")
    model.rope_precision = "reference"
    assert isinstance(prompt_reader(model, chunk_size=10), RewindingReader)
