"""One pass over a document against a full forward of every request by itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from evals.chains import Chain, find_chains, score_chain, score_document
from evals.scoring import Tokens
from yoco import YOCO

TOLERANCE = 2e-4
EDGES = [1, 2, 7, 8, 25, 40]


def random_tokens(length: int, seed: int) -> Tokens:
    return np.random.default_rng(seed).integers(0, 61, length).astype(np.int32)


def brute_force(model: YOCO, context: Tokens, continuation: Tokens) -> tuple[float, bool]:
    whole = torch.from_numpy(np.concatenate((context, continuation)).astype(np.int64))
    log_probs = model(whole[None, :-1])[0].log_softmax(-1)[len(context) - 1 :]
    targets = whole[len(context) :]
    greedy = bool((log_probs.argmax(-1) == targets).all())
    return float(log_probs.gather(1, targets[:, None]).sum()), greedy


def bins(document: Tokens, edges: list[int] = EDGES) -> list[tuple[Tokens, Tokens]]:
    """One pair a bin; each context is a copy, as a tokenizer would give it."""
    return [
        (document[:start].copy(), document[start:stop].copy())
        for start, stop in itertools.pairwise(edges)
    ]


def ignore(num_tokens: int) -> None:
    """Takes no note of how far a reading is."""


def test_pairs_that_follow_one_another_are_one_document() -> None:
    first, second = random_tokens(40, 0), random_tokens(30, 1)
    pairs = [*bins(first), *bins(second, [5, 9, 30])]
    alone = (random_tokens(12, 2), random_tokens(3, 3))
    order = np.random.default_rng(0).permutation(len(pairs) + 1)
    shuffled = [[*pairs, alone][place] for place in order]
    chains, others = find_chains(shuffled, longer_than=1000)
    assert [order[place] for place in others] == [len(pairs)]
    assert [chain.tokens.tolist() for chain in chains] == [first.tolist(), second.tolist()]
    assert [[(order[i], start, stop) for i, start, stop in chain.spans] for chain in chains] == [
        [(0, 1, 2), (1, 2, 7), (2, 7, 8), (3, 8, 25), (4, 25, 40)],
        [(5, 5, 9), (6, 9, 30)],
    ]
    assert chains[0].num_tokens == 39


def test_other_pairs_stay_what_they_are() -> None:
    context = random_tokens(20, 0)
    pairs = [(context, random_tokens(4, seed)) for seed in range(1, 5)]
    # one token of the context differs, or the continuation before is another
    pairs += bins(random_tokens(40, 7))[::2]
    assert find_chains(pairs, longer_than=1000) == ([], list(range(len(pairs))))


def test_a_long_continuation_is_a_document_and_equal_requests_are_read_once() -> None:
    pair = (random_tokens(3, 0), random_tokens(9, 1))
    assert find_chains([pair], longer_than=9) == ([], [0])
    chains, others = find_chains([pair, pair], longer_than=8)
    assert others == [] and [chain.spans for chain in chains] == [[(0, 3, 12), (1, 3, 12)]]
    repeated = [pair for pair in bins(random_tokens(40, 0)) for _ in range(2)]
    chains, others = find_chains(repeated, longer_than=1000)
    assert others == [] and len(chains) == 1
    assert sorted(index for index, _, _ in chains[0].spans) == list(range(10))


def test_where_documents_part_each_request_is_scored_once() -> None:
    stem = bins(random_tokens(40, 0))
    branch = (random_tokens(40, 0)[:25], random_tokens(30, 5))
    chains, others = find_chains([*stem, branch], longer_than=1000)
    # the longer way takes the stem
    assert [index for index, _, _ in chains[0].spans] == [0, 1, 2, 3, 5]
    assert others == [4]


@pytest.mark.parametrize("chunk_size", [1, 9, 1000])
def test_every_bin_equals_its_own_forward(any_model: YOCO, chunk_size: int) -> None:
    document = random_tokens(40, 3)
    # one bin that greedy decoding gives
    best = any_model(torch.from_numpy(document[None, :7].astype(np.int64)))[0, -1].argmax()
    document[7] = int(best)
    pairs = bins(document)
    (found,), others = find_chains(pairs, longer_than=1000)
    assert not others
    results = score_chain(any_model, found, chunk_size=chunk_size, on_read=ignore)
    expected = [brute_force(any_model, *pair) for pair in pairs]
    assert [index for index, _, _ in results] == list(range(len(pairs)))
    assert [total for _, total, _ in results] == pytest.approx(
        [total for total, _ in expected], abs=TOLERANCE
    )
    assert [greedy for _, _, greedy in results] == [greedy for _, greedy in expected]
    assert any(greedy for _, _, greedy in results)
    # negative control: edges one token away give others
    moved = Chain(document, [(0, 2, 3), (1, 3, 8)])
    off = score_chain(any_model, moved, chunk_size=chunk_size, on_read=ignore)
    assert off[0][1] != pytest.approx(expected[0][0], abs=TOLERANCE)


def test_a_document_is_read_once(any_model: YOCO) -> None:
    read: list[int] = []
    (chain,), _ = find_chains(bins(random_tokens(40, 3)), longer_than=1000)
    score_chain(any_model, chain, chunk_size=16, on_read=read.append)
    assert read == [16, 16, 7]


@pytest.mark.parametrize("chunk_size", [1, 9, 1000])
@pytest.mark.parametrize("first_scored", [1, 7, 39])
def test_a_document_in_one_pass(any_model: YOCO, chunk_size: int, first_scored: int) -> None:
    document = random_tokens(40, 3)
    total = score_document(
        any_model, document, first_scored=first_scored, chunk_size=chunk_size, on_read=ignore
    )
    expected, _ = brute_force(any_model, document[:first_scored], document[first_scored:])
    assert total == pytest.approx(expected, abs=TOLERANCE)
    # negative control: a score that leaves out the first token is another
    shorter, _ = brute_force(any_model, document[: first_scored + 1], document[first_scored + 1 :])
    assert total != pytest.approx(shorter, abs=TOLERANCE)
