"""The YOCO model: a self-decoder that writes one KV cache, a cross-decoder that reads it.

Legend: B batch, T tokens of a sequence, N packed tokens, R rows, G key/value heads, D head width,
E model width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from yoco.config import YOCOConfig
from yoco.devices import send
from yoco.kernels import Kernels, choose_kernels
from yoco.layers import MIXERS, CrossAttention, DecoderLayer, KVSpan, Pack, Reads, RMSNorm, Suffixes
from yoco.rotary import RopePrecision, RotaryTable, rotary_table


def packed_positions(starts: Sequence[int], lengths: Sequence[int], device: torch.device) -> Tensor:
    """Positions (N,) int64 of packed tokens: each sequence counts on from its start."""
    place = torch.arange(sum(lengths), device=device)
    if len(lengths) == 1:
        return place + starts[0]
    # of each sequence how far its positions are from its tokens' places in the pack
    spans = zip(starts, lengths, accumulate(lengths), strict=True)
    shifts = [start - (end - length) for start, length, end in spans]
    shift = torch.repeat_interleave(torch.tensor(shifts), torch.tensor(lengths))
    return place + send(shift, device)


class SelfDecoder(nn.Module):
    """The layers whose memory of the past is small."""

    def __init__(self, config: YOCOConfig) -> None:
        super().__init__()
        mixer = MIXERS[config.mixer]
        self.layers = nn.ModuleList(
            DecoderLayer(config, mixer(config, layer)) for layer in range(config.n_self_layers)
        )


class CrossDecoder(nn.Module):
    """The one K and V of the model, and the layers that read them."""

    def __init__(self, config: YOCOConfig) -> None:
        super().__init__()
        width = config.n_attn_kv_heads * config.cross_head_dim
        self.kv_layer_norm = RMSNorm(config.dim, config.norm_eps)
        self.k_proj = nn.Linear(config.dim, width, bias=config.cross_qkv_bias)
        self.v_proj = nn.Linear(config.dim, width, bias=config.cross_qkv_bias)
        self.layers = nn.ModuleList(
            DecoderLayer(config, CrossAttention(config)) for _ in range(config.n_cross_layers)
        )


class YOCO(nn.Module):
    """A YOCO language model; its parameters carry the names of the official checkpoints.

    Calling it is the reference meaning. The engine (`yoco.prefill`, `yoco.decode`) runs the same
    two halves, `read` and `answer`, chunk by chunk and row by row with fast kernels.

    Args:
        config: the architecture.
        rope_precision: "float64" angles, or "reference" for the official arithmetic.

    Attributes:
        checkpoint_sha256: of the checkpoint that the weights were loaded from, taken then; None
            for a model made otherwise.
    """

    def __init__(self, config: YOCOConfig, *, rope_precision: RopePrecision = "float64") -> None:
        super().__init__()
        self.config = config
        self.rope_precision: RopePrecision = rope_precision
        self.checkpoint_sha256: str | None = None
        self.embed_tokens = nn.Embedding(config.vocab_size, config.dim)
        self.self_decoder = SelfDecoder(config)
        self.cross_decoder = CrossDecoder(config)
        self.layer_norm = RMSNorm(config.dim, config.norm_eps)
        self.output_projection = (
            None
            if config.tie_word_embeddings
            else nn.Linear(config.dim, config.vocab_size, bias=False)
        )
        self.kernels = choose_kernels("reference", torch.device("cpu"), torch.float32)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embed_tokens.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, the activations and the KV cache."""
        return self.embed_tokens.weight.dtype

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that one token takes in the global KV cache."""
        return self.config.kv_elements_per_token * self.dtype.itemsize

    def read(
        self,
        tokens: Tensor,
        starts: Sequence[int],
        lengths: Sequence[int],
        states: Sequence[Any] | None,
        kernels: Kernels,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The self-decoder over packed tokens, and the K and V that they add to the cache.

        Args:
            tokens: (N,) int64, the sequences one after the other.
            starts: position of the first token of each sequence.
            lengths: tokens of each sequence, none 0.
            states: the state of each sequence, which the caller lets `advance` by its length
                when all is done; None for sequences that begin here and are not continued.

        Returns:
            Hidden state (N, E), K (N, G, D) rotated to the tokens' positions, V (N, G, D).
        """
        positions = packed_positions(starts, lengths, tokens.device)
        pack = Pack(list(lengths), states, self._table(positions, of_self_decoder=True))
        x = self.config.dim**0.5 * self.embed_tokens(tokens)
        for layer in self.self_decoder.layers:
            x = layer(x, pack, kernels)
        cross = self.cross_decoder
        hidden = cross.kv_layer_norm(x)
        heads = (-1, self.config.cross_head_dim)
        k = self.row_table(positions).rotate(cross.k_proj(hidden).unflatten(-1, heads))
        return x, k, cross.v_proj(hidden).unflatten(-1, heads)

    def answer(self, x: Tensor, reads: Reads | Suffixes, kernels: Kernels) -> Tensor:
        """The cross-decoder over rows x (R, E) of `read`; returns what the output head takes.

        Args:
            x: hidden states after the self-decoder, of the wanted rows only.
            reads: what each row reads; or that the rows are the last of packed sequences.
        """
        for layer in self.cross_decoder.layers:
            x = layer(x, reads, kernels)
        return self.layer_norm(x)

    def head(self, x: Tensor) -> Tensor:
        """Logits (R, V) float32 of x (R, E)."""
        head = self.output_projection or self.embed_tokens
        return nn.functional.linear(x, head.weight).float()

    def row_table(self, positions: Tensor) -> RotaryTable:
        """Angles with which the cross-decoder rotates keys and queries at `positions` (N,)."""
        return self._table(positions, of_self_decoder=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, V) float32 of tokens (B, T) int64, every position by the reference ops.

        Slow, with scores of size T x T: the meaning that every other path is tested against.
        """
        batch, length = tokens.shape
        kernels = choose_kernels("reference", self.device, self.dtype)
        x, k, v = self.read(tokens.flatten(), [0] * batch, [length] * batch, None, kernels)
        visible = list(range(1, length + 1))
        spans = [
            KVSpan(k_i, v_i, visible)
            for k_i, v_i in zip(k.split(length), v.split(length), strict=True)
        ]
        rows = torch.arange(batch * length, device=tokens.device)
        reads = Reads(spans, rows, self.row_table(rows % length), places=rows[None])
        return self.head(self.answer(x, reads, kernels)).unflatten(0, (batch, length))

    def _table(self, positions: Tensor, *, of_self_decoder: bool) -> RotaryTable:
        config = self.config
        return rotary_table(
            positions,
            config.self_rope if of_self_decoder else config.cross_rope,
            config.self_head_dim if of_self_decoder else config.cross_head_dim,
            precision=self.rope_precision,
            model_dtype=self.dtype,
        )
