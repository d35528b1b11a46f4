"""Early-exit prefill: tokens into a context's KV cache, and logits of the rows that are wanted.

Legend: N packed tokens, R rows, E model width, V vocabulary, C chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from yoco.cache import Context, kv_sums
from yoco.chunk_size import (
    LESS_MEMORY,
    ChunkSize,
    NotEnoughMemory,
    in_halves,
    joined,
    ran_out_of_memory,
)
from yoco.free_memory import gigabytes, require
from yoco.model import YOCO
from yoco.rows import Rows, halves_of_rows, reads_of

# rows whose logits are formed together: 256 x 100,288 float32 are 100 MB
LOGIT_ROWS = 256

OnRead = Callable[[int], object]


def untold(num_tokens: int) -> None:
    """The `on_read` of those who do not want to know how many tokens were read."""


def new_context(model: YOCO, capacity: int, *, length: int = 0, num_warm_up: int = 0) -> Context:
    """An empty context with room for `capacity` tokens, on the model's device.

    Args:
        length, num_warm_up: as in `Context.empty`.

    Raises:
        NotEnoughMemory: the memory has no room for it.
    """
    num_bytes = capacity * model.kv_bytes_per_token
    what = f"the KV cache of {capacity:,} tokens in {str(model.dtype).removeprefix('torch.')}"
    require(num_bytes, model.device, what=what, remedy=LESS_MEMORY)
    try:
        return Context.empty(
            model.config,
            capacity,
            device=model.device,
            dtype=model.dtype,
            length=length,
            num_warm_up=num_warm_up,
        )
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
    raise NotEnoughMemory(
        f"{what} takes {gigabytes(num_bytes)}, which could not be had: give {LESS_MEMORY}"
    )


@torch.inference_mode()
def extend(model: YOCO, contexts: Sequence[Context], tokens: Sequence[Tensor]) -> Tensor:
    """Reads tokens into several contexts in one pass of the self-decoder.

    If it fails, all contexts are as they were before.

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
    states = [context.state for context in contexts]
    try:
        hidden, k, v = model.read(
            torch.cat(list(tokens)),
            [context.length for context in contexts],
            lengths,
            states,
            model.kernels,
        )
        sums = kv_sums(k, v)
    except BaseException:
        for state in states:
            state.abandon()
        raise
    # nothing from here on takes memory
    parts = (tensor.split(lengths) for tensor in (k, v, sums))
    for context, k_i, v_i, sums_i in zip(contexts, *parts, strict=True):
        context.cache.append(k_i, v_i)
        context.cache.note(sums_i)
        context.state.advance(len(k_i))
        context.length += len(k_i)
    return hidden


def prefill(
    model: YOCO, context: Context, tokens: Tensor, *, chunk_size: int | ChunkSize
) -> Iterator[tuple[int, Tensor]]:
    """Reads a long prompt chunk by chunk; nothing outlives a chunk but its K, V, a number
    per token that says whether they are finite, and the state.

    Args:
        tokens: (T,) int64, on any device.
        chunk_size: tokens of one chunk; shrinks where memory runs out.

    Yields:
        True position of the chunk's first token and the chunk's hidden states (C, E). The
        context has read the chunk by then, so its rows may be asked for at once.

    Raises:
        ValueError: there are no tokens, or the context has no room for them, or the memory none
            for the smallest chunk.
    """
    if not len(tokens):
        raise ValueError("the prompt is empty: give at least one token")
    chunk_size, done = ChunkSize.of(chunk_size), 0
    while done < len(tokens):
        start, chunk = context.length, tokens[done : done + chunk_size.tokens]
        try:
            hidden = extend(model, [context], [chunk.to(model.device)])
        except Exception as error:
            chunk_size.shrink(error, len(chunk))
            continue
        yield start, hidden
        del hidden
        done += len(chunk)


def prefill_last(
    model: YOCO,
    context: Context,
    tokens: Tensor,
    *,
    chunk_size: int | ChunkSize,
    on_read: OnRead = untold,
) -> Rows:
    """Reads a long prompt; returns its last row, the one that predicts what comes next.

    Args:
        on_read: told the number of tokens of each chunk when the context has read it.
    """
    last = torch.empty(0)
    for _, hidden in prefill(model, context, tokens, chunk_size=chunk_size):
        # a copy, so that the chunk's hidden states are not held while the next is read
        last = hidden[-1:].clone()
        on_read(len(hidden))
        del hidden
    return Rows(context, last, [context.length - 1])


@torch.inference_mode()
def outputs_at(model: YOCO, wanted: Sequence[Rows]) -> Tensor:
    """The cross-decoder at the wanted rows (R, E), normed, in order: what `YOCO.head` takes.

    Where memory runs out, for fewer rows at once.
    """

    def outputs(part: Sequence[Rows]) -> Tensor:
        hidden = torch.cat([rows.hidden for rows in part])
        return model.answer(hidden, reads_of(model, part), model.kernels)

    return joined(in_halves(outputs, wanted, doing="the cross-decoder ran", split=halves_of_rows))


@torch.inference_mode()
def logits_at(model: YOCO, wanted: Sequence[Rows]) -> Tensor:
    """Logits (R, V) float32 of the wanted rows, in order; they may be not finite."""
    return joined(in_halves(model.head, outputs_at(model, wanted), doing="logits were formed"))


def finite_rows(logits: Tensor) -> Tensor:
    """Which rows of logits (R, V) are finite throughout: (R,) bool."""
    infinity = float("inf")
    # the least of a row with a NaN is NaN, which is above nothing
    return (logits.amin(dim=1) > -infinity) & (logits.amax(dim=1) < infinity)


@torch.inference_mode()
def score(model: YOCO, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of one target token for each output row, without keeping (R, V) logits.

    Args:
        outputs: (R, E) of `outputs_at`; a row may stand several times, with several targets.
        targets: (R,) int64, on the model's device.

    Returns:
        Log-probabilities (R,) float32, NaN where a row's logits are not all finite; whether the
        target is the most probable token (R,) bool.
    """

    def scored(part: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        logits = model.head(part[0])
        chosen = logits.gather(1, part[1][:, None])[:, 0]
        log_probs = chosen - logits.logsumexp(dim=1)
        # NaN and inf show in the sum; a single -inf would not
        is_finite = log_probs.isfinite() & (logits.amin(dim=1) > float("-inf"))
        is_greedy = logits.argmax(dim=1) == part[1]
        return log_probs.masked_fill_(~is_finite, float("nan")), is_greedy & is_finite

    def halves(part: tuple[Tensor, Tensor]) -> tuple[Any, Any] | None:
        middle = len(part[0]) // 2
        return (
            (tuple(t[:middle] for t in part), tuple(t[middle:] for t in part)) if middle else None
        )

    log_probs, greedy = [], []
    for part in zip(outputs.split(LOGIT_ROWS), targets.split(LOGIT_ROWS), strict=True):
        for of_part, greedy_of_part in in_halves(
            scored, part, doing="logits were formed", split=halves
        ):
            log_probs.append(of_part)
            greedy.append(greedy_of_part)
    return torch.cat(log_probs), torch.cat(greedy)
