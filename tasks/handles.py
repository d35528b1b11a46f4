"""Short stand-ins for prompts of a million tokens, for a backend that expands them itself."""

from __future__ import annotations

import itertools
import json
import re
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.plans import Plan, beginning, render
from tasks.tokenizers import Tokenizer

_VERSION = 1
_OPENING, _CLOSING = "<|yoco:prompt ", "|>"
_HANDLE = re.compile(re.escape(_OPENING) + r"(.*?)" + re.escape(_CLOSING), re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Backend:
    """What a backend that expands handles says of itself.

    Attributes:
        pretrained: The model argument of that name, as it was given.
        tokenizer: The tokenizer that it encodes prompts with.
        max_length: The longest context it takes, in tokens; None for any.
    """

    pretrained: str
    tokenizer: Tokenizer
    max_length: int | None = None


# Backends that are alive, by the object that announced them; an entry goes with its object.
_backends: weakref.WeakKeyDictionary[object, Backend] = weakref.WeakKeyDictionary()


def announce(
    owner: object, *, pretrained: str, tokenizer: Tokenizer, max_length: int | None = None
) -> None:
    """Lets prompts of runs on this `pretrained` be handles for as long as the owner lives."""
    _backends[owner] = Backend(
        pretrained=str(pretrained), tokenizer=tokenizer, max_length=max_length
    )


def announced(pretrained: object) -> Backend | None:
    """The living backend that runs this `pretrained` and expands handles; the last of several."""
    found = [each for each in _backends.values() if each.pretrained == str(pretrained)]
    return found[-1] if found else None


def to_handle(plan: Plan) -> str:
    """A short text that `expand` turns into the plan's prompt."""
    content = json.dumps({"version": _VERSION, **plan.to_dict()})
    # the closing mark must not occur within, and JSON may write any character by its number
    return _OPENING + content.replace(_CLOSING, "|\\u003e") + _CLOSING


def expand(text: str) -> str:
    """The text with every handle replaced by the prompt it stands for.

    Raises:
        ValueError: If a handle cannot be read, or its haystack has changed.
    """
    return "".join(piece for piece, _ in expanded_pieces(text))


def expanded_pieces(text: str) -> list[tuple[str, bool]]:
    """The text that `expand` makes of this one, as (piece, whether a handle stood for it).

    A handle's prompt is literal: a special token's name in it is text. Neighbours of one kind are
    one piece, and no piece is empty.

    Raises:
        ValueError: If a handle cannot be read, or its haystack has changed.
    """
    pieces, done = [], 0
    for match in _HANDLE.finditer(text):
        pieces += [(text[done : match.start()], False), (render(_read(match[1])), True)]
        done = match.end()
    pieces.append((text[done:], False))
    kinds = itertools.groupby((each for each in pieces if each[0]), key=lambda each: each[1])
    return [("".join(piece for piece, _ in group), literal) for literal, group in kinds]


def expanded_beginning(text: str, num_chars: int) -> str:
    """The first characters of the text that `expand` makes of this one, without making all of it.

    A handle's suffix is left out, and that the haystack is still the same is not checked.
    """
    pieces, done = [], 0
    for match in _HANDLE.finditer(text):
        pieces += [text[done : match.start()], beginning(_read(match[1]), num_chars)]
        done = match.end()
        if sum(map(len, pieces)) >= num_chars:
            break
    else:
        pieces.append(text[done : done + num_chars])
    return "".join(pieces)[:num_chars]


def expanded_chars(text: str) -> int:
    """Characters of the text that `expand` makes of this one, without making it."""
    plans = [_read(match[1]) for match in _HANDLE.finditer(text)]
    return len(_HANDLE.sub("", text)) + sum(plan.num_chars for plan in plans)


def prompt_text(doc: Mapping[str, Any]) -> str:
    """The prompt of a sample document: a handle if the run's backend expands handles, or in full.

    The document's attribute `pretrained`, if it has one, is the `pretrained` of the run.
    """
    return text_of(Plan.from_dict(doc["plan"]), getattr(doc, "pretrained", None))


def text_of(plan: Plan, pretrained: str | None) -> str:
    """A handle of the plan if the backend that runs `pretrained` expands handles, or its text."""
    return to_handle(plan) if pretrained and announced(pretrained) else render(plan)


def _read(content: str) -> Plan:
    try:
        fields = json.loads(content)
        version = fields.pop("version")
        plan = Plan.from_dict(fields) if version == _VERSION else None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"prompt handle {content[:80]!r} cannot be read: it was cut or edited, make it again"
        ) from error
    if plan is None:
        raise ValueError(
            f"prompt handle has version {version!r}, this is version {_VERSION}: "
            "plan the run again with this version"
        )
    return plan
