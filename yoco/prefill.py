"""Early-exit prefill: tokens into a context's KV cache, and logits of the rows that are wanted.

Legend: N packed tokens, R rows, E model width, V vocabulary, C chunk.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from yoco.cache import Context, Segment
from yoco.devices import send
from yoco.layers import Reads, Span
from yoco.model import YOCO

# rows whose logits are formed together: 256 x 100,288 float32 are 100 MB
LOGIT_ROWS = 256

OnRead = Callable[[int], object]


def untold(num_tokens: int) -> None:
    """The `on_read` of those who do not want to know how many tokens were read."""


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


def new_context(model: YOCO, capacity: int, *, length: int = 0, num_warm_up: int = 0) -> Context:
    """An empty context with room for `capacity` tokens, on the model's device.

    Args:
        length, num_warm_up: as in `Context.empty`.
    """
    return Context.empty(
        model.config,
        capacity,
        device=model.device,
        dtype=model.dtype,
        length=length,
        num_warm_up=num_warm_up,
    )


@torch.inference_mode()
def extend(model: YOCO, contexts: Sequence[Context], tokens: Sequence[Tensor]) -> Tensor:
    """Reads tokens into several contexts in one pass of the self-decoder.

    Args:
        tokens: for each context (N_i,) int64, none empty, on the model's device.

    Returns:
        Hidden states (sum of N_i, E), in the order of the contexts.

    Raises:
        ValueError: a context has no room left.
    """
    lengths = [len(t) for t in tokens]
    for context, length in zip(contexts, lengths, strict=True):
        context.cache.require_room(length)
    hidden, k, v = model.read(
        torch.cat(list(tokens)),
        [context.length for context in contexts],
        lengths,
        [context.state for context in contexts],
        model.kernels,
    )
    for context, k_i, v_i in zip(contexts, k.split(lengths), v.split(lengths), strict=True):
        context.cache.append(k_i, v_i)
        context.length += len(k_i)
    return hidden


def prefill(
    model: YOCO, context: Context, tokens: Tensor, *, chunk_size: int
) -> Iterator[tuple[int, Tensor]]:
    """Reads a long prompt chunk by chunk; nothing outlives a chunk but its K, V and the state.

    Args:
        tokens: (T,) int64, on any device.
        chunk_size: tokens of one chunk.

    Yields:
        True position of the chunk's first token and the chunk's hidden states (C, E). The
        context has read the chunk by then, so its rows may be asked for at once.

    Raises:
        ValueError: there are no tokens, or the context has no room for them.
    """
    if not len(tokens):
        raise ValueError("the prompt is empty: give at least one token")
    for chunk in tokens.split(chunk_size):
        start = context.length
        yield start, extend(model, [context], [chunk.to(model.device)])


def prefill_last(
    model: YOCO,
    context: Context,
    tokens: Tensor,
    *,
    chunk_size: int,
    on_read: OnRead = untold,
) -> Rows:
    """Reads a long prompt; returns its last row, the one that predicts what comes next.

    Args:
        on_read: told the number of tokens of each chunk when the context has read it.
    """
    last = torch.empty(0)
    for _, hidden in prefill(model, context, tokens, chunk_size=chunk_size):
        last = hidden[-1:]
        on_read(len(hidden))
    return Rows(context, last.clone(), [context.length - 1])


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


def _reads(model: YOCO, wanted: Sequence[Rows]) -> Reads:
    """What the rows see of every KV cache; what several of them see of one is read once for all.

    Segments of one cache overlap where contexts share it, each with a beginning and an end of its
    own, so the cache is cut wherever one of them begins or ends.
    """
    of_cache: dict[int, list[_Claim]] = {}
    for claim in _claims(wanted):
        of_cache.setdefault(id(claim.segment.cache), []).append(claim)
    spans: list[Span] = []
    rows: list[int] = []
    positions: list[int] = []
    for claims in of_cache.values():
        cache = claims[0].segment.cache
        cuts = sorted({cut for c in claims for cut in (c.segment.start, c.segment.stop)})
        visible: list[list[int]] = [[] for _ in cuts]
        readers: list[list[_Claim]] = [[] for _ in cuts]
        for claim in claims:
            first, last = (bisect_left(cuts, c) for c in (claim.segment.start, claim.segment.stop))
            for place in range(first, last):
                passed, size = cuts[place] - cuts[first], cuts[place + 1] - cuts[place]
                seen = [min(max(count - passed, 0), size) for count in claim.visible]
                if any(seen):
                    visible[place] += seen
                    readers[place].append(claim)
        for place, (start, stop) in enumerate(pairwise(cuts)):
            if readers[place]:
                spans.append(Span(cache.keys[start:stop], cache.values[start:stop], visible[place]))
            for claim in readers[place]:
                rows += range(claim.first_row, claim.first_row + len(claim.visible))
                positions += claim.positions
    index = torch.tensor(rows)
    device = model.device
    return Reads(
        spans,
        send(index, device),
        model.row_table(send(torch.tensor(positions), device)),
        send(_places(index, sum(len(each.positions) for each in wanted)), device),
    )


def _places(rows: Tensor, num_rows: int) -> Tensor:
    """Where in rows (N,) each of 0..R-1 stands: (P, R), N where it stands fewer than P times."""
    counts = torch.bincount(rows, minlength=num_rows)
    order = rows.argsort(stable=True)
    nth = torch.arange(len(rows)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    places = torch.full((int(counts.max()), num_rows), len(rows))
    places[nth, rows[order]] = order
    return places


@torch.inference_mode()
def outputs_at(model: YOCO, wanted: Sequence[Rows]) -> Tensor:
    """The cross-decoder at the wanted rows (R, E), normed, in order: what `YOCO.head` takes."""
    hidden = torch.cat([rows.hidden for rows in wanted])
    return model.answer(hidden, _reads(model, wanted), model.kernels)


@torch.inference_mode()
def logits_at(model: YOCO, wanted: Sequence[Rows]) -> Tensor:
    """Logits (R, V) float32 of the wanted rows, in order."""
    return model.head(outputs_at(model, wanted))


@torch.inference_mode()
def score(model: YOCO, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of one target token for each output row, without keeping (R, V) logits.

    Args:
        outputs: (R, E) of `outputs_at`; a row may stand several times, with several targets.
        targets: (R,) int64, on the model's device.

    Returns:
        Log-probabilities (R,) float32; whether the target is the most probable token (R,) bool.
    """
    log_probs, greedy = [], []
    for x, target in zip(outputs.split(LOGIT_ROWS), targets.split(LOGIT_ROWS), strict=True):
        logits = model.head(x)
        chosen = logits.gather(1, target[:, None])[:, 0]
        log_probs.append(chosen - logits.logsumexp(dim=1))
        greedy.append(logits.argmax(dim=1) == target)
    return torch.cat(log_probs), torch.cat(greedy)
