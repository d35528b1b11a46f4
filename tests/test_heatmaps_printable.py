"""Names as terminals and pictures may show them."""

import pytest

from heatmaps.printable import brief, printable


@pytest.mark.parametrize("text", ["runs/demo", "Middlemarch, 1871 (é)", "模型 名", "👨\u200d👩"])
def test_ordinary_text_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines\t", "two\\nlines\\t"),
        ("ab\u202ecd", "ab\\u202ecd"),
        ("\ud800", "\\ud800"),
        ("\u2028", "\\u2028"),
        ("\x9b2J", "\\x9b2J"),
    ],
)
def test_what_moves_or_turns_text_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_long_name_keeps_both_ends() -> None:
    assert brief("a" * 100) == "a" * 100
    assert brief("a" * 10_000 + "\x1b[2J", 20) == "aaaaaaaaaa...aaaaaa\\x1b[2J"
