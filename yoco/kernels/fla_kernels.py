"""Gated retention through flash-linear-attention's Triton kernels (CUDA only).

Legend: N packed tokens, H heads, D head width, B sequences in the pack.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor


def retention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    state: Tensor,
    lengths: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """As `reference.retention`; fla too scales q by D^-0.5, its state is float32."""
    # optional, and seconds to import: only where it is used
    from fla.ops.simple_gla import chunk_simple_gla  # pyright: ignore[reportMissingImports]

    offsets = torch.tensor([0, *accumulate(lengths)], dtype=torch.int64, device=q.device)
    out, state = chunk_simple_gla(
        q=q[None],
        k=k[None],
        v=v[None],
        g=log_decay.float()[None],
        initial_state=state,
        output_final_state=True,
        cu_seqlens=offsets,
    )
    return out[0], state
