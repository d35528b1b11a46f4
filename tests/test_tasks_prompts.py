"""Prompts of exact length against the whole text encoded again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tasks_samples
from tasks_samples import TEXTS, TOKENIZERS, PairsFromTheEnd
from tokenizers import Regex, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Definition

from tasks.haystacks import Haystack
from tasks.plans import sha256_of, write_out
from tasks.prompts import (
    Prompt,
    Seams,
    agrees_with_reference,
    build_prompt,
    measure,
    measure_reference,
)
from tasks.token_index import TokenIndex, Unsynchronised
from tasks.tokenizers import Tokenizer, load_tokenizer

SENTENCES = [" The special magic Paris number is 12345.", " The special magic Oslo number is 7."]
QUESTION = "\nWhat is the special magic Paris number? The special magic Paris number is"
DEPTHS = (0.0, 0.31, 0.5, 1.0)


def haystack_of(kind: str) -> Haystack:
    return Haystack(kind, TEXTS[kind], kind)


def text_of(index: TokenIndex, prompt: Prompt) -> str:
    plan = prompt.plan
    return write_out(index.haystack, plan.start, plan.stop, plan.insertions, plan.suffix)


def build(index: TokenIndex, depth_frac: float, prompt_tokens: int, **options: object) -> Prompt:
    arguments = {"sentences": SENTENCES, "depths_frac": [depth_frac, 0.77], "start": 0, **options}
    return build_prompt(
        index, haystack="x", question=QUESTION, prompt_tokens=prompt_tokens, **arguments
    )


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_whole_text_has_the_stated_tokens(name: str, kind: str, tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer(name, tmp_path)
    index = TokenIndex(haystack_of(kind), tokenizer)
    before, _ = tokenizer.special_counts
    for prompt_tokens in (251, 1000, 1024, 2503, 12001):
        for depth_frac in DEPTHS:
            start = index.haystack.text.index("\n", prompt_tokens // 4) + 1
            prompt = build(index, depth_frac, prompt_tokens, start=start)
            text = text_of(index, prompt)
            ids = tokenizer.encode(text)
            assert len(ids) == prompt_tokens == prompt.num_tokens
            assert sha256_of(text) == prompt.plan.prompt_sha256
            assert len(text) == prompt.plan.num_chars
            assert text.endswith(QUESTION)
            starts = tokenizer.char_starts(text)[1]
            for sentence, offset in zip(SENTENCES, prompt.needle_offsets_tokens, strict=True):
                assert text.count(sentence) == 1
                letter = text.index(sentence) + 1
                token = offset - before
                assert starts[token] <= letter
                assert token + 1 == len(starts) or starts[token + 1] > letter
            assert agrees_with_reference(index, prompt)
            wrong = dataclasses.replace(prompt, num_tokens=prompt_tokens + 1)
            assert not agrees_with_reference(index, wrong)


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_windows_measure_what_the_whole_measures(name: str, kind: str, tmp_path: Path) -> None:
    index = TokenIndex(haystack_of(kind), tasks_samples.tokenizer(name, tmp_path), piece_chars=999)
    sizes = [0, 1, 3, 255, 256, 257, 511, 512, 513, 5000, 9001]
    for place, gap in enumerate(sizes):
        start = 37 * place
        first, second = start + gap, start + gap + sizes[-1 - place]
        insertions = ((first, SENTENCES[0]), (second, SENTENCES[1]))
        for stop in (second + 1, second + 2000):
            seams = Seams(start=start, insertions=insertions, stop=stop, suffix=QUESTION)
            assert measure(index, seams) == measure_reference(index, seams)


def test_needles_go_before_the_white_space_after_a_line_or_sentence(tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer("digits", tmp_path)
    for kind in ("prose", "code", "accents"):
        index = TokenIndex(haystack_of(kind), tokenizer)
        for depth_frac in (0.05, 0.2, 0.4, 0.6, 0.8, 1.0):
            prompt = build(index, depth_frac, 3000)
            for char, _ in prompt.plan.insertions:
                before, after = index.haystack.slice(char - 4, char), index.haystack.text[char]
                assert after.isspace() and not before[-1].isspace()
                assert after == "\n" or before[-1] in ".?!\"'"
                assert not before.endswith("Mr.")


def test_sentences_without_white_space_are_boundaries_too(tmp_path: Path) -> None:
    index = TokenIndex(haystack_of("chinese"), tasks_samples.tokenizer("gpt2", tmp_path))
    for depth_frac in (0.1, 0.5, 0.9):
        char = build(index, depth_frac, 4000).plan.insertions[0][0]
        text = index.haystack.text
        assert text[char - 1] in "。？！" or text[char] == "\n"  # noqa: RUF001


def test_text_without_lines_or_sentences(tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer("gpt2", tmp_path)
    for unit in ("word ", "x", "-=", "老人 ", "  \n"):
        index = TokenIndex(Haystack(unit, unit * 9000, unit), tokenizer)
        prompt = build(index, 0.5, 2000)
        assert agrees_with_reference(index, prompt)
        assert prompt.depths_frac_achieved[0] == pytest.approx(0.5, abs=0.02)


def test_a_character_of_two_tokens_does_not_step_over_the_total(tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer("gpt2", tmp_path)
    assert len(tokenizer.encode("老" * 100)) == 200
    index = TokenIndex(Haystack("old", "老" * 9000, "old"), tokenizer)
    closed = []
    for prompt_tokens in (2000, 2001):
        prompt = build(index, 0.5, prompt_tokens)
        assert agrees_with_reference(index, prompt)
        closed.append(prompt.plan.suffix == "." + QUESTION)
    assert sorted(closed) == [False, True]


def test_a_length_that_no_end_can_give_is_refused() -> None:
    class Twice(PairsFromTheEnd):
        def char_starts(self, text: str) -> tuple[np.ndarray, np.ndarray]:
            starts = np.repeat(np.arange(len(text), dtype=np.int64), 2)
            return np.array([ord(text[start]) for start in starts], dtype=np.int32), starts

    index = TokenIndex(haystack_of("prose"), Twice())
    assert agrees_with_reference(index, build(index, 0.5, 2001))
    with pytest.raises(ValueError, match="makes the prompt exactly 1,999 tokens long"):
        build(index, 0.5, 2000)


def test_achieved_depth_is_near_the_asked_one(tmp_path: Path) -> None:
    index = TokenIndex(haystack_of("prose"), tasks_samples.tokenizer("gpt2", tmp_path))
    for depth_frac in (0.0, 0.25, 0.5, 0.75, 1.0):
        prompt = build(index, depth_frac, 8000)
        assert prompt.depths_frac_achieved[0] == pytest.approx(depth_frac, abs=0.01)
    assert build(index, 0.0, 8000).depths_frac_achieved[0] == 0.0


def test_the_first_needle_at_depth_0_is_a_line_of_its_own(tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer("digits", tmp_path)
    index = TokenIndex(haystack_of("prose"), tokenizer)
    prompt = build(index, 0.0, 1000)
    assert text_of(index, prompt).startswith(SENTENCES[0] + "\nChapter 0.")
    assert prompt.needle_offsets_tokens[0] == tokenizer.special_counts[0]


def test_a_short_haystack_repeats_or_is_refused(tmp_path: Path) -> None:
    haystack = Haystack("short", TEXTS["prose"][:3000], "short")
    index = TokenIndex(haystack, tasks_samples.tokenizer("gpt2", tmp_path))
    prompt = build(index, 0.5, 5000, start=1234)
    assert agrees_with_reference(index, prompt)
    length = prompt.plan.stop - prompt.plan.start
    assert prompt.haystack_repeats == -(-length // 3000) > 1
    with pytest.raises(ValueError, match="haystack 'x' of 3,000 characters is too short"):
        build(index, 0.5, 5000, repeat=False)
    # reading past the end once is no repetition
    assert build(index, 0.5, 200, start=2900, repeat=False).haystack_repeats == 1


def test_too_few_tokens_are_refused(tmp_path: Path) -> None:
    index = TokenIndex(haystack_of("prose"), tasks_samples.tokenizer("digits", tmp_path))
    with pytest.raises(ValueError, match=r"a prompt of 40 tokens is too short .* at least (\d+)"):
        build(index, 0.5, 40)
    with pytest.raises(ValueError, match="at least") as caught:
        build(index, 0.5, -3)
    least = int(str(caught.value).split()[-1])
    assert agrees_with_reference(index, build(index, 0.5, least))
    with pytest.raises(ValueError, match="too short"):
        build(index, 0.5, least - 1)


def test_a_tokenizer_without_local_tokens_is_measured_as_a_whole() -> None:
    tokenizer = PairsFromTheEnd()
    haystack = Haystack("odd", TEXTS["prose"] + "..", "odd")
    index = TokenIndex(haystack, tokenizer, piece_chars=1999)
    with pytest.raises(Unsynchronised):
        for prompt_tokens in (2000, 2001):
            build(index, 0.5, prompt_tokens)
    whole = TokenIndex(haystack, tokenizer, piece_chars=None)
    for prompt_tokens in (2000, 2001):
        prompt = build(whole, 0.5, prompt_tokens, measure=measure_reference)
        assert agrees_with_reference(whole, prompt)


def marks_join_line_breaks(folder: Path) -> Tokenizer:
    """A tokenizer that splits as Llama 3's does: ".\\n" is one token, an emoji several."""
    definition = Definition(models.BPE())
    rule = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"
    definition.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(rule), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    definition.train_from_iterator([".\n?!\n?\n!\n . . .\n. .\n .\n"] * 9, trainer)
    definition.save(str(folder / "joins.json"))
    return load_tokenizer(folder / "joins.json")


@pytest.mark.parametrize("unit", ["👩‍👩‍👧‍👦", "🙂", "\U00013000\U00013001", "老人"])
def test_every_length_is_reached_whatever_a_character_weighs(unit: str, tmp_path: Path) -> None:
    tokenizer = marks_join_line_breaks(tmp_path)
    haystack = Haystack(unit, unit * (9000 // len(unit)), unit)
    index = TokenIndex(haystack, tokenizer)
    for prompt_tokens in range(400, 416):
        prompt = build(index, 0.5, prompt_tokens)
        assert agrees_with_reference(index, prompt)
        assert prompt.plan.suffix.endswith(QUESTION)
