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
from training.tokenizer import BOS, EOS
from training.wordings import (
    MAX_DIGITS,
    PAPER,
    RULER,
    WORDINGS,
    Wording,
    draw_kind,
    draw_value,
    joined,
)

# Marks of targets. An answer's tokens have its number, from 0 on.
TEXT, OTHER = -1, -2

MAX_NEEDLES = 16
# Ordinary text is read in pieces of one of these lengths, so that its likelihood does not jump
# where the longest piece ends.
TEXT_LENGTHS = (512, 2_048, 8_192, 16_384)
# Tokens of a haystack that a needle and its question may take.
_TOKENS_A_NEEDLE = 64
_BOUNDARY_SEARCH_TOKENS = 256
# Lines of distractors that are tokenised together, and what a line has about.
_LINES_AT_ONCE = 512
_TOKENS_A_LINE = 128
_MAX_DRAFTS = 100


class DoesNotFit(Exception):
    """A draft has more tokens than the sample."""


@dataclass(frozen=True)
class Hidden:
    """A sentence in the haystack."""

    key: str
    value: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a needle sample consists of, before it has a length.

    Attributes:
        span: of the corpus, where the haystack is from.
        repeat_tokens: the haystack is a text of so many tokens, repeated; 0 for running text.
        wording, kind: of the distractors: sentences like the needles, with other keys.
        distractor_tokens: how many tokens of the haystack they take the place of; 0 for none.
        distractor_keys: each tells of one of so many keys; 0 for keys of their own.
        turns: questions, each with the beginning of its answer, and the answers.
    """

    span: str
    repeat_tokens: int = 0
    wording: Wording = PAPER
    kind: str = "number"
    distractor_tokens: int = 0
    distractor_keys: int = 0
    preamble: str = ""
    needles: tuple[Hidden, ...]
    turns: tuple[tuple[str, str], ...]


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
        samples.append(text_sample(corpus, rng, _draw_text_span(corpus, rng), text_length))
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


def max_needles(length: int) -> int:
    """How many needles leave room for a haystack and questions in a sample of this length."""
    return min(MAX_NEEDLES, max(1, length // _TOKENS_A_NEEDLE))


def draw_draft(corpus: Corpus, rng: random.Random, length: int) -> Draft:
    """What a training sample of this length asks and hides."""
    # the two wordings that others ask in are learned best
    wording = rng.choice((*WORDINGS, PAPER, PAPER, RULER, RULER))
    kind = draw_kind(rng, wording)
    most = max_needles(length // (4 if kind == "uuid" else 2))
    source = rng.random()
    among_distractors = source < 0.35
    num_needles = rng.choice((1, rng.randint(1, most), most))
    if among_distractors:
        num_needles = max(num_needles, rng.randint(1, most))
    hidden = _draw_hidden(corpus, rng, wording, kind, num_needles)
    turns, preamble = _draw_turns(rng, wording, kind, hidden, length, ask_all=among_distractors)
    if num_needles < most and rng.random() < 0.25:
        # the key is known, what is told of it is something else
        other = rng.choice([each for each in WORDINGS if each is not wording])
        key, value = rng.choice(hidden).key, draw_value(rng, "number")
        hidden.append(
            Hidden(key, value, other.sentence.format(key=key, value=value, kind="number"))
        )
    span, repeat_tokens, distractor_tokens = _draw_text_span(corpus, rng), 0, 0
    if among_distractors:
        # from a few to nothing else: among few of them the model learns to tell keys apart
        distractor_tokens = round(length ** rng.uniform(0.75, 1.25))
    elif source < 0.45:
        repeat_tokens = rng.randint(24, 96)
    return Draft(
        span=span,
        repeat_tokens=repeat_tokens,
        wording=wording,
        kind=kind,
        distractor_tokens=distractor_tokens,
        distractor_keys=rng.choice((0, rng.randint(16, 256))),
        preamble=preamble,
        needles=tuple(hidden),
        turns=tuple(turns),
    )


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


def _draw_text_span(corpus: Corpus, rng: random.Random) -> str:
    if "stdlib" not in corpus.spans:
        return "texts"
    return "texts" if rng.random() < 0.67 else "stdlib"


def _draw_hidden(
    corpus: Corpus, rng: random.Random, wording: Wording, kind: str, num_needles: int
) -> list[Hidden]:
    """Needles with distinct keys and, where there are enough, distinct values."""
    values: dict[str, str] = {}
    while len(values) < num_needles:
        key = corpus.keys.draw(rng)
        if values and rng.random() < 0.15:
            # a near miss: shares a word with a key that is there
            key = f"{rng.choice(list(values)).split(' ')[0]} {key.split(' ')[-1]}"
        value = draw_value(rng, kind)
        if values and kind == "number" and rng.random() < 0.4:
            # begins like a value that is there: only the key tells which of them goes on how
            other = rng.choice(list(values.values()))
            value = (other[: rng.randint(1, len(other))] + value[1:])[:MAX_DIGITS]
        if value not in values.values():
            values.setdefault(key, value)
    starts = "\n" if rng.random() < 0.2 else wording.sentence[0]
    return [
        Hidden(key, value, starts + wording.sentence[1:].format(key=key, value=value, kind=kind))
        for key, value in values.items()
    ]


def _draw_turns(
    rng: random.Random,
    wording: Wording,
    kind: str,
    hidden: Sequence[Hidden],
    length: int,
    *,
    ask_all: bool,
) -> tuple[list[tuple[str, str]], str]:
    """Questions with answers, and what stands before the haystack.

    Args:
        ask_all: for every key in turn. A question costs little beside a haystack that is read
            once, and it is among distractors that there is most to learn.
    """
    order = rng.sample(hidden, len(hidden))
    most_keys = 2 if kind == "uuid" else 8 if length >= 1024 else 4
    if ask_all:
        groups = [[each] for each in order]
    elif len(order) > 1 and rng.random() < 0.25:
        groups = [order[: rng.choice((min(len(order), most_keys), rng.randint(2, most_keys)))]]
    else:
        # a long haystack is read once for several questions
        most_turns = 8 if length >= 16_384 else 4
        num_turns = 1 if rng.random() < 0.4 else min(len(order), rng.randint(1, most_turns))
        groups = [[each] for each in order[:num_turns]]
    turns = [
        (
            wording.question([each.key for each in group], kind),
            " " + joined([each.value for each in group], wording.last_joiner) + ".",
        )
        for group in groups
    ]
    with_preamble = wording is RULER and length >= 512 and rng.random() < 0.7
    return turns, wording.preamble(len(groups[0]), kind) if with_preamble else ""


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
