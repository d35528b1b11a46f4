"""Rows of the cross-decoder, and what they read of the KV caches.

Legend: N rows of all spans together, R rows, P spans that a row reads, E model width.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from yoco.cache import Context, Segment
from yoco.devices import send
from yoco.layers import KVSpan, Reads
from yoco.model import YOCO


@dataclass(frozen=True)
class Rows:
    """Positions of one context whose logits are wanted.

    Attributes:
        context: has read at least up to the last of them.
        hidden: (R, E), what the self-decoder gave there.
        positions: R true positions, ascending.
    """

    context: Context
    hidden: Tensor
    positions: Sequence[int]


def halves_of_rows(wanted: Sequence[Rows]) -> tuple[Sequence[Rows], Sequence[Rows]] | None:
    """The wanted rows in two parts; None of a single one."""
    middle = len(wanted) // 2
    if middle:
        return wanted[:middle], wanted[middle:]
    (rows,) = wanted
    middle = len(rows.positions) // 2
    if not middle:
        return None
    return (
        [Rows(rows.context, rows.hidden[:middle], rows.positions[:middle])],
        [Rows(rows.context, rows.hidden[middle:], rows.positions[middle:])],
    )


@dataclass(frozen=True)
class _Claim:
    """A segment that rows of one context read.

    Attributes:
        first_row: the first of them among all wanted rows; they follow one another.
        positions: theirs as seen from the segment: true minus shift.
        visible: for each how many of the segment's keys it sees.
    """

    segment: Segment
    first_row: int
    positions: list[int]
    visible: list[int]


def _claims(wanted: Sequence[Rows]) -> Iterator[_Claim]:
    first_row = 0
    for rows in wanted:
        for segment in rows.context.segments:
            positions = [position - segment.shift for position in rows.positions]
            visible = [min(max(p - segment.position + 1, 0), len(segment)) for p in positions]
            if any(visible):
                yield _Claim(segment, first_row, positions, visible)
        first_row += len(rows.positions)


def reads_of(model: YOCO, wanted: Sequence[Rows]) -> Reads:
    """What the rows read of every KV cache; what several of them see of one is read once for all.

    Segments of one cache overlap where contexts share it, each with a beginning and an end of its
    own, so the cache is cut wherever one of them begins or ends.
    """
    of_cache: dict[int, list[_Claim]] = defaultdict(list)
    for claim in _claims(wanted):
        of_cache[id(claim.segment.cache)].append(claim)
    spans: list[KVSpan] = []
    rows: list[int] = []
    positions: list[int] = []
    for claims in of_cache.values():
        cuts = sorted({cut for c in claims for cut in (c.segment.start, c.segment.stop)})
        readers: list[list[tuple[_Claim, list[int]]]] = [[] for _ in cuts]
        for claim in claims:
            first, last = (bisect_left(cuts, c) for c in (claim.segment.start, claim.segment.stop))
            for place in range(first, last):
                passed, size = cuts[place] - cuts[first], cuts[place + 1] - cuts[place]
                visible = [min(max(count - passed, 0), size) for count in claim.visible]
                if any(visible):
                    readers[place].append((claim, visible))
        cache = claims[0].segment.cache
        for (start, stop), here in zip(pairwise(cuts), readers, strict=False):
            if here:
                visible = [count for _, visible in here for count in visible]
                spans.append(KVSpan(cache.keys[start:stop], cache.values[start:stop], visible))
            for claim, _ in here:
                rows += range(claim.first_row, claim.first_row + len(claim.visible))
                positions += claim.positions
    num_rows = sum(len(each.positions) for each in wanted)
    index = torch.tensor(rows)
    return Reads(
        spans,
        send(index, model.device),
        model.row_table(send(torch.tensor(positions), model.device)),
        send(_places(index, num_rows), model.device),
    )


def _places(rows: Tensor, num_rows: int) -> Tensor:
    """Where in rows (N,) each of 0..R-1 stands: (P, R), N where it stands fewer than P times."""
    counts = torch.bincount(rows, minlength=num_rows)
    order = rows.argsort(stable=True)
    nth = torch.arange(len(rows)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    places = torch.full((int(counts.max()), num_rows), len(rows))
    places[nth, rows[order]] = order
    return places
