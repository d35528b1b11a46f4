"""A task's settings within lm-eval's metadata, which hold the model's arguments beside them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from tasks import handles
from tasks.lengths import parse_length
from tasks.shown import shown
from tasks.tokenizers import Tokenizer, load_tokenizer


def given_settings(metadata: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The settings of these names that the metadata give a value.

    Raises:
        ValueError: If another key is one of the names misspelt.
    """
    for key in metadata.keys() - set(names):
        near = difflib.get_close_matches(key, names, n=1, cutoff=0.8)
        if near:
            raise ValueError(f"unknown setting {key!r}: did you mean {near[0]!r}?")
    return {name: metadata[name] for name in names if metadata.get(name) is not None}


def require_whole(name: str, value: Any, *, least: int, most: int = 2**31) -> None:
    """Raises ValueError if the setting's value is not a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}={shown(value)} is not a whole number of at least {least}")
    if value > most:
        raise ValueError(f"{name}={shown(value)} is too many: at most {most:,} are allowed")


def require_text(name: str, value: Any) -> None:
    """Raises ValueError if the setting's value is no text."""
    if not isinstance(value, str):
        raise ValueError(f"{name}={shown(value)} is no text: write for example 'stdlib'")


def max_length_of(metadata: Mapping[str, Any]) -> int | None:
    """The tokens that the run's model takes, as its backend or its arguments say; None for any.

    Raises:
        ValueError: If neither says it: lm-eval's other backends cut what is too long, with a
            needle at its beginning, and go on.
    """
    given = metadata.get("max_length")
    limit = parse_length(given) if given is not None else None
    backend = backend_of(metadata)
    if backend is None and limit is None:
        raise ValueError(
            "nobody says how many tokens this model takes, and a longer prompt might be cut "
            "silently: add max_length=N to --model_args or to --metadata"
        )
    if backend and backend.max_length is not None:
        return min(backend.max_length, limit or backend.max_length)
    return limit


def make_room(metadata: Mapping[str, Any], length_tokens: int) -> None:
    """Lets a run's backend refuse prompts of this length before any is planned.

    Raises:
        ValueError: If the memory is too little for one.
    """
    backend = backend_of(metadata)
    if backend and backend.make_room:
        backend.make_room(length_tokens)


def tokenizer_of(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer in whose tokens a run counts lengths.

    That of the run's backend if it has announced itself, else what the metadata name as
    `tokenizer` or `pretrained`.

    Raises:
        ValueError: If there is none.
    """
    if backend := backend_of(metadata):
        return backend.tokenizer
    source = metadata.get("tokenizer") or metadata.get("pretrained")
    if not source:
        raise ValueError(
            "no tokenizer to measure lengths with: "
            "pass --metadata tokenizer=PATH_OR_NAME, or a model with pretrained="
        )
    return load_tokenizer(str(source), for_others=True)


def backend_of(metadata: Mapping[str, Any]) -> handles.Backend | None:
    """The backend of a run, if it expands handles.

    It is the one that runs the metadata's `pretrained`. Where they name no model at all, as of a
    model that a program loaded itself, it is the only one that is alive.

    Raises:
        ValueError: If no model is named and several are alive.
    """
    if pretrained := metadata.get("pretrained"):
        return handles.announced(pretrained)
    return None if metadata.get("tokenizer") else handles.only_announced()


def pretrained_of(metadata: Mapping[str, Any]) -> str | None:
    """The `pretrained` of a run, as its documents know it; None where nobody names one."""
    backend = backend_of(metadata)
    pretrained = backend.pretrained if backend else metadata.get("pretrained")
    return str(pretrained) if pretrained else None
