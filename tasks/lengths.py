"""The two axes of a grid, from what a user writes: context lengths and needle depths."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

from tasks.shown import shown

DepthSpacing = Literal["linear", "sigmoid"]

# Far beyond any grid that will be run, and small enough to hold: a misprint ends in a message.
MAX_LENGTH_TOKENS = 2**31
MAX_LENGTHS = 10_000
MAX_DEPTHS = 10_000

_UNITS = {"": 1, "K": 1024, "M": 1024**2}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([KM]?)", re.IGNORECASE)
_RANGE = re.compile(r"(.+?)\.\.(.+?)(?:/(\d+))?")
# Fraction reads more, and takes its time over 1e999999999
_DEPTH = re.compile(r"[+-]?(\d{,40}\.?\d{1,40}|\d{1,40}\.|\d{1,40}/\d{1,40})(e[+-]?\d{1,3})?", re.I)


def parse_length(value: int | float | str) -> int:
    """A number of tokens: 131072, "131072", "128K" (x 1,024) or "1M" (x 1,048,576).

    Raises:
        ValueError: If the value is not a positive whole number of tokens.
    """
    # Python writes no numbers of very many digits
    typed = min(value, 2 * MAX_LENGTH_TOKENS) if isinstance(value, int) else value
    is_number = isinstance(value, int | float | str) and not isinstance(value, bool)
    match = _NUMBER.fullmatch(str(typed).strip().replace("_", "")) if is_number else None
    tokens = float(match[1]) * _UNITS[match[2].upper()] if match else 0.0
    if tokens > MAX_LENGTH_TOKENS:
        raise ValueError(
            f"length {shown(value)} is beyond the {MAX_LENGTH_TOKENS:,} tokens that a length may "
            "have: write a shorter one"
        )
    if tokens < 1 or tokens != int(tokens):
        raise ValueError(
            f"length {shown(value)} is not a positive whole number of tokens: "
            "write 4096, '4K', '1M' or a range like '128K..1M/8'"
        )
    return int(tokens)


def parse_lengths(spec: int | float | str | Sequence[int | float | str]) -> tuple[int, ...]:
    """Context lengths in tokens, ascending and without repeats.

    Args:
        spec: A length, a list, or a string with commas. "128K..1M/8" is 8 equal steps with both
            ends, "4K..128K" doubles from the first to the last.

    Raises:
        ValueError: If a part cannot be read, a range is empty, or there is no length at all.
    """
    parts: list[Any] = []
    for item in _items(spec, "lengths", MAX_LENGTHS):
        # lm-eval passes key=[4K,8K] on the command line as the string "[4K,8K]"
        pieces = item.strip().strip("[]()").split(",") if isinstance(item, str) else [item]
        parts += [piece for piece in pieces if piece != ""]
    lengths: set[int] = set()
    for part in parts:
        lengths |= _expand_range(part)
        if len(lengths) > MAX_LENGTHS:
            raise ValueError(
                f"lengths {shown(spec)} are more than {MAX_LENGTHS:,}: write fewer of them"
            )
    if not lengths:
        raise ValueError(f"lengths {shown(spec)} name no length: write for example '4K..128K'")
    return tuple(sorted(lengths))


def _items(spec: Any, name: str, most: int) -> list[Any]:
    """The spec as a list, which may hold so many parts."""
    if isinstance(spec, str | int | float):
        return [spec]
    if not isinstance(spec, Sequence) or isinstance(spec, bytes):
        raise ValueError(f"{name} {shown(spec)} are no number, text or list: write for example 4")
    if len(spec) > most:
        raise ValueError(f"{name} are {len(spec):,}: write at most {most:,}")
    return list(spec)


def _expand_range(part: Any) -> set[int]:
    match = _RANGE.fullmatch(part.strip()) if isinstance(part, str) else None
    if match is None:
        return {parse_length(part)}
    first, last = parse_length(match[1]), parse_length(match[2])
    if last < first:
        raise ValueError(f"range {shown(part)} runs backwards: write the shorter length first")
    if match[3] is None:
        num_doublings = math.ceil(math.log2(last / first))
        return {*(first * 2**step for step in range(num_doublings)), last}
    # as text first: there is no number of very many digits
    num_steps = int(match[3]) if len(match[3]) < 10 else MAX_LENGTHS + 1
    if num_steps < 2:
        raise ValueError(f"range {shown(part)} has {num_steps} steps: at least 2 are needed")
    if num_steps > MAX_LENGTHS:
        raise ValueError(
            f"range {shown(part)} has more than {MAX_LENGTHS:,} steps: write fewer of them"
        )
    return {first + (last - first) * step // (num_steps - 1) for step in range(num_steps)}


def parse_depths(
    spec: int | float | str | Sequence[float | str], spacing: DepthSpacing = "linear"
) -> tuple[float, ...]:
    """Needle depths, 0 (start of the haystack) to 1 (its end), ascending and without repeats.

    Args:
        spec: A whole number n for n depths from 0 to 1 (one depth is 0.5); or the depths
            themselves, a fraction or a list of them: 0.5, [0, "1/11", 1.0].
        spacing: How n depths lie: "linear", or "sigmoid", which is closer at both ends.

    Raises:
        ValueError: If a depth is not within 0..1 or the spacing is unknown.
    """
    if spacing not in ("linear", "sigmoid"):
        raise ValueError(f"depth_spacing {spacing!r} is unknown: use 'linear' or 'sigmoid'")
    if isinstance(spec, str):
        text = spec.strip().strip("[]()")
        is_count = text.isdecimal() and text == spec.strip()
        count = int(text) if is_count and len(text) < 10 else MAX_DEPTHS + 1
        spec = count if is_count else text.split(",")
    if isinstance(spec, bool) or (isinstance(spec, int) and spec < 1):
        raise ValueError(
            f"depths {shown(spec)} is not a number of depths: write 11, or a list as [0]"
        )
    if isinstance(spec, int):
        if spec > MAX_DEPTHS:
            raise ValueError(f"depths {shown(spec)} are too many: write at most {MAX_DEPTHS:,}")
        return _spaced_depths(spec, spacing)
    depths = {_parse_depth(value) for value in _items(spec, "depths", MAX_DEPTHS)}
    if not depths:
        raise ValueError("depths name no depth: write a number of depths or a list of 0..1")
    return tuple(sorted(depths))


def _parse_depth(value: Any) -> float:
    is_readable = isinstance(value, int | float) or (
        isinstance(value, str) and _DEPTH.fullmatch(value.strip())
    )
    try:
        depth = float(Fraction(value)) if is_readable and not isinstance(value, bool) else math.nan
    except (ValueError, ArithmeticError):
        depth = math.nan
    if not 0.0 <= depth <= 1.0:
        raise ValueError(f"depth {shown(value)} is not a fraction of the haystack: write 0..1")
    return round(depth, 6)


def _spaced_depths(num_depths: int, spacing: DepthSpacing) -> tuple[float, ...]:
    if num_depths == 1:
        return (0.5,)
    depths = [step / (num_depths - 1) for step in range(num_depths)]
    if spacing == "sigmoid":
        inner = [1 / (1 + math.exp(-10 * (depth - 0.5))) for depth in depths[1:-1]]
        depths = [0.0, *inner, 1.0]
    return tuple(round(depth, 6) for depth in depths)
