"""What a needle sample hides and asks, drawn at random, before it has tokens and a length."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from training.corpus import Corpus
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

MAX_NEEDLES = 16
# Tokens of a haystack that a needle and its question may take.
_TOKENS_A_NEEDLE = 64


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


def max_needles(length: int) -> int:
    """How many needles leave room for a haystack and questions in a sample of this length."""
    return min(MAX_NEEDLES, max(1, length // _TOKENS_A_NEEDLE))


def draw_text_span(corpus: Corpus, rng: random.Random) -> str:
    """Which span of the corpus a haystack or ordinary text is from."""
    if "stdlib" not in corpus.spans:
        return "texts"
    return "texts" if rng.random() < 0.67 else "stdlib"


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
    span, repeat_tokens, distractor_tokens = draw_text_span(corpus, rng), 0, 0
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
