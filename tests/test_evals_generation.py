"""What lm-eval's generation kwargs become; prompts that are continued side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import yoco
from evals.generation import SIDE_BY_SIDE, Prompt, continue_prompts, options_of
from yoco import YOCO


class Numbers:
    """A tokenizer whose text is the ids."""

    end_ids = ()

    def encode(self, text: str, **kwargs: Any) -> list[int]:
        return [int(word) for word in text.split()]

    def decode(self, ids: Iterable[int]) -> str:
        return " ".join(map(str, ids))


def options(repeat: int = 0, prompt: str = "p", **kwargs: Any):
    return options_of(kwargs, prompt=prompt, repeat=repeat)


def test_greedy_unless_asked_otherwise() -> None:
    made = options(until=["\n", ""], max_gen_toks=7, do_sample=False, temperature=0.8)
    assert (made.until, made.max_new_tokens, made.sampling.temperature) == (("\n",), 7, 0.0)
    assert options(until="stop").max_new_tokens == 256


def test_sampling_is_seeded_by_prompt_repeat_and_seed() -> None:
    kwargs = {"do_sample": True, "temperature": 0.7, "top_p": 0.9}
    base = options(**kwargs).sampling
    assert (base.temperature, base.top_p) == (0.7, 0.9)
    assert options(**kwargs).sampling == base
    others = [
        options(**kwargs, seed=1).sampling,
        options(repeat=1, **kwargs).sampling,
        options(prompt="q", **kwargs).sampling,
    ]
    assert len({base.seed, *(other.seed for other in others)}) == 4


@pytest.mark.parametrize("name", ["num_beams", "repetition_penalty", "top_k"])
def test_options_that_would_change_the_text_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"generation option {name}=4 is not supported"):
        options_of({name: 4}, prompt="p", repeat=0)


def test_neutral_options_pass() -> None:
    assert options(num_beams=1, use_cache=True, top_k=None).sampling.temperature == 0.0


def test_sampling_without_a_temperature_is_refused() -> None:
    with pytest.raises(ValueError, match="do_sample=True with temperature 0"):
        options(do_sample=True)


def no_text(index: int, tokens: object, first_row: int) -> None:
    raise AssertionError(f"the logits of prompt {index} are finite")


def batches_of(random_tokens: Callable[..., Tensor]) -> list[list[Prompt]]:
    """20 long prompts with one text, one with another, and a batch of short ones."""
    text, other = random_tokens(400), random_tokens(350, seed=1)
    long = [torch.cat((text[:place], other[:3], text[place:])) for place in range(20, 400, 19)]
    short = [random_tokens(20, seed=seed) for seed in range(3)]
    made = options(until=[], max_gen_toks=5)
    prompts = [
        Prompt(index, tokens.numpy().astype(np.int32), made)
        for index, tokens in enumerate([*long, other, *short])
    ]
    return [*([prompt] for prompt in prompts[:-3]), prompts[-3:]]


def test_continuations_are_those_of_each_prompt_alone(
    any_model: YOCO, random_tokens: Callable[..., Tensor]
) -> None:
    batches, told = batches_of(random_tokens), []

    def texts(share: bool) -> list[list[tuple[int, str]]]:
        reader = yoco.prompt_reader(any_model, chunk_size=100, share=share)
        groups: list[list[tuple[int, str]]] = []
        continue_prompts(
            reader,
            Numbers(),  # pyright: ignore[reportArgumentType]
            batches,
            on_read=told.append,
            on_texts=groups.append,
            on_not_finite=no_text,
        )
        return groups

    together, alone = texts(share=True), texts(share=False)
    assert [len(group) for group in alone] == [1] * 20 + [4]
    flat = dict(pair for group in together for pair in group)
    assert len(flat) == 24 and flat == dict(pair for group in alone for pair in group)
    assert len(set(flat.values())) > 4
    assert sum(told) == 2 * sum(len(prompt.tokens) for batch in batches for prompt in batch)
    if any_model.config.receptive_field_tokens is not None:
        assert 1 < max(map(len, together)) <= SIDE_BY_SIDE


def test_what_waits_is_answered_before_a_prompt_is_refused(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor]
) -> None:
    batches = batches_of(random_tokens)[:5]

    def refused() -> Iterator[list[Prompt]]:
        yield from batches
        raise ValueError("prompt is too long")

    groups: list[list[tuple[int, str]]] = []
    with pytest.raises(ValueError, match="too long"):
        continue_prompts(
            yoco.prompt_reader(make_model("window"), chunk_size=100),
            Numbers(),  # pyright: ignore[reportArgumentType]
            refused(),
            on_read=lambda _: None,
            on_texts=groups.append,
            on_not_finite=no_text,
        )
    assert [index for group in groups for index, _ in group] == [0, 1, 2, 3, 4]


def test_a_cache_goes_before_another_is_made(
    any_model: YOCO, random_tokens: Callable[..., Tensor], cached_tokens: list[int]
) -> None:
    reader = yoco.prompt_reader(any_model, chunk_size=50)
    batches = batches_of(random_tokens)[:-1]
    groups: list[list[tuple[int, str]]] = []
    continue_prompts(
        reader,
        Numbers(),  # pyright: ignore[reportArgumentType]
        batches,
        on_read=lambda _: None,
        on_texts=groups.append,
        on_not_finite=no_text,
    )
    assert sum(map(len, groups)) == len(batches)
    # a cache, and a quarter of it; a chunk or some tokens of answers
    assert 400 <= max(cached_tokens) <= 1.25 * 403 + 50 + 20 * 5
