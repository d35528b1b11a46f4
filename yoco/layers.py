"""The layers of a YOCO model. Their parameters carry the official names.

Legend: N packed tokens, R rows, H query heads, G key/value heads, D head width, E model width,
F FFN width, B sequences in the pack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yoco.config import YOCOConfig
from yoco.kernels import Kernels
from yoco.kernels.torch_kernels import merge
from yoco.rotary import RotaryTable

# flash-linear-attention builds the cross q norm with its default, whatever the config's norm_eps
CROSS_Q_NORM_EPS = 1e-5


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """x (..., D) over its root mean square, formed in float32, in x's dtype."""
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)).to(x.dtype)


class RMSNorm(nn.Module):
    """RMSNorm that is cast to the input's dtype before the weight multiplies it."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.eps) * self.weight


class FeedForward(nn.Module):
    """fc2(silu(fc1 x) * gate x): `fc1` is the gated branch, whatever the names suggest."""

    def __init__(self, config: YOCOConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.dim, config.hidden_dim, bias=False)
        self.gate = nn.Linear(config.dim, config.hidden_dim, bias=False)
        self.fc2 = nn.Linear(config.hidden_dim, config.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.silu(self.fc1(x)) * self.gate(x))


@dataclass(frozen=True)
class Pack:
    """How the packed tokens of one self-decoder pass belong to sequences.

    Attributes:
        lengths: tokens of each of the B sequences, in order; none is 0.
        states: what each sequence remembers of earlier passes (all WindowState or all
            RetentionState, as the mixer is), told what it will remember of this one; None where
            the sequences begin here and nobody will continue them.
        table: angles of the packed tokens.
    """

    lengths: list[int]
    states: Sequence[Any] | None
    table: RotaryTable


class SlidingWindowMixer(nn.Module):
    """Multi-head attention over the last W tokens."""

    def __init__(self, config: YOCOConfig, layer: int) -> None:
        super().__init__()
        assert config.sliding_window is not None
        self.layer, self.window = layer, config.sliding_window
        self.head_dim = config.self_head_dim
        kv_width = config.n_self_kv_heads * self.head_dim
        self.q_proj = nn.Linear(config.dim, config.dim, bias=config.self_qkv_bias)
        self.k_proj = nn.Linear(config.dim, kv_width, bias=config.self_qkv_bias)
        self.v_proj = nn.Linear(config.dim, kv_width, bias=config.self_qkv_bias)
        self.out_proj = nn.Linear(config.dim, config.dim, bias=False)

    def project(self, x: Tensor, table: RotaryTable) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (N, H, D), keys and values (N, G, D) of tokens x (N, E)."""
        heads = (-1, self.head_dim)
        q = table.rotate(self.q_proj(x).unflatten(-1, heads))
        k = table.rotate(self.k_proj(x).unflatten(-1, heads))
        return q, k, self.v_proj(x).unflatten(-1, heads)

    def forward(self, x: Tensor, pack: Pack, kernels: Kernels) -> Tensor:
        q, k, v = self.project(x, pack.table)
        key_lengths = pack.lengths
        if pack.states is not None:
            extended = [
                state.extend(self.layer, *new)
                for state, *new in zip(
                    pack.states, k.split(pack.lengths), v.split(pack.lengths), strict=True
                )
            ]
            key_lengths = [len(keys) for keys, _ in extended]
            if len(extended) == 1:
                k, v = extended[0]
            else:
                k, v = (torch.cat(tensors) for tensors in zip(*extended, strict=True))
        out = kernels.window_attention(q, k, v, pack.lengths, key_lengths, self.window)
        return self.out_proj(out.flatten(1))


class GatedRetentionMixer(nn.Module):
    """Gated retention: a decaying recurrent memory a head, one scalar decay a token."""

    def __init__(self, config: YOCOConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.head_dim = layer, config.self_head_dim
        self.norm_eps = config.norm_eps
        self.gate_logit_normalizer = config.gate_logit_normalizer
        self.q_proj = nn.Linear(config.dim, config.dim, bias=False)
        self.k_proj = nn.Linear(config.dim, config.dim, bias=False)
        self.v_proj = nn.Linear(config.dim, config.dim, bias=False)
        self.g_proj = nn.Linear(config.dim, config.dim, bias=False)
        self.gt_proj = nn.Linear(config.dim, config.n_self_heads, bias=False)
        self.out_proj = nn.Linear(config.dim, config.dim, bias=False)

    def project(self, x: Tensor, table: RotaryTable) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Queries, keys, values (N, H, D) and log-decays (N, H) of tokens x (N, E)."""
        heads = (-1, self.head_dim)
        q = table.rotate(self.q_proj(x).unflatten(-1, heads))
        k = table.rotate(self.k_proj(x).unflatten(-1, heads))
        log_decay = F.logsigmoid(self.gt_proj(x).float()) / self.gate_logit_normalizer
        return q, k, self.v_proj(x).unflatten(-1, heads), log_decay

    def gate(self, out: Tensor, x: Tensor) -> Tensor:
        """What the layer adds, of the heads' outputs (N, H, D) and tokens x (N, E)."""
        normed = rms_norm(out, self.norm_eps).flatten(1)
        return self.out_proj(F.silu(self.g_proj(x)) * normed)

    def forward(self, x: Tensor, pack: Pack, kernels: Kernels) -> Tensor:
        q, k, v, log_decay = self.project(x, pack.table)
        if pack.states is None:
            shape = (len(pack.lengths), q.shape[1], self.head_dim, self.head_dim)
            memory = torch.zeros(shape, device=x.device)
        else:
            memory = torch.stack([state.memory[self.layer] for state in pack.states])
        out, memory = kernels.retention(q, k, v, log_decay, memory, pack.lengths)
        if pack.states is not None:
            for state, changed in zip(pack.states, memory, strict=True):
                state.change(self.layer, changed)
        return self.gate(out, x)


MIXERS = {"sliding_window": SlidingWindowMixer, "gated_retention": GatedRetentionMixer}


@dataclass(frozen=True)
class KVSpan:
    """Keys and values that some rows read together.

    Attributes:
        keys, values: (S, G, D).
        visible: for each of those rows how many of these keys it sees, from the first.
    """

    keys: Tensor
    values: Tensor
    visible: list[int]


@dataclass(frozen=True)
class Reads:
    """What R rows of the cross-decoder read: each several spans, each span by several rows.

    Attributes:
        spans: each is read once, by all of its rows.
        rows: (N,) int64, which rows read the first span, then which read the second, and so on.
        table: angles of the positions of those N, as seen from their span (true minus shift).
        places: (P, R) int64, where each row stands among the N; N where it reads fewer than P.
    """

    spans: list[KVSpan]
    rows: Tensor
    table: RotaryTable
    places: Tensor


@dataclass(frozen=True)
class Suffixes:
    """Rows of the cross-decoder that are the last of packed sequences, each reading its own.

    What training asks for: one kernel call for all sequences, with a gradient.

    Attributes:
        keys, values: (N, G, D), those of the sequences, one after the other.
        row_lengths, key_lengths: rows and tokens of each sequence.
        table: angles of the rows' positions.
    """

    keys: Tensor
    values: Tensor
    row_lengths: list[int]
    key_lengths: list[int]
    table: RotaryTable


class CrossAttention(nn.Module):
    """Grouped-query attention of some rows over the global KV cache."""

    def __init__(self, config: YOCOConfig) -> None:
        super().__init__()
        self.head_dim = config.cross_head_dim
        self.q_proj = nn.Linear(config.dim, config.dim, bias=config.cross_qkv_bias)
        self.out_proj = nn.Linear(config.dim, config.dim, bias=False)
        self.q_norm = RMSNorm(self.head_dim, CROSS_Q_NORM_EPS) if config.cross_q_norm else None

    def forward(self, x: Tensor, reads: Reads | Suffixes, kernels: Kernels) -> Tensor:
        """Attention of rows x (R, E)."""
        q = self.q_proj(x).unflatten(-1, (-1, self.head_dim))  # (R, H, D)
        if self.q_norm is not None:
            q = self.q_norm(q)
        if isinstance(reads, Suffixes):
            # a window that nothing is outside of
            out = kernels.window_attention(
                reads.table.rotate(q),
                reads.keys,
                reads.values,
                reads.row_lengths,
                reads.key_lengths,
                max(reads.key_lengths),
            )
            return self.out_proj(out.flatten(1))
        queries = reads.table.rotate(q.index_select(0, reads.rows))  # (N, H, D)
        sizes = [len(span.visible) for span in reads.spans]
        parts = [
            kernels.segment_attention(rows, span.keys, span.values, span.visible)
            for rows, span in zip(queries.split(sizes), reads.spans, strict=True)
        ]
        outs, log_sums = map(torch.cat, zip(*parts, strict=True))  # (N, H, D), (N, H)
        is_absent = reads.places == len(outs)
        places = reads.places.clamp(max=len(outs) - 1)
        log_sums = log_sums[places].masked_fill(is_absent[..., None], float("-inf"))
        out, _ = merge((outs[place] for place in places), log_sums)
        return self.out_proj(out.flatten(1))


class DecoderLayer(nn.Module):
    """Pre-norm residual layer: a mixer, then the feed-forward network."""

    def __init__(self, config: YOCOConfig, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer_layer_norm = RMSNorm(config.dim, config.norm_eps)
        self.mixer = mixer
        self.final_layer_norm = RMSNorm(config.dim, config.norm_eps)
        self.ffn = FeedForward(config)

    def forward(self, x: Tensor, *mixer_inputs: object) -> Tensor:
        x = x + self.mixer(self.mixer_layer_norm(x), *mixer_inputs)
        return x + self.ffn(self.final_layer_norm(x))
