"""Which implementation runs: one table, chosen once when a model is built.

`reference` is the meaning of every operation, and a row like the others.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from yoco.kernels import fla_kernels, reference, torch_kernels

logger = logging.getLogger(__name__)

HeadDims = Sequence[int]
FLASH_MAX_HEAD_DIM = 256


@dataclass(frozen=True)
class Kernels:
    """The implementation of each operation, and their names for the record."""

    window_attention: Callable[..., Any]
    segment_attention: Callable[..., Any]
    retention: Callable[..., Any]
    names: dict[str, str]


def _anywhere(device: torch.device, dtype: torch.dtype, head_dims: HeadDims) -> str | None:
    return None


def _on_cpu(device: torch.device, dtype: torch.dtype, head_dims: HeadDims) -> str | None:
    return None if device.type == "cpu" else "chunk after chunk leaves a GPU idle"


def _whole_segments_on_cuda(
    device: torch.device, dtype: torch.dtype, head_dims: HeadDims
) -> str | None:
    if device.type == "cuda" and dtype == torch.float64:
        return "memory-efficient attention on CUDA has no float64"
    if device.type == "cuda" and dtype != torch.float32:
        return _unfit_for_flash(head_dims)
    return None


def _unfit_for_flash(head_dims: HeadDims) -> str | None:
    unfit = [width for width in head_dims if width % 8 or width > FLASH_MAX_HEAD_DIM]
    limit = f"flash attention takes heads of a multiple of 8 up to {FLASH_MAX_HEAD_DIM}"
    return f"{limit}, not {unfit[0]}" if unfit else None


def _half_on_cuda(device: torch.device, dtype: torch.dtype, head_dims: HeadDims) -> str | None:
    if device.type != "cuda":
        return "flash attention needs a CUDA device"
    if dtype not in (torch.bfloat16, torch.float16):
        return "flash attention needs bfloat16 or float16"
    if reason := _unfit_for_flash(head_dims):
        return reason
    # a test asks what would be chosen on a machine without a GPU
    if torch.cuda.is_available() and torch.cuda.get_device_capability(device) < (8, 0):
        return "flash attention needs a GPU of compute capability 8.0 or newer"
    return None


def _fla(device: torch.device, dtype: torch.dtype, head_dims: HeadDims) -> str | None:
    if device.type != "cuda":
        return "flash-linear-attention's kernels need a CUDA device"
    if dtype not in (torch.bfloat16, torch.float16):
        return "flash-linear-attention's kernels would multiply float32 in TF32"
    if importlib.util.find_spec("fla") is None:
        return "flash-linear-attention is not installed: pip install 'yoco-evals[fla]'"
    return None


# operation -> name -> (implementation, why it cannot run on this device in this dtype with heads of
# these widths, or None).
# "auto" takes the last that can run.
TABLE = {
    "window_attention": {
        "reference": (reference.window_attention, _anywhere),
        "sdpa": (torch_kernels.window_attention_sdpa, _anywhere),
        "flash": (torch_kernels.window_attention_flash, _half_on_cuda),
    },
    "segment_attention": {
        "reference": (reference.segment_attention, _anywhere),
        "sdpa": (torch_kernels.segment_attention_sdpa, _whole_segments_on_cuda),
        "flash": (torch_kernels.segment_attention_flash, _half_on_cuda),
    },
    "retention": {
        "reference": (reference.retention, _anywhere),
        "scan": (torch_kernels.retention_scan, _anywhere),
        "chunked": (torch_kernels.retention_chunked, _on_cpu),
        "fla": (fla_kernels.retention, _fla),
    },
}

# what may be asked for by name -> the rows that it admits
BACKENDS = {
    "auto": {"reference", "sdpa", "flash", "scan", "chunked", "fla"},
    "reference": {"reference"},
    "torch": {"reference", "sdpa", "flash", "scan", "chunked"},
    "fla": {"reference", "sdpa", "flash", "fla"},
}


def choose_kernels(
    backend: str, device: torch.device, dtype: torch.dtype, head_dims: HeadDims = ()
) -> Kernels:
    """Returns the fastest admitted implementation of each operation.

    Args:
        backend: a key of `BACKENDS`. "fla" means that retention must run through
            flash-linear-attention; the others never fail.
        head_dims: widths of the model's heads.

    Raises:
        ValueError: the backend is unknown, or cannot run here (the reason is named).
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}: it must be one of {', '.join(BACKENDS)}")
    if backend == "fla" and (reason := _fla(device, dtype, head_dims)):
        raise ValueError(f"backend 'fla' cannot run here: {reason}")
    chosen = {}
    for operation, rows in TABLE.items():
        for name, (_, obstacle) in rows.items():
            if name not in BACKENDS[backend]:
                continue
            reason = obstacle(device, dtype, head_dims)
            if reason is None:
                chosen[operation] = name
            else:
                logger.info("%s does without %s: %s", operation, name, reason)
    functions = {operation: TABLE[operation][name][0] for operation, name in chosen.items()}
    return Kernels(**functions, names=chosen)
