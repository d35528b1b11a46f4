"""Where in a haystack the prompts of each trial begin."""

from __future__ import annotations

import functools
import hashlib
import logging
import random
import re
import unicodedata

from tasks.haystacks import Haystack

# How far from a drawn character a place to begin is looked for, and how many characters are drawn.
_SEARCH_CHARS = 2000
_MAX_DRAWS = 64

# What a reader would begin after, the best first. Line breaks other than "\n" are breaks, too.
_BREAKS = (
    re.compile(r"[\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*(?=\S)"),
    re.compile(r"[.!?][\"'\u201d\u2019)\]]*\s+(?=\S)|[\u3002\uff01\uff1f](?=\S)"),
    re.compile(r"\s(?=\S)"),
)
_JOINER = "\u200d"
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)

_log = logging.getLogger(__name__)


def generator(*identity: object) -> random.Random:
    """A generator that is the same for the same identity, everywhere."""
    digest = hashlib.sha256(repr(identity).encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


@functools.lru_cache(maxsize=2)
def trial_starts(haystack: Haystack, seed: int, num_trials: int) -> tuple[int, ...]:
    """The character at which each trial's prompts begin; it depends on no later trial.

    It is the beginning of a line somewhere in the text. Where an earlier trial begins there, as in
    a text of one line, it is another place: after a sentence or a space, or between any two
    characters. A text may have too few places for all to differ, and that is said.
    """
    starts: list[int] = []
    taken: set[int] = set()
    for trial in range(num_trials):
        start = _line_start(haystack.text, generator(seed, "start", trial))
        if start in taken:
            place = _free_place(haystack.text, taken, (seed, "start", trial))
            start = start if place is None else place
        starts.append(start)
        taken.add(start)
    if len(taken) < num_trials:
        _log.warning(
            "haystack %s has places for %d trials only: of %d, some have the same text",
            haystack.name,
            len(taken),
            num_trials,
        )
    return tuple(starts)


def _line_start(text: str, rng: random.Random) -> int:
    """The start of a line somewhere in the text, its first character if it is all one line."""
    return (text.find("\n", rng.randrange(len(text))) + 1) % len(text)


def _free_place(text: str, taken: set[int], identity: tuple[object, ...]) -> int | None:
    """Another place to begin, or None if there is none."""
    for draw in range(_MAX_DRAWS):
        place = _place_near(text, generator(*identity, draw).randrange(len(text)))
        if place not in taken:
            return place
    places = (char for char in range(len(text)) if char not in taken)
    return next((char for char in places if _begins_character(text, char)), None)


def _place_near(text: str, char: int) -> int:
    """The place to begin that is next after a character, by the best kind of break there is."""
    near = text[char : char + _SEARCH_CHARS]
    for pattern in _BREAKS:
        if match := pattern.search(near):
            return char + match.end()
    while char < len(text) and not _begins_character(text, char):
        char += 1
    return char % len(text)


def _begins_character(text: str, char: int) -> bool:
    """Whether a character as people see it begins there: an accent or a joined emoji does not."""
    here, before = text[char], text[char - 1] if char else ""
    if unicodedata.category(here).startswith("M") or _JOINER in (here, before):
        return False
    if ord(here) in _FLAG_LETTERS:
        first = char
        while first and ord(text[first - 1]) in _FLAG_LETTERS:
            first -= 1
        return (char - first) % 2 == 0
    return ord(here) not in _SKIN_TONES
