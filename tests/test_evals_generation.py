"""What lm-eval's generation kwargs become."""

from __future__ import annotations

from typing import Any

import pytest

from evals.generation import options_of


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
