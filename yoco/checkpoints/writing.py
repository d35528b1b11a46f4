"""A config and its tensors -> a folder, in flash-linear-attention's format where that will do."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from yoco.checkpoints import fla, native, official
from yoco.checkpoints.files import WEIGHT_FILES
from yoco.checkpoints.reading import HF_CONFIG_FILE, Format, read_checkpoint
from yoco.checkpoints.tensors import check_tensors, expected_shapes
from yoco.config import YOCOConfig
from yoco.quoting import first_line

CHECKPOINT_FILES = (
    *(official.CONFIG_FILE, official.WEIGHTS_FILE, HF_CONFIG_FILE),
    *(name for pair in WEIGHT_FILES for name in pair),
)
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model"),
    *("added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja"),
    "generation_config.json",
)


def write_checkpoint(
    folder: str | Path, config: YOCOConfig, tensors: Mapping[str, Tensor]
) -> Format:
    """Writes config.json and model.safetensors; each appears whole or not at all, config last.

    Args:
        folder: made if it does not exist; must hold no checkpoint.
        tensors: by canonical name; dtypes are kept.

    Returns:
        "fla" where flash-linear-attention can express the config exactly, else "native".

    Raises:
        ValueError: the tensors do not fit the config, or the folder holds a checkpoint.
        OSError: the folder cannot be written, or its disk is full.
    """
    folder = Path(folder)
    check_tensors(tensors, expected_shapes(config))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: choose a folder")
    for name in CHECKPOINT_FILES:
        if (folder / name).exists():
            raise ValueError(f"{folder} holds {name} already: choose another folder or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    _require_room(folder, sum(tensor.nbytes for tensor in tensors.values()))

    values = fla.config_to_fla(config)
    format: Format = "native" if values is None else "fla"
    if values is None:
        values = native.config_to_native(config)
    stored = {
        fla.fla_name(name) if format == "fla" else name: _own_storage(tensor)
        for name, tensor in tensors.items()
    }
    with _unfinished(folder / ".writing") as unfinished:
        weights, text = Path(unfinished, WEIGHT_FILES[0][0]), Path(unfinished, HF_CONFIG_FILE)
        try:
            # transformers refuses a file without this entry.
            save_file(stored, weights, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(f"{folder} cannot take the weights: {first_line(error)}") from error
        text.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        # safetensors makes files that only their owner can read
        weights.chmod(text.stat().st_mode)
        os.replace(weights, folder / weights.name)
        os.replace(text, folder / text.name)
    return format


def _require_room(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise OSError(
            f"{folder} has room for {free:,} bytes and the weights take up {num_bytes:,}: free some"
            " or choose another folder"
        )


@contextmanager
def _unfinished(place: Path) -> Iterator[Path]:
    """An empty folder for what is not complete yet, removed afterwards.

    One that a killed process left is cleared and used again; its owner's lock went with it.
    """
    place.mkdir(exist_ok=True)
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"{place} is in use: another process is writing there") from error
        except OSError:
            # a file system without locks
            pass
        for leftover in place.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
    finally:
        os.close(descriptor)


def _own_storage(tensor: Tensor) -> Tensor:
    """The tensor, contiguous on the CPU; copied if its storage holds more than itself."""
    tensor = tensor.detach().cpu()
    is_whole = tensor.untyped_storage().nbytes() == tensor.nbytes
    return tensor if is_whole and tensor.is_contiguous() else tensor.contiguous().clone()


def convert(src: str | Path, dst: str | Path) -> Format:
    """Writes the checkpoint in `src`, tokenizer included, to the new folder `dst`.

    `dst` appears when it is complete. Values, dtypes and `checkpoint_sha256` stay the same.

    Returns:
        The format written, as `write_checkpoint`.

    Raises:
        FileNotFoundError, ValueError: as `read_checkpoint`.
        ValueError: `dst` is there and not an empty folder.
        OSError: it cannot be written, or its disk is full.
    """
    src, dst = Path(src), Path(dst).resolve()
    checkpoint = read_checkpoint(src)
    if dst.exists() and not (dst.is_dir() and not any(dst.iterdir())):
        raise ValueError(f"{dst} is not an empty folder: choose another or remove it")
    dst.parent.mkdir(parents=True, exist_ok=True)
    with _unfinished(dst.with_name(f".{dst.name}.writing")) as unfinished:
        folder = unfinished / "checkpoint"
        format = write_checkpoint(folder, checkpoint.config, checkpoint.tensors)
        for name in TOKENIZER_FILES:
            if (src / name).is_file():
                shutil.copyfile(src / name, folder / name)
        if dst.exists():
            dst.rmdir()
        os.rename(folder, dst)
    return format
