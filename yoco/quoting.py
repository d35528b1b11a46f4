"""Names and values of files, as messages quote them: on one line, printable, short."""

from __future__ import annotations

import reprlib

LONGEST_NAME = 100

_QUOTES = reprlib.Repr()
_QUOTES.maxstring = _QUOTES.maxother = LONGEST_NAME
_QUOTES.maxlist = _QUOTES.maxtuple = _QUOTES.maxdict = 8
_QUOTES.maxlevel = 3


def quoted(value: object) -> str:
    """The `repr` of a value, its middle left out where it is long."""
    return _QUOTES.repr(value)


def short_name(name: object) -> str:
    """A name as it is, or quoted if it is long or holds what does not print."""
    is_plain = isinstance(name, str) and name.isprintable() and 0 < len(name) <= LONGEST_NAME
    return name if isinstance(name, str) and is_plain else quoted(name)


def first_line(error: BaseException) -> str:
    """The first line of what a library's exception says, short; its type where it says nothing."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    text = "".join(char if char.isprintable() else "?" for char in lines[0][: 2 * LONGEST_NAME])
    return text if len(lines[0]) <= 2 * LONGEST_NAME else f"{text}..."
