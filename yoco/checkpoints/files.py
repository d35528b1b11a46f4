"""Files of a checkpoint: JSON objects and memory-mapped tensors, faults told in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from yoco.checkpoints.state_dicts import open_state_dict
from yoco.quoting import first_line, quoted, short_name

# Single file, then the index of the same weights in shards.
WEIGHT_FILES = (
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
# Far more than any index of weights takes up, and little enough to hold as Python objects.
MAX_JSON_BYTES = 16 * 2**20
MAX_TENSORS = 200_000
MAX_NAME = 255


@contextmanager
def faults_name(path: Path) -> Iterator[None]:
    """ValueErrors raised within begin with the path."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def require_file(path: Path) -> Path:
    """The path, if it is a file, which can be read without waiting and has an end.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: there is something else.
    """
    if path.is_file():
        return path
    if not os.path.lexists(path):
        raise FileNotFoundError(f"{path.parent} lacks the file {path.name}: add it")
    if path.is_dir():
        kind = "a folder"
    else:
        kind = "a pipe, socket or device" if path.exists() else "a link that leads nowhere"
    raise ValueError(f"{path} is {kind}: it must be a file")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it holds no JSON object, or far too much.
    """
    with require_file(path).open("rb") as file:
        text = file.read(MAX_JSON_BYTES + 1)
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(
            f"{path} holds more than {MAX_JSON_BYTES:,} bytes: no config or index is so large"
        )
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON, or cut short: {first_line(error)}") from error
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply to be a config or an index") from error
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
    if path.suffix != ".safetensors":
        with faults_name(path):
            return open_state_dict(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys())
            if len(names) > MAX_TENSORS:
                raise ValueError(
                    f"{path} holds {len(names):,} tensors: at most {MAX_TENSORS:,} are read"
                )
            return {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(f"{path} is not safetensors, or cut short: {first_line(error)}") from error


def open_weights(folder: Path) -> tuple[dict[str, Tensor], list[Path]]:
    """The tensors of a Hugging Face folder, memory-mapped, and the files that hold them.

    Raises:
        FileNotFoundError: no weights, or a shard is missing.
        ValueError: single file and index both present, or shards do not hold what the index says.
    """
    for names in WEIGHT_FILES:
        single, index = (folder / name for name in names)
        if os.path.lexists(single) and os.path.lexists(index):
            raise ValueError(
                f"{folder} holds both {single.name} and {index.name}: leave one of them"
            )
        if os.path.lexists(single):
            return open_tensors(single), [single]
        if os.path.lexists(index):
            return _open_shards(index)
    names = ", ".join(name for pair in WEIGHT_FILES for name in pair)
    raise FileNotFoundError(f"{folder} holds no weights: add one of {names}")


def _open_shards(index: Path) -> tuple[dict[str, Tensor], list[Path]]:
    shard_of = read_json(index).get("weight_map")
    if not isinstance(shard_of, dict) or not all(isinstance(x, str) for x in shard_of.values()):
        raise ValueError(f"{index} lacks 'weight_map', from names of tensors to names of files")
    stated: dict[str, set[str]] = {}
    for name, shard in shard_of.items():
        if Path(shard).name != shard or not shard.isprintable() or len(shard) > MAX_NAME:
            raise ValueError(
                f"{index} names the shard {quoted(shard)}: it must be a file next to the index"
            )
        stated.setdefault(shard, set()).add(name)
    tensors: dict[str, Tensor] = {}
    files = [index]
    for shard, names in sorted(stated.items()):
        files.append(index.parent / shard)
        found = open_tensors(files[-1])
        wrong = sorted(names ^ found.keys())
        if wrong:
            state = "lacks" if wrong[0] in names else "holds, against the index,"
            raise ValueError(
                f"{files[-1]} {state} {short_name(wrong[0])} ({len(wrong)} such tensors)"
            )
        tensors |= found
    return tensors, files
