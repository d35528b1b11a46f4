"""A folder -> its config and its tensors, whichever format it is in."""

from __future__ import annotations

import os
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
from yoco.quoting import quoted

Format = Literal["official", "fla", "native"]
HF_CONFIG_FILE = "config.json"
EMBEDDINGS, HEAD = "embed_tokens.weight", "output_projection.weight"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint as read.

    Args:
        tensors: by canonical name, on the CPU, memory-mapped, in the checkpoint's own dtypes;
            exactly those of `expected_shapes(config)`.
        stored_names: what the files call them.
        files: what was read, config first.
    """

    config: YOCOConfig
    tensors: dict[str, Tensor]
    stored_names: dict[str, str]
    format: Format
    files: list[Path]


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
    is_official = os.path.lexists(folder / official.CONFIG_FILE)
    is_hf = os.path.lexists(folder / HF_CONFIG_FILE)
    if is_official and is_hf:
        raise ValueError(
            f"{folder} holds both {official.CONFIG_FILE} and {HF_CONFIG_FILE}: leave one of them"
        )
    if not is_official and not is_hf:
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
    return Checkpoint(
        config=config,
        tensors=tensors,
        stored_names={name: name for name in tensors},
        format="official",
        files=[params, weights],
    )


def _read_hf(folder: Path) -> Checkpoint:
    path = folder / HF_CONFIG_FILE
    values = read_json(path)
    with faults_name(path):
        format, config = _hf_config(values)
    shapes = expected_shapes(config)
    found, files = open_weights(folder)
    stored_names = {name: _stored_name(name, format, found) for name in shapes}
    with faults_name(folder):
        if config.tie_word_embeddings:
            head = _stored_name(HEAD, format, found)
            found = _with_one_name(found, head, stored_names[EMBEDDINGS])
        check_tensors(found, {stored_names[name]: shape for name, shape in shapes.items()})
    return Checkpoint(
        config=config,
        tensors={name: found[stored] for name, stored in stored_names.items()},
        stored_names=stored_names,
        format=format,
        files=[path, *files],
    )


def _stored_name(name: str, format: Format, found: Mapping[str, Tensor]) -> str:
    if format == "native":
        return name
    # transformers saves a model without its head under names without the prefix
    is_bare = fla.fla_name(EMBEDDINGS).removeprefix(fla.MODEL_PREFIX) in found
    stored = fla.fla_name(name)
    return stored.removeprefix(fla.MODEL_PREFIX) if is_bare else stored


def _hf_config(values: Mapping[str, Any]) -> tuple[Format, YOCOConfig]:
    if native.FORMAT_KEY in values:
        return "native", native.config_from_native(values)
    model_type = values.get("model_type")
    if model_type == fla.MODEL_TYPE or (model_type is None and "self_decoder_attn" in values):
        return "fla", fla.config_from_fla(values)
    raise ValueError(
        f"model_type is {quoted(model_type)}: it must be {fla.MODEL_TYPE!r}"
        " (flash-linear-attention)"
    )


def _with_one_name(tensors: dict[str, Tensor], head: str, embeddings: str) -> dict[str, Tensor]:
    """The tensors with a tied matrix under the embeddings' name, whichever names hold it."""
    stored, tied = tensors.get(head), tensors.get(embeddings)
    if stored is None:
        return tensors
    if tied is not None and not _are_equal(stored, tied):
        raise ValueError(
            f"{head} is not {embeddings} though tie_word_embeddings is true: set it to false, or"
            " remove the tensor"
        )
    others = {name: tensor for name, tensor in tensors.items() if name != head}
    return {embeddings: stored, **others}


def _are_equal(a: Tensor, b: Tensor) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    # as bytes: NaN is not what it is, and is told of by its own name later
    return torch.equal(*(tensor.reshape(-1).view(torch.uint8) for tensor in (a, b)))
