"""The two axes of a grid, from what a user writes: context lengths and needle depths."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

DepthSpacing = Literal["linear", "sigmoid"]

_UNITS = {"": 1, "K": 1024, "M": 1024**2}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([KM]?)", re.IGNORECASE)
_RANGE = re.compile(r"(.+?)\.\.(.+?)(?:/(\d+))?")


def parse_length(value: int | float | str) -> int:
    """A number of tokens: 131072, "131072", "128K" (x 1,024) or "1M" (x 1,048,576).

    Raises:
        ValueError: If the value is not a positive whole number of tokens.
    """
    match = _NUMBER.fullmatch(str(value).strip().replace("_", ""))
    tokens = float(match[1]) * _UNITS[match[2].upper()] if match else 0.0
    if isinstance(value, bool) or tokens < 1 or tokens != int(tokens):
        raise ValueError(
            f"length {value!r} is not a positive whole number of tokens: "
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
    parts: list[int | float | str] = []
    for item in [spec] if isinstance(spec, str | int | float) else spec:
        # lm-eval passes key=[4K,8K] on the command line as the string "[4K,8K]"
        pieces = item.strip().strip("[]()").split(",") if isinstance(item, str) else [item]
        parts += [piece for piece in pieces if piece != ""]
    lengths = {length for part in parts for length in _expand_range(part)}
    if not lengths:
        raise ValueError(f"lengths {spec!r} name no length: write for example '4K..128K'")
    return tuple(sorted(lengths))


def _expand_range(part: int | float | str) -> list[int]:
    match = _RANGE.fullmatch(part.strip()) if isinstance(part, str) else None
    if match is None:
        return [parse_length(part)]
    first, last = parse_length(match[1]), parse_length(match[2])
    if last < first:
        raise ValueError(f"range {part!r} runs backwards: write the shorter length first")
    if match[3] is None:
        num_doublings = math.ceil(math.log2(last / first))
        return [first * 2**step for step in range(num_doublings)] + [last]
    num_steps = int(match[3])
    if num_steps < 2:
        raise ValueError(f"range {part!r} has {num_steps} steps: at least 2 are needed")
    return [first + (last - first) * step // (num_steps - 1) for step in range(num_steps)]


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
        spec = int(text) if text.isdecimal() and text == spec.strip() else text.split(",")
    if isinstance(spec, bool) or (isinstance(spec, int) and spec < 1):
        raise ValueError(f"depths {spec!r} is not a number of depths: write 11, or a list as [0]")
    if isinstance(spec, int):
        return _spaced_depths(spec, spacing)
    values = [spec] if isinstance(spec, float) else spec
    depths = {_parse_depth(value) for value in values}
    if not depths:
        raise ValueError("depths name no depth: write a number of depths or a list of 0..1")
    return tuple(sorted(depths))


def _parse_depth(value: float | str) -> float:
    try:
        depth = float(Fraction(value))
    except (ValueError, TypeError, ZeroDivisionError):
        depth = math.nan
    if not 0.0 <= depth <= 1.0:
        raise ValueError(f"depth {value!r} is not a fraction of the haystack: write 0..1")
    return round(depth, 6)


def _spaced_depths(num_depths: int, spacing: DepthSpacing) -> tuple[float, ...]:
    if num_depths == 1:
        return (0.5,)
    depths = [step / (num_depths - 1) for step in range(num_depths)]
    if spacing == "sigmoid":
        inner = [1 / (1 + math.exp(-10 * (depth - 0.5))) for depth in depths[1:-1]]
        depths = [0.0, *inner, 1.0]
    return tuple(round(depth, 6) for depth in depths)
