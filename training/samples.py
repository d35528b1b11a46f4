"""Training samples in token space, each made from (seed, step, index) alone.

A sample is `<s>`, perhaps a preamble, a haystack with needles, and questions with their answers;
or ordinary text. Only the last rows of a needle sample go through the cross-decoder, and a mark
says what the target of each row is.

Legend: T tokens of a sequence, N packed tokens, R rows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.needles import draw_needles
from training.corpus import Corpus
from training.drafts import Draft, Hidden, draw_draft, draw_text_span
from training.tokenizer import BOS, EOS
from training.wordings import PAPER, draw_value

# Marks of targets. An answer's tokens have its number, from 0 on.
TEXT, OTHER = -1, -2

# Ordinary text is read in pieces of one of these lengths, so that its likelihood does not jump
# where the longest piece ends.
TEXT_LENGTHS = (512, 2_048, 8_192, 16_384)
_BOUNDARY_SEARCH_TOKENS = 256
# Lines of distractors that are tokenised together, and what a line has about.
_LINES_AT_ONCE = 512
_TOKENS_A_LINE = 128
_MAX_DRAFTS = 100


class DoesNotFit(Exception):
    """A draft has more tokens than the sample."""


@dataclass(frozen=True)
class Sample:
    """One sequence.

    Attributes:
        tokens: (T + 1,) uint16, the inputs and, one on, the targets.
        marks: (R,) int32, of the targets of the last R rows.
        needles: what is hidden in it, with the index of the sentence's first token.
    """

    tokens: np.ndarray
    marks: np.ndarray
    needles: tuple[tuple[Hidden, int], ...] = ()


@dataclass(frozen=True)
class Batch:
    """Packed sequences.

    Attributes:
        tokens: (N,) uint16.
        lengths: tokens of each sequence.
        row_lengths: how many of each sequence's last rows are wanted.
        targets: (R,) uint16, of these rows.
        marks: (R,) int32, as in `Sample`, answers numbered through.
        num_answers: how many there are.
    """

    tokens: np.ndarray
    lengths: list[int]
    row_lengths: list[int]
    targets: np.ndarray
    marks: np.ndarray
    num_answers: int


def pack(samples: Sequence[Sample]) -> Batch:
    """The samples one after the other."""
    marks, num_answers = [], 0
    for sample in samples:
        marks.append(np.where(sample.marks >= 0, sample.marks + num_answers, sample.marks))
        num_answers += int(sample.marks.max(initial=-1).clip(-1)) + 1
    return Batch(
        tokens=np.concatenate([sample.tokens[:-1] for sample in samples]),
        lengths=[len(sample.tokens) - 1 for sample in samples],
        row_lengths=[len(sample.marks) for sample in samples],
        targets=np.concatenate([sample.tokens[-len(sample.marks) :] for sample in samples]),
        marks=np.concatenate(marks).astype(np.int32),
        num_answers=num_answers,
    )


def training_batch(
    corpus: Corpus, seed: int, step: int, length: int, needle_tokens: int, text_tokens: int
) -> Batch:
    """The batch of one step.

    Args:
        length: tokens of a needle sample.
        needle_tokens: of all needle samples together, if more than one fits.
        text_tokens: of ordinary text.
    """
    samples = []
    for index in range(max(1, needle_tokens // length)):
        rng = random.Random(f"{seed}/{step}/needle/{index}")
        samples.append(needle_sample(corpus, rng, length))
    text_length = random.Random(f"{seed}/{step}/text").choice(TEXT_LENGTHS)
    text_length = min(text_length, text_tokens)
    for index in range(text_tokens // text_length if text_length else 0):
        rng = random.Random(f"{seed}/{step}/text/{index}")
        samples.append(text_sample(corpus, rng, draw_text_span(corpus, rng), text_length))
    return pack(samples)


def needle_sample(corpus: Corpus, rng: random.Random, length: int) -> Sample:
    """A training sample with needles; a draft that does not fit is drawn again.

    Raises:
        ValueError: none fits.
    """
    for _ in range(_MAX_DRAFTS):
        try:
            return assemble(corpus, draw_draft(corpus, rng, length), rng, length)
        except DoesNotFit:
            continue
    raise ValueError(f"no draft fits in {length} tokens: use longer samples")


def text_sample(corpus: Corpus, rng: random.Random, span: str, length: int) -> Sample:
    """Ordinary text, every row of which has a target."""
    text = corpus.read(span, rng.randrange(1 << 40), length)
    tokens = np.concatenate((np.array([BOS], dtype=np.uint16), text))
    return Sample(tokens, np.full(length, TEXT, dtype=np.int32))


def probe_sample(corpus: Corpus, seed: int, index: int, length: int, num_needles: int) -> Sample:
    """A question as the needle tasks ask it: their keys, their wording, one of N needles, and
    a haystack that was kept out."""
    rng = random.Random(f"probe/{seed}/{index}/{length}/{num_needles}")
    needles = draw_needles(rng, num_needles, "")
    hidden = tuple(Hidden(needle.key, needle.value, needle.sentence()) for needle in needles)
    asked = rng.choice(hidden)
    turn = (PAPER.question([asked.key], "number"), f" {asked.value}.")
    draft = Draft(span="held_out", needles=hidden, turns=(turn,))
    return assemble(corpus, draft, rng, length)


def text_rows(length: int) -> int:
    """How many tokens of ordinary text in front of the questions are predicted too.

    A long sample has more of them: there are few such samples, and nothing else is predicted so
    far behind the beginning.
    """
    return max(min(128, length // 4), min(512, length // 128))


def assemble(corpus: Corpus, draft: Draft, rng: random.Random, length: int) -> Sample:
    """The sample of a draft, with exactly `length` inputs.

    Raises:
        DoesNotFit: needles and questions leave no haystack.
    """
    suffix, suffix_marks = _suffix(corpus, draft.turns)
    preamble = corpus.encode(draft.preamble)
    sentences = [corpus.encode(hidden.sentence) for hidden in draft.needles]
    num_fixed = 1 + len(preamble) + len(suffix) + sum(map(len, sentences))
    # a needle in front of everything is a line of its own
    line_end = corpus.encode("\n")
    at_start = rng.randrange(len(sentences)) if rng.random() < 0.05 else None
    if at_start is not None:
        sentences[at_start] = np.concatenate((sentences[at_start], line_end))
        num_fixed += len(line_end)
    num_haystack = length + 1 - num_fixed
    if num_haystack < 2:
        raise DoesNotFit(f"{num_fixed} tokens of needles and questions in {length}")
    haystack = _haystack(corpus, draft, rng, num_haystack)
    places = [
        0 if number == at_start else _boundary(corpus, haystack, rng.randrange(1, num_haystack))
        for number in range(len(sentences))
    ]

    parts, offsets = [np.array([BOS], dtype=np.uint16), preamble], {}
    done, size = 0, 1 + len(preamble)
    for number in sorted(range(len(places)), key=places.__getitem__):
        parts += [haystack[done : places[number]], sentences[number]]
        offsets[number] = size + places[number] - done
        size = offsets[number] + len(sentences[number])
        done = places[number]
    tokens = np.concatenate([*parts, haystack[done:], suffix])
    assert len(tokens) == length + 1

    # a haystack that repeats, or is all numbers, teaches nothing of the language
    is_text = not draft.repeat_tokens and not draft.distractor_tokens
    marks = np.full(len(tokens), TEXT if is_text else OTHER, dtype=np.int32)
    marks[: 1 + len(preamble)] = OTHER
    for number, offset in offsets.items():
        marks[offset : offset + len(sentences[number])] = OTHER
    marks[-len(suffix) :] = suffix_marks
    first = max(1, len(tokens) - len(suffix) - text_rows(length))
    needles = tuple((hidden, offsets[number]) for number, hidden in enumerate(draft.needles))
    return Sample(tokens, marks[first:], needles)


def _suffix(corpus: Corpus, turns: Sequence[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Ids of questions and answers, `</s>` at the end, and their marks."""
    parts, marks = [], []
    for number, (question, answer) in enumerate(turns):
        asked, told = corpus.encode(question), corpus.encode(answer)
        if number == len(turns) - 1:
            told = np.append(told, np.uint16(EOS))
        parts += [asked, told]
        marks += [np.full(len(asked), OTHER), np.full(len(told), number)]
    return np.concatenate(parts), np.concatenate(marks)


def _haystack(corpus: Corpus, draft: Draft, rng: random.Random, num_tokens: int) -> np.ndarray:
    start = rng.randrange(1 << 40)
    if draft.repeat_tokens:
        snippet = corpus.read(draft.span, start, draft.repeat_tokens)
        return np.resize(np.concatenate((snippet, corpus.encode("\n"))), num_tokens)
    text = corpus.read(draft.span, start, num_tokens)
    if not draft.distractor_tokens:
        return text
    num_distractors = min(draft.distractor_tokens, num_tokens)
    before = rng.randrange(num_tokens - num_distractors + 1)
    between = _distractors(corpus, draft, rng, num_distractors)
    return np.concatenate((text[:before], between, text[before + num_distractors :]))


def _distractors(corpus: Corpus, draft: Draft, rng: random.Random, num_tokens: int) -> np.ndarray:
    """Sentences like the needles, eight a line; none tells of a needle's key."""
    hidden = {needle.key for needle in draft.needles}
    keys = [corpus.keys.draw(rng) for _ in range(draft.distractor_keys)]
    parts, size = [], 0
    while size < num_tokens:
        lines = []
        for _ in range(min(_LINES_AT_ONCE, (num_tokens - size) // _TOKENS_A_LINE + 1)):
            drawn = [rng.choice(keys) if keys else corpus.keys.draw(rng) for _ in range(8)]
            sentences = [
                draft.wording.sentence.format(
                    key=key, value=draw_value(rng, draft.kind), kind=draft.kind
                )
                for key in drawn
                if key not in hidden
            ]
            lines.append("".join(sentences) + "\n")
        parts.append(corpus.encode("".join(lines)))
        size += len(parts[-1])
    return np.concatenate(parts)[:num_tokens]


def _boundary(corpus: Corpus, haystack: np.ndarray, place: int) -> int:
    """The end of a line or sentence that is nearest to a place; the place if none is near."""
    low = max(place - _BOUNDARY_SEARCH_TOKENS, 0)
    found = corpus.boundaries(haystack[low : place + _BOUNDARY_SEARCH_TOKENS]) + low
    return int(found[np.abs(found - place).argmin()]) if len(found) else place
