"""The lines of a samples file, and fields of them that cannot be what they say."""

import itertools
from collections.abc import Iterator, Mapping
from math import isnan
from pathlib import Path
from reprlib import Repr
from typing import Any

from heatmaps.json_text import MOST_BYTES, parsed
from heatmaps.printable import printable

# more than any count of tokens, and still a whole number in every other program
_GREATEST = 2**53

_REPR = Repr()
_REPR.maxlevel, _REPR.maxlist, _REPR.maxdict = 4, 20, 10
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 60


def sample_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each document once, with the place of its line in words, "FILE:LINE".

    lm-eval writes a document once for each filter; the first is the task's own. Lines are read one
    by one: with another backend each may hold megabytes of prompt.

    Raises:
        ValueError: a line is not a whole JSON object.
    """
    own_filter = None
    with path.open("rb") as lines:
        for number in itertools.count(1):
            line = lines.readline(MOST_BYTES + 1)
            if not line:
                return
            if len(line) <= MOST_BYTES and not line.strip():
                continue
            where = f"{printable(str(path))}:{number}"
            try:
                sample = parsed(line, "a whole line of JSON")
            except ValueError as error:
                raise ValueError(f"{where}: {error}: delete that line or run again") from None
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


def generation_kwargs(sample: Mapping[str, Any]) -> dict[str, Any] | None:
    """The generation settings that went with the sample's first request, if it generates."""
    requests = sample.get("arguments")
    if isinstance(requests, dict):
        request = requests.get("gen_args_0")
        kwargs = request.get("arg_1") if isinstance(request, dict) else None
    else:
        # a list of lists in older releases of lm-eval
        request = requests[0] if isinstance(requests, list) and requests else None
        kwargs = request[1] if isinstance(request, list) and len(request) > 1 else None
    return kwargs if isinstance(kwargs, dict) else None


def whole_number(value: Any, what: str, *, least: int = 0, most: int | None = _GREATEST) -> int:
    """The value, which a file gives for `what`.

    Raises:
        ValueError: it is something else than a whole number of at least `least`, at most `most`.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{what} is {shortened(value)}; it must be a whole number >= {least}")
    if most is not None and value > most:
        raise ValueError(f"{what} is {shortened(value)}; it must be a whole number <= {most:,}")
    return value


def fraction(value: Any, what: str) -> float:
    """The value, which a file gives for `what`.

    Raises:
        ValueError: it is something else than a number from 0 to 1.
    """
    # NaN is not within either
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{what} is {shortened(value)}; it must be a number from 0 to 1")
    return float(value)


def finite_number(value: Any, what: str) -> float | None:
    """The value, which a file gives for `what`; None where it says by null or NaN that it has none.

    Raises:
        ValueError: it is something else than a number that can be counted with.
    """
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _GREATEST:
        raise ValueError(f"{what} is {shortened(value)}; it must be a finite number")
    return float(value)


def shortened(value: Any) -> str:
    """The value as it would be typed, cut where it is long or nested."""
    text = _REPR.repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
