"""What a model costs: parameters, memory and FLOPs, worked out from its config alone.

A multiply-add is 2 FLOPs. Matrix products and attention are counted, gated retention in its
recurrent form; norms, activations, rotations, softmax and the embedding lookup, which are linear
in the tokens and small, are not. A kernel that also computes what a mask throws away does more.

Legend: T tokens, E model width, F FFN width, D head width, V vocabulary, W window, C chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch

from yoco.cache import Context
from yoco.checkpoints import expected_shapes
from yoco.config import YOCOConfig

EMBEDDINGS = ("embed_tokens.weight", "output_projection.weight")


def num_parameters(config: YOCOConfig, *, embeddings: bool = True) -> int:
    """Parameters of the model.

    Args:
        embeddings: count the token embeddings and the output projection too.
    """
    shapes = expected_shapes(config).items()
    return sum(prod(shape) for name, shape in shapes if embeddings or name not in EMBEDDINGS)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes that a context takes while its prompt is read.

    Attributes:
        weights_bytes: all parameters.
        kv_bytes: the global KV cache.
        state_bytes: what the self-decoder remembers, whatever the length.
        chunk_bytes: activations of one chunk, where they are most.
    """

    weights_bytes: int
    kv_bytes: int
    state_bytes: int
    chunk_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of them."""
        return self.weights_bytes + self.kv_bytes + self.state_bytes + self.chunk_bytes


def memory(
    config: YOCOConfig, length_tokens: int, *, dtype: torch.dtype, chunk_size: int
) -> Memory:
    """Memory of the model and of one context of `length_tokens`, prefilled chunk by chunk.

    KV cache and state are those of a real `Context`. A chunk is taken at a feed-forward network:
    C * (3 E + 3 F) numbers, which are the layer's input, the residual and its norm, each E wide,
    and both branches and their product, each F wide; and the state as it will be after it.
    What kernels need for themselves comes on top; that is little but for gated retention without
    flash-linear-attention, which works in float32.

    Args:
        dtype: of weights, activations and KV cache.
        chunk_size: tokens of one prefill chunk.
    """
    # on this device tensors have sizes and no storage
    context = Context.empty(config, length_tokens, device=torch.device("meta"), dtype=dtype)
    chunk = min(chunk_size, length_tokens)
    return Memory(
        weights_bytes=num_parameters(config) * dtype.itemsize,
        kv_bytes=context.cache.nbytes,
        state_bytes=context.state.nbytes,
        chunk_bytes=chunk * 3 * (config.dim + config.hidden_dim) * dtype.itemsize
        + context.state.next_nbytes(chunk),
    )


def prefill_flops(config: YOCOConfig, length_tokens: int, *, early_exit: bool = True) -> int:
    """FLOPs from a prompt of T tokens to the logits behind its last.

    Self-decoder, K and V run over T tokens, the cross-decoder over one row with early exit and
    over T rows without (what a backend does that knows nothing of YOCO), the output head over
    one row in both cases.
    """
    first_row = length_tokens - 1 if early_exit else 0
    return (
        _read_flops(config, 0, length_tokens)
        + _answer_flops(config, first_row, length_tokens)
        + _head_flops(config)
    )


def decode_flops(config: YOCOConfig, length_tokens: int) -> int:
    """FLOPs from one more token behind `length_tokens` of context to the logits behind it."""
    stop = length_tokens + 1
    return (
        _read_flops(config, length_tokens, stop)
        + _answer_flops(config, length_tokens, stop)
        + _head_flops(config)
    )


def _read_flops(config: YOCOConfig, start: int, stop: int) -> int:
    """The self-decoder, K and V over the tokens at positions [start, stop).

    A layer's attention is 4 E a key (q k^T and its product with v, over all heads), of which a
    token at t sees min(t + 1, W). Retention is 4 E D a token: k^T v into the memory, q out of it.
    """
    num_tokens = stop - start
    projections = (
        2
        * num_tokens
        * _matrix_elements(
            config, "self_decoder.", "cross_decoder.k_proj.", "cross_decoder.v_proj."
        )
    )
    if config.sliding_window is None:
        mixing = 4 * config.dim * config.self_head_dim * num_tokens
    else:
        window = config.sliding_window
        num_keys = _keys_seen(stop, window) - _keys_seen(start, window)
        mixing = 4 * config.dim * num_keys
    return projections + config.n_self_layers * mixing


def _answer_flops(config: YOCOConfig, start: int, stop: int) -> int:
    """The cross-decoder over the rows at positions [start, stop); a row at t sees t + 1 keys."""
    projections = 2 * (stop - start) * _matrix_elements(config, "cross_decoder.layers.")
    num_keys = _keys_seen(stop, stop) - _keys_seen(start, stop)
    return projections + config.n_cross_layers * 4 * config.dim * num_keys


def _head_flops(config: YOCOConfig) -> int:
    """The output head over one row."""
    return 2 * config.dim * config.vocab_size


def _matrix_elements(config: YOCOConfig, *prefixes: str) -> int:
    """Elements of the matrices that every token or row of these parts is multiplied with."""
    return sum(
        prod(shape)
        for name, shape in expected_shapes(config).items()
        if len(shape) == 2 and name.startswith(prefixes)
    )


def _keys_seen(num_tokens: int, window: int) -> int:
    """Sum of min(t + 1, window) over t in [0, num_tokens)."""
    growing = min(num_tokens, window)
    return growing * (growing + 1) // 2 + (num_tokens - growing) * window
