"""Texts that share long stretches, against each of them encoded as a whole."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tasks_samples
from tasks_samples import TEXTS, TOKENIZERS

from evals.shared_encoding import LEAST_CHARS, SharedEncoder
from tasks.tokenizers import Tokenizer


def needle_texts(text: str, seed: int) -> Iterator[str]:
    """A long text, beginnings of it with some sentences put in, parts left out or replaced."""
    rng = random.Random(seed)
    whole = (text * (3 * LEAST_CHARS // len(text) + 1))[: 3 * LEAST_CHARS]
    yield whole
    for length in (len(whole), len(whole), 2 * LEAST_CHARS, LEAST_CHARS + 1):
        for num_needles in (0, 1, 4):
            parts, done = [], 0
            for place in sorted(rng.choices(range(length + 1), k=num_needles)):
                needle = f" The special number is {rng.randrange(10**5)}." * rng.randint(0, 2)
                parts += [whole[done:place], needle]
                done = place + rng.choice((0, 0, 3, 2000))
            yield "".join([*parts, whole[done:length], f"\nWhat is {rng.random()}? It is"])
    # what only looks alike at the seam: one character more, or less
    yield whole[:70_000] + whole[69_999:]
    yield whole[:70_000] + whole[70_001:]
    # nothing in common; the middle alone; short
    yield whole[::-1]
    yield whole[50_000:]
    yield whole[:100]


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokens_are_those_of_the_whole_text(name: str, kind: str, tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer(name, tmp_path)
    encoder = SharedEncoder(tokenizer)
    for text in needle_texts(TEXTS[kind], seed=1):
        np.testing.assert_array_equal(encoder.encode(text), tokenizer.encode(text))


def counting(tokenizer: Tokenizer) -> list[int]:
    """How many characters each call of the tokenizer is about."""
    calls: list[int] = []
    encode, char_starts = tokenizer.encode, tokenizer.char_starts
    tokenizer.encode = lambda text, **kwargs: calls.append(len(text)) or encode(text, **kwargs)
    tokenizer.char_starts = lambda text: calls.append(len(text)) or char_starts(text)
    return calls


def test_what_is_shared_is_not_encoded_again(tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer("gpt2", tmp_path)
    texts = list(needle_texts(TEXTS["prose"], seed=2))[:13]
    encoder, calls = SharedEncoder(tokenizer), counting(tokenizer)
    encoder.encode(texts[0])
    assert calls == [len(texts[0])]
    for text in texts[1:]:
        encoder.encode(text)
    # a second time with the places of the tokens; "a" tells which tokens are special
    assert sorted(calls)[-2:] == [len(texts[0])] * 2
    assert sum(calls) < 2 * len(texts[0]) + 13 * 6 * 8_000 < sum(map(len, texts))


def test_a_tokenizer_that_reads_a_text_only_as_a_whole() -> None:
    tokenizer = tasks_samples.PairsFromTheEnd()
    encoder, calls, num_whole = SharedEncoder(tokenizer), counting(tokenizer), 0
    for text in needle_texts(TEXTS["prose"], seed=3):
        tokens = encoder.encode(text)
        num_whole += len(text) in calls
        np.testing.assert_array_equal(tokens, tokenizer.encode(text))
        calls.clear()
    assert num_whole > 8


def test_a_text_may_bring_its_bos_along(tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer("unsplit", tmp_path)
    assert tokenizer.bos_token
    encoder = SharedEncoder(tokenizer)
    for number, text in enumerate(needle_texts(TEXTS["prose"], seed=6)):
        text = (tokenizer.bos_token if number % 3 else "") + text
        np.testing.assert_array_equal(encoder.encode(text), tokenizer.encode(text))


def test_a_tokenizer_that_does_not_tell_where_tokens_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = tasks_samples.tokenizer("gpt2", tmp_path)

    def refuse(text: str) -> None:
        raise ValueError("cannot say where its tokens lie")

    monkeypatch.setattr(tokenizer, "char_starts", refuse)
    encoder = SharedEncoder(tokenizer)
    for text in needle_texts(TEXTS["prose"], seed=4):
        np.testing.assert_array_equal(encoder.encode(text), tokenizer.encode(text))


def test_a_bos_that_only_encode_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the official scheme's: a text's parts are ordinary text, whatever they begin with."""
    tokenizer = tasks_samples.tokenizer("gpt2", tmp_path)
    encode = tokenizer.encode

    def with_bos(text: str, **kwargs: object) -> list[int]:
        return [0, *encode(text.removeprefix("<s>"))]

    monkeypatch.setattr(tokenizer, "encode", with_bos)
    monkeypatch.setattr(tokenizer, "bos_token", "<s>")
    encoder = SharedEncoder(tokenizer)
    for number, text in enumerate(needle_texts(TEXTS["prose"], seed=7)):
        text = ("<s>" if number % 3 else "") + text
        np.testing.assert_array_equal(encoder.encode(text), tokenizer.encode(text))


def test_threads_may_encode_at_once(tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer("gpt2", tmp_path)
    texts = list(needle_texts(TEXTS["prose"], seed=5))
    expected = [tokenizer.encode(text) for text in texts]
    encoder = SharedEncoder(tokenizer)
    with ThreadPoolExecutor(8) as pool:
        for tokens, whole in zip(pool.map(encoder.encode, texts), expected, strict=True):
            np.testing.assert_array_equal(tokens, whole)
