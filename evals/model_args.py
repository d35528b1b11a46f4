"""The values of `--model_args`: which there are, and one-line refusals of what cannot be."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

Choice = TypeVar("Choice")

# tokens of one prefill chunk where the user does not say, by type of device
CHUNK_SIZE = {"cpu": 2048, "cuda": 16_384}


def merged_model_args(
    given: Mapping[str, Any], defaults: Mapping[str, Any] | None, known: Sequence[str]
) -> dict[str, Any]:
    """Model arguments over the command line's own, which are None where the user said nothing.

    Raises:
        ValueError: an argument is unknown (the near one is named), or there is no checkpoint.
    """
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ValueError(f"unknown model argument {name!r}: {hint}")
    if "pretrained" not in given:
        raise ValueError("no checkpoint given: add --model_args pretrained=PATH")
    return {**{k: v for k, v in (defaults or {}).items() if v is not None}, **given}


def batch_limit(batch_size: int | str, max_batch_size: int | None) -> int | None:
    """Prompts of a batch; None for as many as fit a chunk ("auto" and lm-eval's "auto:N").

    Raises:
        ValueError: it is neither auto nor a positive integer.
    """
    if str(batch_size).startswith("auto"):
        return max_batch_size
    if not str(batch_size).isdigit():
        raise ValueError(f"batch_size is {batch_size!r}: it must be auto or a positive integer")
    return positive("batch_size", int(batch_size))


def positive(name: str, value: int) -> int:
    """The value as an integer.

    Raises:
        ValueError: it is not an integer, or below 1.
    """
    if not str(value).lstrip("-").isdigit():
        raise ValueError(f"{name} is {value!r}: it must be an integer of at least 1")
    if int(value) < 1:
        raise ValueError(f"{name} is {value}: it must be at least 1")
    return int(value)


def one_of(name: str, value: Choice, allowed: Sequence[Choice]) -> Choice:
    """The value.

    Raises:
        ValueError: it is not among `allowed`.
    """
    if value not in allowed:
        names = ", ".join(str(choice) for choice in allowed)
        raise ValueError(f"{name} is {value!r}: it must be one of {names}")
    return value
