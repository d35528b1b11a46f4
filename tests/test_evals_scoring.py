"""Shared-context log-likelihoods against a full forward of every request by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from more_itertools import constrained_batches

import yoco
from evals.scoring import Tokens, group_by_context, score_batch
from yoco import YOCO

TOLERANCE = 2e-4


def random_tokens(length: int, seed: int) -> Tokens:
    return np.random.default_rng(seed).integers(0, 61, length).astype(np.int32)


def brute_force(model: YOCO, context: Tokens, continuation: Tokens) -> tuple[float, bool]:
    whole = torch.from_numpy(np.concatenate((context, continuation)).astype(np.int64))
    log_probs = model(whole[None, :-1])[0].log_softmax(-1)[len(context) - 1 :]
    targets = whole[len(context) :]
    greedy = bool((log_probs.argmax(-1) == targets).all())
    return float(log_probs.gather(1, targets[:, None]).sum()), greedy


def pairs(model: YOCO) -> list[tuple[Tokens, Tokens]]:
    """Contexts with one and several continuations, of one and several tokens, some greedy."""
    made = []
    for seed, length in enumerate((1, 30, 12)):
        context = random_tokens(length, seed)
        for number, size in enumerate((1, 4, 1, 17)):
            made.append((context, random_tokens(size, 10 * seed + number)))
        best = model(torch.from_numpy(context.astype(np.int64))[None])[0, -1].argmax()
        made.append((context, np.asarray([int(best)], np.int32)))
    # the requests of one context need not stand together
    return made[::2] + made[1::2]


@pytest.mark.parametrize(
    ("max_questions", "chunk_size"), [(1, 5), (None, 1000), (2, 60), (None, 60)]
)
def test_every_request_equals_its_own_forward(
    any_model: YOCO, max_questions: int | None, chunk_size: int
) -> None:
    requests = pairs(any_model)
    results = {}
    num_read = 0

    def on_read(num_tokens: int) -> None:
        nonlocal num_read
        num_read += num_tokens

    questions = group_by_context(requests)
    reader = yoco.prompt_reader(any_model, chunk_size=chunk_size)
    batches = constrained_batches(
        questions, chunk_size, max_questions, lambda question: question.num_tokens, strict=False
    )
    for batch in batches:
        for index, *result in score_batch(reader, batch, on_read=on_read):
            assert index not in results
            results[index] = result
    assert num_read == sum(question.num_tokens for question in questions)
    assert len(results) == len(requests)
    for index, (context, continuation) in enumerate(requests):
        expected, greedy = brute_force(any_model, context, continuation)
        assert results[index][0] == pytest.approx(expected, abs=TOLERANCE)
        assert results[index][1] == greedy
    assert any(greedy for _, greedy in results.values())


def test_a_context_is_read_once() -> None:
    context = random_tokens(100, 0)
    questions = group_by_context([(context, random_tokens(n, n)) for n in (1, 3, 2)])
    assert len(questions) == 1
    assert questions[0].num_tokens == 100 + 0 + 2 + 1


def test_the_longest_question_comes_first() -> None:
    questions = group_by_context([(random_tokens(n, n), random_tokens(1, 0)) for n in range(1, 40)])
    assert [question.num_tokens for question in questions] == list(range(39, 0, -1))
