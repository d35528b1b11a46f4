"""A folder -> its config and its tensors, whichever format it is in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from yoco.checkpoints import fla, native, official
from yoco.checkpoints.files import (
    faults_name,
    open_tensors,
    open_weights,
    read_json,
    require_file,
)
from yoco.checkpoints.tensors import check_tensors, expected_shapes
from yoco.config import YOCOConfig

Format = Literal["official", "fla", "native"]
HF_CONFIG_FILE = "config.json"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint as read.

    Args:
        tensors: by canonical name, on the CPU, memory-mapped, in the checkpoint's own dtypes;
            exactly those of `expected_shapes(config)`.
        files: what was read, config first.
    """

    config: YOCOConfig
    tensors: dict[str, Tensor]
    format: Format
    files: list[Path]

    def stored_name(self, name: str) -> str:
        """What the files call the tensor of this canonical name."""
        return fla.fla_name(name) if self.format == "fla" else name


def holds_checkpoint(folder: Path) -> bool:
    """Whether a folder has the file that every checkpoint begins with."""
    return (folder / official.CONFIG_FILE).is_file() or (folder / HF_CONFIG_FILE).is_file()


def read_checkpoint(path: str | Path) -> Checkpoint:
    """The checkpoint in a folder: official, flash-linear-attention's, or our own.

    The format is told by the files that are there and the keys in them.

    Raises:
        FileNotFoundError: the folder or a file of it is missing.
        ValueError: a file is damaged, the model is not supported, or the tensors do not fit the
            config; tensors are named as the files name them.
    """
    folder = Path(path)
    if not folder.exists():
        raise FileNotFoundError(f"no such folder: {folder}")
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file: give the folder of the checkpoint")
    is_official = (folder / official.CONFIG_FILE).exists()
    if is_official and (folder / HF_CONFIG_FILE).exists():
        raise ValueError(
            f"{folder} holds both {official.CONFIG_FILE} and {HF_CONFIG_FILE}: leave one of them"
        )
    if not holds_checkpoint(folder):
        raise FileNotFoundError(
            f"{folder} holds no checkpoint: it must have {official.CONFIG_FILE} (official) or"
            f" {HF_CONFIG_FILE} (flash-linear-attention)"
        )
    return _read_official(folder) if is_official else _read_hf(folder)


def _read_official(folder: Path) -> Checkpoint:
    params = folder / official.CONFIG_FILE
    values = read_json(params)
    with faults_name(params):
        config = official.config_from_params(values)
    weights = require_file(folder / official.WEIGHTS_FILE)
    tensors = open_tensors(weights)
    with faults_name(weights):
        check_tensors(tensors, expected_shapes(config))
    return Checkpoint(config=config, tensors=tensors, format="official", files=[params, weights])


def _read_hf(folder: Path) -> Checkpoint:
    path = folder / HF_CONFIG_FILE
    values = read_json(path)
    with faults_name(path):
        format, config = _hf_config(values)
    shapes = expected_shapes(config)
    found, files = open_weights(folder)
    stored_names = {name: fla.fla_name(name) if format == "fla" else name for name in shapes}
    with faults_name(folder):
        if config.tie_word_embeddings and format == "fla":
            found = _without_tied_head(found)
        check_tensors(found, {stored_names[name]: shape for name, shape in shapes.items()})
    tensors = {name: found[stored] for name, stored in stored_names.items()}
    return Checkpoint(config=config, tensors=tensors, format=format, files=[path, *files])


def _hf_config(values: Mapping[str, Any]) -> tuple[Format, YOCOConfig]:
    if native.FORMAT_KEY in values:
        return "native", native.config_from_native(values)
    model_type = values.get("model_type")
    if model_type == fla.MODEL_TYPE or (model_type is None and "self_decoder_attn" in values):
        return "fla", fla.config_from_fla(values)
    raise ValueError(
        f"model_type is {model_type!r}: it must be {fla.MODEL_TYPE!r} (flash-linear-attention)"
    )


def _without_tied_head(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    head, embeddings = (
        fla.fla_name(name) for name in ("output_projection.weight", "embed_tokens.weight")
    )
    stored, tied = tensors.get(head), tensors.get(embeddings)
    if stored is not None and tied is not None and not _are_equal(stored, tied):
        raise ValueError(
            f"{head} is not {embeddings} though tie_word_embeddings is true: set it to false, or"
            " remove the tensor"
        )
    return {name: tensor for name, tensor in tensors.items() if name != head}


def _are_equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)
