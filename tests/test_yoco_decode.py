"""Decoding against recomputing the whole text for every token."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import yoco
from yoco import YOCO, Rows, Sampling
from yoco.decode import choose


def prompts(model: YOCO, texts: list[Tensor], room: int) -> list[Rows]:
    return [
        yoco.prefill_last(model, yoco.new_context(model, len(t) + room), t, chunk_size=7)
        for t in texts
    ]


def test_greedy_text_is_that_of_full_recomputation(
    any_model: YOCO, random_tokens: Callable[..., Tensor]
) -> None:
    texts, limits = [random_tokens(n, seed=n) for n in (3, 20, 11)], [12, 1, 30]
    results = yoco.generate(
        any_model,
        prompts(any_model, texts, 30),
        max_new_tokens=limits,
        sampling=[Sampling()] * 3,
    )
    for text, limit, result in zip(texts, limits, results, strict=True):
        assert len(result) == limit
        for token in result:
            assert token == any_model(text[None])[0, -1].argmax()
            text = torch.cat((text, torch.tensor([token])))


def test_a_finished_text_stops_and_the_others_go_on(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor]
) -> None:
    model = make_model("window")
    texts = [random_tokens(8, seed=1), random_tokens(8, seed=2)]

    def run(is_finished: Callable[[int, list[int]], bool]) -> list[list[int]]:
        return yoco.generate(
            model,
            prompts(model, texts, 9),
            max_new_tokens=[9, 9],
            sampling=[Sampling()] * 2,
            is_finished=is_finished,
        )

    whole = run(lambda index, tokens: False)
    stopped = run(lambda index, tokens: index == 0 and len(tokens) == 4)
    assert stopped == [whole[0][:4], whole[1]]


def test_a_seed_draws_the_same_text_whatever_is_beside_it(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor]
) -> None:
    model, text = make_model("retention"), random_tokens(8)

    def draw(seeds: list[int]) -> list[list[int]]:
        return yoco.generate(
            model,
            prompts(model, [text] * len(seeds), 20),
            max_new_tokens=[20] * len(seeds),
            sampling=[Sampling(temperature=1.0, seed=seed) for seed in seeds],
        )

    together = draw([5, 6])
    assert together == [draw([5])[0], draw([6])[0]]
    assert together[0] != together[1]


def test_sampling_follows_temperature_and_top_p() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -20.0])

    def frequencies(**options: float) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        drawn = [choose(logits, Sampling(**options), generator) for _ in range(4000)]  # pyright: ignore
        return torch.bincount(torch.tensor(drawn), minlength=4) / 4000

    for temperature in (0.5, 1.0, 2.0):
        expected = (logits / temperature).softmax(0)
        assert (frequencies(temperature=temperature) - expected).abs().max() < 0.03
    # the first two hold 0.91: the second crosses 0.8 and stays, the third is out
    top = frequencies(temperature=1.0, top_p=0.8)
    assert top[2] == top[3] == 0
    assert top[:2].tolist() == pytest.approx(logits[:2].softmax(0).tolist(), abs=0.03)
    assert choose(logits, Sampling(), None) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"temperature": -1.0}, "temperature is -1.0"), ({"top_p": 0.0}, "top_p is 0.0")],
)
def test_bad_sampling(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sampling(**options)  # pyright: ignore[reportArgumentType]
