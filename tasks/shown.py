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


def listed(values: Iterable[Any], most: int = 8) -> str:
    """The first of the values with commas, and how many there are more."""
    texts = [text if len(text) <= 60 else f"{text[:57]}..." for text in map(_plain, values)]
    more = f" and {len(texts) - most:,} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _plain(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else shown(value)


class _Short(reprlib.Repr):
    """As `repr`, with a bound on the work as well as on what comes out."""

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write numbers of more than 4,300 digits
        return f"a number of {x.bit_length():,} bits" if x.bit_length() > 200 else repr(x)
