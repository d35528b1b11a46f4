"""Which stretches of tokens two sequences have in common.

Legend: T tokens, S tokens of the source.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# Tokens that are looked up together, a power of two: a shorter common stretch is found only at
# the beginning.
WIDTH = 64
# Tokens of the source that the next common stretch may skip without a look at the ones behind it.
_NEAR = 2 * WIDTH
# Windows that are hashed and looked up in one go: few at first, since a change is mostly short.
_FIRST_BLOCK, _LAST_BLOCK = 256, 16_384
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

    def common_spans(
        self, tokens: Tensor, *, least: int = 1, least_share: float = 0.0
    ) -> list[CommonSpan]:
        """The beginning that both share, then what follows one another in both.

        Behind a span the search goes on for the next 64 tokens that the source has too, further on
        (or up to 64 before: what was put in may begin like what follows it). So insertions,
        deletions and replacements are found, but not what stands in another order.

        Args:
            tokens: (T,) int64, on the CPU.
            least: tokens of a span; a shorter one is passed over.
            least_share: of the tokens; where fewer are in common there are no spans. The search
                ends as soon as that is known.
        """
        spans = []
        length = common_length(tokens, self.tokens)
        if length >= least:
            spans.append(CommonSpan(0, 0, length))
        start, source_start = length, max(0, length - WIDTH)
        # so many tokens may lie in no span
        spare = len(tokens) - math.ceil(least_share * len(tokens))
        if not spans:
            spare -= length
        while start < len(tokens):
            found = self._find(tokens, start, source_start, start + spare)
            if found is None:
                spare -= len(tokens) - start
                break
            spare -= found[0] - start
            start, place = found
            length = common_length(tokens[start:], self.tokens[place:])
            if length >= least:
                spans.append(CommonSpan(start, place, length))
                start, source_start = start + length, max(source_start, place + length - WIDTH)
            else:
                # every window within it would be found again
                passed = length - WIDTH + 1
                start, spare = start + passed, spare - passed
                if place <= source_start + _NEAR:
                    # and again and again in a text that repeats itself
                    source_start = max(source_start, place + passed)
        return spans if spare >= 0 else []

    def _find(
        self, tokens: Tensor, start: int, source_start: int, last: int
    ) -> tuple[int, int] | None:
        """Indices of the next window that both have, at or behind these; None if there is none up
        to `last`.

        If that skips much of the source, a window begun up to 64 tokens later may skip less: where
        a text repeats itself, what stands right behind an insertion may do so behind another only.
        """
        found = next(self._matches(tokens, start, source_start, last), None)
        if found is None or found[1] <= source_start + _NEAR:
            return found
        last = min(last, found[0] + WIDTH)
        return min([found, *self._matches(tokens, found[0] + 1, source_start, last)], key=sum)

    def _matches(
        self, tokens: Tensor, start: int, source_start: int, last: int
    ) -> Iterator[tuple[int, int]]:
        """Indices of the windows from `start` to `last` that the source has too, each with the
        first place at or behind `source_start`."""
        stop = min(last, len(tokens) - WIDTH) + 1
        if not len(self._hashes):
            return
        size = _FIRST_BLOCK
        while start < stop:
            hashes = window_hashes(tokens[start : min(start + size, stop) + WIDTH - 1])
            high = torch.searchsorted(self._hashes, hashes, right=True)
            # the places of one hash ascend, so the last of them is the furthest
            furthest = (high - 1).clamp(min=0)
            is_hit = (self._hashes[furthest] == hashes) & (self._places[furthest] >= source_start)
            for offset in is_hit.nonzero()[:, 0].tolist():
                low = int(torch.searchsorted(self._hashes, hashes[offset]))
                places = self._places[low : high[offset]]
                place = int(places[torch.searchsorted(places, source_start)])
                window = tokens[start + offset : start + offset + WIDTH]
                if torch.equal(window, self.tokens[place : place + WIDTH]):
                    yield start + offset, place
            start += size
            size = min(2 * size, _LAST_BLOCK)


def common_length(a: Tensor, b: Tensor) -> int:
    """How many tokens a (T,) and b (S,) have in common at their beginning."""
    most = min(len(a), len(b))
    start, size = 0, _FIRST_BLOCK
    while start < most:
        stop = min(start + size, most)
        differs = a[start:stop] != b[start:stop]
        if differs.any():
            return start + int(differs.to(torch.uint8).argmax())
        start, size = stop, min(2 * size, _LAST_BLOCK)
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
