"""From a checkpoint's path to a model that is ready to run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast, get_args

import torch

from yoco.checkpoints import holds_checkpoint, load_weights, read_checkpoint
from yoco.costs import num_parameters
from yoco.free_memory import require
from yoco.kernels import choose_kernels
from yoco.model import YOCO
from yoco.rotary import RopePrecision

logger = logging.getLogger(__name__)

EMBEDDED = Path(__file__).parent / "embedded"
DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}


def embedded_names() -> list[str]:
    """Names of the checkpoints inside this package."""
    return sorted(path.name for path in EMBEDDED.iterdir() if path.is_dir())


def resolve_path(path: str | Path) -> Path:
    """The folder of a checkpoint: `path`, or that of the embedded checkpoint of this name.

    A folder of such a name here comes first if it holds a checkpoint. Results are written into
    folders that are named after their models, so one that holds none is passed over; "./demo",
    "demo/" and a `Path` are that folder, whatever it holds, so that what has been resolved once
    stays the same place.
    """
    if isinstance(path, str) and path in embedded_names() and not holds_checkpoint(Path(path)):
        return EMBEDDED / path
    return Path(path)


def resolve_device(device: str | torch.device) -> torch.device:
    """The device named, "auto" being the first GPU where there is one, else the CPU.

    Raises:
        ValueError: the name is no device, or that device is not here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device is {device!r}: it must be auto, cpu, cuda or cuda:N") from error
    if found.type not in ("cpu", "cuda"):
        raise ValueError(f"device is {device!r}: it must be auto, cpu, cuda or cuda:N")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device is {device!r} but this machine has {torch.cuda.device_count()} CUDA "
            "devices: use cpu or auto"
        )
    return found


def resolve_dtype(
    dtype: str | torch.dtype, device: torch.device, stored: torch.dtype
) -> torch.dtype:
    """The dtype named, "auto" being the checkpoint's own on a GPU and float32 on a CPU.

    Raises:
        ValueError: the name is no dtype that a model can run in.
    """
    if dtype == "auto":
        return torch.float32 if device.type == "cpu" else stored
    if isinstance(dtype, torch.dtype):
        dtype = str(dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}: it must be auto or one of {', '.join(DTYPES)}")
    return DTYPES[dtype]


def load(
    path: str | Path,
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    rope_precision: str = "float64",
    backend: str = "auto",
    allow_nonfinite: bool = False,
) -> YOCO:
    """Returns the model of a checkpoint, in evaluation mode.

    Args:
        path: an official folder, a Hugging Face folder as flash-linear-attention writes it, a
            folder that `yoco convert` wrote, or the name of an embedded checkpoint ("demo").
        device: "auto" (the GPU where there is one), "cpu", "cuda", "cuda:1".
        dtype: "auto" (as stored on a GPU, float32 on a CPU), or a dtype's name.
        rope_precision: "float64", or "reference" for the official angle arithmetic.
        backend: kernels, a key of `yoco.kernels.BACKENDS`.
        allow_nonfinite: load weights that are NaN or Inf, or become Inf in `dtype`.

    Raises:
        FileNotFoundError: the folder or one of its files is missing.
        ValueError: the checkpoint is of an unsupported variant or its tensors do not fit its
            config; a weight is not finite; the memory is too little for
            them; an argument is not among those allowed.
    """
    if rope_precision not in get_args(RopePrecision):
        allowed = ", ".join(get_args(RopePrecision))
        raise ValueError(f"rope_precision is {rope_precision!r}: it must be one of {allowed}")
    device = resolve_device(device)
    checkpoint = read_checkpoint(resolve_path(path))
    stored = checkpoint.tensors["embed_tokens.weight"].dtype
    dtype = resolve_dtype(dtype, device, stored)
    kernels = choose_kernels(backend, device, dtype, checkpoint.config.head_dims)
    with torch.device("meta"):
        model = YOCO(checkpoint.config, rope_precision=cast("RopePrecision", rope_precision))
    require(
        num_parameters(checkpoint.config) * dtype.itemsize,
        device,
        what=f"a copy of the weights in {str(dtype).removeprefix('torch.')}",
        remedy="dtype=bfloat16, or more memory",
    )
    weights = load_weights(checkpoint, device, dtype, allow_nonfinite=allow_nonfinite)
    model.load_state_dict(weights.tensors, assign=True)
    model.checkpoint_sha256 = weights.sha256
    model.kernels = kernels
    logger.info("%s: %s on %s, kernels %s", path, dtype, device, kernels.names)
    return model.eval().requires_grad_(False)
