"""Requests whose logits are not finite: not measured, or refused by name."""

from __future__ import annotations

import math
from typing import Any

import pytest
from lm_eval.api.instance import Instance

from evals.backend import YOCOLM
from evals.not_finite import NotFiniteError
from tasks.not_measured import NotMeasured
from yoco.kernels import torch_kernels

NAN = float("nan")
TEXT = "The road follows the river. The wind moves the barley, and the light goes down."
# a word whose token no other text has
BAD_WORD = "Python"


class OurDoc(dict[str, Any]):
    """A document of a task that knows "not measured"."""

    allows_not_measured = True


def requests(kind: str, *arguments: Any, doc: Any = None, task: str = "ours") -> list[Instance]:
    return [
        Instance(
            kind,  # pyright: ignore[reportArgumentType]
            OurDoc() if doc is None else doc,
            each if isinstance(each, tuple) else (each,),
            0,
            metadata=(task, number, 1),
        )
        for number, each in enumerate(arguments)
    ]


class Cache(list[tuple[str, Any]]):
    """What would be kept for the next run."""

    def add_partial(self, kind: str, arguments: Any, result: Any) -> None:
        self.append((kind, arguments))


@pytest.fixture(params=["demo", "demo-gret"])
def lm(request: pytest.FixtureRequest) -> YOCOLM:
    """A model that has one bad token, and nothing else."""
    lm = YOCOLM(request.param, device="cpu", chunk_size=32)
    bad = [token for token in lm.tok_encode(f" {BAD_WORD}") if token not in lm.tok_encode(TEXT)]
    lm.model.embed_tokens.weight[bad[0]] = NAN
    lm.cache_hook = Cache()  # pyright: ignore[reportAttributeAccessIssue]
    return lm


def kept(lm: YOCOLM) -> list[Any]:
    """The arguments of the requests that reached the cache."""
    cache: Any = lm.cache_hook
    return [arguments for _, arguments in cache]


def where(lm: YOCOLM, text: str) -> str:
    tokens = lm.tok_encode(text)
    bad = [
        place
        for place, token in enumerate(tokens)
        if lm.model.embed_tokens.weight[token, 0].isnan()
    ]
    return (
        f"logits are not finite from token {bad[0]} on (counted from 0), first in the token "
        "embeddings (the weight embed_tokens.weight is not finite itself)"
    )


@pytest.mark.parametrize("options", [{}, {"do_sample": True, "temperature": 0.8}])
def test_a_prompt_with_no_text_is_not_measured_and_the_others_are(
    lm: YOCOLM, options: dict[str, Any]
) -> None:
    clean = YOCOLM(lm.pretrained, device="cpu", chunk_size=32)
    options = {**options, "until": [], "max_gen_toks": 6}
    long = TEXT * 4
    prompts = [
        TEXT,
        f"{TEXT} {BAD_WORD} {TEXT}",
        "Once",
        f"Once {BAD_WORD}",
        long,
        f"{long} {BAD_WORD}.",
    ]
    asked = requests("generate_until", *((prompt, options) for prompt in prompts))
    answers = lm.generate_until(asked, disable_tqdm=True)
    assert answers[::2] == clean.generate_until(asked[::2], disable_tqdm=True)
    reasons = [answer.reason for answer in answers if isinstance(answer, NotMeasured)]
    assert all(isinstance(answer, NotMeasured) for answer in answers[1::2])
    assert not any(isinstance(answer, NotMeasured) for answer in answers[::2])
    # the longest is read first, and looked into
    assert reasons[2] == f"ours document 5: {where(lm, prompts[5])}"
    assert reasons[0] == "ours document 1: logits are not finite"
    assert sorted(lm.not_measured) == sorted(reasons)
    assert sorted(arguments[0] for arguments in kept(lm)) == sorted(prompts[::2])


def test_log_likelihoods_that_are_none(lm: YOCOLM) -> None:
    clean = YOCOLM(lm.pretrained, device="cpu", chunk_size=32)
    pairs = [
        (TEXT, " It"),
        (TEXT, f" {BAD_WORD} was it"),
        (f"The {BAD_WORD} was", " it"),
        (TEXT, " It was like this"),
        # the bad token is only predicted: its own embedding is not read
        ("Once upon", f" {BAD_WORD}"[:2]),
    ]
    asked = requests("loglikelihood", *pairs)
    results = lm.loglikelihood(asked, disable_tqdm=True)
    expected = clean.loglikelihood(asked, disable_tqdm=True)
    for place in (0, 3, 4):
        assert results[place] == (pytest.approx(expected[place][0], abs=1e-4), expected[place][1])
    for place in (1, 2):
        assert math.isnan(results[place][0]) and results[place][1] is False
    assert len(lm.not_measured) == 2
    assert sorted(kept(lm)) == sorted(pairs[place] for place in (0, 3, 4))


def test_bins_of_a_document_before_the_bad_token_are_scored(lm: YOCOLM) -> None:
    clean = YOCOLM(lm.pretrained, device="cpu", chunk_size=32)
    words = (TEXT * 3).split()
    words.insert(29, BAD_WORD)
    bins = [" ".join(words[begin : begin + 7]) for begin in range(0, len(words), 7)]
    pairs = [
        (" ".join(bins[:number]), (" " if number else "") + bins[number])
        for number in range(len(bins))
    ]
    asked = requests("loglikelihood", *pairs)
    results = lm.loglikelihood(asked, disable_tqdm=True)
    expected = clean.loglikelihood(asked, disable_tqdm=True)
    assert [math.isnan(result[0]) for result in results] == [False] * 4 + [True] * (len(bins) - 4)
    for result, other in zip(results[:4], expected[:4], strict=True):
        assert result == (pytest.approx(other[0], abs=1e-4), other[1])


def test_what_others_would_take_for_an_answer_is_refused(lm: YOCOLM) -> None:
    message = f"gsm8k document 1: {where(lm, f'Once {BAD_WORD}')}: this benchmark is not scored"
    prompts = [(text, {"until": [], "max_gen_toks": 2}) for text in ("Once", f"Once {BAD_WORD}")]
    with pytest.raises(NotFiniteError) as raised:
        lm.generate_until(
            requests("generate_until", *prompts, doc={}, task="gsm8k"), disable_tqdm=True
        )
    assert str(raised.value) == message
    # the other one was answered, and is kept
    assert kept(lm) == [prompts[0]]
    texts = [f"{TEXT} {BAD_WORD} {TEXT}", TEXT, f"The {BAD_WORD} {TEXT}"]
    with pytest.raises(
        NotFiniteError, match=r"wikitext document 0: .*, and 1 more of its requests:"
    ):
        lm.loglikelihood_rolling(
            requests("loglikelihood_rolling", *texts, doc={}, task="wikitext"), disable_tqdm=True
        )
    with pytest.raises(NotFiniteError, match="arc_easy document 0: logits are not finite from"):
        lm.loglikelihood(
            requests("loglikelihood", (f"The {BAD_WORD} is", " a"), doc={}, task="arc_easy"),
            disable_tqdm=True,
        )


def test_float16_that_overflows_says_what_to_use() -> None:
    lm = YOCOLM("demo", device="cpu", dtype="float16")
    dict(lm.model.named_parameters())["self_decoder.layers.1.ffn.fc2.weight"].mul_(30_000)
    answer = lm.generate_until(
        requests("generate_until", (TEXT, {"until": [], "max_gen_toks": 2})), disable_tqdm=True
    )[0]
    assert isinstance(answer, NotMeasured)
    assert "first in self-decoder layer 1 (float16 overflows above 65,504: use dtype=bfloat16)" in (
        answer.reason
    )


def test_packed_sequences_that_spoil_each_other_are_read_again_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel of a GPU's retention multiplies the others' memories by zero."""
    import dataclasses

    lm = YOCOLM("demo-gret", device="cpu")
    clean = YOCOLM("demo-gret", device="cpu")
    bad = [token for token in lm.tok_encode(f" {BAD_WORD}") if token not in lm.tok_encode(TEXT)]
    lm.model.embed_tokens.weight[bad[0]] = NAN
    for each in (lm, clean):
        each.model.kernels = dataclasses.replace(
            each.model.kernels,
            retention=torch_kernels.retention_scan,
            names={**each.model.kernels.names, "retention": "scan"},
        )
    prompts = [(f"The {BAD_WORD} {TEXT} {TEXT}", {"max_gen_toks": 3}), (TEXT, {"max_gen_toks": 3})]
    asked = requests("generate_until", *prompts)
    answers = lm.generate_until(asked, disable_tqdm=True)
    assert [isinstance(answer, NotMeasured) for answer in answers] == [True, False]
    assert answers[1] == clean.generate_until(asked, disable_tqdm=True)[1]
    pairs = [(f"The {BAD_WORD} {TEXT} {TEXT}", " it"), (TEXT, " it was"), (TEXT, " one")]
    results = lm.loglikelihood(requests("loglikelihood", *pairs), disable_tqdm=True)
    assert [math.isnan(result[0]) for result in results] == [True, False, False]
