"""What a model's answers depend on: the checkpoint, and all of how it is run."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from yoco import YOCO


@dataclass(frozen=True, kw_only=True)
class ModelKey:
    """A checkpoint, and all of how it is run that its answers depend on.

    Batch size, chunk size and sharing are no part of it: they change results by rounding only.
    """

    checkpoint_sha256: str
    tokenizer_sha256: str
    dtype: str
    device_type: str
    kernels: dict[str, str]
    rope_precision: str
    max_length: int
    truncation: str | None = None


def loaded_model_key(
    model: YOCO, *, tokenizer_sha256: str, max_length: int, truncation: str | None
) -> ModelKey:
    """The key of a model that is loaded, whatever has become of its files."""
    # a model that answers was loaded from somewhere
    assert model.checkpoint_sha256 is not None
    return ModelKey(
        checkpoint_sha256=model.checkpoint_sha256,
        tokenizer_sha256=tokenizer_sha256,
        dtype=dtype_name(model.dtype),
        device_type=model.device.type,
        kernels=dict(model.kernels.names),
        rope_precision=model.rope_precision,
        max_length=max_length,
        truncation=truncation,
    )


def dtype_name(dtype: torch.dtype) -> str:
    """As users write it: "float32"."""
    return str(dtype).removeprefix("torch.")
