"""Files of a checkpoint: JSON objects and memory-mapped tensors, faults told in one line."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

# Single file, then the index of the same weights in shards.
WEIGHT_FILES = (
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
# What `torch.load` and `zipfile` raise for damaged bytes.
TORCH_FAULTS = (
    *(EOFError, LookupError, RuntimeError, ValueError),
    *(pickle.UnpicklingError, zipfile.BadZipFile),
)


@contextmanager
def faults_name(path: Path) -> Iterator[None]:
    """ValueErrors raised within begin with the path."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def require_file(path: Path) -> Path:
    """The path, if it is a file.

    Raises:
        FileNotFoundError: it is not.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} lacks the file {path.name}: add it")
    return path


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it holds no JSON object.
    """
    text = require_file(path).read_bytes()
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON, or cut short: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a {type(value).__name__}: it must be a JSON object")
    return value


def open_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of one file on the CPU, memory-mapped: bytes are read when they are used.

    `.safetensors` goes through safetensors, anything else through `torch.load` with
    `weights_only=True`. Both map the file privately, so nothing written to a tensor reaches it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, or holds something else than a dict of tensors.
    """
    require_file(path)
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{path} is not safetensors, or cut short: {error}") from error
    try:
        is_zip = zipfile.is_zipfile(path)
        values = (
            torch.load(path, map_location="cpu", weights_only=True, mmap=True) if is_zip else None
        )
    except TORCH_FAULTS as error:
        # torch's messages go on for many lines about what else one could try.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{path} cannot be read as a state dict: {reason}") from error
    if not is_zip:
        raise ValueError(
            f"{path} is not a state dict in torch's zip format, or cut short: save it anew with"
            " torch.save"
        )
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a {type(values).__name__}: it must be a bare state dict")
    for name, value in values.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"{path} holds a {type(value).__name__} under {name!r}: it must be a bare state"
                " dict, all tensors"
            )
    return dict(values)


def open_weights(folder: Path) -> tuple[dict[str, Tensor], list[Path]]:
    """The tensors of a Hugging Face folder, memory-mapped, and the files that hold them.

    Raises:
        FileNotFoundError: no weights, or a shard is missing.
        ValueError: single file and index both present, or shards do not hold what the index says.
    """
    for single, index in WEIGHT_FILES:
        if (folder / single).exists() and (folder / index).exists():
            raise ValueError(f"{folder} holds both {single} and {index}: leave one of them")
        if (folder / single).exists():
            return open_tensors(folder / single), [folder / single]
        if (folder / index).exists():
            return _open_shards(folder / index)
    names = ", ".join(name for pair in WEIGHT_FILES for name in pair)
    raise FileNotFoundError(f"{folder} holds no weights: add one of {names}")


def _open_shards(index: Path) -> tuple[dict[str, Tensor], list[Path]]:
    shard_of = read_json(index).get("weight_map")
    if not isinstance(shard_of, dict) or not all(isinstance(x, str) for x in shard_of.values()):
        raise ValueError(f"{index} lacks 'weight_map', from names of tensors to names of files")
    tensors: dict[str, Tensor] = {}
    files = [index]
    for shard in sorted(set(shard_of.values())):
        if Path(shard).name != shard:
            raise ValueError(f"{index} names the shard {shard!r}: it must be a file beside it")
        files.append(index.parent / shard)
        found = open_tensors(files[-1])
        stated = {name for name, holder in shard_of.items() if holder == shard}
        wrong = sorted(stated ^ found.keys())
        if wrong:
            state = "lacks" if wrong[0] in stated else "holds, against the index,"
            raise ValueError(f"{files[-1]} {state} {wrong[0]} ({len(wrong)} such tensors)")
        tensors |= found
    return tensors, files
