"""Short stand-ins for prompts of a million tokens, for a backend that expands them itself.

A handle names files to read. So a backend expands those only that this process's own tasks have
made; what looks like one in anybody's data is text.
"""

from __future__ import annotations

import gc
import hashlib
import itertools
import json
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.pieces import PiecedText
from tasks.plans import Plan, beginning, render
from tasks.tokenizers import Tokenizer

_VERSION = 1
_OPENING, _CLOSING = "<|yoco:prompt ", "|>"


@dataclass(frozen=True, kw_only=True)
class Backend:
    """What a backend that expands handles says of itself.

    Attributes:
        pretrained: The model argument of that name, as it was given.
        tokenizer: The tokenizer that it encodes prompts with.
        max_length: The longest context it takes, in tokens; None for any.
        make_room: Told the tokens of the longest prompt before it is planned; raises ValueError if
            the memory is too little for it.
    """

    pretrained: str
    tokenizer: Tokenizer
    max_length: int | None = None
    make_room: Callable[[int], object] | None = None


# Backends that are alive, by the object that announced them; an entry goes with its object.
_backends: weakref.WeakKeyDictionary[object, Backend] = weakref.WeakKeyDictionary()

# Digests of the handles that this process has made. A handle's text is the same in every process,
# so that answers kept for it are found again; that it was made here is not to be read from it.
_made: set[bytes] = set()
# of those, the ones that a backend has expanded
_expanded: set[bytes] = set()


def announce(
    owner: object,
    *,
    pretrained: str,
    tokenizer: Tokenizer,
    max_length: int | None = None,
    make_room: Callable[[int], object] | None = None,
) -> None:
    """Lets prompts of runs on this `pretrained` be handles for as long as the owner lives.

    Args: as the attributes of `Backend`; none of them may hold the owner.
    """
    _backends[owner] = Backend(
        pretrained=str(pretrained),
        tokenizer=tokenizer,
        max_length=max_length,
        make_room=make_room,
    )


def announced(pretrained: object) -> Backend | None:
    """The living backend that runs this `pretrained` and expands handles; the last of several."""
    found = [each for each in _backends.values() if each.pretrained == str(pretrained)]
    return found[-1] if found else None


def only_announced() -> Backend | None:
    """The one living backend that expands handles; None where there is none.

    Raises:
        ValueError: If there are several.
    """
    if len(set(_backends.values())) > 1:
        # one that nobody holds any more may lie about until then
        gc.collect()
    found = set(_backends.values())
    if len(found) > 1:
        names = ", ".join(sorted(backend.pretrained for backend in found))
        raise ValueError(
            f"several models are loaded ({names}) and nobody says which of them is run: "
            "name it in the metadata, as pretrained"
        )
    return next(iter(found), None)


def to_handle(plan: Plan) -> str:
    """A short text that backends of this process turn into the plan's prompt."""
    content = json.dumps({"version": _VERSION, **plan.to_dict()})
    # neither mark must occur within, and JSON may write any character by its number
    content = content.replace(_OPENING, "\\u003c" + _OPENING[1:]).replace(_CLOSING, "|\\u003e")
    _made.add(_digest(content))
    return _OPENING + content + _CLOSING


def expand(text: str) -> PiecedText:
    """The text with every handle replaced by its prompt, whoever made the handle.

    For prompts of a results file that one trusts: a handle names the files that are read.

    Raises:
        ValueError: If a handle cannot be read, or its haystack has changed.
    """
    found = _found(text)
    return PiecedText(
        _pieces(text, ((start, stop, _read(content)) for start, stop, content in found))
    )


def expanded_pieces(text: str) -> list[tuple[str, bool]]:
    """The text with the prompts of this process's handles, in pieces.

    Each is (text, whether it is literal), and that is a handle's prompt: a special token's name in
    it is text. Neighbours of one kind are one piece, and no piece is empty.

    Raises:
        ValueError: If a handle's haystack has changed.
    """
    return _pieces(text, _plans(text))


def _pieces(text: str, plans: Iterable[tuple[int, int, Plan]]) -> list[tuple[str, bool]]:
    pieces, done = [], 0
    for start, stop, plan in plans:
        pieces += [(text[done:start], False), (render(plan), True)]
        _expanded.add(_digest(text[start + len(_OPENING) : stop - len(_CLOSING)]))
        done = stop
    pieces.append((text[done:], False))
    kinds = itertools.groupby((each for each in pieces if each[0]), key=lambda each: each[1])
    return [("".join(piece for piece, _ in group), literal) for literal, group in kinds]


def expanded_beginning(text: str, num_chars: int) -> str:
    """The first characters of what `expanded_pieces` makes of this text, without making all of it.

    A handle's suffix is left out, and that the haystack is still the same is not checked.
    """
    pieces, done = [], 0
    for start, stop, plan in _plans(text):
        pieces += [text[done:start], beginning(plan, num_chars)]
        done = stop
        if sum(map(len, pieces)) >= num_chars:
            break
    else:
        pieces.append(text[done : done + num_chars])
    return "".join(pieces)[:num_chars]


def expanded_chars(text: str) -> int:
    """Characters of what `expanded_pieces` makes of this text, without making it."""
    return len(text) + sum(plan.num_chars - (stop - start) for start, stop, plan in _plans(text))


def plans_in(text: str) -> list[Plan]:
    """The plans of this process's handles in a text, in order."""
    return [plan for _, _, plan in _plans(text)]


def prompt_text(doc: Mapping[str, Any]) -> str:
    """The prompt of a sample document: a handle if the run's backend expands handles, or in full.

    The document's attribute `pretrained`, if it has one, is the `pretrained` of the run.
    """
    return text_of(Plan.from_dict(doc["plan"]), getattr(doc, "pretrained", None))


def text_of(plan: Plan, pretrained: str | None) -> str:
    """A handle of the plan if the backend that runs `pretrained` expands handles, or its text."""
    return to_handle(plan) if pretrained and announced(pretrained) else render(plan)


def were_expanded(texts: Iterable[str]) -> bool:
    """Whether a backend has expanded any of the handles in these texts, if there are some.

    That of a run with a cache of answers need not: it counts as if it had.
    """
    found = {_digest(content) for text in texts for _, _, content in _found(text)} & _made
    # lm-eval gives its models the cache that they write to
    caches = (getattr(owner, "cache_hook", None) for owner in _backends)
    has_cache = any(getattr(cache, "dbdict", None) is not None for cache in caches)
    return not found or has_cache or not found.isdisjoint(_expanded)


def _plans(text: str) -> Iterator[tuple[int, int, Plan]]:
    """Where a handle of this process stands in the text, and its plan."""
    for start, stop, content in _found(text):
        if _digest(content) in _made:
            yield start, stop, _read(content)


def _found(text: str) -> Iterator[tuple[int, int, str]]:
    """Where something stands that looks like a handle, and what is between its marks."""
    done = 0
    while (closing := text.find(_CLOSING, done)) >= 0:
        # the last opening before it: an earlier one is somebody's text
        start = text.rfind(_OPENING, done, closing)
        done = closing + len(_CLOSING)
        if start >= 0:
            yield start, done, text[start + len(_OPENING) : closing]


def _digest(content: str) -> bytes:
    return hashlib.blake2b(content.encode(errors="surrogatepass"), digest_size=16).digest()


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
