"""Which stretches of tokens two sequences have in common.

Legend: T tokens, S tokens of the source.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Tokens that are looked up together, a power of two: a shorter common stretch is found only at
# the beginning.
WIDTH = 64
# windows that are hashed and looked up in one go
_BLOCK = 16_384
# odd, so that no token is lost to the overflow; 64 bits of the golden ratio, as int64
_FACTOR = -0x61C8864680B583EB


@dataclass(frozen=True)
class CommonSpan:
    """Tokens that stand in a sequence and in its source.

    Attributes:
        start: index of the first of them in the sequence.
        source_start: index of the first of them in the source.
        length: how many they are.
    """

    start: int
    source_start: int
    length: int

    @property
    def stop(self) -> int:
        """One past the last index in the sequence."""
        return self.start + self.length


class Source:
    """A sequence that others are compared with.

    Args:
        tokens: (S,) int64, on the CPU.
    """

    def __init__(self, tokens: Tensor) -> None:
        self.tokens = tokens
        self._hashes, self._places = window_hashes(tokens).sort(stable=True)

    def common_spans(self, tokens: Tensor) -> list[CommonSpan]:
        """The beginning that both share, then what follows one another in both.

        Each span is as long as it goes; behind it the search goes on for the next 64 tokens that
        the source has too, further on. So insertions, deletions and replacements are found, but
        not what stands in another order.

        Args:
            tokens: (T,) int64, on the CPU.
        """
        spans = []
        start = source_start = 0
        while True:
            length = common_length(tokens[start:], self.tokens[source_start:])
            if length:
                spans.append(CommonSpan(start, source_start, length))
            found = self._find(tokens, start + length, source_start + length)
            if found is None:
                return spans
            start, source_start = found

    def _find(self, tokens: Tensor, start: int, source_start: int) -> tuple[int, int] | None:
        """Indices of the next window that both have, at or behind these; None if there is none."""
        for first in range(start, len(tokens) - WIDTH + 1, _BLOCK):
            hashes = window_hashes(tokens[first : first + _BLOCK + WIDTH - 1])
            low = torch.searchsorted(self._hashes, hashes)
            high = torch.searchsorted(self._hashes, hashes, right=True)
            # the places of one hash ascend: the last of them is the furthest
            is_ahead = (high > low) & (self._places[(high - 1).clamp(min=0)] >= source_start)
            for offset in is_ahead.nonzero()[:, 0].tolist():
                places = self._places[low[offset] : high[offset]]
                place = int(places[places >= source_start][0])
                window = tokens[first + offset : first + offset + WIDTH]
                if torch.equal(window, self.tokens[place : place + WIDTH]):
                    return first + offset, place
        return None


def common_length(a: Tensor, b: Tensor) -> int:
    """How many tokens a (T,) and b (S,) have in common at their beginning."""
    most = min(len(a), len(b))
    for start in range(0, most, _BLOCK):
        stop = min(start + _BLOCK, most)
        differs = a[start:stop] != b[start:stop]
        if differs.any():
            return start + int(differs.to(torch.uint8).argmax())
    return most


def window_hashes(tokens: Tensor) -> Tensor:
    """A number (T - 63,) int64 for every 64 consecutive tokens (T,) int64; none if T is less.

    Equal windows have equal numbers; different ones hardly ever.
    """
    hashes, factor, width = (tokens + 1) * _FACTOR, _FACTOR, 1
    while width < WIDTH:
        if len(hashes) <= width:
            return hashes[:0]
        # of two neighbours of this width, one of twice the width; int64 wraps around
        hashes = hashes[:-width] * factor + hashes[width:]
        factor = _wrapped(factor * factor)
        # high bits reach the low ones, so that the hash is no polynomial modulo a power of two
        hashes = hashes ^ (hashes >> 29)
        width *= 2
    return hashes


def _wrapped(number: int) -> int:
    """The number as int64 arithmetic leaves it."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)
