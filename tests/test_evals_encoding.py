"""Requests become the tokens that lm-eval's rules say, in order, and fit the model."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import tasks_samples

from evals.encoding import RequestEncoder


def encoder(tmp_path: Path, *, truncation: str | None = None) -> RequestEncoder:
    tokenizer = tasks_samples.tokenizer("digits", tmp_path)
    return RequestEncoder(tokenizer, max_length=40, truncation=truncation)


@pytest.mark.parametrize("num_ahead", [1, 3, 50])
def test_prompts_encoded_ahead_keep_their_order(tmp_path: Path, num_ahead: int) -> None:
    requests = encoder(tmp_path)
    prompts = [f"Prompt {n} of {n * n}." for n in range(20)]
    found = [tokens.tolist() for tokens in requests.encode_ahead(prompts, num_ahead)]
    assert found == [requests.tokenizer.encode(prompt) for prompt in prompts]


def test_no_more_prompts_are_encoded_than_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = encoder(tmp_path)
    encoded, third = [], threading.Event()
    encode = requests.tokenizer.encode

    def counted(prompt: str):
        encoded.append(prompt)
        if len(encoded) == 3:
            third.set()
        return encode(prompt)

    monkeypatch.setattr(requests.tokenizer, "encode", counted)
    prompts = requests.encode_ahead([str(n) for n in range(20)], 2)
    next(prompts)
    assert third.wait(10)
    # one was given away and two wait; nothing else has begun
    assert len(encoded) == 3
    list(prompts)


def test_an_error_in_a_prompt_comes_with_its_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = encoder(tmp_path)
    encode = requests.tokenizer.encode

    def refusing(prompt: str):
        if prompt == "bad":
            raise ValueError("cannot be read")
        return encode(prompt)

    monkeypatch.setattr(requests.tokenizer, "encode", refusing)
    prompts = requests.encode_ahead(["fine", "bad", "fine"], 2)
    next(prompts)
    with pytest.raises(ValueError, match="cannot be read"):
        next(prompts)


def test_what_does_not_fit(tmp_path: Path) -> None:
    requests = encoder(tmp_path)
    (tokens,) = requests.encode_ahead(["1" * 45], 1)
    with pytest.raises(ValueError, match="prompt is 46 tokens and 5 more are to be generated"):
        requests.fit(tokens, 5)
    with pytest.raises(ValueError, match="and 2 more are to be scored, but the model holds 40"):
        requests.fit(tokens, tokens[:3])
    with pytest.raises(ValueError, match="raise max_length, generate fewer tokens"):
        requests.fit(tokens[:1], 40)
    # the last of a continuation is only predicted
    assert requests.fit(tokens[:38], tokens[:3])[0].tolist() == tokens[:38].tolist()
    left = encoder(tmp_path, truncation="left")
    assert left.fit(tokens, 5)[0].tolist() == tokens[-35:].tolist()
