"""Early-exit prefill: tokens into a context's KV cache, and logits of the rows that are wanted.

Legend: N packed tokens, R rows, E model width, V vocabulary, C chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from yoco.cache import Context
from yoco.model import YOCO
from yoco.rows import Rows, reads_of

# rows whose logits are formed together: 256 x 100,288 float32 are 100 MB
LOGIT_ROWS = 256

OnRead = Callable[[int], object]


def untold(num_tokens: int) -> None:
    """The `on_read` of those who do not want to know how many tokens were read."""


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


@torch.inference_mode()
def outputs_at(model: YOCO, wanted: Sequence[Rows]) -> Tensor:
    """The cross-decoder at the wanted rows (R, E), normed, in order: what `YOCO.head` takes."""
    hidden = torch.cat([rows.hidden for rows in wanted])
    return model.answer(hidden, reads_of(model, wanted), model.kernels)


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
