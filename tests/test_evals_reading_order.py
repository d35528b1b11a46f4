"""Prompts in the order in which they are read."""

from __future__ import annotations

import itertools

import numpy as np

from evals.reading_order import code_points, sharing_order


def tokens(seed: int, length: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4096, length)


def test_prompts_of_one_text_follow_one_another() -> None:
    prompts, texts = [], []
    for length in (60_000, 20_000, 40_000):
        for place in (100, 5_000, 15_000):
            for text in range(4):
                inserted = (tokens(text, place), tokens(99 + place, 20))
                rest = tokens(text, length)[place:]
                prompts.append(np.concatenate((*inserted, rest)))
                texts.append(text)
    lengths = [len(prompt) for prompt in prompts]
    order = sharing_order(lengths, prompts)
    assert sorted(order) == list(range(len(prompts)))
    changes = sum(texts[a] != texts[b] for a, b in itertools.pairwise(order))
    # 3 would be perfect, and 26 are to be expected of chance: it is likely, not certain
    assert changes <= 6
    assert lengths[order[0]] == max(lengths)


def test_short_prompts_come_last_and_the_longest_first() -> None:
    lengths = [5, 5_000, 7, 6_000, 7]
    order = sharing_order(lengths, [tokens(seed, size) for seed, size in enumerate(lengths)])
    assert order == [3, 1, 2, 4, 0]
    assert sharing_order([], []) == []


def test_any_text_has_code_points() -> None:
    assert code_points("aé𝄞\ud800").tolist() == [97, 233, 0x1D11E, 0xD800]


def test_a_common_preamble_makes_no_group_and_the_order_of_one_length_stays() -> None:
    preamble = tokens(0, 2_048)
    prompts = [np.concatenate((preamble, tokens(1 + n % 2, 9_000 + n))) for n in range(6)]
    order = sharing_order([len(prompt) for prompt in prompts], prompts)
    assert order == [0, 2, 4, 1, 3, 5]
