"""How much of what was asked for an answer holds, by whole numbers and whole words."""

from __future__ import annotations

import re
from collections.abc import Sequence

_THOUSANDS_COMMA = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def holds(value: str, answer: str) -> bool:
    """Whether the value occurs in the answer as a whole number or as whole words.

    12 is not found in 4123, 51234 or 3.12; 12,345 equals 12345; case does not matter. It is found
    in "12.5": a base model that has answered goes on, and what follows its full stop may well be
    digits.
    """
    text = _THOUSANDS_COMMA.sub("", answer).casefold()
    wanted = re.escape(_THOUSANDS_COMMA.sub("", value).casefold())
    return re.search(rf"(?<!\w)(?<!\d\.){wanted}(?!\w)", text) is not None


def recall(values: Sequence[str], answer: str) -> float:
    """The fraction (0..1) of the values that the answer holds."""
    return sum(holds(value, answer) for value in values) / len(values)
