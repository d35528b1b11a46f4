"""The lines of a samples file, and fields of them that cannot be what they say."""

import json
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any


def sample_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each document once, with the place of its line in words, "FILE:LINE".

    lm-eval writes a document once for each filter; the first is the task's own. Lines are read one
    by one: with another backend each may hold megabytes of prompt.

    Raises:
        ValueError: a line is not a whole JSON object.
    """
    own_filter = None
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                sample = json.loads(line)
            except ValueError:
                raise ValueError(
                    f"{where}: not a whole line of JSON, as in a half-written file: "
                    "delete that line or run again"
                ) from None
            if not isinstance(sample, dict):
                raise ValueError(
                    f"{where}: {shortened(sample)} is no sample, which is a JSON object: "
                    "delete that line or run again"
                )
            own_filter = filter_of(sample) if own_filter is None else own_filter
            if filter_of(sample) == own_filter:
                yield where, sample


def filter_of(sample: Mapping[str, Any]) -> str:
    """The filter that the sample's answers went through; older releases of lm-eval do not say."""
    return str(sample.get("filter", "none"))


def whole_number(value: Any, what: str, *, least: int = 0) -> int:
    """The value, which a file gives for `what`.

    Raises:
        ValueError: it is something else than a whole number of at least `least`.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{what} is {shortened(value)}; it must be a whole number >= {least}")
    return value


def fraction(value: Any, what: str) -> float:
    """The value, which a file gives for `what`.

    Raises:
        ValueError: it is something else than a number from 0 to 1.
    """
    if not isinstance(value, int | float) or not isfinite(value) or not 0 <= value <= 1:
        raise ValueError(f"{what} is {shortened(value)}; it must be a number from 0 to 1")
    return float(value)


def shortened(value: Any) -> str:
    """The value as it would be typed, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
