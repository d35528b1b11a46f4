"""Trials begin at places of their own, in texts of any shape."""

from __future__ import annotations

import base64
import json
import logging
import random
import unicodedata

import pytest
import tasks_samples

from tasks.haystacks import Haystack
from tasks.starts import generator, trial_starts

PROSE = tasks_samples.PROSE.replace("\n", " ")
MINIFIED = json.dumps([{"id": n, "name": f"n{n}"} for n in range(900)], separators=(",", ":"))
NOISE = base64.b64encode(random.Random(0).randbytes(9000)).decode()
OLD_MACINTOSH = tasks_samples.PROSE.replace("\n", "\r")
SEPARATED = tasks_samples.PROSE.replace("\n", "\u2028")
CHINESE = tasks_samples.CHINESE.replace("\n", "")
ACCENTED = unicodedata.normalize("NFD", "é" * 3000)
FAMILIES = "\U0001f468\u200d\U0001f469\U0001f3fd\u200d\U0001f467" * 500
FLAGS = "\U0001f1eb\U0001f1f7\U0001f1e9\U0001f1ea" * 500
ONE_LINE = {
    "prose": PROSE,
    "minified JSON": MINIFIED,
    "base64": NOISE,
    "old Macintosh": OLD_MACINTOSH,
    "U+2028": SEPARATED,
    "Chinese": CHINESE,
    "accents apart": ACCENTED,
    "families": FAMILIES,
    "flags": FLAGS,
}


def starts_of(text: str, num_trials: int, seed: int = 0) -> tuple[int, ...]:
    return trial_starts(Haystack("a text", text, text), seed, num_trials)


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("name", ONE_LINE)
def test_trials_of_a_text_of_one_line_begin_at_different_places(name: str, end: str) -> None:
    text = ONE_LINE[name] + end
    starts = starts_of(text, 8)
    # the first begins where it always has
    assert starts[0] == 0 and len(set(starts)) == 8
    # over the whole text, not side by side
    assert max(starts) - min(starts) > len(text) / 4
    assert starts_of(text, 8, seed=1)[1:] != starts[1:]
    # one trial more changes none of the others
    assert starts_of(text, 5) == starts[:5]


def test_places_are_those_that_a_reader_would_choose() -> None:
    for text in (PROSE, CHINESE):
        ends = {text[:start].rstrip(" ")[-1] for start in starts_of(text, 9)[1:]}
        assert ends <= set('.!?"\u3002\uff01\uff1f')
    for text, mark in ((OLD_MACINTOSH, "\r"), (SEPARATED, "\u2028")):
        assert {text[start - 1] for start in starts_of(text, 9)[1:]} == {mark}
    for start in starts_of(ACCENTED, 9):
        assert ACCENTED[start] == "e"
    assert {start % 6 for start in starts_of(FAMILIES, 9)} == {0}
    assert {start % 2 for start in starts_of(FLAGS, 9)} == {0}


def test_a_text_of_lines_keeps_its_starts() -> None:
    text = "".join(tasks_samples.TEXTS.values())
    expected = [
        (text.find("\n", generator(3, "start", trial).randrange(len(text))) + 1) % len(text)
        for trial in range(10)
    ]
    assert starts_of(text, 10, seed=3) == tuple(expected)
    # of few lines, all that no earlier trial has taken
    few = f"{PROSE}\n{MINIFIED}\n{NOISE}\n"
    starts = starts_of(few, 12)
    assert len(set(starts)) == 12
    assert {0, len(PROSE) + 1} < set(starts)


def test_a_text_without_places_enough_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert sorted(starts_of("abc", 3)) == [0, 1, 2]
        assert caplog.text == ""
        assert len(set(starts_of("abc", 5))) == 3
        assert "a text has places for 3 trials only: of 5, some have the same text" in caplog.text
        caplog.clear()
        assert starts_of("e" + "\u0301" * 5000, 2) == (0, 0)
        assert "has places for 1 trials only" in caplog.text
