"""Gated retention through flash-linear-attention's Triton kernels (CUDA only).

Legend: N packed tokens, H heads, D head width, B sequences in the pack.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from yoco.kernels.torch_kernels import offsets


def retention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    state: Tensor,
    lengths: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """As `reference.retention`; fla too scales q by D^-0.5, its state is float32.

    Products are in TF32 where the inputs are float32: not the arithmetic of a float32 model.
    """
    # optional, and seconds to import: only where it is used
    from fla.ops.simple_gla import chunk_simple_gla  # pyright: ignore[reportMissingImports]

    out, state = chunk_simple_gla(
        q=q[None],
        k=k[None],
        v=v[None],
        g=log_decay.float()[None],
        initial_state=state,
        output_final_state=True,
        cu_seqlens=offsets(tuple(lengths), q.device),
    )
    return out[0], state
