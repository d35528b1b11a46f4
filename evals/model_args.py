"""The arguments of a model: which there are, and one-line refusals of what cannot be."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.lengths import MAX_LENGTH_TOKENS, parse_length
from tasks.shown import shown

# tokens of one prefill chunk where the user does not say, by type of device
CHUNK_SIZE = {"cpu": 2048, "cuda": 16_384}
# where neither the checkpoint nor the user says how long a prompt may be
DEFAULT_MAX_LENGTH = 1_048_576

_AUTO_BATCH = re.compile(r"auto(:\d+)?")
# what a tokenizer's folder holds one of; a folder of results does not
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")


@dataclass(frozen=True, kw_only=True)
class ModelArguments:
    """What `--model_args` may hold, each value checked on its own, before any file is read.

    Attributes:
        pretrained: folder of a checkpoint (official, Hugging Face or converted), or the name of
            an embedded one ("demo").
        tokenizer: folder, tokenizer.json, hub name, "cl100k_base" or an embedded checkpoint's
            name; None for the checkpoint's own folder.
        dtype: "auto" (as stored on a GPU, float32 on a CPU) or a dtype's name.
        device: "auto", "cpu", "cuda", "cuda:1". "cuda:0", lm-eval's own default, means "auto"
            where there is no GPU.
        chunk_size: tokens of one prefill chunk; memory grows with it, the result does not. None
            for `CHUNK_SIZE` of the device.
        max_length: tokens that prompt and continuation may have together ("128K" is 131,072);
            None for the checkpoint's own limit, else `DEFAULT_MAX_LENGTH`.
        batch_size: prompts that are packed into one chunk; None ("auto") for as many as fit it.
            Those that share a KV cache are answered side by side whatever this is.
        max_batch_size: prompts of a batch at most, where the batch size is "auto".
        rope_precision: "float64" angles, or "reference" for the official arithmetic.
        backend: kernels: auto, reference, torch, fla.
        truncation: "left" drops the beginning of an input that is too long; None makes it an
            error.
        share: whether a long prompt uses what an earlier one with the same text left in the KV
            cache; results change by rounding only.
        allow_nonfinite: whether weights that are NaN or Inf are loaded, instead of refused.
        trust_remote_code: what `lm_eval --trust_remote_code` passes; nothing here runs such code.
    """

    pretrained: str
    tokenizer: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    chunk_size: int | None = None
    max_length: int | None = None
    batch_size: int | None = None
    max_batch_size: int | None = None
    rope_precision: str = "float64"
    backend: str = "auto"
    truncation: str | None = None
    share: bool = True
    allow_nonfinite: bool = False
    trust_remote_code: bool = False

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> ModelArguments:
        """The arguments from what a user, lm-eval's parser or a program gave; None is nothing.

        Raises:
            ValueError: an argument is unknown (the near one is named), cannot be what it is, or
                there is no checkpoint.
        """
        known = [each.name for each in dataclasses.fields(cls)]
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
                raise ValueError(f"unknown model argument {shown(name)}: {hint}")
        values = {
            name: _READERS[name](name, value) for name, value in given.items() if value is not None
        }
        if "pretrained" not in values:
            raise ValueError("no checkpoint given: add --model_args pretrained=PATH")
        return cls(**values)

    def limit(self, checkpoint_limit: int | None) -> int:
        """The tokens of a prompt and its continuation, for a checkpoint that has this limit."""
        return self.max_length or checkpoint_limit or DEFAULT_MAX_LENGTH


def tokens(name: str, value: Any) -> int:
    """A number of tokens: 2048, "2048", 2048.0, "2K".

    Raises:
        ValueError: it is not a positive whole number of tokens.
    """
    try:
        return parse_length(value)
    except ValueError as error:
        raise ValueError(
            f"{name} is {shown(value)}: it must be a whole number of tokens from 1 to "
            f"{MAX_LENGTH_TOKENS:,}, as 2048 or '2K'"
        ) from error


def count(name: str, value: Any) -> int:
    """A whole number of at least 1, from one or its text.

    Raises:
        ValueError: it is none.
    """
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}(\.0*)?", value.strip()):
        number = float(value)
    if not 1 <= number <= MAX_LENGTH_TOKENS or number != math.floor(number):
        raise ValueError(
            f"{name} is {shown(value)}: it must be a whole number from 1 to {MAX_LENGTH_TOKENS:,}"
        )
    return int(number)


def _batch_size(name: str, value: Any) -> int | None:
    """Prompts of a batch; None for as many as fit a chunk ("auto" and lm-eval's "auto:N")."""
    if isinstance(value, str) and _AUTO_BATCH.fullmatch(value.strip()):
        return None
    try:
        return count(name, value)
    except ValueError as error:
        raise ValueError(
            f"{name} is {shown(value)}: it must be auto or a positive whole number"
        ) from error


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is {shown(value)}: it must be a name")
    return value


def _path(name: str, value: Any) -> str:
    # lm-eval's parser makes a number of a folder that is named like one
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    path = str(value) if is_number or isinstance(value, Path) else value
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise ValueError(f"{name} is {shown(value)}: it must be a path or a name")
    return path


def _device(name: str, value: Any) -> str:
    # a program may give a torch.device
    return _text(name, value if isinstance(value, str | int | float) else str(value))


def _dtype(name: str, value: Any) -> str:
    # a program may give a torch.dtype
    if type(value).__module__ == "torch":
        value = str(value).removeprefix("torch.")
    return _text(name, value)


def _yes_or_no(name: str, value: Any) -> bool:
    answers = {"true": True, "false": False}
    answer = answers.get(str(value).lower())
    if answer is None:
        raise ValueError(f"{name} is {shown(value)}: it must be True or False")
    return answer


def _truncation(name: str, value: Any) -> str:
    if value != "left":
        raise ValueError(f"{name} is {shown(value)}: it must be left, or not be given")
    return value


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "pretrained": _path,
    "tokenizer": _path,
    "dtype": _dtype,
    "device": _device,
    "chunk_size": tokens,
    "max_length": tokens,
    "batch_size": _batch_size,
    "max_batch_size": count,
    "rope_precision": _text,
    "backend": _text,
    "truncation": _truncation,
    "share": _yes_or_no,
    "allow_nonfinite": _yes_or_no,
    "trust_remote_code": _yes_or_no,
}


def tokenizer_path(name: str) -> str:
    """The name, or the folder of the embedded checkpoint that it is.

    A folder of such a name here comes first if it holds a tokenizer.
    """
    from yoco.loading import resolve_path

    if any((Path(name) / file).exists() for file in _TOKENIZER_FILES):
        return name
    return str(resolve_path(name))


def task_metadata(given: Mapping[str, Any]) -> dict[str, Any]:
    """lm-eval's metadata, with the folder of the tokenizer where an embedded checkpoint is named.

    Other tasks' code (RULER's) takes it from there, and knows of no embedded checkpoints.
    """
    name = given.get("tokenizer") or given.get("pretrained")
    if not isinstance(name, str):
        return dict(given)
    path = tokenizer_path(name)
    return {**given, "tokenizer": path} if path != name else dict(given)
