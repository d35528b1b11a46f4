"""Rotary position embedding: angle tables and the rotation itself.

Legend: N packed tokens (or rows), H heads, D head width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from yoco.config import RopeConfig

RopePrecision = Literal["float64", "reference"]


@dataclass(frozen=True)
class RotaryTable:
    """cos and sin of the angles of N positions; `interleaved` says how heads pair up."""

    cos: Tensor  # (N, D/2) float32
    sin: Tensor  # (N, D/2) float32
    interleaved: bool

    def rotate(self, x: Tensor) -> Tensor:
        """Returns x (N, H, D) with every head rotated by its token's angles, in x's dtype.

        The rotation is done in float32. Pairs are (2i, 2i+1) when interleaved, else
        (i, i + D/2).
        """
        cos, sin = self.cos[:, None], self.sin[:, None]
        wide = x.float()
        if self.interleaved:
            even, odd = wide.unflatten(-1, (-1, 2)).unbind(-1)
            pairs = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
            return pairs.flatten(-2).to(x.dtype)
        low, high = wide.chunk(2, dim=-1)
        return torch.cat((low * cos - high * sin, low * sin + high * cos), dim=-1).to(x.dtype)


def rotary_table(
    positions: Tensor,
    rope: RopeConfig,
    head_dim: int,
    *,
    precision: RopePrecision,
    model_dtype: torch.dtype,
) -> RotaryTable:
    """Returns the angle table of `positions` (N,), integers of any sign.

    Angles are formed in float64. `precision="reference"` repeats the official arithmetic
    instead: float32 angles, cos and sin rounded to the model's dtype. At position 1M that errs
    by 3e-2 in the angle, by 1e-2 more in bf16.

    Source: official `build_rel_pos` (spacing "yoco": both end points of theta^-[0, 1]) and
    flash-linear-attention's `RotaryEmbedding` (spacing "fla").
    """
    exact = precision == "float64"
    dtype = torch.float64 if exact else torch.float32
    if rope.spacing == "yoco":
        exponents = torch.linspace(0, 1, head_dim // 2, dtype=dtype, device=positions.device)
    else:
        exponents = torch.arange(0, head_dim, 2, dtype=dtype, device=positions.device) / head_dim
    angles = positions.to(dtype)[:, None] * (1.0 / rope.theta**exponents)
    cos, sin = angles.cos(), angles.sin()
    if not exact:
        cos, sin = cos.to(model_dtype), sin.to(model_dtype)
    return RotaryTable(cos.float(), sin.float(), rope.interleaved)
