"""The same operations through PyTorch's own kernels, for CPU and CUDA.

Legend: N packed tokens, R rows, S keys, H query heads, G key/value heads, D head width,
C tokens of one retention chunk or attention block, B sequences in the pack, n chunks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.varlen import AuxRequest, varlen_attn

from yoco.devices import send
from yoco.kernels import reference

RETENTION_CHUNK = 64
# chunk memories that are added up by one matrix product
SCAN_BLOCK = 64
# queries that share one block of keys in banded attention: more is less overhead, less is
# less masked-out work
BAND_BLOCK = 128
# rows that are read together; also how far apart the last keys may lie that they see
ROW_BLOCK = 256
# torch 2.11 takes fewer key heads than query heads as it is, later releases when told so
_flash_attention: Any = (
    partial(varlen_attn, enable_gqa=True)
    if "enable_gqa" in inspect.signature(varlen_attn).parameters
    else varlen_attn
)


def _band(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Windowed attention of one sequence: blocks of queries, each over its own slice of keys."""
    num_queries, num_keys = len(q), len(k)
    block = min(num_queries, BAND_BLOCK)
    num_blocks = -(-num_queries // block)
    past = num_keys - num_queries
    reach = window - 1
    surplus = num_blocks * block - num_queries
    # queries are padded to whole blocks; keys so that each block finds `reach` keys before it
    q = F.pad(q, (0, 0, 0, 0, 0, surplus)).unflatten(0, (num_blocks, block))
    k, v = (F.pad(x, (0, 0, 0, 0, reach, surplus))[past:] for x in (k, v))
    keys = k.unfold(0, block + reach, block).transpose(-1, -2)  # (blocks, G, C + W - 1, D)
    values = v.unfold(0, block + reach, block).transpose(-1, -2)
    column = torch.arange(block + reach, device=q.device)
    row = torch.arange(block, device=q.device)[:, None]
    allowed = (column >= row) & (column <= row + reach)
    first_key = reach - past
    if first_key > 0:
        # the padding before the first key is visible to nobody
        start = torch.arange(num_blocks, device=q.device)[:, None, None] * block
        allowed = allowed & (column + start >= first_key)
        allowed = allowed[:, None]
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2), keys, values, attn_mask=allowed, enable_gqa=q.shape[-2] != k.shape[-2]
    )  # (blocks, H, C, D)
    return out.transpose(1, 2).flatten(0, 1)[:num_queries]


def window_attention_sdpa(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    query_lengths: Sequence[int],
    key_lengths: Sequence[int],
    window: int,
) -> Tensor:
    """As `reference.window_attention`, through scaled_dot_product_attention in blocks."""
    sequences = zip(
        q.split(list(query_lengths)),
        k.split(list(key_lengths)),
        v.split(list(key_lengths)),
        strict=True,
    )
    return torch.cat([_band(*sequence, min(window, len(sequence[1]))) for sequence in sequences])


@lru_cache(maxsize=16)
def offsets(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """Where packed sequences begin and the last ends: (B + 1,) int32; the same for all layers."""
    # what is kept may meet a gradient later, whoever asks for it first
    with torch.inference_mode(False):
        return send(torch.tensor([0, *accumulate(lengths)], dtype=torch.int32), device)


def window_attention_flash(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    query_lengths: Sequence[int],
    key_lengths: Sequence[int],
    window: int,
) -> Tensor:
    """As `reference.window_attention`, through PyTorch's built-in windowed flash attention."""
    return _flash_attention(
        q,
        k,
        v,
        offsets(tuple(query_lengths), q.device),
        offsets(tuple(key_lengths), q.device),
        max(query_lengths),
        max(key_lengths),
        window_size=(window - 1, 0),
    )


def merge(outs: Iterable[Tensor], log_sums: Tensor) -> tuple[Tensor, Tensor]:
    """Attention over several sets of keys from attention over each of P sets.

    Args:
        outs: P outputs (R, H, D), of which one at a time need be there.
        log_sums: (P, R, H) float32, log-sum-exp of the scaled scores; -inf where a row sees none
            of a set, whose output counts for nothing then.

    Returns:
        Output (R, H, D) in the dtype of the parts, and log-sum-exp (R, H), over all keys.
    """
    if len(log_sums) == 1:
        return next(iter(outs)), log_sums[0]
    total = log_sums.logsumexp(dim=0)
    weights = (log_sums - total.clamp(min=torch.finfo(torch.float32).min)).exp()
    merged, dtype = torch.zeros(()), torch.float32
    for weight, out in zip(weights, outs, strict=True):
        merged, dtype = merged + weight[..., None] * out.float(), out.dtype
    return merged.to(dtype), total


def _fold(q: Tensor, num_kv_heads: int) -> Tensor:
    """(R, H, D) -> (1, G, R * H/G, D): query heads of one group become rows."""
    rows = q.unflatten(1, (num_kv_heads, -1)).transpose(0, 1)  # (G, R, H/G, D)
    return rows.flatten(1, 2)[None]


def _unfold(out: Tensor, log_sum: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    out = out[0].unflatten(1, (num_rows, -1)).transpose(0, 1).flatten(1, 2)
    log_sum = log_sum[0].unflatten(1, (num_rows, -1)).transpose(0, 1).flatten(1, 2)
    return out, log_sum.float()


def _whole_segment(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Every row over every key; the kernels of one sequence, which split the keys themselves."""
    queries = _fold(q, k.shape[1])
    keys, values = k.transpose(0, 1)[None], v.transpose(0, 1)[None]  # (1, G, S, D)
    if q.device.type == "cpu":
        attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out, log_sum = attention(queries, keys, values)
    elif q.dtype in (torch.bfloat16, torch.float16):
        attention = torch.ops.aten._scaled_dot_product_flash_attention
        out, log_sum = attention(queries, keys, values)[:2]
    else:
        attention = torch.ops.aten._scaled_dot_product_efficient_attention
        out, log_sum = attention(queries, keys, values, None, True)[:2]
    # some kernels pad the number of rows
    return _unfold(out, log_sum[..., : queries.shape[2]], len(q))


def _flash(q: Tensor, k: Tensor, v: Tensor, window_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """One sequence through flash attention; as many query heads as key heads, or groups."""
    out, log_sum = _flash_attention(
        q,
        k,
        v,
        offsets((len(q),), q.device),
        offsets((len(k),), q.device),
        len(q),
        len(k),
        window_size=window_size,
        return_aux=AuxRequest(lse=True),
    )
    # (H, R), whatever the documentation says
    return out, log_sum.transpose(0, 1)


def _row_blocks(visible: Sequence[int]) -> list[tuple[int, int]]:
    """Spans of rows that see nearly the same keys, so that the masked rest stays small."""
    blocks, start = [], 0
    for row in range(1, len(visible)):
        if row - start == ROW_BLOCK or abs(visible[row] - visible[start]) > ROW_BLOCK:
            blocks.append((start, row))
            start = row
    blocks.append((start, len(visible)))
    return blocks


def _common_then_rest(
    q: Tensor, k: Tensor, v: Tensor, visible: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """What all rows see through one kernel call without a mask, the rest with a mask."""
    outs = []
    for start, stop in _row_blocks(visible):
        rows, counts = q[start:stop], visible[start:stop]
        common, most = min(counts), max(counts)
        parts = [_whole_segment(rows, k[:common], v[:common])] if common else []
        if most > common or not common:
            rest = [count - common for count in counts]
            parts.append(reference.segment_attention(rows, k[common:most], v[common:most], rest))
        outs.append(merge([out for out, _ in parts], torch.stack([log for _, log in parts])))
    return torch.cat([out for out, _ in outs]), torch.cat([log_sum for _, log_sum in outs])


def segment_attention_sdpa(
    q: Tensor, k: Tensor, v: Tensor, visible: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """As `reference.segment_attention`, through the kernels under scaled_dot_product_attention.

    Those kernels give no gradient for the log-sum-exp, so training takes the reference.
    """
    if torch.is_grad_enabled() and q.requires_grad:
        return reference.segment_attention(q, k, v, visible)
    return _common_then_rest(q, k, v, visible)


def segment_attention_flash(
    q: Tensor, k: Tensor, v: Tensor, visible: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """As `reference.segment_attention`, through PyTorch's built-in flash attention.

    Many consecutive rows are one causal call (the only form that has a gradient); a few rows
    over many keys are a call without a mask, which alone splits the keys over the whole GPU.
    """
    num_rows, most = len(q), visible[-1]
    consecutive = list(visible) == list(range(most - num_rows + 1, most + 1)) and most >= num_rows
    training = torch.is_grad_enabled() and q.requires_grad
    if training and not consecutive:
        return reference.segment_attention(q, k, v, visible)
    if consecutive and (training or num_rows > ROW_BLOCK):
        return _flash(q, k[:most], v[:most], window_size=(-1, 0))
    return _common_then_rest(q, k, v, visible)


def retention_chunked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    state: Tensor,
    lengths: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """As `reference.retention`, chunk after chunk: what a CPU's cache likes."""
    tensors = (q.float() * q.shape[-1] ** -0.5, k.float(), v.float(), log_decay.float())
    spans = [tensor.transpose(0, 1).split(list(lengths), dim=1) for tensor in tensors]
    outputs, states = [], []
    for memory, *sequence in zip(state, *spans, strict=True):
        for q_c, k_c, v_c, g_c in zip(
            *(tensor.split(RETENTION_CHUNK, dim=1) for tensor in sequence), strict=True
        ):
            decay = g_c.cumsum(dim=1)  # (H, C)
            between = (decay[:, :, None] - decay[:, None, :]).tril().exp().tril()
            inside = (q_c @ k_c.transpose(1, 2) * between) @ v_c
            outputs.append(inside + decay.exp()[..., None] * (q_c @ memory))  # (H, C, D)
            fade = (decay[:, -1:] - decay).exp()[..., None]
            memory = decay[:, -1].exp()[:, None, None] * memory + (k_c * fade).transpose(1, 2) @ v_c
        states.append(memory)
    return torch.cat(outputs, dim=1).transpose(0, 1).to(q.dtype), torch.stack(states)


def retention_scan(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    state: Tensor,
    lengths: Sequence[int],
    *,
    fuse: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function,
) -> tuple[Tensor, Tensor]:
    """As `reference.retention`, in chunks that run side by side, for a GPU.

    What a chunk adds to the memory is one matrix product, what it finds there is a scan over the
    chunks before it. All in float32, under autocast too.

    Args:
        fuse: wraps the two parts that are products and elementwise operations of chunks alone.
    """
    size = min(RETENTION_CHUNK, max(lengths))
    chunks = _whole_chunks(tuple(lengths), size, q.device)
    with torch.autocast(q.device.type, enabled=False):
        q_c, k_c, v_c, g_c = (chunks.split(x) for x in (q, k, v, log_decay))
        inside, added, decay = fuse(_inside_chunks)(q_c, k_c, v_c, g_c)

        # of each sequence the memory that it brings, then its chunks
        values = torch.cat((state.float(), added)).index_select(0, chunks.order)
        carry = F.pad(decay[..., -1], (0, 0, len(state), 0)).index_select(0, chunks.order)
        memory = _scan(carry, chunks.starts, values.flatten(2)).unflatten(2, values.shape[2:])
        out = fuse(_with_memory)(inside, q_c, decay, memory.index_select(0, chunks.before))
    return chunks.join(out), memory.index_select(0, chunks.last)


def _inside_chunks(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What n chunks (n, C, H, D) find in themselves (n, H, C, D), what each adds to the memory
    (n, H, D, D), and their log-decays from the chunk's beginning on (n, H, C), all float32."""
    q, k, v = (x.float().transpose(1, 2) for x in (q, k, v))
    decay = log_decay.float().cumsum(dim=1).transpose(1, 2)
    added = (k * (decay[..., -1:] - decay).exp()[..., None]).transpose(2, 3) @ v
    place = torch.arange(q.shape[2], device=q.device)
    apart = decay[..., :, None] - decay[..., None, :]
    between = apart.masked_fill(place > place[:, None], float("-inf")).exp() * q.shape[-1] ** -0.5
    return (q @ k.transpose(2, 3) * between) @ v, added, decay


def _with_memory(inside: Tensor, q: Tensor, decay: Tensor, memory: Tensor) -> Tensor:
    """What the chunks find in themselves and in the memory before them: (n, C, H, D) like q."""
    found = q.float().transpose(1, 2) @ memory
    out = inside + (decay.exp() * q.shape[-1] ** -0.5)[..., None] * found
    return out.transpose(1, 2).to(q.dtype)


@dataclass(frozen=True)
class _WholeChunks:
    """How packed sequences are cut into n chunks of C tokens, each within one sequence.

    Attributes:
        lengths: tokens of each of the B sequences.
        size: C; the last chunk of a sequence is padded with zeros, which change no memory.
        order: (B + n,) where the B states, then the n chunks, belong so that each sequence's
            state is followed by its chunks.
        starts: (B + n,) where, in that order, a sequence begins.
        before, last: (n,) and (B,) places, in that order, before each chunk and at each end.
    """

    lengths: tuple[int, ...]
    size: int
    order: Tensor
    starts: Tensor
    before: Tensor
    last: Tensor

    def split(self, x: Tensor) -> Tensor:
        """(N, ...) -> (n, C, ...)."""
        if any(length % self.size for length in self.lengths):
            rest = (0, 0) * (x.dim() - 1)
            parts = x.split(self.lengths)
            x = torch.cat([F.pad(part, (*rest, 0, -len(part) % self.size)) for part in parts])
        return x.unflatten(0, (-1, self.size))

    def join(self, x: Tensor) -> Tensor:
        """(n, C, ...) -> (N, ...)."""
        x = x.flatten(0, 1)
        if len(x) == sum(self.lengths):
            return x
        padded = [-(-length // self.size) * self.size for length in self.lengths]
        parts = zip(x.split(padded), self.lengths, strict=True)
        return torch.cat([part[:length] for part, length in parts])


@lru_cache(maxsize=8)
def _whole_chunks(lengths: tuple[int, ...], size: int, device: torch.device) -> _WholeChunks:
    order, before, last = [], [], []
    num_chunks = 0
    for sequence, length in enumerate(lengths):
        order.append(sequence)
        for _ in range(-(-length // size)):
            before.append(len(order) - 1)
            order.append(len(lengths) + num_chunks)
            num_chunks += 1
        last.append(len(order) - 1)
    with torch.inference_mode(False):
        indices = send(torch.tensor(order + before + last), device)
        order_i, before_i, last_i = indices.split([len(order), len(before), len(last)])
        return _WholeChunks(lengths, size, order_i, order_i < len(lengths), before_i, last_i)


def _scan(log_carry: Tensor, starts: Tensor, values: Tensor) -> Tensor:
    """S_e = exp(log_carry_e) S_{e-1} + values_e, and S_e = values_e where `starts`.

    Args:
        log_carry: (E, H), at most 0.
        starts: (E,) bool; the first is true.
        values: (E, H, M).
    """
    num, block = len(values), min(len(values), SCAN_BLOCK)
    rest = -num % block
    values = F.pad(values, (0, 0, 0, 0, 0, rest)).unflatten(0, (-1, block)).transpose(1, 2)
    decay = F.pad(log_carry, (0, 0, 0, rest)).unflatten(0, (-1, block)).cumsum(dim=1)
    decay = decay.transpose(1, 2)  # (blocks, H, block)
    era = F.pad(starts, (0, rest)).unflatten(0, (-1, block)).cumsum(dim=1)[:, None]
    connected = (era[..., :, None] == era[..., None, :]).tril()
    weights = (decay[..., :, None] - decay[..., None, :]).masked_fill(~connected, float("-inf"))
    sums = weights.exp() @ values  # (blocks, H, block, M)
    if len(sums) > 1:
        ends = _scan(decay[..., -1], era[:, 0, -1] > 0, sums[:, :, -1])
        entering = F.pad(ends[:-1], (0, 0, 0, 0, 1, 0))[:, :, None]
        sums = sums + (decay.exp() * (era == 0))[..., None] * entering
    return sums.transpose(1, 2).flatten(0, 1)[:num]
