"""A prompt as pure data: which part of which haystack, with what put in where."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.haystacks import Haystack, load_haystack


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that is needed to write out one prompt, byte for byte, from its haystack.

    Attributes:
        haystack: The haystack's spec, as `load_haystack` reads it.
        haystack_sha256: Of the haystack's text.
        start: First character of the slice, within the text.
        stop: One past its last character; beyond the text's length the text begins again.
        insertions: (character, text) pairs in ascending order; the text goes before the character.
        suffix: What follows the haystack.
        prompt_sha256: Of the whole prompt in UTF-8.
    """

    haystack: str
    haystack_sha256: str
    start: int
    stop: int
    insertions: tuple[tuple[int, str], ...]
    suffix: str
    prompt_sha256: str

    @property
    def num_chars(self) -> int:
        """Characters of the whole prompt."""
        inserted = sum(len(text) for _, text in self.insertions)
        return self.stop - self.start + inserted + len(self.suffix)

    def to_dict(self) -> dict[str, Any]:
        """The plan in JSON's types."""
        return {**vars(self), "insertions": [list(item) for item in self.insertions]}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Plan:
        """The plan that `to_dict` wrote."""
        insertions = tuple((char, text) for char, text in fields["insertions"])
        return cls(**{**fields, "insertions": insertions})


def write_out(
    haystack: Haystack,
    start: int,
    stop: int,
    insertions: tuple[tuple[int, str], ...],
    suffix: str,
) -> str:
    """The slice of the haystack with the insertions in place and the suffix behind it."""

    def pieces() -> Iterator[str]:
        done = start
        for char, text in insertions:
            yield haystack.slice(done, char)
            yield text
            done = char
        yield haystack.slice(done, stop)
        yield suffix

    return "".join(pieces())


def render(plan: Plan) -> str:
    """The prompt's full text.

    Raises:
        ValueError: If the haystack or the finished text is not what the plan was made from.
    """
    haystack = load_haystack(plan.haystack)
    if haystack.sha256 != plan.haystack_sha256:
        raise ValueError(
            f"haystack {plan.haystack!r} has changed since this prompt was planned "
            f"(sha256 {haystack.sha256[:12]}, planned with {plan.haystack_sha256[:12]}): "
            "plan the run again"
        )
    text = write_out(haystack, plan.start, plan.stop, plan.insertions, plan.suffix)
    if sha256_of(text) != plan.prompt_sha256:
        raise ValueError(
            f"the prompt planned on {plan.haystack!r} comes out as another text: the plan was "
            "edited or written by another version, plan the run again"
        )
    return text


def beginning(plan: Plan, num_chars: int) -> str:
    """The first characters of the prompt, without its suffix; nothing is checked."""
    stop = min(plan.stop, plan.start + num_chars)
    insertions = tuple((char, text) for char, text in plan.insertions if char <= stop)
    return write_out(load_haystack(plan.haystack), plan.start, stop, insertions, "")[:num_chars]


def sha256_of(text: str) -> str:
    """The hex SHA-256 of the text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()
