"""The meaning of the three operations that have kernels: slow, obvious, float32.

Legend: N packed tokens, R rows, S keys, H query heads, G key/value heads, D head width,
B sequences in the pack. Packed tensors hold the sequences one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# scores that are formed at once: 134 MB, and about four times that with what is made of them
MAX_SCORES = 1 << 25


def _attend(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax attention of q (R, H, D) over k, v (S, G, D) where allowed (R, S) is true."""
    num_groups = q.shape[1] // k.shape[1]
    keys = k.float().repeat_interleave(num_groups, dim=1)  # (S, H, D)
    values = v.float().repeat_interleave(num_groups, dim=1)
    scores = torch.einsum("rhd,shd->rhs", q.float(), keys) * q.shape[-1] ** -0.5
    scores = scores.masked_fill(~allowed[:, None], float("-inf"))
    log_sum = scores.logsumexp(dim=-1)
    # a row that may see nothing has weight zero everywhere, not NaN
    weights = (scores - log_sum.clamp(min=torch.finfo(torch.float32).min)[..., None]).exp()
    return torch.einsum("rhs,shd->rhd", weights, values).to(q.dtype), log_sum


def window_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    query_lengths: Sequence[int],
    key_lengths: Sequence[int],
    window: int,
) -> Tensor:
    """Causal attention over the last `window` keys, the query's own among them.

    Args:
        q: (N, H, D), the queries of B sequences.
        k, v: (S, G, D), their keys: the queries of a sequence belong to the last of its keys,
            the keys before those are what it remembers of earlier calls.
        query_lengths, key_lengths: tokens of each sequence in q and in k.
        window: keys that a query sees, at least 1.

    Returns:
        (N, H, D) in q's dtype.
    """
    outputs = []
    for q_i, k_i, v_i in zip(
        q.split(list(query_lengths)),
        k.split(list(key_lengths)),
        v.split(list(key_lengths)),
        strict=True,
    ):
        key_index = torch.arange(len(k_i), device=q.device)
        query_index = key_index[len(k_i) - len(q_i) :, None]
        allowed = (key_index <= query_index) & (key_index > query_index - window)
        outputs.append(_attend(q_i, k_i, v_i, allowed)[0])
    return torch.cat(outputs)


def segment_attention(
    q: Tensor, k: Tensor, v: Tensor, visible: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Attention of rows over a growing prefix of one KV segment.

    Args:
        q: (R, H, D).
        k, v: (S, G, D), the segment.
        visible: for each row the number of keys, from the first, that it sees; 0 to S.

    Returns:
        Output (R, H, D) in q's dtype, and log-sum-exp of the scaled scores (R, H) float32, -inf
        for a row that sees nothing (its output is zero).
    """
    limit = torch.tensor(visible, device=q.device)[:, None]
    key_index = torch.arange(len(k), device=q.device)
    # in blocks of rows, so that memory does not grow with rows times keys
    num_rows = max(1, MAX_SCORES // (q.shape[1] * max(1, len(k))))
    blocks = zip(q.split(num_rows), limit.split(num_rows), strict=True)
    outs, log_sums = zip(
        *(_attend(rows, k, v, key_index < most) for rows, most in blocks), strict=True
    )
    return torch.cat(outs), torch.cat(log_sums)


def retention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    state: Tensor,
    lengths: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Gated retention, token by token: S_t = exp(g_t) S_{t-1} + k_t^T v_t, o_t = D^-0.5 q_t S_t.

    The official code scales k instead of q, with the same output; the state here is that of
    flash-linear-attention.

    Args:
        q, k, v: (N, H, D).
        log_decay: g (N, H), at most 0.
        state: (B, H, D, D) float32, key by value, of each sequence before the call.
        lengths: tokens of each sequence.

    Returns:
        Output (N, H, D) in q's dtype, before the norm; state after the call, float32.
    """
    outputs, states = [], []
    tensors = (q.float() * q.shape[-1] ** -0.5, k.float(), v.float(), log_decay.float())
    spans = [t.split(list(lengths)) for t in tensors]
    for memory, *sequence in zip(state, *spans, strict=True):
        for q_t, k_t, v_t, g_t in zip(*sequence, strict=True):
            memory = g_t.exp()[:, None, None] * memory + k_t[:, :, None] * v_t[:, None, :]
            outputs.append(torch.einsum("hk,hkv->hv", q_t, memory))
        states.append(memory)
    return torch.stack(outputs).to(q.dtype), torch.stack(states)
