"""Values as messages show them: in one line, and short however long they are."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import Any


def shown(value: Any, most: int = 60) -> str:
    """The value as Python writes it, at most so many characters of it.

    Nothing in it moves a cursor or breaks the line: `repr` escapes that.
    """
    short = _Short()
    short.maxstring = short.maxother = most
    text = short.repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def one_line(text: Any, most: int = 300) -> str:
    """The text as it is, what must not be printed as escapes; cut after `most` characters."""
    text = str(text)[: most + 1]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def listed(values: Iterable[Any], most: int = 8) -> str:
    """The first of the values with commas, and how many there are more."""
    texts = [one_line(each, 60) if isinstance(each, str) else shown(each) for each in values]
    more = f" and {len(texts) - most:,} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


class _Short(reprlib.Repr):
    """As `repr`, with a bound on the work as well as on what comes out."""

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write numbers of more than 4,300 digits
        return f"a number of {x.bit_length():,} bits" if x.bit_length() > 200 else repr(x)
