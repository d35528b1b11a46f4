"""Drafts: every kind of question is drawn, and nothing that the tasks ask for."""

from __future__ import annotations

import itertools
import random
import re

import pytest
from training_samples import small_corpus

from tasks.needles import CITIES, MAGIC_NUMBER
from training.corpus import Corpus
from training.drafts import draw_draft
from training.wordings import is_held_out


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return small_corpus(tmp_path_factory.mktemp("drafts"))


def test_all_kinds_of_samples_are_drawn(corpus: Corpus) -> None:
    drafts = [draw_draft(corpus, random.Random(seed), 4096) for seed in range(800)]
    counts = {len(draft.needles) for draft in drafts}
    assert counts >= {1, 2, 4, 8, 16} and max(counts) <= 16
    turns = [turn for draft in drafts for turn in draft.turns]
    assert any(MAGIC_NUMBER.question_one.split("{")[0] in question for question, _ in turns)
    assert any(draft.preamble.startswith("A special magic number") for draft in drafts)
    assert any(re.search(r"[0-9a-f]{8}-[0-9a-f]{4}", answer) for _, answer in turns)
    assert any(answer.count(",") > 3 for _, answer in turns)
    assert {len(h.value) for draft in drafts for h in draft.needles} >= set(range(1, 8))
    num_distractors = [draft.distractor_tokens for draft in drafts]
    assert 0 in num_distractors
    assert any(0 < size < 2048 for size in num_distractors)
    assert any(size > 4096 for size in num_distractors)
    assert any(draft.repeat_tokens for draft in drafts)
    pairs = [pair for d in drafts for pair in itertools.combinations(d.needles, 2)]
    alike = [a.value[:3] == b.value[:3] and len(a.value) > 3 for a, b in pairs]
    # one in a thousand by chance
    assert 0.01 < sum(alike) / len(alike) < 0.5
    assert max(len(draft.turns) for draft in drafts if not draft.distractor_tokens) == 4
    keys = {hidden.key for draft in drafts for hidden in draft.needles}
    assert {key.count(" ") for key in keys} >= {0, 1} and any("-" in key for key in keys)


def test_keys_of_the_tasks_are_never_trained_on(corpus: Corpus) -> None:
    cities = {city.lower() for city in CITIES}
    drafts = [draw_draft(corpus, random.Random(seed), 2048) for seed in range(500)]
    keys = {hidden.key for draft in drafts for hidden in draft.needles}
    assert len(keys) > 1000
    for key in keys:
        assert not cities & set(re.split(r"\W+", key.lower()))
    # negative control
    assert is_held_out("Lima") and is_held_out("San Lima") and not is_held_out("Palimo")


def test_among_distractors_every_needle_is_asked_for(corpus: Corpus) -> None:
    drafts = [draw_draft(corpus, random.Random(seed), 4096) for seed in range(200)]
    among = [draft for draft in drafts if draft.distractor_tokens]
    assert among
    for draft in among:
        answers = [answer for _, answer in draft.turns]
        # a last one may tell something else of a key that is asked for
        told = [f" {hidden.value}." for hidden in draft.needles]
        assert sorted(answers) in (sorted(told), sorted(told[:-1]))
    assert max(len(draft.turns) for draft in among) == 16
