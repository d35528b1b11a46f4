"""Weights, read once: hashed, looked at and placed on a device from the same bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yoco.checkpoints.reading import Checkpoint, read_checkpoint
from yoco.checkpoints.tensors import first_few
from yoco.config import YOCOConfig

# elements that are hashed, looked at and converted while they are in the processor's cache
PIECE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The tensors of a model, ready to run, and the hash of the bytes that they were made of."""

    tensors: dict[str, Tensor]
    sha256: str


def load_weights(
    checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, *, allow_nonfinite: bool
) -> Weights:
    """The weights of a checkpoint on a device, every byte read from its file once.

    Args:
        allow_nonfinite: take NaN and Inf as they are.

    Raises:
        ValueError: a weight is NaN or Inf, or too large for `dtype`.
    """
    digest = _ContentHash(checkpoint.config)
    tensors: dict[str, Tensor] = {}
    nonfinite: dict[str, int] = {}
    too_large: dict[str, int] = {}
    with ThreadPoolExecutor(1) as hasher:
        for name, stored in sorted(checkpoint.tensors.items()):
            tensors[name] = torch.empty(stored.shape, dtype=dtype, device=device)
            digest.begin(name, stored)
            num_nonfinite = num_too_large = 0
            for span, piece in _pieces(stored):
                hashed = hasher.submit(digest.update, piece)
                placed = _placed(piece, tensors[name].view(-1)[span])
                # NaN and Inf come through a conversion and through the extremes, which cost far
                # less than a mask of every element
                if not allow_nonfinite and not _extremes_are_finite(placed):
                    here = int((~piece.isfinite()).sum())
                    num_nonfinite += here
                    num_too_large += int((~placed.isfinite()).sum()) - here
                hashed.result()
            if num_nonfinite:
                nonfinite[checkpoint.stored_names[name]] = num_nonfinite
            elif num_too_large:
                too_large[checkpoint.stored_names[name]] = num_too_large
    where = checkpoint.files[0].parent
    if nonfinite:
        raise ValueError(
            f"{where} holds NaN or Inf in {_counted(nonfinite)}: no score of such a model means"
            " anything, mend the checkpoint, or take it as it is with allow_nonfinite=true"
        )
    if too_large:
        raise ValueError(
            f"{where} holds weights beyond what {str(dtype).removeprefix('torch.')} can say, up to"
            f" {torch.finfo(dtype).max:g}, in {_counted(too_large)}: use bfloat16 or float32"
        )
    return Weights(tensors=tensors, sha256=digest.hexdigest())


def checkpoint_sha256(path: str | Path) -> str:
    """SHA-256, in hex, over config and weights: what the model computes, not how it is stored.

    The same for a checkpoint in any of the formats, in one file or in shards, and for the model
    that `yoco.load` makes of it. The tokenizer is no part of it. The weights are streamed.

    Raises:
        FileNotFoundError, ValueError: as `read_checkpoint`.
    """
    checkpoint = read_checkpoint(path)
    digest = _ContentHash(checkpoint.config)
    for name, tensor in sorted(checkpoint.tensors.items()):
        digest.begin(name, tensor)
        for _, piece in _pieces(tensor):
            digest.update(piece)
    return digest.hexdigest()


def _pieces(tensor: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Copies of a tensor's elements in order, a piece at a time, each valid until the next one.

    What is mapped from a file may change under our hands; what has been copied does not.
    """
    flat = tensor.reshape(-1)
    copy = torch.empty(min(PIECE, len(flat)), dtype=tensor.dtype)
    for start in range(0, len(flat), PIECE):
        stop = min(start + PIECE, len(flat))
        yield slice(start, stop), copy[: stop - start].copy_(flat[start:stop])


def _placed(piece: Tensor, target: Tensor) -> Tensor:
    """The piece in the target's dtype, on the CPU, after it has been written into the target."""
    if target.is_cpu:
        return target.copy_(piece)
    converted = piece.to(target.dtype)
    target.copy_(converted)
    return converted


def _extremes_are_finite(piece: Tensor) -> bool:
    return bool(torch.stack(torch.aminmax(piece)).isfinite().all())


def _counted(elements_of: dict[str, int]) -> str:
    return first_few(
        "tensor" if len(elements_of) == 1 else "tensors",
        [f"{name}: {number:,}" for name, number in elements_of.items()],
    )


class _ContentHash:
    """SHA-256 over a config and its tensors in the order of their names."""

    def __init__(self, config: YOCOConfig) -> None:
        self._digest = hashlib.sha256(_line(_stated(config)))

    def begin(self, name: str, tensor: Tensor) -> None:
        """Takes up the next tensor, whose elements follow."""
        self._digest.update(_line([name, str(tensor.dtype), list(tensor.shape)]))

    def update(self, piece: Tensor) -> None:
        """Takes up its next elements."""
        self._digest.update(piece.view(torch.uint8).numpy().data)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _stated(config: YOCOConfig) -> dict[str, Any]:
    # Without the defaults, so that an option added later leaves the hash of other models alone.
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    return {name: x for name, x in config.to_dict().items() if x != defaults[name]}


def _line(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"
