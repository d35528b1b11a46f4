"""What a results file records of the model that was run."""

from __future__ import annotations

from typing import Any

import torch

from evals.model_keys import dtype_name
from yoco import YOCO


def model_record(
    model: YOCO, *, tokenizer_sha256: str, chunk_size: int, share: bool
) -> dict[str, Any]:
    """Its checkpoint, configuration, kernels and device, in JSON's types."""
    on_gpu = model.device.type == "cuda"
    return {
        "model_num_parameters": sum(p.numel() for p in model.parameters()),
        "model_dtype": dtype_name(model.dtype),
        "model_device": str(model.device),
        "model_sha": model.checkpoint_sha256,
        "model_config": model.config.to_dict(),
        "tokenizer_sha": tokenizer_sha256,
        "kernels": model.kernels.names,
        "rope_precision": model.rope_precision,
        "chunk_size": chunk_size,
        "share": share,
        "torch_version": torch.__version__,
        "device_name": torch.cuda.get_device_name(model.device) if on_gpu else "cpu",
    }
