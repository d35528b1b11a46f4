"""Samples: reproducible, of exact length, with the needles where the record says."""

from __future__ import annotations

import importlib.util
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_samples import small_corpus

from tasks.needles import CITIES, MAGIC_NUMBER
from training.corpus import Corpus
from training.drafts import Hidden, draw_draft
from training.samples import (
    OTHER,
    TEXT,
    TEXT_LENGTHS,
    DoesNotFit,
    Sample,
    assemble,
    needle_sample,
    pack,
    probe_sample,
    text_sample,
    training_batch,
)
from training.tokenizer import BOS, EOS
from training.wordings import PAPER, RULER, WORDINGS


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return small_corpus(tmp_path_factory.mktemp("samples"))


def samples(corpus: Corpus, length: int, count: int) -> list[Sample]:
    return [needle_sample(corpus, random.Random(seed), length) for seed in range(count)]


@pytest.mark.parametrize("length", [256, 509, 2048])
def test_needles_are_where_the_record_says(corpus: Corpus, length: int) -> None:
    for sample in samples(corpus, length, 60):
        assert len(sample.tokens) == length + 1
        assert sample.tokens[0] == BOS
        text = corpus.tokenizer.decode(sample.tokens[1:].tolist())
        for hidden, offset in sample.needles:
            sentence = corpus.encode(hidden.sentence)
            np.testing.assert_array_equal(sample.tokens[offset : offset + len(sentence)], sentence)
            assert hidden.key in hidden.sentence and hidden.value in hidden.sentence
            assert hidden.sentence in text


def test_tokens_are_those_of_the_text(corpus: Corpus) -> None:
    """Splicing in token space gives what the tokenizer makes of the whole text."""
    for sample in samples(corpus, 1024, 40):
        # the haystack's ends are cut where they fall, so compare about the needles
        for hidden, offset in sample.needles:
            end = offset + len(corpus.encode(hidden.sentence))
            low, high = max(offset - 20, 1), min(end + 20, len(sample.tokens))
            around = sample.tokens[low:high].tolist()
            again = corpus.encode(corpus.tokenizer.decode(around)).tolist()
            assert again == around


def test_answers_are_marked(corpus: Corpus) -> None:
    for sample in samples(corpus, 512, 60):
        targets = sample.tokens[-len(sample.marks) :]
        values = {hidden.value for hidden, _ in sample.needles}
        num_answers = sample.marks.max() + 1
        assert num_answers >= 1 and targets[-1] == EOS
        for number in range(num_answers):
            answer = corpus.tokenizer.decode(targets[sample.marks == number].tolist())
            told = re.split(r",? and |, ", answer.removesuffix(".").removeprefix(" "))
            assert answer.startswith(" ") and answer.endswith(".")
            assert set(told) <= values
        # what is marked as text is neither a needle nor a question
        ordinary = corpus.tokenizer.decode(targets[sample.marks == TEXT].tolist())
        assert not any(hidden.sentence.strip() in ordinary for hidden, _ in sample.needles)


def test_probes_ask_for_keys_and_text_that_were_kept_out(corpus: Corpus) -> None:
    sample = probe_sample(corpus, seed=0, index=3, length=400, num_needles=4)
    assert {hidden.key for hidden, _ in sample.needles} <= set(CITIES)
    assert sample.marks.max() == 0
    text = corpus.tokenizer.decode(sample.tokens[1:].tolist())
    kept = corpus.tokenizer.decode(corpus.read("held_out", 0, 10**5).tolist())
    pieces = [piece for piece in re.split(r" The special.*?\.|\nWhat.*", text) if len(piece) > 40]
    assert pieces and all(piece.strip() in kept for piece in pieces)


def test_a_step_is_a_function_of_its_seed(corpus: Corpus) -> None:
    first, again, other = (training_batch(corpus, seed, 7, 256, 1024, 1024) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.tokens, again.tokens)
    np.testing.assert_array_equal(first.marks, again.marks)
    assert first.row_lengths == again.row_lengths
    assert not np.array_equal(first.tokens, other.tokens)
    assert not np.array_equal(first.tokens, training_batch(corpus, 0, 8, 256, 1024, 1024).tokens)
    assert first.lengths in ([256] * 4 + [512] * 2, [256] * 4 + [1024])
    steps = [training_batch(corpus, 0, step, 256, 256, 16_384) for step in range(20)]
    assert {max(batch.lengths) for batch in steps} == set(TEXT_LENGTHS)
    # a sample does not depend on those beside it
    alone = training_batch(corpus, 0, 7, 256, 256, 0)
    np.testing.assert_array_equal(alone.tokens, first.tokens[:256])


def test_distractors_take_the_place_of_a_part_of_the_haystack(corpus: Corpus) -> None:
    draft = draw_draft(corpus, random.Random(0), 2048)
    draft = replace(draft, repeat_tokens=0, wording=WORDINGS[2], kind="number", needles=())
    common = corpus.encode(" The access code of").tolist()

    def num_distractors(tokens: int) -> int:
        sample = assemble(corpus, replace(draft, distractor_tokens=tokens), random.Random(0), 2048)
        assert (TEXT in sample.marks) == (tokens == 0)
        windows = np.lib.stride_tricks.sliding_window_view(sample.tokens, len(common))
        return int((windows == common).all(axis=1).sum())

    none, some, all_of_it = map(num_distractors, (0, 512, 4096))
    assert none == 0 and 10 < some < 60 and all_of_it > 3 * some


@pytest.mark.parametrize("distractor_keys", [0, 16])
def test_distractors_tell_nothing_of_the_keys_that_are_asked_for(
    corpus: Corpus, distractor_keys: int
) -> None:
    rng = random.Random(0)
    draft = draw_draft(corpus, rng, 2048)
    draft = replace(draft, wording=PAPER, kind="number", repeat_tokens=0, distractor_tokens=4096)
    draft = replace(draft, distractor_keys=distractor_keys)

    def keys(needles: tuple[Hidden, ...]) -> list[str]:
        sample = assemble(corpus, replace(draft, needles=needles), random.Random(1), 4096)
        text = corpus.tokenizer.decode(sample.tokens[1:].tolist()).partition("\nWhat")[0]
        return re.findall(r" The special magic ([^.]+?) number is \d+\.", text)

    found = keys(())
    assert len(found) > 60
    assert len(set(found)) == distractor_keys or (not distractor_keys and len(set(found)) > 50)
    hidden = tuple(Hidden(key, "1", " Nothing.") for key in set(found[:8]))
    assert not {needle.key for needle in hidden} & set(keys(hidden))


def test_packing_numbers_the_answers_through(corpus: Corpus) -> None:
    parts = samples(corpus, 256, 5)
    parts.insert(2, text_sample(corpus, random.Random(0), "texts", 64))
    batch = pack(parts)
    assert batch.num_answers == sum(max(part.marks.max() + 1, 0) for part in parts)
    assert sorted({*batch.marks.tolist()} - {TEXT, OTHER}) == list(range(batch.num_answers))
    assert len(batch.tokens) == sum(batch.lengths) == 5 * 256 + 64
    starts = np.cumsum([0, *batch.row_lengths])
    for part, start, stop in zip(parts, starts, starts[1:], strict=False):
        np.testing.assert_array_equal(batch.targets[start:stop], part.tokens[-(stop - start) :])


def test_what_does_not_fit_is_refused(corpus: Corpus) -> None:
    draft = draw_draft(corpus, random.Random(0), 4096)
    with pytest.raises(DoesNotFit):
        assemble(corpus, draft, random.Random(0), 16)
    with pytest.raises(ValueError, match="no draft fits in 16 tokens"):
        needle_sample(corpus, random.Random(0), 16)


def test_the_papers_wording_is_that_of_the_tasks() -> None:
    keys = ["Lima", "Rome", "Oslo"]
    for count in (1, 2, 3):
        assert PAPER.question(keys[:count], "number") == MAGIC_NUMBER.question(keys[:count])
    assert len({wording.sentence for wording in WORDINGS}) == len(WORDINGS)


def test_rulers_wording_is_that_of_lm_eval() -> None:
    folder = Path(str(importlib.util.find_spec("lm_eval").origin)).parent / "tasks" / "ruler"  # pyright: ignore
    source = (folder / "niah_utils.py").read_text() + (folder / "prepare_niah.py").read_text()
    generic = {"{type_needle_v}": "{kind}s", "{query}": "{keys}"}
    template = re.search(r'TEMPLATE = """(.*?)"""', source).group(1).replace("\\n", "\n")  # pyright: ignore
    for theirs, ours in generic.items():
        template = template.replace(theirs, ours)
    before, after = template.split("{context}")
    assert before == RULER.preamble_many
    assert RULER.question_many.startswith(after)
    prefix = "The special magic {type_needle_v} for {query} mentioned in the provided text are"
    assert prefix in source
    assert RULER.question_many.endswith(
        prefix.replace("{type_needle_v}", "{kind}s").replace("{query}", "{keys}")
    )
    needle = "One of the special magic {type_needle_v} for {key} is: {value}."
    assert needle in source
    assert RULER.sentence == " " + needle.replace("{type_needle_v}", "{kind}s")
    for words in (("Some", "A"), ("are all", "is"), ("are", "is"), ("{kind}s", "{kind}")):
        before, after = before.replace(*words), after.replace(*words)
    assert before == RULER.preamble_one
    assert RULER.question_one.startswith(after)
