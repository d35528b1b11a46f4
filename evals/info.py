"""What `yoco info` tells of a checkpoint: what it is, and what it costs at some lengths."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from evals.model_args import CHUNK_SIZE, tokens
from evals.user_errors import one_line
from heatmaps.labels import length_label
from tasks.tokenizers import load_tokenizer
from yoco.checkpoints import checkpoint_sha256, read_checkpoint
from yoco.config import RopeConfig, YOCOConfig
from yoco.costs import Memory, decode_flops, memory, num_parameters, prefill_flops
from yoco.loading import resolve_dtype, resolve_path

LABEL_WIDTH = 17


@dataclass(frozen=True, kw_only=True)
class LengthCosts:
    """What one context costs.

    Attributes:
        early_exit_prefill_flops: from the prompt to the logits behind it, as this engine does it.
        full_prefill_flops: the same with every layer over every token, as other backends do it.
        decode_flops: of one more token behind it.
    """

    length_tokens: int
    memory: Memory
    early_exit_prefill_flops: int
    full_prefill_flops: int
    decode_flops: int


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """A checkpoint, told without running it.

    Attributes:
        sha256: of config and weights, as results files record it.
        stored_dtypes: of the tensors on disk.
        tokenizer: its name, vocab_size and sha256; or under "error" why it cannot be read.
        dtype, chunk_size: what kv_bytes_per_token and the memory of `lengths` are worked out for.
        receptive_field_tokens: tokens before a position on which its K and V depend; None where
            there is no bound.
    """

    path: str
    format: str
    sha256: str
    config: YOCOConfig
    num_parameters: int
    num_parameters_without_embeddings: int
    stored_dtypes: list[str]
    tokenizer: dict[str, Any]
    dtype: str
    chunk_size: int
    kv_bytes_per_token: int
    receptive_field_tokens: int | None
    lengths: list[LengthCosts]

    def to_dict(self) -> dict[str, Any]:
        """All of it in JSON's types."""
        values = dataclasses.asdict(self)
        for row, costs in zip(values["lengths"], self.lengths, strict=True):
            row["memory"]["total_bytes"] = costs.memory.total_bytes
        return values


def checkpoint_info(
    path: str | Path,
    *,
    lengths: Sequence[int],
    dtype: str = "auto",
    chunk_size: int | None = None,
) -> CheckpointInfo:
    """What a checkpoint is and costs. Its weights are mapped, and streamed once for the hash.

    Args:
        path: folder, or the name of an embedded checkpoint.
        lengths: in tokens.
        dtype: that the model would run in; "auto" is the stored one, as on a GPU.
        chunk_size: tokens of one prefill chunk; that of a GPU where not given.

    Raises:
        FileNotFoundError, ValueError: there is no checkpoint, or an argument is wrong.
    """
    folder = resolve_path(path)
    checkpoint = read_checkpoint(folder)
    config, tensors = checkpoint.config, checkpoint.tensors
    # as on a GPU, so that every machine tells the same of a checkpoint
    run_dtype = resolve_dtype(dtype, torch.device("cuda"), tensors["embed_tokens.weight"].dtype)
    chunk_size = tokens("chunk_size", CHUNK_SIZE["cuda"] if chunk_size is None else chunk_size)
    return CheckpointInfo(
        path=str(folder),
        format=checkpoint.format,
        sha256=checkpoint_sha256(folder),
        config=config,
        num_parameters=num_parameters(config),
        num_parameters_without_embeddings=num_parameters(config, embeddings=False),
        stored_dtypes=sorted({_name(tensor.dtype) for tensor in tensors.values()}),
        tokenizer=_tokenizer(folder),
        dtype=_name(run_dtype),
        chunk_size=chunk_size,
        kv_bytes_per_token=config.kv_elements_per_token * run_dtype.itemsize,
        receptive_field_tokens=config.receptive_field_tokens,
        lengths=[
            LengthCosts(
                length_tokens=length,
                memory=memory(config, length, dtype=run_dtype, chunk_size=chunk_size),
                early_exit_prefill_flops=prefill_flops(config, length),
                full_prefill_flops=prefill_flops(config, length, early_exit=False),
                decode_flops=decode_flops(config, length),
            )
            for length in lengths
        ],
    )


def _tokenizer(folder: Path) -> dict[str, Any]:
    try:
        tokenizer = load_tokenizer(folder)
    except (ValueError, OSError, ImportError) as error:
        return {"error": one_line(error)}
    return {
        "name": tokenizer.name,
        "vocab_size": tokenizer.vocab_size,
        "sha256": tokenizer.hash,
    }


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def info_text(info: CheckpointInfo) -> str:
    """The same for a terminal: facts, then a table of memory and one of FLOPs."""
    facts = "\n".join(f"{label:<{LABEL_WIDTH}}{text}" for label, text in _facts(info))
    memory_title = f"memory in {info.dtype}, prefilled in chunks of {info.chunk_size:,} tokens"
    return "\n\n".join(
        [
            facts,
            f"{memory_title}\n{_table(_memory_rows(info))}",
            f"FLOPs, where a multiply-add is two\n{_table(_flops_rows(info))}",
        ]
    )


def _facts(info: CheckpointInfo) -> Iterator[tuple[str, str]]:
    config, tokenizer = info.config, info.tokenizer
    yield "checkpoint", info.path
    yield "format", f"{info.format}, stored in {', '.join(info.stored_dtypes)}"
    yield "sha256", info.sha256
    yield (
        "parameters",
        f"{info.num_parameters:,}, without embeddings {info.num_parameters_without_embeddings:,}",
    )
    yield (
        "width",
        f"{config.dim:,}, feed-forward {config.hidden_dim:,}, vocabulary {config.vocab_size:,}",
    )
    yield (
        "self-decoder",
        f"{_layers(config.n_self_layers)} of {_mixer(config)}, "
        f"{_heads(config.n_self_heads, config.n_self_kv_heads, config.self_head_dim)}",
    )
    yield "", _rope(config.self_rope)
    yield (
        "cross-decoder",
        f"{_layers(config.n_cross_layers)}, "
        f"{_heads(config.n_attn_heads, config.n_attn_kv_heads, config.cross_head_dim)}",
    )
    yield "", _rope(config.cross_rope)
    yield "norms", f"epsilon {config.norm_eps:g}"
    options = _options(config)
    if options:
        yield "options", options
    if "error" in tokenizer:
        yield "tokenizer", f"not readable: {tokenizer['error']}"
    else:
        yield "tokenizer", f"{tokenizer['vocab_size']:,} ids, sha256 {tokenizer['sha256'][:12]}"
    yield "KV cache", f"{info.kv_bytes_per_token:,} bytes a token in {info.dtype}"
    field = info.receptive_field_tokens
    yield "receptive field", "unbounded" if field is None else f"{field:,} tokens before a position"


def _layers(number: int) -> str:
    return f"{number} layer{'' if number == 1 else 's'}"


def _mixer(config: YOCOConfig) -> str:
    if config.sliding_window is None:
        return "gated retention"
    return f"sliding window {config.sliding_window:,}"


def _heads(heads: int, kv_heads: int, width: int) -> str:
    return f"{heads} heads of {width}, {kv_heads} for K and V"


def _rope(rope: RopeConfig) -> str:
    pairs = "interleaved" if rope.interleaved else "half-split"
    return f"rotary theta {rope.theta:,.15g}, {rope.spacing} spacing, {pairs}"


def _options(config: YOCOConfig) -> str:
    """The optional fields that are not at their defaults, under their own names."""
    fields = dataclasses.fields(config)
    optional = [field for field in fields if field.default is not dataclasses.MISSING]
    values = {field.name: (getattr(config, field.name), field.default) for field in optional}
    return ", ".join(f"{name} {value}" for name, (value, usual) in values.items() if value != usual)


def _memory_rows(info: CheckpointInfo) -> list[list[str]]:
    rows = [["length", "weights", "KV cache", "state", "one chunk", "total"]]
    for costs in info.lengths:
        of = costs.memory
        parts = (of.weights_bytes, of.kv_bytes, of.state_bytes, of.chunk_bytes, of.total_bytes)
        rows.append([length_label(costs.length_tokens), *(quantity(part, "B") for part in parts)])
    return rows


def _flops_rows(info: CheckpointInfo) -> list[list[str]]:
    rows = [["length", "prefill, early exit", "all layers", "ratio", "a decoded token"]]
    for costs in info.lengths:
        early, full = costs.early_exit_prefill_flops, costs.full_prefill_flops
        rows.append(
            [
                length_label(costs.length_tokens),
                quantity(early, "FLOP"),
                quantity(full, "FLOP"),
                f"{full / early:.2f}x",
                quantity(costs.decode_flops, "FLOP"),
            ]
        )
    return rows


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  " + "   ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def quantity(value: int, unit: str) -> str:
    """A number in three digits with a decimal prefix: 4294967296 bytes are 4.29 GB."""
    prefixes = ["", "k", "M", "G", "T", "P", "E"]
    scaled, step = float(value), 0
    # what would be written as 1000 belongs to the next prefix
    while float(f"{scaled:.3g}") >= 1000 and step < len(prefixes) - 1:
        scaled, step = scaled / 1000, step + 1
    if not step:
        return f"{value} {unit}"
    text = f"{scaled:#.3g}".rstrip(".")
    return f"{text} {prefixes[step]}{unit}"
