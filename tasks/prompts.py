"""Builds a prompt whose whole text, encoded again, has an exact number of tokens.

A needle changes the tokens of its surroundings, and nothing else. So only windows about the
seams are encoded again; where a window's tokens agree with those of the haystack, the count is
handed over to the haystack's index. Then the end of the haystack moves until the total is exact.
`measure_reference` is what the windows stand for: the text encoded as a whole.
"""

from __future__ import annotations

import itertools
import logging
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tasks import pieces
from tasks.plans import Plan, sha256_of, write_out
from tasks.token_index import TokenIndex, Unsynchronised

# Characters of haystack about a seam that are encoded with it; the later ones only where tokens
# do not agree within the first.
_MARGINS = (256, 1024, 4096)
_BOUNDARY_SEARCH_CHARS = 2000
_END_SEARCH_CHARS = 32
_MIN_HAYSTACK_TOKENS = 16

# What may close the haystack, the plainest first. Where no end of it makes the total exact, for an
# emoji is a step of several tokens, one of these takes up those that are missing. How many each
# takes is what the tokenizer makes of it where it stands.
_CLOSINGS = (
    *("", ".", "?!", " . . .", "...", "!", "?", ";", ":", ",", " -", " --", ")", '"', "\u2026"),
    *(".\n", "!\n", "\n", "\n\n", ".\n\n", " etc.", " and so on.", " [...]", "\n* * *", "\n---"),
    *(" ...", " * * *", "\n\n* * *\n", "\n\n---\n", ". And so on", " and so on, and so on."),
    *(" . ." * n + "." * m for n in range(4) for m in range(4) if 2 * n + m > 3),
)
# Characters before the end that are encoded with it to see what an end weighs.
_END_CHARS = 512
_MAX_MEASURED_ENDS = 64

# After a sentence (not after an abbreviation such as "Mr."), after a line that is not blank.
_BOUNDARY = re.compile(r"\w{4}[.!?][\"'\u201d\u2019)\]]*(?=\s)|[。！？]|(?<=\S)(?=\n)")  # noqa: RUF001
_SPACE = re.compile(r"(?<=\S)(?=\s)")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Seams:
    """Where foreign text meets the haystack: at `start` nothing, at each insertion its text, at
    `stop` the suffix."""

    start: int
    insertions: tuple[tuple[int, str], ...]
    stop: int
    suffix: str

    def anchors(self) -> list[tuple[int, str]]:
        """All seams in order, as (position in the haystack, text)."""
        return [(self.start, ""), *self.insertions, (self.stop, self.suffix)]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt as built.

    Attributes:
        plan: What it consists of.
        num_tokens: Tokens of its text encoded as a whole, BOS included.
        needle_offsets_tokens: For each needle, in the order given, the index of the token that
            holds its first letter, in the whole prompt.
        depths_frac_achieved: For each needle, the fraction of the haystack's tokens before it.
        haystack_repeats: How many times the haystack's text is needed to fill the slice.
    """

    plan: Plan
    num_tokens: int
    needle_offsets_tokens: tuple[int, ...]
    depths_frac_achieved: tuple[float, ...]
    haystack_repeats: int


Measure = Callable[[TokenIndex, Seams], tuple[int, list[int]]]


def measure_reference(index: TokenIndex, seams: Seams) -> tuple[int, list[int]]:
    """Tokens without special ones, and the token of each insertion's first letter, by encoding
    the whole text."""
    text = write_out(index.haystack, seams.start, seams.stop, seams.insertions, seams.suffix)
    ids, starts = index.tokenizer.char_starts(text)
    offsets, inserted = [], 0
    for char, literal in seams.insertions:
        position = char - seams.start + inserted
        offsets.append(_token_of_first_letter(starts, position, literal))
        inserted += len(literal)
    return len(ids), offsets


def measure(index: TokenIndex, seams: Seams) -> tuple[int, list[int]]:
    """The same as `measure_reference`, from windows about the seams.

    Raises:
        Unsynchronised: If a window's tokens do not come to agree with those of the haystack.
    """
    for margin in _MARGINS[:-1]:
        try:
            return _measure_windows(index, seams, margin)
        except Unsynchronised:
            continue
    return _measure_windows(index, seams, _MARGINS[-1])


def build_prompt(
    index: TokenIndex,
    *,
    haystack: str,
    sentences: Sequence[str],
    depths_frac: Sequence[float],
    question: str,
    prompt_tokens: int,
    start: int,
    repeat: bool = True,
    measure: Measure = measure,
    around_tokens: tuple[int, int] | None = None,
    trimmed: bool = False,
) -> Prompt:
    """A prompt of exactly so many tokens.

    Args:
        index: The haystack and the tokenizer.
        haystack: The haystack's spec, for the plan.
        sentences: What to hide.
        depths_frac: Where, 0..1, one for each sentence; it goes to the nearest end of a line or
            sentence, before the white space there.
        question: What follows the haystack.
        prompt_tokens: Tokens of the whole text, special ones included.
        start: Where the slice of the haystack begins.
        repeat: Whether a haystack that is too short may begin again.
        measure: How tokens are counted.
        around_tokens: How many tokens stand before and after the prompt's own; None for the special
            ones that the tokenizer adds.
        trimmed: Whether the prompt must not begin with white space.

    Raises:
        ValueError: If the tokens do not suffice for the fixed parts, or the haystack does not
            suffice and must not repeat.
        Unsynchronised: If `measure` cannot count this tokenizer's tokens.
    """
    before, after = around_tokens or index.tokenizer.special_counts
    target = prompt_tokens - before - after
    fixed = sum(len(index.tokenizer.char_starts(text)[0]) for text in [*sentences, question])
    haystack_tokens = target - fixed
    if haystack_tokens < _MIN_HAYSTACK_TOKENS:
        raise ValueError(
            f"a prompt of {prompt_tokens:,} tokens is too short for needles, question and special "
            f"tokens, which take {fixed + before + after:,}: use lengths that allow at least "
            f"{fixed + before + after + _MIN_HAYSTACK_TOKENS:,}"
        )
    insertions = _place(index, sentences, depths_frac, start, haystack_tokens)
    if trimmed:
        insertions = [(char, text if char > start else text.lstrip()) for char, text in insertions]
    order = sorted(range(len(insertions)), key=lambda needle: insertions[needle][0])
    seams = Seams(
        start=start,
        insertions=tuple(insertions[needle] for needle in order),
        stop=index.advance(start, haystack_tokens),
        suffix=question,
    )
    seams, offsets = _fit(index, seams, target, measure)
    repeats = math.ceil((seams.stop - start) / len(index.haystack.text))
    if repeats > 1 and not repeat:
        raise ValueError(
            f"haystack {haystack!r} of {len(index.haystack.text):,} characters is too short for "
            f"a prompt of {prompt_tokens:,} tokens: use a longer one, or allow repeat=true"
        )
    text = write_out(index.haystack, start, seams.stop, seams.insertions, seams.suffix)
    if around_tokens is None and index.tokenizer.brings_bos(text):
        raise ValueError(
            f"the prompt begins with {index.tokenizer.bos_token!r}, which this backend takes for "
            "its mark of a beginning: use another seed or haystack"
        )
    total = index.count(start, seams.stop)
    return Prompt(
        plan=Plan(
            haystack=haystack,
            haystack_sha256=index.haystack.sha256,
            start=start,
            stop=seams.stop,
            insertions=seams.insertions,
            suffix=seams.suffix,
            prompt_sha256=sha256_of(text),
        ),
        num_tokens=prompt_tokens,
        needle_offsets_tokens=tuple(
            before + offsets[order.index(needle)] for needle in range(len(order))
        ),
        depths_frac_achieved=tuple(
            round(index.count(start, char) / total, 6) for char, _ in insertions
        ),
        haystack_repeats=repeats,
    )


def agrees_with_reference(index: TokenIndex, prompt: Prompt) -> bool:
    """Whether the prompt's text, encoded as a whole, has the recorded length and offsets."""
    plan = prompt.plan
    seams = Seams(start=plan.start, insertions=plan.insertions, stop=plan.stop, suffix=plan.suffix)
    text = write_out(index.haystack, plan.start, plan.stop, plan.insertions, plan.suffix)
    before, _ = index.tokenizer.special_counts
    offsets = [before + offset for offset in measure_reference(index, seams)[1]]
    return (
        len(index.tokenizer.encode(pieces.literal(text))) == prompt.num_tokens
        and sorted(prompt.needle_offsets_tokens) == offsets
    )


def _place(
    index: TokenIndex,
    sentences: Sequence[str],
    depths_frac: Sequence[float],
    start: int,
    haystack_tokens: int,
) -> list[tuple[int, str]]:
    """Where each sentence goes, leaving a few tokens at the end for the length to be adjusted."""
    last = index.advance(start, haystack_tokens - min(16, haystack_tokens // 4))
    insertions = []
    for sentence, depth_frac in zip(sentences, depths_frac, strict=True):
        asked = min(index.advance(start, round(depth_frac * haystack_tokens)), last)
        char = _nearest_boundary(index, asked, start, last)
        # Nothing stands before the first character, so the needle is a line of its own there.
        insertions.append((char, sentence if char > start else sentence + "\n"))
    return insertions


def _nearest_boundary(index: TokenIndex, asked: int, start: int, last: int) -> int:
    low = max(start, asked - _BOUNDARY_SEARCH_CHARS)
    high = min(last, asked + _BOUNDARY_SEARCH_CHARS)
    # one character on, for a boundary is known by the white space behind it
    text = index.haystack.slice(low, high + 1)
    for pattern in (_BOUNDARY, _SPACE):
        ends = (low + match.end() for match in pattern.finditer(text))
        candidates = [end for end in ends if start < end <= last]
        if candidates:
            return min([start, *candidates], key=lambda end: abs(end - asked))
    return asked


def _fit(index: TokenIndex, seams: Seams, target: int, measure: Measure) -> tuple[Seams, list[int]]:
    """The seams with the haystack's end moved so that the total is exact, and the offsets."""
    shortest = max([seams.start + 1, *(char for char, _ in seams.insertions)])
    stop, total, tried = seams.stop, -1, set()
    # by tokens for as long as that comes closer
    while stop not in tried:
        tried.add(stop)
        seams = replace(seams, stop=stop)
        total, offsets = measure(index, seams)
        if total == target:
            return seams, offsets
        stop = max(shortest, index.advance(stop, target - total))
    for fitted in itertools.islice(
        _ends(index, seams, shortest, target - total), _MAX_MEASURED_ENDS
    ):
        total, offsets = measure(index, fitted)
        if total == target:
            return fitted, offsets
    raise ValueError(
        f"no end of the haystack near character {seams.stop} makes the prompt exactly {target:,} "
        "tokens long: use another seed or length"
    )


def _ends(index: TokenIndex, seams: Seams, shortest: int, missing: int) -> Iterator[Seams]:
    """The seams with other ends nearby that have so many tokens more, as far as the end alone
    tells."""
    first, last = max(shortest, seams.stop - _END_SEARCH_CHARS), seams.stop + _END_SEARCH_CHARS
    low = max(seams.start, first - _END_CHARS)
    insertions = tuple(each for each in seams.insertions if each[0] >= low)

    def weight(stop: int, suffix: str) -> int:
        text = write_out(index.haystack, low, stop, insertions, suffix)
        return len(index.tokenizer.char_starts(text)[0])

    wanted = weight(seams.stop, seams.suffix) + missing
    weights = {stop: weight(stop, seams.suffix) for stop in range(first, last)}
    for closing in _CLOSINGS:
        suffix = closing + seams.suffix
        for stop, bare in weights.items():
            # a closing has few tokens, so that an end is too short for it or is not
            if closing and not bare <= wanted <= bare + len(closing):
                continue
            if (weight(stop, suffix) if closing else bare) == wanted:
                yield replace(seams, stop=stop, suffix=suffix)


def _measure_windows(index: TokenIndex, seams: Seams, margin: int) -> tuple[int, list[int]]:
    anchors = seams.anchors()
    total, offsets = 0, []
    counted_to = seams.start
    for first, last in _groups(anchors, margin):
        opens, closes = first == 0, last == len(anchors) - 1
        low = anchors[first][0] - (0 if opens else margin)
        high = anchors[last][0] + (0 if closes else margin)
        inserted = tuple(anchors[first : last + 1])
        text = write_out(index.haystack, low, high, inserted, "")
        ids, starts = index.tokenizer.char_starts(text)
        growth = len(text) - (high - low)
        begin, end = 0, len(ids)
        if not opens:
            joint = low + margin // 2
            begin = _handover(index, ids, starts + low, joint, margin // 4)
            total += index.count(counted_to, joint)
        if not closes:
            counted_to = high - margin // 2
            end = _handover(index, ids, starts + low - growth, counted_to, margin // 4)
        position = 0
        for char, literal in inserted:
            if literal:
                token = _token_of_first_letter(starts, char - low + position, literal)
                offsets.append(total + token - begin)
            position += len(literal)
        total += end - begin
    # the last literal is the suffix
    return total, offsets[: len(seams.insertions)]


def _groups(anchors: list[tuple[int, str]], margin: int) -> Iterator[tuple[int, int]]:
    """Runs of seams, as (first, last), so close that one window takes them all."""
    first = 0
    for number in range(1, len(anchors) + 1):
        if number == len(anchors) or anchors[number][0] - anchors[number - 1][0] >= 2 * margin:
            yield first, number - 1
            first = number


def _handover(
    index: TokenIndex, ids: np.ndarray, positions: np.ndarray, joint: int, reach: int
) -> int:
    """The window's first token at or after the joint, about which both sides must agree."""
    low, middle, high = np.searchsorted(positions, (joint - reach, joint, joint + reach))
    expected_ids, expected_positions = index.tokens(joint - reach, joint + reach)
    if not (
        np.array_equal(ids[low:high], expected_ids)
        and np.array_equal(positions[low:high], expected_positions)
    ):
        raise Unsynchronised(f"{index.haystack.name} at character {joint}")
    return int(middle)


def _token_of_first_letter(starts: np.ndarray, position: int, literal: str) -> int:
    letter = position + len(literal) - len(literal.lstrip())
    # tokens may share a character: take the first of them
    holder = np.searchsorted(starts, letter, side="right") - 1
    return int(np.searchsorted(starts, starts[holder]))
